//! What the controller did, among the run's events.

use eastfall_chaos::controller::Journal;
use eastfall_fabric::clock::Clock;
use eastfall_fabric::record::{Origin, Recorder};
use eastfall_topology::time::Span;

/// The system and service under which the lab's own events are.
pub(crate) const LAB: &str = "lab";

/// The recorder of the lab itself.
#[derive(Clone)]
pub struct LabJournal(pub Recorder);

impl LabJournal {
    /// An empty one.
    pub fn new(clock: Clock) -> Self {
        let origin = Origin { system: LAB.into(), service: LAB.into(), instance: "controller".into() };
        LabJournal(Recorder::new(clock, origin, Span::MAX))
    }
}

impl Journal for LabJournal {
    fn event(&self, kind: &str, fields: &[(&str, String)]) {
        self.0.event(kind, fields);
    }
}
