//! Faults as data, in the operator's words, and the table of those in force.
//!
//! Only what breaks is said here, never what comes of it: `latency 15s on dns-enactor-c->route53` slows one way down
//! for one instance, and whether that empties a record is for the mechanisms to show. A fault's text is its one
//! form: scenario files, `eastfall inject`, the wire between controller and instances, events and errors all
//! use it, so that what an operator reads back can be typed in again.
//!
//! Every instance asks its process's [`FaultTable`] on the way of each call. With nothing in force that is one atomic
//! load; otherwise the faults are tried in the order in which they came: delays add up, and the first that fails or
//! swallows the call decides.

mod names;
mod selector;
mod table;
mod text;

use std::fmt;
use std::net::Ipv4Addr;

use eastfall_topology::Topology;
use eastfall_topology::time::Span;
use serde::{Deserialize, Serialize};
use tonic::Code;

pub use selector::{Edge, Selector};
pub use table::{FaultGuard, FaultTable, Verdict};

/// Something broken on purpose. Its text form ([`std::str::FromStr`], `Display`) is also its serde form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Fault {
    /// `latency 15s jitter 5s on dns-enactor-c->route53`: a call waits before it goes out.
    Latency {
        /// How long it waits.
        latency: Span,
        /// Uniformly spread by so much up and down; at most `latency`.
        jitter: Span,
        /// On which ways.
        on: Edge,
    },
    /// `error unavailable 30% on *->route53`: a share of the calls fails without reaching the callee.
    Error {
        /// The gRPC status they fail with; never `Ok`.
        code: Code,
        /// The share of calls that fail, above 0 and at most 1.
        share: f64,
        /// On which ways.
        on: Edge,
    },
    /// `black-hole customers-web->dynamodb`: calls and connections get no answer, not even an error.
    BlackHole {
        /// On which ways.
        on: Edge,
    },
    /// `slow 3x dynamodb-storage-1`: everything the instances do takes so many times longer.
    Slow {
        /// Multiplies the service time, above 0 and at most 1,000,000.
        factor: f64,
        /// Who is slow.
        who: Vec<Selector>,
    },
    /// `dns empty dynamodb.us-east-1.amazonaws.com`: names resolve wrongly or not at all.
    Dns {
        /// What goes wrong.
        fault: DnsFault,
        /// The DNS name, where `*` stands for any letters.
        name: String,
        /// Only these resolve it wrongly (`at customers-web`); nobody named: the authority answers wrongly, to
        /// everyone, and `dig` sees it too.
        resolvers: Vec<Selector>,
    },
    /// `kill dynamodb-storage-2`: the instances die as by kill -9; what is not on their disk is lost.
    Kill {
        /// Who dies.
        who: Vec<Selector>,
    },
    /// `pause dwfm-1`: the instances stop as by SIGSTOP: connections stay open and nothing moves.
    Pause {
        /// Who stops.
        who: Vec<Selector>,
    },
    /// `partition dynamodb | dynamodb-storage`: nothing gets from one side to the other, either way.
    Partition {
        /// One side.
        left: Vec<Selector>,
        /// The other.
        right: Vec<Selector>,
    },
}

/// What goes wrong with a DNS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsFault {
    /// `empty`: NOERROR with zero answers; the name exists and has no address.
    Empty,
    /// `nxdomain`: no such name.
    NxDomain,
    /// `servfail`: the server can't tell.
    ServFail,
    /// `timeout`: no reply.
    TimeOut,
    /// `wrong-address 127.9.9.9`: an address where nobody listens, or somebody else.
    WrongAddress(Ipv4Addr),
    /// `slow 3s`: the answer is right and late.
    Slow(Span),
    /// `stale`: the resolver goes on believing answers it has, however old; always at resolvers.
    Stale,
}

/// A fault and how long it lasts: what an operator types. `latency 15s on a->b for 5m`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Injection {
    /// What breaks.
    pub fault: Fault,
    /// For how long; absent: until it is removed, or for a kill, as long as a restart takes.
    pub lasts: Option<Span>,
}

/// Why a text is no fault, or a fault none of this topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultError {
    /// The word and the rule it breaks.
    pub message: String,
    /// What to do.
    pub cure: String,
    /// The nearest valid word, where a word is unknown and one is near.
    pub nearest: Option<String>,
    /// Where in the text the word begins, in bytes; 0 for a name that a topology doesn't have.
    pub at: usize,
}

impl std::error::Error for FaultError {}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        write!(f, "; {}", self.cure)
    }
}

// === impl Fault ===

impl Fault {
    /// Checks every name against a topology: all services, instances, methods and ways that don't exist.
    ///
    /// # Errors
    /// One error a name, with the nearest name that exists.
    pub fn check(&self, topology: &Topology) -> Result<(), Vec<FaultError>> {
        names::check(self, topology)
    }

    /// The selectors that name instances as such: who is killed, paused, slowed down or parted.
    pub fn who(&self) -> impl Iterator<Item = &Selector> {
        let (first, second): (&[Selector], &[Selector]) = match self {
            Fault::Kill { who } | Fault::Pause { who } | Fault::Slow { who, .. } => (who, &[]),
            Fault::Dns { resolvers, .. } => (resolvers, &[]),
            Fault::Partition { left, right } => (left, right),
            Fault::Latency { .. } | Fault::Error { .. } | Fault::BlackHole { .. } => (&[], &[]),
        };
        first.iter().chain(second)
    }
}
