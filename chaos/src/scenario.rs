//! An incident as data: what broke and what operators did, when; never what came of it.
//!
//! A scenario holds only *inputs*: triggers (faults) and actions (of operators). If outcomes could be scheduled too,
//! the lab would be a film. A step that changes nothing in the lab (an alarm that was seen) may still be history:
//! it is a note, an event on the timeline.

mod call;
mod check;
mod edit;
mod read;

use eastfall_fabric::fault::Fault;
use eastfall_fabric::{Moment, Span};
use eastfall_topology::{Problems, Setting, Source, Topology};

pub use edit::{Edits, ShiftOf, ShiftOfError};
pub use read::Draft;
pub(crate) use read::time;

use crate::reader::Origin;
use crate::timeline::Timeline;

/// A checked scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Names it in results: `2025-10-20`.
    pub id: String,
    /// For people.
    pub title: String,
    /// The topology's file, as written: relative to the scenario's.
    pub topology: String,
    /// The expectations' file, as written: relative to the scenario's.
    pub expectations: Option<String>,
    /// When the incident and the run begin.
    pub timeline: Timeline,
    /// When the run ends.
    pub ends: Moment,
    /// What happens, in order of time; at equal times in the order of the file.
    pub steps: Vec<Step>,
}

eastfall_topology::words! {
    /// Which kind of input a step is.
    pub enum StepKind {
        /// Something breaks.
        Trigger = "trigger",
        /// Operators do something; `--without-operators` leaves these out.
        Action = "action",
    }
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Unique; steps with one prefix (`ec2.throttle`, `ec2.restart`) are a group that `--without ec2` means.
    pub id: String,
    /// Trigger or action.
    pub kind: StepKind,
    /// When it begins.
    pub at: Moment,
    /// One sentence for people.
    pub what: String,
    /// Where it is known from.
    pub source: Option<String>,
    /// What it does.
    pub act: Act,
    /// What to do when it fails.
    pub retry: Option<StepRetry>,
    /// Where what it does is written, or the step as a whole.
    pub(crate) origin: Origin,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Nothing: history.
    Note,
    /// Something breaks.
    Fault {
        /// What.
        fault: Fault,
        /// When it ends; absent: at the end of the run, or for a kill, once the restart delay is over.
        until: Option<Moment>,
    },
    /// Values of the topology change, one after the other.
    Set(Vec<Setting>),
    /// A method of a service is called.
    Call(CallOf),
    /// Instances are restarted, which empties their queues.
    Restart(Restart),
}

/// A call of an API by name.
#[derive(Clone, Debug, PartialEq)]
pub struct CallOf {
    /// A service or an instance.
    pub service: String,
    /// Path of the method: `/eastfall.dnsautomation.v1.Operators/InstallRecordTree`.
    pub method: String,
    /// The encoded request.
    pub request: Vec<u8>,
}

/// Which instances are restarted, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Restart {
    /// A service, or instances by name.
    pub who: RestartOf,
    /// The share of them, from the first on, rounded up; above 0, at most 1.
    pub fraction: f64,
    /// From one to the next.
    pub spacing: Span,
    /// How long each is down; absent: its service's restart delay.
    pub down: Option<Span>,
}

/// Whom a restart is for.
#[derive(Clone, Debug, PartialEq)]
pub enum RestartOf {
    /// All instances of a service.
    Service(String),
    /// These instances.
    Instances(Vec<String>),
}

/// What a step does when it fails: operators try again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepRetry {
    /// How long after a failure.
    pub every: Span,
    /// How many times in all, 1..=1000.
    pub attempts: u32,
}

impl Scenario {
    /// Reads a scenario as far as that goes without its topology; see [`Draft`].
    pub fn draft(source: Source<'_>) -> Draft {
        Draft::read(source)
    }

    /// Reads and checks a scenario.
    ///
    /// # Errors
    /// Everything that is wrong, with file, line, column, key, rule and cure.
    pub fn load(source: Source<'_>, topology: &Topology) -> Result<Scenario, Problems> {
        Draft::read(source).check(topology)
    }
}

// === impl Step ===

impl Step {
    /// Whether an id means this step: its own, or that of a group it is in.
    pub fn is(&self, id: &str) -> bool {
        self.id.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

// === impl Restart ===

impl Restart {
    /// The instances that are restarted, in order.
    pub fn instances(&self, topology: &Topology) -> Vec<String> {
        let mut all = match &self.who {
            RestartOf::Service(name) => {
                topology.services.get(name).map(|service| service.instances.clone()).unwrap_or_default()
            }
            RestartOf::Instances(names) => names.clone(),
        };
        // A share such as 0.1 of 30 must not become 4 for the last bit of a float.
        let chosen = (self.fraction * all.len() as f64 - 1e-9).ceil() as usize;
        all.truncate(chosen);
        all
    }
}

#[cfg(test)]
mod tests;
