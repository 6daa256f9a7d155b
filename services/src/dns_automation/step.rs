//! The shape of the automation's work: what it wants next, and what came of it.
//!
//! The logic of a visit and of a sweep is a state machine without I/O. A driver carries out what it wishes for and tells
//! it the outcome. So the Enactor runs it against the real record store, and a test runs three of them against the pure
//! store in **every** order of steps there is (`dns_automation/explore.rs`): what the race is, and which repair excludes it, is
//! then a matter of fact and not of luck.

use eastfall_fabric::Moment;
use eastfall_proto::route53::{ChangeResourceRecordSetsRequest, ListResourceRecordSetsRequest, RecordSet};

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish<T> {
    /// All pages of a list.
    List(ListResourceRecordSetsRequest),
    /// A batch of changes.
    Change(ChangeResourceRecordSetsRequest),
    /// A pause, longer each time in a row.
    BackOff(Blocked),
    /// Nothing: this came of it.
    Done(T),
}

/// Why there is no going on for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blocked {
    /// Another one has the lock.
    Held,
    /// Another one was faster, or what was built is gone.
    Lost,
    /// The record store did not answer.
    Unanswered,
}

/// What came of a wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The records of the list.
    Listed(Vec<RecordSet>),
    /// The batch was made.
    Changed,
    /// The batch was refused as a whole, and why.
    Refused(String),
    /// The batch was refused since a newer plan is recorded.
    Superseded,
    /// The pause is over.
    Waited,
    /// No answer: it may have been done or not.
    Unanswered,
}

/// A piece of work in steps.
pub trait Task {
    /// What comes of it.
    type Outcome;

    /// What it wants next.
    fn wish(&self) -> Wish<Self::Outcome>;

    /// What came of that. `fresh` is a text that nobody has used before.
    fn reply(&mut self, reply: Reply, now: Moment, fresh: &str);
}
