//! What a live run shows of itself while it goes on: one line, rewritten on a terminal, now and then a new one elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use eastfall_fabric::record::Results;
use eastfall_topology::time::Moment;

use crate::session::Session;

/// Wall time between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// Shows how a run goes.
pub(super) struct Progress {
    terminal: bool,
    last: Option<Instant>,
}

impl Progress {
    pub(super) fn new(headless: bool) -> Self {
        Progress { terminal: !headless && std::io::stderr().is_terminal(), last: None }
    }

    /// Shows the present.
    #[expect(clippy::disallowed_methods, reason = "progress is shown to people, on the wall's time")]
    pub(super) fn show(&mut self, session: &Session, now: Moment, results: &Results) {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= EVERY);
        if !self.terminal && !is_due {
            return;
        }
        self.last = Some(Instant::now());
        let line = line(session, now, results);
        let mut out = std::io::stderr().lock();
        // Progress that can't be shown is no reason to stop.
        let _ = if self.terminal { write!(out, "\r\x1b[2K{line}") } else { writeln!(out, "{line}") };
        let _ = out.flush();
    }

    /// Ends the line.
    pub(super) fn finish(&self) {
        if self.terminal {
            let _ = writeln!(std::io::stderr().lock());
        }
    }
}

fn line(session: &Session, now: Moment, results: &Results) -> String {
    let timeline = &session.scenario.timeline;
    let date = timeline.written(timeline.date(now));
    let phase = session
        .scenario
        .steps
        .iter()
        .rev()
        .find(|step| step.at <= now)
        .map_or("calm", |step| step.id.as_str());
    let last = |name: &str| results.series().values(name).and_then(<[f64]>::last).copied().unwrap_or(0.0);
    let sample = session.topology.record.sample.as_secs_f64();
    let (mut answered, mut failing) = (0.0, Vec::new());
    for system in results.systems() {
        let name = &system.name;
        let requests = last(&format!("system.{name}.requests"));
        let errors = last(&format!("system.{name}.error_share"));
        answered += requests * (1.0 - errors);
        if requests > 0.0 && errors >= session.topology.record.window_share {
            failing.push(format!("{name} {:.0}%", errors * 100.0));
        }
    }
    let failing =
        if failing.is_empty() { "all well".to_owned() } else { format!("failing: {}", failing.join(", ")) };
    format!("{}  {phase}  goodput {:.1}/s  {failing}", date.get(..19).unwrap_or(&date), answered / sample)
}
