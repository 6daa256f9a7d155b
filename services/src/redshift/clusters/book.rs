//! The nodes of all clusters, and who waits for a replacement. Pure: the automation asks it what is to be done.

use std::collections::VecDeque;

use eastfall_topology::{Moment, words};

use crate::pauses::Pauses;

words! {
    /// How a node is.
    pub(super) enum Stage {
        /// It serves, on credentials that have not ended.
        Serving = "serving",
        /// Its credentials have ended, and no replacement of it is queued.
        Ended = "ended",
        /// Its replacement is queued.
        Queued = "queued",
        /// It is being replaced.
        Replacing = "replacing",
    }
}

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// The EC2 instance; none until the first has been launched.
    pub(super) instance: Option<String>,
    /// When its credentials end.
    pub(super) expires: Moment,
    pub(super) stage: Stage,
    /// Between attempts to renew them.
    pub(super) pauses: Pauses,
    /// An attempt is under way.
    pub(super) renewing: bool,
}

/// All nodes, cluster by cluster.
#[derive(Debug)]
pub(super) struct Book {
    nodes: Vec<Node>,
    in_cluster: usize,
    /// First in, first out.
    queue: VecDeque<usize>,
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) modifying: usize,
    pub(super) ended: usize,
    pub(super) queued: usize,
    pub(super) replacing: usize,
}

impl Node {
    /// A node as it is when it begins to serve.
    pub(super) fn serving(instance: Option<String>, expires: Moment) -> Node {
        Node { instance, expires, stage: Stage::Serving, pauses: Pauses::default(), renewing: false }
    }
}

impl Book {
    /// A book of these nodes, so many in a cluster. A replacement that was under way begins anew.
    pub(super) fn new(mut nodes: Vec<Node>, in_cluster: usize) -> Book {
        let mut queue = VecDeque::new();
        for (number, node) in nodes.iter_mut().enumerate() {
            if matches!(node.stage, Stage::Queued | Stage::Replacing) {
                node.stage = Stage::Queued;
                queue.push_back(number);
            }
        }
        Book { nodes, in_cluster: in_cluster.max(1), queue }
    }

    pub(super) fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    pub(super) fn node_mut(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number]
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn cluster_of(&self, node: usize) -> usize {
        node / self.in_cluster
    }

    fn in_cluster(&self, cluster: usize) -> &[Node] {
        let first = (cluster * self.in_cluster).min(self.nodes.len());
        &self.nodes[first..(first + self.in_cluster).min(self.nodes.len())]
    }

    /// A cluster takes queries if all its nodes serve.
    pub(super) fn is_available(&self, cluster: usize) -> bool {
        self.in_cluster(cluster).iter().all(|node| node.stage == Stage::Serving)
    }

    /// Notes whose credentials have ended by now, and queues their replacement if there are to be any. Gives the nodes
    /// that changed.
    pub(super) fn end_credentials(&mut self, now: Moment, replace: bool) -> Vec<usize> {
        let mut changed = Vec::new();
        for (number, node) in self.nodes.iter_mut().enumerate() {
            let ended = node.stage == Stage::Ended || (node.stage == Stage::Serving && node.expires <= now);
            let stage = if replace { Stage::Queued } else { Stage::Ended };
            if ended && node.stage != stage {
                node.stage = stage;
                changed.push(number);
                if replace {
                    self.queue.push_back(number);
                }
            }
        }
        changed
    }

    /// Whether a node's credentials may be renewed in place: it is not being replaced, and no other of its cluster is,
    /// unless that makes no difference.
    pub(super) fn may_renew(&self, number: usize, while_modifying: bool) -> bool {
        let in_work = |node: &Node| matches!(node.stage, Stage::Queued | Stage::Replacing);
        let cluster = self.in_cluster(self.cluster_of(number));
        !in_work(&self.nodes[number]) && (while_modifying || !cluster.iter().any(in_work))
    }

    /// The next node to replace.
    pub(super) fn begin_replacement(&mut self) -> Option<usize> {
        let number = self.queue.pop_front()?;
        self.nodes[number].stage = Stage::Replacing;
        Some(number)
    }

    /// A node has been replaced; gives the instance that it was.
    pub(super) fn replaced(&mut self, number: usize, instance: String, expires: Moment) -> Option<String> {
        let node = Node::serving(Some(instance), expires);
        std::mem::replace(&mut self.nodes[number], node).instance
    }

    pub(super) fn tally(&self) -> Tally {
        let of = |stage| self.nodes.iter().filter(|node| node.stage == stage).count();
        let clusters = self.nodes.len().div_ceil(self.in_cluster);
        Tally {
            modifying: (0..clusters).filter(|cluster| !self.is_available(*cluster)).count(),
            ended: of(Stage::Ended),
            queued: of(Stage::Queued),
            replacing: of(Stage::Replacing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_topology::Span;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Moment {
        Moment::START + Span::from_secs(seconds)
    }

    /// Two clusters of two, whose credentials end at 1, 2, 3 and 4 s.
    fn book() -> Book {
        Book::new((1..=4).map(|second| Node::serving(None, at(second))).collect(), 2)
    }

    #[test]
    fn a_node_whose_credentials_have_ended_takes_its_cluster_with_it() {
        let mut book = book();
        assert_eq!(book.end_credentials(at(1), true), [0]);
        assert!(!book.is_available(0) && book.is_available(1));
        assert!(!book.may_renew(1, false), "its neighbour waits for the replacement");
        assert!(book.may_renew(1, true), "unless that makes no difference");
        assert!(book.may_renew(2, false), "other clusters don't");
        assert_eq!(book.begin_replacement(), Some(0));
        book.replaced(0, "i-2".to_owned(), at(100));
        assert!(book.is_available(0) && book.may_renew(1, false));
    }

    #[test]
    fn without_replacements_ended_nodes_may_be_renewed_and_are_queued_when_they_are_allowed_again() {
        let mut book = book();
        assert_eq!(book.end_credentials(at(2), false), [0, 1]);
        assert_eq!(book.begin_replacement(), None, "the queue does not grow");
        assert!(book.may_renew(0, false));
        *book.node_mut(0) = Node::serving(None, at(100));
        assert!(!book.is_available(0), "the other has still ended");
        assert_eq!(book.end_credentials(at(2), true), [1], "only who still needs it is queued");
    }

    #[test]
    fn replacements_that_were_under_way_begin_anew_after_a_restart() {
        let mut nodes: Vec<Node> = (0..3).map(|_| Node::serving(None, at(9))).collect();
        nodes[1].stage = Stage::Replacing;
        nodes[2].stage = Stage::Queued;
        let mut book = Book::new(nodes, 3);
        assert_eq!((book.begin_replacement(), book.begin_replacement()), (Some(1), Some(2)));
    }

    proptest! {
        #[test]
        fn whatever_happens_the_queue_holds_whom_it_says(steps in prop::collection::vec((0u8..4, 0usize..6), 0..60)) {
            let mut book = Book::new((0..6).map(|node| Node::serving(None, at(node))).collect(), 3);
            let mut second = 0;
            for (what, number) in steps {
                second += 1;
                match what {
                    0 => { book.end_credentials(at(second), number % 2 == 0); }
                    1 => { book.begin_replacement(); }
                    2 if book.node(number).stage == Stage::Replacing => {
                        book.replaced(number, "i".to_owned(), at(second + 5));
                    }
                    _ if book.may_renew(number, false) => *book.node_mut(number) = Node::serving(None, at(second + 5)),
                    _ => {}
                }
                let tally = book.tally();
                let queued: Vec<usize> = (0..6).filter(|node| book.node(*node).stage == Stage::Queued).collect();
                let mut held: Vec<usize> = book.queue.iter().copied().collect();
                held.sort_unstable();
                prop_assert_eq!(&held, &queued, "the queue");
                let all = tally.ended + tally.queued + tally.replacing;
                prop_assert!(tally.modifying <= all && all <= 3 * tally.modifying, "{:?}", tally);
            }
        }
    }
}
