//! One Enactor at one endpoint, with one plan: take the lock, write the rollback record, build the new tree beside the
//! old one, move the root, let go.
//!
//! As built, nothing here asks again whether the plan is still new: that was checked once, at the start of the pass.
//! Whoever waits for the lock for eight minutes installs what was the newest plan eight minutes ago. And the rollback
//! record must point at the tree in use; the store refuses an alias to what does not exist, so once the tree in use is
//! gone, every plan is refused at this step, for ever: **stuck**.
//!
//! Moving the root and giving the lock back is one batch. If the lease was lost in between, the batch is refused, so a
//! holder that fell asleep changes nothing; it asks for the lock again, and has it with the same old plan.

use eastfall_fabric::{Moment, Span};
use eastfall_proto::dns_automation::EndpointPlan;
use eastfall_proto::route53::{Change, ChangeResourceRecordSetsRequest, Precondition, RecordSet};

use super::lock::{Lock, swap};
use super::names::{
    Applied, applied_record, control_text, list_control, rollback_records, root_records, tree_changes,
    tree_size,
};
use super::step::{Blocked, Reply, Task, Wish};
use crate::route53::record::upsert;
use crate::route53::zone::MAX_CHANGES;

/// How a visit goes about it: as built, unless a repair is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Manner {
    /// Repair: the record store itself refuses a plan that is older than one it has.
    pub compare_and_set_generation: bool,
    /// Repair: under the lock, look whether the plan is still new.
    pub check_staleness: bool,
    /// Repair: go on if there is no tree in use to roll back to.
    pub tolerate_missing_plan: bool,
    /// By hand: roll back to the tree that is being installed, whatever is in use.
    pub rollback_to_own: bool,
}

/// What came of a visit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The endpoint has this plan.
    Applied,
    /// It has a newer one already (found out by a repair).
    Overtaken,
    /// The record store refuses what the plan needs; waiting does not help.
    Stuck(String),
}

/// A visit under way.
#[derive(Clone, PartialEq)]
pub struct Visit {
    me: String,
    generation: u64,
    endpoint: EndpointPlan,
    manner: Manner,
    lease: Span,
    seen: Option<Applied>,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Read the lock and what is in use.
    Look,
    /// Swap the lock's value for one's own.
    Take {
        from: Option<String>,
        own: Lock,
    },
    /// Point the rollback record at the tree in use.
    Rollback(Lock),
    /// Build a part of the tree.
    Build(Lock, usize),
    /// Move the root to it and give the lock back.
    Move(Lock),
    /// Give the lock back without having moved anything.
    Release(Lock, Outcome),
    Blocked(Blocked),
    Done(Outcome),
}

impl Visit {
    /// A visit by `me` to an endpoint with the plan of this generation; the lock is taken for `lease` at most.
    pub fn new(me: &str, generation: u64, endpoint: EndpointPlan, manner: Manner, lease: Span) -> Self {
        Visit { me: me.to_owned(), generation, endpoint, manner, lease, seen: None, phase: Phase::Look }
    }

    /// The plan that was in use when last looked at.
    pub fn seen(&self) -> Option<&Applied> {
        self.seen.as_ref()
    }

    /// True from the moment at which the rollback record is written: nothing asks for the tree in use any more.
    pub fn is_past_rollback(&self) -> bool {
        matches!(self.phase, Phase::Build(..) | Phase::Move(_))
    }

    fn look(&self, records: &[RecordSet], now: Moment, fresh: &str) -> Phase {
        let from = control_text(records, &self.endpoint.endpoint, "lock");
        let open = from.and_then(Lock::parse).is_none_or(|lock| lock.is_open_to(&self.me, now));
        if !open {
            return Phase::Blocked(Blocked::Held);
        }
        let own = Lock::Held { by: self.me.clone(), until: now + self.lease, nonce: fresh.to_owned() };
        Phase::Take { from: from.map(str::to_owned), own }
    }

    /// What comes first under the lock. The lock's value was the one that was read together with what is in use, and all
    /// that changes what is in use changes the lock: so that is still so.
    fn begin(&self, own: Lock) -> Phase {
        match &self.seen {
            Some(seen) if self.manner.check_staleness && seen.generation > self.generation => {
                Phase::Release(own, Outcome::Overtaken)
            }
            // Another one has brought the endpoint to this very plan. The root is moved only to a tree that is whole, so
            // there is nothing to build; and a tree that is in use already is no rollback for itself.
            Some(seen) if !self.manner.rollback_to_own && seen.tree == self.endpoint.tree => Phase::Move(own),
            Some(_) if !self.manner.rollback_to_own => Phase::Rollback(own),
            _ => Phase::Build(own, 0),
        }
    }

    /// In how many parts the tree is built: the store takes so many changes at once.
    fn parts(&self) -> usize {
        let rollback = match self.manner.rollback_to_own {
            true => rollback_records(&self.endpoint, &self.endpoint.tree).len(),
            false => 0,
        };
        (tree_size(&self.endpoint) + rollback).div_ceil(MAX_CHANGES)
    }

    /// One of these parts.
    fn part(&self, number: usize) -> Vec<Change> {
        let mut changes = tree_changes(&self.endpoint, self.generation);
        if self.manner.rollback_to_own {
            changes.extend(rollback_records(&self.endpoint, &self.endpoint.tree).into_iter().map(upsert));
        }
        changes.chunks(MAX_CHANGES).nth(number).map(<[Change]>::to_vec).unwrap_or_default()
    }

    fn move_changes(&self, own: &Lock) -> Vec<Change> {
        let name = &self.endpoint.endpoint;
        let applied = Applied { generation: self.generation, tree: self.endpoint.tree.clone() };
        let mut changes = swap(name, Some(&own.text()), &own.freed().text());
        let root = root_records(&self.endpoint, &self.endpoint.tree);
        changes.extend(root.into_iter().chain([applied_record(name, &applied)]).map(upsert));
        changes
    }

    fn batch(&self, comment: &str, changes: Vec<Change>) -> ChangeResourceRecordSetsRequest {
        let zone = self.endpoint.endpoint.clone();
        let comment = format!("{} plan {}: {comment}", self.me, self.generation);
        ChangeResourceRecordSetsRequest { zone, changes, comment, precondition: None }
    }
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Visit({} {} {:?} {:?})", self.me, self.generation, self.seen, self.phase)
    }
}

impl Task for Visit {
    type Outcome = Outcome;

    fn wish(&self) -> Wish<Outcome> {
        let name = &self.endpoint.endpoint;
        let batch = |comment, changes| Wish::Change(self.batch(comment, changes));
        match &self.phase {
            Phase::Look => Wish::List(list_control(name)),
            Phase::Take { from, own } => batch("take the lock", swap(name, from.as_deref(), &own.text())),
            Phase::Rollback(_) => {
                let tree = self.seen.as_ref().map_or("", |seen| seen.tree.as_str());
                batch(
                    "roll back to",
                    rollback_records(&self.endpoint, tree).into_iter().map(upsert).collect(),
                )
            }
            Phase::Build(_, part) => batch("build", self.part(*part)),
            Phase::Move(own) => {
                let condition = Precondition { name: name.clone(), generation: self.generation };
                let precondition = self.manner.compare_and_set_generation.then_some(condition);
                Wish::Change(ChangeResourceRecordSetsRequest {
                    precondition,
                    ..self.batch("move the root", self.move_changes(own))
                })
            }
            Phase::Release(own, _) => {
                batch("give the lock back", swap(name, Some(&own.text()), &own.freed().text()))
            }
            Phase::Blocked(why) => Wish::BackOff(*why),
            Phase::Done(outcome) => Wish::Done(outcome.clone()),
        }
    }

    fn reply(&mut self, reply: Reply, now: Moment, fresh: &str) {
        if reply == Reply::Unanswered {
            // Whatever was asked for may have been done: look again. A lock that was taken after all is one's own.
            self.phase = Phase::Blocked(Blocked::Unanswered);
            return;
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Look);
        self.phase = match (phase, reply) {
            (Phase::Look, Reply::Listed(records)) => {
                self.seen =
                    control_text(&records, &self.endpoint.endpoint, "applied").and_then(Applied::parse);
                self.look(&records, now, fresh)
            }
            (Phase::Take { own, .. }, Reply::Changed) => self.begin(own),
            (Phase::Take { .. }, _) => Phase::Blocked(Blocked::Lost),
            (Phase::Rollback(own), Reply::Changed) => Phase::Build(own, 0),
            (Phase::Rollback(own), _) if self.manner.tolerate_missing_plan => Phase::Build(own, 0),
            (Phase::Build(own, part), Reply::Changed) => {
                if part + 1 < self.parts() {
                    Phase::Build(own, part + 1)
                } else {
                    Phase::Move(own)
                }
            }
            (Phase::Rollback(own) | Phase::Build(own, _), Reply::Refused(why)) => {
                Phase::Release(own, Outcome::Stuck(why))
            }
            (Phase::Move(_), Reply::Changed) => Phase::Done(Outcome::Applied),
            (Phase::Move(own), Reply::Superseded) => Phase::Release(own, Outcome::Overtaken),
            (Phase::Move(_), _) => Phase::Blocked(Blocked::Lost),
            (Phase::Release(_, outcome), _) => Phase::Done(outcome),
            (Phase::Done(outcome), _) => Phase::Done(outcome),
            (Phase::Look | Phase::Blocked(_) | Phase::Rollback(_) | Phase::Build(..), _) => Phase::Look,
        };
    }
}
