//! The events that the page shows: all that was done to the fleet, and of anything else so many that people can read them.

use eastfall_fabric::record::Event;
use indexmap::IndexMap;
use serde::Serialize;

/// Of each kind of event of the services themselves, the first so many. DNS plans are applied every few seconds for 28
/// hours; nobody reads 35,000 of them, and `events.jsonl` has them all.
const SHOWN: u64 = 120;

/// What the lab itself does: steps, faults, settings, processes.
const LAB: &str = "lab";

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Shown {
    /// Seconds since the start of the run.
    pub(crate) at: f64,
    system: String,
    instance: String,
    kind: String,
    fields: IndexMap<String, String>,
}

/// The events of a run, as far as they are shown.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Events {
    pub(crate) shown: Vec<Shown>,
    /// How many there were, by kind.
    pub(crate) counts: IndexMap<String, u64>,
}

impl Events {
    /// Takes up an event.
    pub(crate) fn add(&mut self, event: &Event) {
        let count = self.counts.entry(event.kind.clone()).or_default();
        *count += 1;
        if *event.system == *LAB || *count <= SHOWN {
            self.shown.push(Shown {
                at: event.at.since_start().as_secs_f64(),
                system: event.system.to_string(),
                instance: event.instance.to_string(),
                kind: event.kind.clone(),
                fields: event.fields.clone(),
            });
        }
    }
}
