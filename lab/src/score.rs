//! A run's outcomes beside the published ones.

use std::fmt;

use eastfall_chaos::reference::{FactKind, Reference};
use eastfall_topology::Source;
use serde::Serialize;

use crate::failure::Failure;
use crate::run_folder::RunFolder;

/// The published facts that runs are scored against.
const REFERENCE: &str = include_str!("../../scenarios/reference/2025-10-20.toml");
const REFERENCE_FILE: &str = "scenarios/reference/2025-10-20.toml";

/// The published facts that the program carries.
///
/// # Errors
/// If they can't be read, which a test of theirs rules out.
pub(crate) fn reference() -> Result<Reference, Failure> {
    Ok(Reference::read(Source { file: REFERENCE_FILE, text: REFERENCE })?)
}

/// How near a run came to what was published.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    /// The scenario's id.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Every published milestone.
    pub milestones: Vec<Row>,
    /// Median of the absolute errors of the outcomes that came, in minutes.
    pub median_error_min: Option<f64>,
    /// The largest of them.
    pub worst_error_min: Option<f64>,
    /// Published outcomes that this run did not show, or its expectations don't look for.
    pub missing: Vec<String>,
}

/// One published milestone.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// `trigger` and `action` are inputs, `outcome` is what is scored.
    pub kind: String,
    /// When it was, RFC 3339.
    pub published: String,
    /// When it came in this run.
    pub at: Option<String>,
    /// Minutes later than published; outcomes only.
    pub error_min: Option<f64>,
}

impl Score {
    /// Scores a finished run.
    ///
    /// # Errors
    /// If the run has no summary (it was cut off) or the folder can't be read.
    pub fn of(run: &RunFolder) -> Result<Score, Failure> {
        let summary = run.summary()?.ok_or_else(|| {
            Failure(format!("{}: the run was cut off before its summary; run it again", run.path().display()))
        })?;
        let reference = reference()?;
        let timeline = run.timeline();
        let mut milestones = Vec::new();
        for fact in &reference.facts {
            let seen = summary.milestones.iter().find(|milestone| milestone.id == fact.id);
            let outcome = fact.kind == FactKind::Outcome;
            milestones.push(Row {
                id: fact.id.clone(),
                kind: fact.kind.to_string(),
                published: timeline.written(fact.at),
                at: seen.and_then(|seen| seen.at.clone()),
                error_min: seen.and_then(|seen| seen.error_min).filter(|_| outcome),
            });
        }
        let mut errors: Vec<f64> = milestones.iter().filter_map(|row| row.error_min).map(f64::abs).collect();
        errors.sort_by(f64::total_cmp);
        let missing = milestones
            .iter()
            .filter(|row| row.kind == "outcome" && row.at.is_none())
            .map(|row| row.id.clone())
            .collect();
        Ok(Score {
            scenario: summary.scenario,
            seed: summary.seed,
            median_error_min: median(&errors),
            worst_error_min: errors.last().copied(),
            milestones,
            missing,
        })
    }
}

/// The median of sorted numbers.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted {
        [] => None,
        _ if sorted.len() % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<36} {:<8} {:>26} {:>26} {:>8}", "milestone", "kind", "published", "here", "minutes")?;
        for row in &self.milestones {
            let (here, error) = match (row.kind.as_str(), &row.at, row.error_min) {
                ("outcome", Some(at), Some(error)) => (at.as_str(), format!("{error:+.1}")),
                ("outcome", Some(at), None) => (at.as_str(), "-".to_owned()),
                ("outcome", None, _) => ("not seen", "-".to_owned()),
                _ => ("(input)", "-".to_owned()),
            };
            writeln!(f, "{:<36} {:<8} {:>26} {here:>26} {error:>8}", row.id, row.kind, row.published)?;
        }
        let minutes = |error: Option<f64>| error.map_or("-".to_owned(), |error| format!("{error:.1} min"));
        writeln!(
            f,
            "\noutcomes: {} seen, {} not; absolute error: median {}, worst {}",
            self.milestones.iter().filter(|row| row.error_min.is_some()).count(),
            self.missing.len(),
            minutes(self.median_error_min),
            minutes(self.worst_error_min)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }
}
