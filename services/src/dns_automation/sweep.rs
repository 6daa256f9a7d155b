//! The cleaner in one endpoint's zone: deletes the trees of plans that are many generations older than the one just
//! applied.
//!
//! As built it looks at numbers only. A plan that is far too old is garbage, whatever points at it: an old plan that a
//! late Enactor has just put in use is deleted under the root. The repair spares what the root or the rollback record
//! points at. Looking and then deleting would leave a gap in between, so the batch itself says what it saw in use: if that
//! has changed, the store refuses all of it.

use eastfall_fabric::Moment;
use eastfall_proto::route53::{Change, ChangeResourceRecordSetsRequest, RecordSet};

use super::names::{
    Applied, applied_record, control_text, list_control, list_texts, list_tree, rollback_tree, tree_number,
};
use super::step::{Reply, Task, Wish};
use crate::route53::record::{create, delete};
use crate::route53::zone::MAX_CHANGES;

/// A sweep under way. Its outcome: the numbers of the plans whose trees it deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sweep {
    me: String,
    endpoint: String,
    /// Plans below this number are too old.
    below: u64,
    spare_referenced: bool,
    in_use: Option<Applied>,
    /// Trees to delete, the next one last.
    old: Vec<(String, u64)>,
    deleted: Vec<u64>,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Which trees are there?
    Texts,
    /// Which of them are pointed at?
    References,
    /// What does the next one consist of?
    Tree,
    /// Delete it: what is left of it, from the end.
    Delete(Vec<RecordSet>),
    Done,
}

impl Sweep {
    /// A sweep by `me` after a pass: deletes plans with a number below `below`.
    pub fn new(me: &str, endpoint: &str, below: u64, spare_referenced: bool) -> Self {
        Sweep {
            me: me.to_owned(),
            endpoint: endpoint.to_owned(),
            below,
            spare_referenced,
            in_use: None,
            old: Vec::new(),
            deleted: Vec::new(),
            phase: Phase::Texts,
        }
    }

    fn next_tree(&self) -> Phase {
        if self.old.is_empty() { Phase::Done } else { Phase::Tree }
    }

    fn deletion(&self, left: &[RecordSet]) -> Vec<Change> {
        let seen = self.in_use.as_ref().filter(|_| self.spare_referenced);
        let seen = seen.map(|applied| applied_record(&self.endpoint, applied));
        let witness = seen.into_iter().flat_map(|record| [delete(record.clone()), create(record)]);
        witness.chain(left.iter().rev().take(MAX_CHANGES - 2).cloned().map(delete)).collect()
    }
}

impl Task for Sweep {
    type Outcome = Vec<u64>;

    fn wish(&self) -> Wish<Vec<u64>> {
        match &self.phase {
            Phase::Texts => Wish::List(list_texts(&self.endpoint)),
            Phase::References => Wish::List(list_control(&self.endpoint)),
            Phase::Tree => {
                Wish::List(list_tree(&self.endpoint, self.old.last().map_or("", |(tree, _)| tree)))
            }
            Phase::Delete(left) => Wish::Change(ChangeResourceRecordSetsRequest {
                zone: self.endpoint.clone(),
                changes: self.deletion(left),
                comment: format!("{}: delete plans older than {}", self.me, self.below),
                precondition: None,
            }),
            Phase::Done => Wish::Done(self.deleted.clone()),
        }
    }

    fn reply(&mut self, reply: Reply, _: Moment, _: &str) {
        let phase = std::mem::replace(&mut self.phase, Phase::Done);
        self.phase = match (phase, reply) {
            (Phase::Texts, Reply::Listed(records)) => {
                let trees = records.iter().filter_map(|record| tree_number(&self.endpoint, record));
                self.old = trees.filter(|(_, number)| *number < self.below).collect();
                if self.spare_referenced { Phase::References } else { self.next_tree() }
            }
            (Phase::References, Reply::Listed(records)) => {
                self.in_use = control_text(&records, &self.endpoint, "applied").and_then(Applied::parse);
                let rollback = rollback_tree(&records, &self.endpoint);
                let in_use = self.in_use.as_ref().map(|applied| applied.tree.clone());
                self.old.retain(|(tree, _)| Some(tree) != in_use.as_ref() && Some(tree) != rollback.as_ref());
                self.next_tree()
            }
            // Another cleaner was faster.
            (Phase::Tree, Reply::Listed(records)) if records.is_empty() => {
                self.old.pop();
                self.next_tree()
            }
            // Its number is in the first text that was written; it is to be deleted last, so it goes to the front.
            (Phase::Tree, Reply::Listed(mut records)) => {
                records.sort_by_key(|record| tree_number(&self.endpoint, record).is_none());
                Phase::Delete(records)
            }
            (Phase::Delete(mut left), Reply::Changed) => {
                left.truncate(left.len().saturating_sub(MAX_CHANGES - 2));
                if !left.is_empty() {
                    Phase::Delete(left)
                } else {
                    self.deleted.extend(self.old.pop().map(|(_, number)| number));
                    self.next_tree()
                }
            }
            // Somebody else changed it meanwhile: the next sweep will see.
            (Phase::Delete(_), Reply::Refused(_)) => {
                self.old.pop();
                self.next_tree()
            }
            // No answer: what is left is for the next sweep.
            _ => Phase::Done,
        };
    }
}
