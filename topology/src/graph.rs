//! The typed graph: what the services, the fabric and the program see of `topology.toml`.
//!
//! Every value here has been checked, so no reader of the graph handles a half-valid one: a callee exists, a timeout
//! fits its deadline, an endpoint is a DNS name and somebody answers DNS. Numbers that `--load` multiplies are already
//! multiplied. The one way to make a [`Topology`] is [`Topology::load`].

use crate::policy::Edge;
use crate::{KindSchema, Params, Setting, Span};
use indexmap::IndexMap;
use std::collections::BTreeMap;
use std::fmt;

mod draw;

/// A checked region: its services and the edges between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// What every host shares.
    pub region: Region,
    /// How a run is recorded.
    pub record: Record,
    /// The services by name, in the order of the file.
    pub services: IndexMap<String, Service>,
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) settings: Vec<Setting>,
    pub(crate) kinds: Vec<KindSchema>,
    pub(crate) load: f64,
    /// The value in force at each dotted path, as a file would write it, before `--load`.
    pub(crate) in_force: BTreeMap<String, String>,
}

/// What every host of the region shares (`[region]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// The region's name, for people: `us-east-1`.
    pub name: String,
    /// The port every API listens on, 1..=65535; default 7443 (ours: no meaning outside the lab).
    pub port: u16,
    /// One way between two hosts; connecting costs one round trip. Default 250us (textbook: a round trip of about
    /// half a millisecond inside a region). Modelled in virtual time; the live fleet has the machine's own.
    pub latency: Span,
    /// The service that answers DNS; needed as soon as an edge dials an endpoint by name.
    pub dns_service: Option<String>,
    /// The port DNS is answered on, 1..=65535; default 5300 (53 would need privileges).
    pub dns_port: u16,
}

/// How a run is recorded (`[record]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// How often series are sampled, 1ms..=1d; default 10s.
    pub sample: Span,
    /// The length of one latency histogram, 1ms..=1d; default 1m.
    pub histograms: Span,
    /// The share of a minute's requests that must fail for an impact window to open, 0..=1; default 0.05.
    pub window_share: f64,
    /// How long the share must stay below for the window to close, up to 1d; default 5m.
    pub window_quiet: Span,
}

/// One service: its instances, what they can carry and whom they call (`[service.NAME]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// The service's name: lower-case letters, digits and hyphens.
    pub name: String,
    /// The kind of code that runs it, a name of the schema list; `service` is the generic one.
    pub kind: String,
    /// The system it counts under in the results; default: its own name.
    pub system: String,
    /// The name for people; default: its own name.
    pub title: String,
    /// Full names of its instances, unique in the region, 1..=100000 of them. `instances = 3` gives `NAME-1` to
    /// `NAME-3`, `instances = ["a", "b"]` gives `NAME-a` and `NAME-b`, 1 gives `NAME`.
    pub instances: Vec<String>,
    /// Loopback addresses of each instance, 1..=1000; default 1. One process can stand for a host of load balancers.
    pub addresses: u32,
    /// How each host of this service resolves names.
    pub resolver: Resolver,
    /// What one instance can carry. Absent: everything, at once.
    pub capacity: Option<Capacity>,
    /// Named operations, for kinds that take them from the file (the generic `service`).
    pub operations: IndexMap<String, Operation>,
    /// Callee's name to the edge that leads there.
    pub calls: IndexMap<String, Edge>,
    /// The kind's own parameters.
    pub params: Params,
    /// How long a supervisor takes to bring a dead instance back, up to 365d; default 10s (assumption).
    pub restart_delay: Span,
    /// Whether `--load` multiplies what it carries; default true. False for what serves the region itself and not its
    /// customers: it has as much to do in a small region as in a large one.
    pub scaled: bool,
}

/// A host's stub resolver: how long it believes an answer and how long it asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolver {
    /// Positive answers are kept no longer than this, whatever their TTL; default 1d.
    pub positive_max: Span,
    /// Negative answers are kept no longer than this, whatever the SOA says; default 3h (RFC 2308, section 5).
    pub negative_max: Span,
    /// Positive answers are kept at least this long; default 0s. At most `positive_max`.
    pub positive_min: Span,
    /// How long one query waits, up to 1h; default 2s (assumption; glibc waits 5s).
    pub timeout: Span,
    /// Queries in all before giving up, 1..=100; default 2 (glibc).
    pub attempts: u32,
}

/// What one instance can carry: a queue in front of workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Capacity {
    /// Requests served at the same time, at least 1.
    pub workers: u32,
    /// How long a worker needs for a request.
    pub service_time: Distribution,
    /// Where requests wait for a worker.
    pub queue: Queue,
    /// Extra service time per waiting request, as a share of the mean; 0: a long queue costs nothing but waiting.
    pub slowdown: f64,
}

/// A distribution of times. Written `{ distribution = "exponential", mean = "2ms" }`, or just `"2ms"` for a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Always the same.
    Constant {
        /// The one value.
        value: Span,
    },
    /// Memoryless.
    Exponential {
        /// The mean, above zero.
        mean: Span,
    },
    /// Evenly spread, both ends included.
    Uniform {
        /// The shortest.
        low: Span,
        /// The longest, at least `low`.
        high: Span,
    },
    /// A product of many factors: the usual shape of service times.
    LogNormal {
        /// Half are shorter.
        median: Span,
        /// Standard deviation of the logarithm, 0..=5.
        sigma: f64,
    },
    /// A heavy tail.
    Pareto {
        /// The shortest, above zero.
        minimum: Span,
        /// The tail's exponent, above 1 (below, there is no mean) and at most 100.
        alpha: f64,
    },
}

/// Where requests wait for a worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queue {
    /// Who is served next; default first in, first out.
    pub discipline: Discipline,
    /// How many may wait, at least 1; the next one is rejected. Absent: any number.
    pub limit: Option<u32>,
    /// Work whose caller has gone is cancelled, also in the middle of it, and its worker is free at once; default false,
    /// since most servers finish what they began.
    pub cancel_abandoned: bool,
}

/// Who is served next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Discipline {
    /// First in, first out.
    Fifo,
    /// Last in, first out: under overload some are still served in time.
    Lifo,
    /// First in, first out, but what its caller no longer waits for is dropped at the head.
    DropExpired,
    /// Rejects once waiting has stayed above a target (controlled delay, in the variant of Facebook's folly).
    CoDel {
        /// Waiting that is fine; default 5ms (folly).
        target: Span,
        /// How long it must stay above; default 100ms (folly).
        interval: Span,
    },
}

/// A named operation of a generic service.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its own service time; absent: the service's.
    pub service_time: Option<Distribution>,
    /// Its calls go out at once instead of one after the other; default false.
    pub parallel: bool,
    /// What it calls.
    pub calls: Vec<OperationCall>,
    /// In place of `calls`, where some go out at once, others after them, or something is waited for in between.
    pub steps: Vec<Step>,
    /// The share of requests it fails by itself, 0..=1; default 0.
    pub error_share: f64,
}

/// A step of an operation: the next one begins when all of this one is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// A wait, beside the calls. It needs no worker: a timer, or something outside the region.
    pub sleep: Option<Distribution>,
    /// Calls that go out at once.
    pub calls: Vec<OperationCall>,
}

/// One call an operation makes.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationCall {
    /// The callee, one of the service's `calls`.
    pub service: String,
    /// The callee's operation.
    pub operation: String,
    /// The operation fails when this call does; default true.
    pub required: bool,
    /// The share of requests that make the call, 0..=1; default 1.
    pub probability: f64,
    /// How many times it is made, 1..=1000; default 1.
    pub count: u32,
}

// === impl Topology ===

impl Topology {
    /// All settings applied so far, in order.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The file's name and text, so that a child process can load the same again.
    pub fn source(&self) -> (&str, &str) {
        (&self.file, &self.text)
    }

    /// The factor of `--load` that arrivals, populations and capacities were multiplied by.
    pub fn load_factor(&self) -> f64 {
        self.load
    }

    /// The value in force at a dotted path, default or not, as a file would write it (before `--load`). Nothing where
    /// no single value is: an unknown path, a whole service, a path with a `*`.
    pub fn value(&self, path: &str) -> Option<String> {
        self.in_force.get(path).cloned()
    }

    /// Every path that has a single value in force, with that value as a file would write it (before `--load`), in the
    /// order of paths.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.in_force.iter().map(|(path, value)| (path.as_str(), value.as_str()))
    }
}

// === impl Operation ===

impl Operation {
    /// Every call it may make, those of its steps included.
    pub fn all_calls(&self) -> impl Iterator<Item = &OperationCall> {
        self.calls.iter().chain(self.steps.iter().flat_map(|step| &step.calls))
    }
}

// === impl Resolver ===

impl Default for Resolver {
    fn default() -> Self {
        Resolver {
            positive_max: Span::from_mins(24 * 60),
            negative_max: Span::from_mins(3 * 60),
            positive_min: Span::ZERO,
            timeout: Span::from_secs(2),
            attempts: 2,
        }
    }
}

// === impl Distribution ===

impl Distribution {
    /// The mean.
    pub fn mean(&self) -> Span {
        match *self {
            Distribution::Constant { value } => value,
            Distribution::Exponential { mean } => mean,
            Distribution::Uniform { low, high } => low + (high - low) / 2,
            Distribution::LogNormal { median, sigma } => median.mul_f64((sigma * sigma / 2.0).exp()),
            Distribution::Pareto { minimum, alpha } => minimum.mul_f64(alpha / (alpha - 1.0)),
        }
    }

    /// The same shape, `factor` times as long.
    pub fn scaled(&self, factor: f64) -> Distribution {
        match *self {
            Distribution::Constant { value } => Distribution::Constant { value: value.mul_f64(factor) },
            Distribution::Exponential { mean } => Distribution::Exponential { mean: mean.mul_f64(factor) },
            Distribution::Uniform { low, high } => {
                Distribution::Uniform { low: low.mul_f64(factor), high: high.mul_f64(factor) }
            }
            Distribution::LogNormal { median, sigma } => {
                Distribution::LogNormal { median: median.mul_f64(factor), sigma }
            }
            Distribution::Pareto { minimum, alpha } => {
                Distribution::Pareto { minimum: minimum.mul_f64(factor), alpha }
            }
        }
    }
}

impl fmt::Display for Distribution {
    /// As a file writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Constant { value } => write!(f, "{value}"),
            Distribution::Exponential { mean } => {
                write!(f, "{{ distribution = \"exponential\", mean = \"{mean}\" }}")
            }
            Distribution::Uniform { low, high } => {
                write!(f, "{{ distribution = \"uniform\", low = \"{low}\", high = \"{high}\" }}")
            }
            Distribution::LogNormal { median, sigma } => {
                write!(f, "{{ distribution = \"log-normal\", median = \"{median}\", sigma = {sigma} }}")
            }
            Distribution::Pareto { minimum, alpha } => {
                write!(f, "{{ distribution = \"pareto\", minimum = \"{minimum}\", alpha = {alpha} }}")
            }
        }
    }
}

// === impl Queue ===

impl Default for Queue {
    fn default() -> Self {
        Queue { discipline: Discipline::Fifo, limit: None, cancel_abandoned: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_those_of_the_textbook() {
        let ms = Span::from_millis;
        let cases = [
            (Distribution::Constant { value: ms(2) }, 2.0),
            (Distribution::Exponential { mean: ms(3) }, 3.0),
            (Distribution::Uniform { low: ms(1), high: ms(5) }, 3.0),
            (Distribution::LogNormal { median: ms(10), sigma: 1.0 }, 16.487213),
            (Distribution::Pareto { minimum: ms(2), alpha: 2.0 }, 4.0),
        ];
        for (distribution, mean) in cases {
            assert!((distribution.mean().as_millis_f64() - mean).abs() < 1e-5, "{distribution:?}");
            let doubled = distribution.scaled(2.0).mean().as_millis_f64();
            assert!((doubled - 2.0 * mean).abs() < 1e-5, "{distribution:?} doubled has mean {doubled}");
        }
    }
}
