//! The end of a run, live or simulated: its milestones, its checks, its summary, its folder.

use std::collections::BTreeMap;

use eastfall_chaos::expect::{Evaluation, Verdict, evaluate};
use eastfall_fabric::record::Results;
use eastfall_topology::time::Moment;

use crate::failure::Failure;
use crate::run_folder::RunWriter;
use crate::session::Session;
use crate::summary::{Facts, Summary};

/// What came of a run.
#[derive(Debug)]
pub struct Conclusion {
    /// The run in one object.
    pub summary: Summary,
    /// Milestones and checks.
    pub evaluation: Evaluation,
    /// The books, for whoever wants more.
    pub results: Results,
}

impl Conclusion {
    /// Concludes a run that reached `end`, and completes its folder.
    ///
    /// # Errors
    /// If the expectations look at series that the run does not have although it was not cut short, or the folder can't be
    /// written.
    pub fn draw(
        session: &Session,
        mut results: Results,
        end: Moment,
        wall_s: f64,
        writer: Option<RunWriter>,
    ) -> Result<Conclusion, Failure> {
        let tick = results.finish(end);
        let timeline = &session.scenario.timeline;
        let steps: BTreeMap<String, Moment> = session
            .scenario
            .steps
            .iter()
            .filter(|step| step.at <= end)
            .map(|step| (step.id.clone(), step.at))
            .collect();
        let evaluation = match &session.expectations {
            None => Ok(Evaluation::default()),
            Some(expectations) => evaluate(expectations, timeline, results.series(), &steps),
        };
        let shown = evaluation.clone().unwrap_or_default();
        let facts = Facts {
            scenario: session.scenario.id.clone(),
            seed: session.seed,
            wall_s,
            peak_rss_bytes: peak_memory(),
        };
        let summary = Summary::of(&results, timeline, facts, &shown);
        // The folder first: nothing of the run is lost if its expectations are mistaken.
        if let Some(mut writer) = writer {
            writer.tick(&results, tick)?;
            writer.finish(&results, &summary)?;
        }
        // A run that was cut short may have ended before a service had said anything of what the expectations look at: that
        // is no mistake of theirs.
        let evaluation = if end < session.until { shown } else { evaluation? };
        Ok(Conclusion { summary, evaluation, results })
    }

    /// The checks that failed, a line each.
    pub fn failed_checks(&self) -> Vec<String> {
        let failed = self.evaluation.checks.iter().filter(|check| check.verdict == Verdict::Failed);
        failed.map(|check| format!("{}: {}", check.id, check.found)).collect()
    }
}

/// The largest resident memory of this process so far, in bytes; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes =
        peak.and_then(|peak| peak.trim().strip_suffix("kB")).and_then(|peak| peak.trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
