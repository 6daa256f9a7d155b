//! What recorders hand over: reports, as values in virtual time and as lines of JSON over a pipe live.

use std::sync::Arc;

use eastfall_topology::time::{Moment, Span};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{EdgeKey, Ending, Histograms, Latencies};

/// One piece of news from an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// Something changed.
    Event(Event),
    /// Gauges and counts of one sampling interval.
    Sample(Sample),
    /// What happened on one edge in one sampling interval, as its caller saw it.
    Edge(EdgeReport),
    /// What its callee did in vain.
    Waste(WasteReport),
    /// How long its callee took, as that sees it itself: for those who watch a live fleet.
    Served(ServedReport),
}

/// A change of state that matters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    #[serde(with = "nanos")]
    pub at: Moment,
    /// The system it counts under.
    pub system: Arc<str>,
    /// The service.
    pub service: Arc<str>,
    /// The instance.
    pub instance: Arc<str>,
    /// What kind of change, such as `breaker.opened`.
    pub kind: String,
    /// The reason and whatever else tells this one from others of its kind.
    pub fields: IndexMap<String, String>,
}

/// Gauges and counts of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The end of the sampling interval.
    #[serde(with = "nanos")]
    pub at: Moment,
    /// The service.
    pub service: Arc<str>,
    /// The instance.
    pub instance: Arc<str>,
    /// What it has to say.
    pub readings: Vec<Reading>,
}

/// One number of a [`Sample`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The series' name within the service, such as `leases.held`.
    pub name: Arc<str>,
    /// How it goes together with that of other instances.
    pub aggregate: Aggregate,
    /// The value.
    pub value: f64,
}

/// How the readings of a service's instances make one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregate {
    /// A state (leases held): added up. Unknown while no instance reports it.
    Sum,
    /// A state (age of the oldest item): the largest. Unknown while no instance reports it.
    Maximum,
    /// What happened within the interval: added up, zero where nothing is reported.
    Count,
}

/// One edge as seen by one calling instance over one sampling interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeReport {
    /// The end of the sampling interval.
    #[serde(with = "nanos")]
    pub at: Moment,
    /// The calling service.
    pub caller: Arc<str>,
    /// The called service.
    pub callee: Arc<str>,
    /// The calling instance.
    pub instance: Arc<str>,
    /// What came to an end.
    pub tally: Tally,
    /// The states of the caller's breakers.
    #[serde(default, skip_serializing_if = "Breakers::is_empty")]
    pub breakers: Breakers,
    /// Latencies since they were last handed over, which is less often than tallies are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histograms: Option<Box<Histograms>>,
}

/// What one serving instance did in vain for one caller in one sampling interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WasteReport {
    /// The end of the sampling interval.
    #[serde(with = "nanos")]
    pub at: Moment,
    /// The calling service, and the one that served.
    pub edge: EdgeKey,
    /// The serving instance.
    pub instance: Arc<str>,
    /// What was wasted.
    pub waste: Waste,
}

/// How long requests of one caller were at one serving instance, since this was last handed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServedReport {
    /// The end of the sampling interval.
    #[serde(with = "nanos")]
    pub at: Moment,
    /// The calling service, and the one that served.
    pub edge: EdgeKey,
    /// The serving instance.
    pub instance: Arc<str>,
    /// Of those that were answered.
    pub answered: Box<Latencies>,
    /// Of those that were not: failed, refused or given up.
    pub unanswered: Box<Latencies>,
}

/// Work done for nobody: its caller had given up before there was an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waste {
    /// How many requests had a worker's attention, to their end or until they were cancelled.
    pub requests: u64,
    /// How much of workers' time went into them.
    #[serde(with = "span_nanos")]
    pub worker: Span,
}

impl Waste {
    /// Adds another's.
    pub fn merge(&mut self, other: Waste) {
        self.requests += other.requests;
        self.worker += other.worker;
    }
}

/// How many breakers there are on an edge, one a calling host, and in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakers {
    /// Of hosts that have made a call, in any state.
    pub all: u32,
    /// Nothing is sent. One that nobody asks stays so, also once it might let a probe through.
    pub open: u32,
    /// Probes are sent.
    pub half_open: u32,
}

impl Breakers {
    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.all == 0
    }
}

/// What came to an end on an edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests, by how they ended.
    pub requests: Endings,
    /// Attempts, by how they ended.
    pub attempts: Endings,
    /// Attempts other than a request's first.
    pub retries: u64,
    /// Requests or attempts that a client-side policy kept back without sending anything, by policy.
    pub short_circuited: IndexMap<String, u64>,
}

impl Tally {
    /// True if nothing happened.
    pub fn is_empty(&self) -> bool {
        *self == Tally::default()
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: &Tally) {
        self.requests.merge(other.requests);
        self.attempts.merge(other.attempts);
        self.retries += other.retries;
        for (policy, count) in &other.short_circuited {
            match self.short_circuited.get_mut(policy) {
                Some(sum) => *sum += count,
                None => {
                    self.short_circuited.insert(policy.clone(), *count);
                }
            }
        }
    }

    /// Attempts that were a request's first.
    pub fn first_attempts(&self) -> u64 {
        self.attempts.total().saturating_sub(self.retries)
    }

    /// Kept back by all client-side policies together.
    pub fn short_circuits(&self) -> u64 {
        self.short_circuited.values().sum()
    }
}

/// A count for every [`Ending`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endings([u64; 4]);

impl Endings {
    /// Counts one more.
    pub fn add(&mut self, ending: Ending) {
        self.0[ending as usize] += 1;
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: Endings) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }

    /// How many ended so.
    pub const fn of(&self, ending: Ending) -> u64 {
        self.0[ending as usize]
    }

    /// How many ended.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many were not answered: failed, rejected or timed out.
    pub fn unanswered(&self) -> u64 {
        self.total() - self.of(Ending::Ok)
    }
}

/// Moments as nanoseconds since the start of the run.
mod nanos {
    use super::{Deserialize, Moment};

    pub(super) fn serialize<S: serde::Serializer>(moment: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(moment.as_nanos())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
        u64::deserialize(deserializer).map(Moment::from_nanos)
    }
}

/// Spans as nanoseconds.
mod span_nanos {
    use super::{Deserialize, Span};

    pub(super) fn serialize<S: serde::Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(span.as_nanos())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        u64::deserialize(deserializer).map(Span::from_nanos)
    }
}
