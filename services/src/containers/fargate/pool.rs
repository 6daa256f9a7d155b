//! The instances of one host of Fargate: on their way, warm, in use.

use std::collections::{BTreeMap, VecDeque};

use eastfall_fabric::record::Recorder;
use eastfall_topology::Moment;

/// An instance that a task has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) instance: String,
    /// When it is given back; nothing: when somebody says so.
    pub(super) until: Option<Moment>,
}

/// The instances of one host.
#[derive(Default)]
pub(super) struct Pool {
    /// Launched, and not reachable as far as is known.
    pub(super) coming: Vec<String>,
    /// Ready, the oldest first.
    pub(super) warm: VecDeque<String>,
    /// By task.
    pub(super) used: BTreeMap<String, Used>,
}

impl Pool {
    /// An instance for a task: the one it has already, or the oldest warm one.
    pub(super) fn take(&mut self, task: &str) -> Option<String> {
        self.used.get(task).map(|used| used.instance.clone()).or_else(|| self.warm.pop_front())
    }

    /// How many are to be launched for so many to be ready or coming.
    pub(super) fn missing(&self, wanted: usize) -> usize {
        wanted.saturating_sub(self.warm.len() + self.coming.len())
    }

    /// An instance has become reachable.
    pub(super) fn arrived(&mut self, instance: String) {
        if let Some(position) = self.coming.iter().position(|coming| *coming == instance) {
            self.coming.remove(position);
            self.warm.push_back(instance);
        }
    }

    /// Tasks whose time is over, and their instances.
    pub(super) fn ended(&self, now: Moment) -> Vec<(String, String)> {
        let over = |used: &Used| used.until.is_some_and(|until| until <= now);
        let ended = self.used.iter().filter(|(_, used)| over(used));
        ended.map(|(task, used)| (task.clone(), used.instance.clone())).collect()
    }

    pub(super) fn record(&self, record: &Recorder) {
        record.gauge("warm", self.warm.len() as f64);
        record.gauge("coming", self.coming.len() as f64);
        record.gauge("in-use", self.used.len() as f64);
    }
}
