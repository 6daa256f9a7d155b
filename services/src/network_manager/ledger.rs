//! What has changed and which paths have still to learn it. No time passing and no waiting in here.

use std::collections::BTreeMap;
use std::sync::Arc;

use eastfall_proto::network_manager::{ChangeKind, NetworkChange};
use eastfall_topology::Moment;

/// A change that not every path has learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) instance: Arc<str>,
    pub(super) kind: ChangeKind,
    /// When it was made on the droplet.
    pub(super) made: Moment,
    /// Bit N: path number N has still to learn it.
    left: u64,
}

/// What a path is told of an instance: its state after this change, which includes all that came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) instance: Arc<str>,
    /// The number of the change.
    pub(super) up_to: u64,
    /// Whether there is a way to the instance after it.
    pub(super) known: bool,
}

/// Changes by number: later ones are larger.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: BTreeMap<u64, Open>,
    /// The open changes of each instance, oldest first.
    of_instance: BTreeMap<Arc<str>, Vec<u64>>,
    next: u64,
}

impl Ledger {
    /// The number that the next change gets.
    pub(super) fn next(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Opens a change for so many paths.
    pub(super) fn add(&mut self, number: u64, change: &NetworkChange, paths: u32) {
        self.next = self.next.max(number + 1);
        let instance: Arc<str> = change.instance_id.as_str().into();
        self.of_instance.entry(Arc::clone(&instance)).or_default().push(number);
        let left = u64::MAX >> (u64::BITS - paths.clamp(1, u64::BITS));
        let (kind, made) = (change.kind(), Moment::from_nanos(change.made));
        self.open.insert(number, Open { instance, kind, made, left });
    }

    /// How many changes are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// When the oldest open change was made, by the order in which they came.
    pub(super) fn oldest(&self) -> Option<Moment> {
        self.open.values().next().map(|open| open.made)
    }

    /// What a path is to be told for a change; nothing if it knows already. With `coalesce` it is told the newest state of
    /// the instance, which spares it the changes between.
    pub(super) fn news(&self, path: u32, number: u64, coalesce: bool) -> Option<News> {
        let open = self.open.get(&number).filter(|open| open.left >> path & 1 == 1)?;
        let newest = || self.of_instance.get(&open.instance)?.last().copied();
        let up_to = if coalesce { newest().unwrap_or(number) } else { number };
        let known = self.open.get(&up_to).unwrap_or(open).kind != ChangeKind::Stopped;
        Some(News { instance: Arc::clone(&open.instance), up_to, known })
    }

    /// A path has learnt something. Changes that every path knows now are closed and answered.
    pub(super) fn learnt(&mut self, path: u32, news: &News) -> Vec<(u64, Open)> {
        let Some(numbers) = self.of_instance.get_mut(&news.instance) else { return Vec::new() };
        let mut closed = Vec::new();
        numbers.retain(|&number| {
            let Some(open) = self.open.get_mut(&number) else { return false };
            if number <= news.up_to {
                open.left &= !(1 << path);
            }
            if open.left == 0 {
                closed.extend(self.open.remove(&number).map(|open| (number, open)));
                return false;
            }
            true
        });
        if numbers.is_empty() {
            self.of_instance.remove(&news.instance);
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: ChangeKind) -> NetworkChange {
        NetworkChange { instance_id: "i-1".to_owned(), kind: kind as i32, made: 0 }
    }

    /// One instance, started, altered and stopped, none of which any of two paths knows.
    fn three() -> Ledger {
        let mut ledger = Ledger::default();
        for kind in [ChangeKind::Started, ChangeKind::Modified, ChangeKind::Stopped] {
            let number = ledger.next();
            ledger.add(number, &change(kind), 2);
        }
        ledger
    }

    #[test]
    fn a_change_is_closed_when_the_last_path_has_learnt_it() {
        let mut ledger = three();
        let news = ledger.news(0, 0, false).expect("path 0 does not know");
        assert!(news.known, "it was started");
        assert_eq!(ledger.learnt(0, &news), [], "path 1 does not know");
        assert_eq!(ledger.news(0, 0, false), None, "path 0 needs it no more");
        let closed = ledger.learnt(1, &news);
        assert_eq!(closed.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0]);
        assert_eq!(ledger.len(), 2, "the others are open");
    }

    #[test]
    fn coalescing_tells_the_newest_state_and_spares_the_rest() {
        let mut ledger = three();
        let news = ledger.news(0, 0, true).expect("path 0 does not know");
        assert!(!news.known, "it has been stopped meanwhile");
        ledger.learnt(0, &news);
        assert!((0..3).all(|number| ledger.news(0, number, true).is_none()), "path 0 knows all three");
        assert_eq!(ledger.learnt(1, &news).len(), 3, "and now path 1 does");
    }
}
