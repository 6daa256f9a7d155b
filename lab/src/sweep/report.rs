//! A sweep's numbers: from the comparison that was run, and as text and CSV.

use std::fmt::{self, Write as _};

use indexmap::IndexMap;

use super::parameters::Moved;
use super::{Move, Row, Sweep};
use crate::compare::{Comparison, Estimate, VariantSummary, Verdict};

/// What moves by less than this is not worth a line, with too few seeds to tell noise apart. In minutes; half a sample of
/// the shipped topology.
const WORTH_MIN: f64 = 1.0 / 12.0;

impl Sweep {
    /// The first variant is what ships, then there are two for each parameter.
    pub(super) fn of(parameters: &[Moved], counts: [usize; 3], comparison: &Comparison) -> Sweep {
        let [parameters_listed, parameters_tuned, outcomes_published] = counts;
        let shipped = &comparison.variants[0];
        let pairs = comparison.variants[1..].chunks_exact(2);
        let rows = parameters.iter().zip(pairs).map(|(moved, pair)| Row {
            path: moved.path.clone(),
            value: moved.value.clone(),
            meets: moved.meets.clone(),
            from: moved.from.clone(),
            down: moved.down.clone(),
            up: moved.up.clone(),
            moves: moves(shipped, &pair[0], &pair[1], moved.up.1 - moved.down.1),
        });
        Sweep {
            scenario: comparison.scenario.clone(),
            first_seed: comparison.first_seed,
            seeds: comparison.seeds,
            complete: comparison.complete,
            level: comparison.level,
            parameters_listed,
            parameters_tuned,
            outcomes_published,
            parameters: rows.collect(),
        }
    }

    /// The table with a row a parameter and outcome; what never came, or can't be said, is empty.
    pub fn csv(&self) -> String {
        let mut text = "path,value,tuned,outcome,shipped_min,down,down_min,down_verdict,up,up_min,up_verdict,per_ten_percent_min\n".to_owned();
        let cell = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        for row in &self.parameters {
            for (outcome, moved) in &row.moves {
                // Writing to a String does not fail.
                let _ = writeln!(
                    text,
                    "{},{},{},{outcome},{},{},{},{},{},{},{},{}",
                    row.path,
                    row.value,
                    !row.meets.is_empty(),
                    cell(moved.shipped_min),
                    row.down.0,
                    cell(moved.down_min),
                    word(moved.down_verdict),
                    row.up.0,
                    cell(moved.up_min),
                    word(moved.up_verdict),
                    cell(moved.per_ten_percent_min)
                );
            }
        }
        text
    }
}

/// Every outcome that all three variants have.
fn moves(
    shipped: &VariantSummary,
    down: &VariantSummary,
    up: &VariantSummary,
    width: f64,
) -> IndexMap<String, Move> {
    let milestones = shipped.milestones.iter().filter_map(|(id, at)| {
        Some((id.clone(), Move::of(at, down.milestones.get(id)?, up.milestones.get(id)?, width)?))
    });
    let end =
        |variant: &VariantSummary, system: &str| variant.systems.get(system)?.get("recovery_min").cloned();
    let systems = shipped.systems.keys().filter_map(|name| {
        let [shipped, down, up] = [end(shipped, name)?, end(down, name)?, end(up, name)?];
        Some((format!("{name} closes"), Move::of(&shipped, &down, &up, width)?))
    });
    milestones.chain(systems).collect()
}

impl Move {
    fn of(shipped: &Estimate, down: &Estimate, up: &Estimate, width: f64) -> Option<Move> {
        let finite = |number: f64| number.is_finite().then_some(number);
        let [by_down, by_up] = [down.difference.as_ref()?, up.difference.as_ref()?];
        let (down_min, up_min) = (finite(by_down.median), finite(by_up.median));
        let slope = up_min.zip(down_min).filter(|_| width > 0.0).map(|(up, down)| (up - down) / width * 0.1);
        Some(Move {
            shipped_min: finite(shipped.median),
            never: [down.never, shipped.never, up.never],
            down_min,
            down_verdict: by_down.verdict,
            up_min,
            up_verdict: by_up.verdict,
            per_ten_percent_min: slope,
        })
    }

    /// True if the seeds say that it moves; with too few of them, if it does at all.
    fn matters(&self) -> bool {
        let either = |wanted: fn(Verdict) -> bool| wanted(self.down_verdict) || wanted(self.up_verdict);
        if either(|verdict| verdict == Verdict::TooFewSeeds) {
            let moved = |min: Option<f64>| min.is_none_or(|min| min.abs() >= WORTH_MIN);
            return moved(self.down_min) || moved(self.up_min);
        }
        either(|verdict| matches!(verdict, Verdict::Less | Verdict::More))
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Less => "less",
        Verdict::More => "more",
        Verdict::WithinNoise => "within-noise",
        Verdict::TooFewSeeds => "too-few-seeds",
    }
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut_off = if self.complete { "" } else { "; INCOMPLETE, it was cut off" };
        writeln!(f, "{}: {} seeds from {} on{cut_off}", self.scenario, self.seeds, self.first_seed)?;
        writeln!(
            f,
            "outcomes in minutes after the incident's start; what they move by in minutes, later is positive"
        )?;
        if self.level.is_none() {
            writeln!(f, "with fewer than six seeds nothing is told from noise")?;
        }
        for row in &self.parameters {
            let ground = match &row.from {
                Some(from) => format!("not tuned: {from}"),
                None => format!("tuned to {}", row.meets.join(", ")),
            };
            writeln!(f, "\n{} = {} ({ground})", row.path, row.value)?;
            let moving = row.moves.iter().filter(|(_, moved)| moved.matters()).collect::<Vec<_>>();
            if row.moves.is_empty() {
                writeln!(f, "    nothing to tell: not both ends have a run that came to its end")?;
                continue;
            }
            if moving.is_empty() {
                writeln!(f, "    nothing moves by more than noise between {} and {}", row.down.0, row.up.0)?;
                continue;
            }
            let heading = |(value, share): &(String, f64)| format!("{value} ({:+.0} %)", share * 100.0);
            let (down, up) = (heading(&row.down), heading(&row.up));
            writeln!(f, "    {:<38} {:>9} {down:>18} {up:>18} {:>9}", "outcome", "shipped", "per +10 %")?;
            for (outcome, moved) in moving {
                let at = moved.shipped_min.map_or("never".to_owned(), |min| format!("{min:.1}"));
                let end = |min: Option<f64>, never: f64, verdict| match min {
                    _ if never > moved.never[1] => format!("{:.0} % never", never * 100.0),
                    None => "never".to_owned(),
                    Some(min) => {
                        format!("{min:+.1}{}", if verdict == Verdict::WithinNoise { " ~" } else { "" })
                    }
                };
                let down = end(moved.down_min, moved.never[0], moved.down_verdict);
                let up = end(moved.up_min, moved.never[2], moved.up_verdict);
                let slope = moved.per_ten_percent_min.map_or("-".to_owned(), |slope| format!("{slope:+.1}"));
                writeln!(f, "    {outcome:<38} {at:>9} {down:>18} {up:>18} {slope:>9}")?;
            }
        }
        Ok(())
    }
}
