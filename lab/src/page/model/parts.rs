//! What a run is made of, before anything happens in it; and what is said of its systems, milestones and checks.

use eastfall_chaos::scenario::{Act, RestartOf, Step};
use eastfall_fabric::fault::Injection;
use eastfall_fabric::record::Layout;
use eastfall_topology::time::Moment;
use eastfall_topology::{Service, Topology};
use serde::Serialize;

use crate::run_folder::Mode;
use crate::session::Session;

/// What was run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    /// What tells this run from others on the page: the name of its folder, or a variant's.
    pub(super) name: String,
    pub(super) scenario: String,
    pub(super) title: String,
    pub(super) version: String,
    pub(super) command: String,
    /// `sim` or `live`.
    pub(super) mode: Mode,
    pub(super) speed: Option<f64>,
    /// As text: JavaScript's numbers end at 2^53.
    pub(super) seed: String,
    pub(super) load: f64,
    pub(super) settings: Vec<String>,
    /// Steps left out or moved, as the command line had it.
    pub(super) edits: Vec<String>,
    /// Tells topologies apart: two runs of one can be compared.
    pub(super) topology: String,
    /// The share of a minute's requests that must go unanswered for a system to count as impaired.
    pub(super) window_share: f64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Time {
    /// The date of second 0, in the incident's own offset.
    pub(super) starts: String,
    /// When the incident begins.
    pub(super) incident: f64,
    /// When the run ends, or is to end.
    pub(super) ends: f64,
    /// The length of a sampling interval: what counts are per.
    pub(super) sample: f64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServiceOf {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) kind: String,
    pub(super) system: String,
    pub(super) instances: Vec<String>,
    /// True if its requests are those of customers.
    pub(super) customers: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct EdgeOf {
    pub(super) from: String,
    pub(super) to: String,
    /// The DNS name that it dials, if it does.
    pub(super) endpoint: Option<String>,
}

/// A system with customers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SystemOf {
    pub(super) name: String,
    /// The edges whose requests count for it.
    pub(super) edges: Vec<String>,
    /// When it let its customers down.
    pub(super) windows: Vec<(f64, f64)>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Published {
    pub(super) system: String,
    pub(super) from: Option<f64>,
    pub(super) to: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct StepOf {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) at: f64,
    pub(super) until: Option<f64>,
    pub(super) what: String,
    /// What it does, in the words of a scenario; empty for a note.
    pub(super) does: String,
    pub(super) source: Option<String>,
}

/// A milestone, here and as published.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MilestoneOf {
    pub(super) id: String,
    pub(super) system: String,
    pub(super) at: Option<f64>,
    pub(super) published: Option<f64>,
}

/// A check's outcome.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CheckOf {
    pub(super) id: String,
    pub(super) what: Option<String>,
    pub(super) verdict: String,
    pub(super) found: String,
}

// === impl of the parts ===

impl About {
    pub(super) fn of(session: &Session, name: &str) -> About {
        let description = &session.description;
        let without = description.without.iter().map(|step| format!("--without {step}"));
        let shift = description.shift.iter().map(|step| format!("--shift {step}"));
        let operators = description.without_operators.then(|| "--without-operators".to_owned());
        About {
            name: name.to_owned(),
            scenario: session.scenario.id.clone(),
            title: session.scenario.title.clone(),
            version: description.version.clone(),
            command: description.command.join(" "),
            mode: description.mode,
            speed: description.speed,
            seed: session.seed.to_string(),
            load: session.topology.load_factor(),
            settings: description.settings.clone(),
            edits: operators.into_iter().chain(without).chain(shift).collect(),
            topology: fingerprint(&session.topology),
            window_share: session.topology.record.window_share,
        }
    }
}

/// FNV-1a of a topology's text: enough to see that two differ.
fn fingerprint(topology: &Topology) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", topology.source().1.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

impl ServiceOf {
    pub(super) fn of(service: &Service, layout: &Layout) -> ServiceOf {
        ServiceOf {
            name: service.name.clone(),
            title: service.title.clone(),
            kind: service.kind.clone(),
            system: service.system.clone(),
            instances: service.instances.clone(),
            customers: layout.services.get(service.name.as_str()).is_some_and(|role| role.customers),
        }
    }
}

impl StepOf {
    pub(super) fn of(step: &Step) -> StepOf {
        let (does, until) = match &step.act {
            Act::Note => (String::new(), None),
            Act::Fault { fault, until } => {
                (Injection { fault: fault.clone(), lasts: None }.to_string(), *until)
            }
            Act::Set(settings) => {
                (settings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "), None)
            }
            Act::Call(call) => (format!("call {} {}", call.service, call.method), None),
            Act::Restart(restart) => {
                let share = restart.fraction * 100.0;
                (format!("restart {share:.0} % of {}", who(&restart.who)), None)
            }
        };
        StepOf {
            id: step.id.clone(),
            kind: step.kind.to_string(),
            at: step.at.since_start().as_secs_f64(),
            until: until.map(|until: Moment| until.since_start().as_secs_f64()),
            what: step.what.clone(),
            does,
            source: step.source.clone(),
        }
    }
}

fn who(who: &RestartOf) -> String {
    match who {
        RestartOf::Service(name) => name.clone(),
        RestartOf::Instances(names) => names.join(", "),
    }
}
