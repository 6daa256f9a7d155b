//! A score as text for a terminal: one run with its times, several with the median and the worst of their errors.

use std::fmt;

use super::{Errors, Point, Score, Seen, Stretch, Why};

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds: Vec<String> = self.runs.iter().map(|run| run.seed.to_string()).collect();
        let variant = if self.variant.is_empty() { String::new() } else { format!(", {}", self.variant) };
        let plural = if seeds.len() == 1 { "seed" } else { "seeds" };
        writeln!(f, "{}{variant} ({plural} {})\n", self.scenario, seeds.join(", "))?;
        self.heading(f, "milestone")?;
        for row in &self.milestones {
            write_row(f, &row.id, &row.kind, &row.time)?;
        }
        writeln!(f)?;
        self.heading(f, "impact window")?;
        for row in &self.windows {
            for (what, point) in [("opens", &row.from), ("closes", &row.to)] {
                if let Some(point) = point {
                    let kind = if point.is_input() { "action" } else { "outcome" };
                    write_row(f, &format!("{} {what}", row.name()), kind, point)?;
                }
            }
        }
        self.write_rest(f)?;
        writeln!(f)?;
        for (what, errors) in [
            ("milestones", &self.milestones_only),
            ("ends of windows", &self.windows_only),
            ("all outcomes", &self.all),
        ] {
            writeln!(f, "{what:<16} {errors}")?;
        }
        if !self.all.missing_ids.is_empty() {
            writeln!(f, "missing: {}", self.all.missing_ids.join(", "))?;
        }
        Ok(())
    }
}

impl Score {
    fn heading(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        write!(f, "{what:<36} {:<8} {:>19} ", "kind", "published")?;
        match self.runs.len() {
            1 => writeln!(f, "{:>19} {:>9}", "here", "minutes"),
            _ => writeln!(f, "{:>11} {:>11} {:>9}", "median off", "worst off", "seen"),
        }
    }

    /// What has no published times, and what is published of nothing.
    fn write_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let untimed = self.without_times.iter().map(|row| {
            let windows =
                row.runs.iter().map(|run| run.as_deref().map_or("no such system here".into(), listed));
            ("published without times", &row.system, windows.collect::<Vec<String>>())
        });
        let unmatched = self.unmatched.iter().map(|row| {
            let windows = row.runs.iter().map(|windows| listed(windows)).collect();
            ("nothing published", &row.system, windows)
        });
        for (index, (what, system, windows)) in untimed.chain(unmatched).enumerate() {
            if index == 0 {
                writeln!(f)?;
            }
            writeln!(f, "{what:<24} {system:<24} {}", windows.join(" | "))?;
        }
        Ok(())
    }
}

/// Windows in one line.
fn listed(windows: &[Stretch]) -> String {
    let window = |window: &Stretch| format!("{} to {}", clock(&window.from), clock(&window.to));
    if windows.is_empty() {
        "none".to_owned()
    } else {
        windows.iter().map(window).collect::<Vec<_>>().join(", ")
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, point: &Point) -> fmt::Result {
    write!(f, "{name:<36} {kind:<8} {:>19} ", local(&point.published))?;
    match point.runs.as_slice() {
        [seen] => {
            let at = seen.at.as_deref().map_or_else(|| why(seen).to_owned(), local);
            let error = seen.error_min.map_or("-".to_owned(), |error| format!("{error:+.1}"));
            writeln!(f, "{at:>19} {error:>9}")
        }
        runs => {
            let told = |error: Option<f64>| error.map_or("-".to_owned(), |error| format!("{error:.1} min"));
            let seen = runs.iter().filter(|seen| seen.error_min.is_some()).count();
            let seen = match runs.iter().find_map(|seen| seen.why) {
                Some(Why::Input) => "(input)".to_owned(),
                _ => format!("{seen}/{}", runs.len()),
            };
            writeln!(f, "{:>11} {:>11} {seen:>9}", told(point.median_error_min), told(point.worst_error_min))
        }
    }
}

/// Why there is no time.
pub(super) fn why(seen: &Seen) -> &'static str {
    match seen.why {
        Some(Why::Input) => "(input)",
        Some(Why::NotSeen) => "NOT SEEN",
        Some(Why::RunEnded) => "run ended before",
        Some(Why::NotLookedFor) | None => "not looked for",
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = |error: Option<f64>| error.map_or("-".to_owned(), |error| format!("{error:.1} min"));
        write!(
            f,
            "{} published, {} looked for, {} missing; absolute error: median {}, worst {}",
            self.published,
            self.looked_for,
            self.missing_ids.len(),
            minutes(self.median_min),
            minutes(self.worst_min)
        )?;
        self.worst_id.as_ref().map_or(Ok(()), |id| write!(f, " ({id})"))
    }
}

/// A date without its offset, and with a space: `2025-10-20 02:25:00`.
fn local(date: &str) -> String {
    date.chars().take(19).collect::<String>().replace('T', " ")
}

/// The time of day: `02:25`.
pub(super) fn clock(date: &str) -> String {
    date.chars().skip(11).take(5).collect()
}
