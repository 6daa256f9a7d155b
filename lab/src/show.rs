//! A run's outcome as text for a terminal.

use std::fmt::Write as _;
use std::path::Path;

use eastfall_chaos::expect::Verdict;

use crate::conclusion::Conclusion;
use crate::session::Session;

/// What came of a run: its milestones beside the published times, what each system's customers met, and the checks.
pub fn conclusion(session: &Session, conclusion: &Conclusion, folder: &Path) -> String {
    let summary = &conclusion.summary;
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(out, "{} (seed {})\n", session.scenario.title, summary.seed);
    let _ = writeln!(out, "{:<40} {:>19} {:>19} {:>9}", "milestone", "here", "published", "minutes");
    for milestone in &summary.milestones {
        let when = |date: &Option<String>| date.as_deref().map_or("-".to_owned(), local);
        let error = milestone.error_min.map_or("-".to_owned(), |error| format!("{error:+.1}"));
        let (here, published) = (when(&milestone.at), when(&milestone.published));
        let _ = writeln!(out, "{:<40} {here:>19} {published:>19} {error:>9}", milestone.id);
    }
    let _ = writeln!(
        out,
        "\n{:<28} {:>10} {:>9} {:>9} {:>9}  impact",
        "system", "requests", "failed", "rejected", "p99"
    );
    for (name, system) in &summary.systems {
        let windows: Vec<_> = system
            .windows
            .iter()
            .map(|window| format!("{} to {}", local(&window.from), local(&window.to)))
            .collect();
        let windows = if windows.is_empty() { "none".to_owned() } else { windows.join(", ") };
        let (requests, failed, rejected) = (system.requests, system.failed, system.rejected);
        let p99 = millis(system.p99_ms);
        let _ = writeln!(out, "{name:<28} {requests:>10} {failed:>9} {rejected:>9} {p99:>9}  {windows}");
    }
    let checks = &conclusion.evaluation.checks;
    if !checks.is_empty() {
        let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
        let (passed, failed) = (count(Verdict::Passed), count(Verdict::Failed));
        let _ = writeln!(
            out,
            "\nchecks: {passed} passed, {failed} failed, {} not applicable",
            checks.len() - passed - failed
        );
    }
    let _ = writeln!(
        out,
        "\n{:.1} h in {:.1} s, {} RPCs ({:.0} a second); all of it in {}",
        summary.simulated_s / 3600.0,
        summary.wall_s,
        summary.rpcs,
        summary.rpcs as f64 / summary.wall_s.max(1e-9),
        folder.display()
    );
    out
}

/// Milliseconds in three or four characters: a queue that is measured in microseconds is not `0 ms` long.
fn millis(millis: f64) -> String {
    let digits = if millis < 10.0 { 2 } else { 0 };
    format!("{millis:.digits$} ms")
}

/// A date without its offset, and with a space: `2025-10-20 02:25:00`.
fn local(date: &str) -> String {
    date.chars().take(19).collect::<String>().replace('T', " ")
}
