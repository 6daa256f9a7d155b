//! `eastfall explain`: the story of a run, told from what it recorded.
//!
//! Who looks at a hundred falling systems asks for the first, and for what it took down. Both are in the books: which calls
//! failed from when on, to whom, and what operators did. So the story is derived from events, series and edges of the run,
//! and from nothing else: no name of a system or an incident stands in this code, and what it says of a cause is what a
//! good colleague would conclude from the same dashboards, with the numbers that it concludes it from.
//!
//! - A system **falls** when its impact window opens and **rises** when it closes.
//! - **What made it fall** is the edge out of it that began to fail first, of those that carry at least a fifth of what
//!   failed in its own calls. If none of its calls failed, the cause is in it or on the way to it; how many of the attempts
//!   reached it tells which.
//! - **What cured the first** is the action after which the first-fallen system's share of errors fell most. What lies
//!   before is the trigger's part of the whole, what comes after is recovery.

mod causes;
mod evidence;
#[cfg(test)]
mod tests;
mod text;

use eastfall_chaos::scenario::{Act, StepKind};
use eastfall_topology::time::{Moment, Span};
use serde::Serialize;

use crate::failure::Failure;
use crate::run_folder::RunFolder;
use crate::session::Files;
use crate::summary::written;
use evidence::Evidence;

/// The story of a run. Times are RFC 3339 in the incident's own offset.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// The scenario's id.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What broke and what operators did, in order of time; also notes, which change nothing.
    pub inputs: Vec<Input>,
    /// The first signs after the trigger: calls that began to fail and kinds of events that had not been seen before.
    pub first_signs: Vec<Sign>,
    /// Every fall of a system, in order of time.
    pub falls: Vec<Fall>,
    /// How much of it all was the trigger, and how much recovery; nothing if no system fell.
    pub timing: Option<Timing>,
    /// Where most work was done for nobody, most first.
    pub wasted: Vec<Wasted>,
    /// Where retries multiplied most, most first.
    pub amplified: Vec<Amplified>,
}

/// A step of the scenario as it was played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Input {
    /// The step.
    pub id: String,
    /// `trigger` or `action`.
    pub kind: String,
    /// One sentence for people.
    pub what: String,
    /// When it began.
    pub at: String,
    /// When it was over; null if it lasted to the end of the run.
    pub ended: Option<String>,
    /// False for a note: an alarm, a decision.
    pub acts: bool,
    #[serde(skip)]
    pub(crate) moment: Moment,
    #[serde(skip)]
    pub(crate) ended_moment: Option<Moment>,
}

/// Something that showed for the first time after the trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sign {
    /// When.
    pub at: String,
    /// An edge whose calls began to fail, or a kind of event.
    pub what: String,
    /// `calls-fail` or `event`.
    pub kind: &'static str,
    /// Which service told of it.
    pub service: String,
    #[serde(skip)]
    moment: Moment,
}

/// A time in which a system let its customers down.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fall {
    /// The system.
    pub system: String,
    /// When its window opened.
    pub from: String,
    /// When it closed; null if it was open when the run ended.
    pub to: Option<String>,
    /// How long it was, in minutes.
    pub minutes: f64,
    /// The share of its customers' requests that went unanswered meanwhile, 0..=1; null if it has none.
    pub unanswered_share: Option<f64>,
    /// What made it fall.
    pub cause: Cause,
    /// What let it rise again; nothing if it did not.
    pub rise: Option<Rise>,
    #[serde(skip)]
    window: [Moment; 2],
}

/// What made a system fall.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Cause {
    /// A dependency failed it.
    Dependency {
        /// The edge, `caller->callee`.
        edge: String,
        /// The callee's system.
        system: String,
        /// When calls on it began to fail.
        from: String,
        /// The share of what failed in the system's own calls while it was down, 0..=1.
        share: f64,
    },
    /// None of its own calls failed, and most attempts never reached it.
    Unreachable {
        /// The share of attempts that its servers saw, 0..=1.
        reached: f64,
    },
    /// None of its own calls failed, and it was reached: it failed by itself.
    Itself {
        /// The share of attempts that its servers saw, 0..=1; null where they don't count.
        reached: Option<f64>,
        /// Of what its servers answered, the share that nobody waited for any more, 0..=1.
        late: f64,
    },
}

impl Cause {
    /// True if both are the same dependency, or both none of one kind.
    fn is_like(&self, other: &Cause) -> bool {
        match (self, other) {
            (Cause::Dependency { edge: one, .. }, Cause::Dependency { edge: other, .. }) => one == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// What let a system rise again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rise {
    /// When the dependency that had failed it did well again; null if it had none, or never.
    pub dependency_back: Option<String>,
    /// Minutes from then to the end of the window: what the system needed for itself.
    pub own_minutes: Option<f64>,
    /// The last action before the end that changed something, while it was down.
    pub last_action: Option<String>,
    /// When that was.
    pub last_action_at: Option<String>,
}

/// How much was the trigger, and how much recovery.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// The system that fell first; of several within minutes, one that fell for want of no other.
    pub first: String,
    /// When.
    pub from: String,
    /// The action that cured it; null if it healed without one.
    pub cured_by: Option<String>,
    /// When it was cured: when that action began, or else its window closed.
    pub cured: String,
    /// Its share of errors before and after, in the quarter of an hour on each side; null if no action cured it.
    pub error_share: Option<[f64; 2]>,
    /// When the last window closed, or the run ended.
    pub over: String,
    /// False if a system was still down when the run ended.
    pub all_recovered: bool,
    /// Minutes from the first fall to its cure.
    pub trigger_minutes: f64,
    /// Minutes from there to the end.
    pub recovery_minutes: f64,
}

/// Work for nobody on one edge.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wasted {
    /// The edge.
    pub edge: String,
    /// Requests that had a worker's attention although their caller had given up.
    pub requests: u64,
    /// Seconds of workers' time.
    pub seconds: f64,
}

/// Retries on one edge in its worst minute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Amplified {
    /// The edge.
    pub edge: String,
    /// Attempts for each first one.
    pub factor: f64,
    /// The start of that minute; null if it was the run as a whole.
    pub at: Option<String>,
}

impl Story {
    /// Tells the story of a finished run.
    ///
    /// # Errors
    /// If the run was cut off, or its folder can't be read or understood.
    pub fn of(run: &RunFolder) -> Result<Story, Failure> {
        let cut_off = || {
            Failure(format!("{}: the run was cut off before its summary; run it again", run.path().display()))
        };
        let summary = run.summary()?.ok_or_else(cut_off)?;
        let files = Files::of(run.description())?;
        let events = run.events()?;
        let series = run.series()?;
        let evidence = Evidence {
            files: &files,
            summary: &summary,
            series: &series,
            events: &events,
            timeline: run.timeline(),
        };
        let inputs = inputs(&evidence);
        let falls = causes::falls(&evidence, &inputs);
        Ok(Story {
            first_signs: causes::first_signs(&evidence, &inputs, &falls),
            timing: causes::timing(&evidence, &inputs, &falls),
            falls,
            inputs,
            wasted: evidence.wasted(),
            amplified: evidence.amplified(),
            scenario: summary.scenario.clone(),
            seed: summary.seed,
        })
    }
}

/// The steps of the scenario that were played, with the times at which they were.
fn inputs(evidence: &Evidence<'_>) -> Vec<Input> {
    let time = |moment: Moment| written(evidence.timeline, moment);
    let when = |id: &str, kind: &str| {
        let mut own = evidence.events.iter().filter(|event| event.kind == kind);
        own.find(|event| event.fields.get("id").is_some_and(|of| of == id)).map(|event| event.at)
    };
    let mut inputs: Vec<Input> = evidence
        .files
        .scenario
        .steps
        .iter()
        .filter_map(|step| {
            let began = when(&step.id, "step.started")?;
            let ended = when(&step.id, "step.ended");
            Some(Input {
                id: step.id.clone(),
                kind: step.kind.to_string(),
                what: step.what.clone(),
                at: time(began),
                ended: ended.map(time),
                acts: step.act != Act::Note,
                moment: began,
                ended_moment: ended,
            })
        })
        .collect();
    inputs.sort_by_key(|input| input.moment);
    inputs
}

impl Input {
    fn is_trigger(&self) -> bool {
        self.kind == StepKind::Trigger.to_string()
    }
}

/// Minutes from one moment to a later one.
fn minutes(from: Moment, to: Moment) -> f64 {
    to.since(from).as_secs_f64() / Span::from_mins(1).as_secs_f64()
}
