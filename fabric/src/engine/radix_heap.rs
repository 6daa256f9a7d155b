//! A priority queue for deadlines that never lie before the last one taken out.
//!
//! Virtual time only moves forward, so a radix heap fits: `push` is O(1), `pop` amortised O(log of the time span), with
//! sequential memory access where a binary heap jumps about. An entry lives in the bucket numbered by the highest
//! bit in which its deadline differs from the last one taken out. Equal deadlines are always in the same bucket and
//! are only ever appended, so they come out in the order in which they were pushed: ties need no sequence number.

use std::collections::VecDeque;

/// Entries of type `T` by deadline, first in first out among equals.
pub(super) struct RadixHeap<T> {
    last: u64,
    len: usize,
    /// Those that are due at `last`.
    due: VecDeque<T>,
    buckets: [Vec<(u64, T)>; u64::BITS as usize],
    /// The buckets that are not empty, a bit each.
    filled: u64,
}

impl<T> RadixHeap<T> {
    pub(super) fn new() -> Self {
        let buckets = std::array::from_fn(|_| Vec::new());
        RadixHeap { last: 0, len: 0, due: VecDeque::new(), buckets, filled: 0 }
    }

    /// Adds an entry. A deadline before the last one taken out counts as that one.
    pub(super) fn push(&mut self, deadline: u64, entry: T) {
        self.len += 1;
        self.place(deadline.max(self.last), entry);
    }

    fn place(&mut self, deadline: u64, entry: T) {
        match (deadline ^ self.last).checked_ilog2() {
            None => self.due.push_back(entry),
            Some(bucket) => {
                self.buckets[bucket as usize].push((deadline, entry));
                self.filled |= 1 << bucket;
            }
        }
    }

    /// Takes out the earliest entry, unless its deadline lies after `until`. Entries that are not `wanted` any more are
    /// dropped wherever a bucket has to be gone through; others of them may still come out.
    pub(super) fn pop(&mut self, until: u64, mut wanted: impl FnMut(&T) -> bool) -> Option<(u64, T)> {
        while self.due.is_empty() {
            if self.filled == 0 {
                return None;
            }
            let bucket = self.filled.trailing_zeros() as usize;
            let entries = &mut self.buckets[bucket];
            let (before, mut first) = (entries.len(), u64::MAX);
            entries.retain(|(deadline, entry)| {
                let kept = wanted(entry);
                if kept {
                    first = first.min(*deadline);
                }
                kept
            });
            self.len -= before - entries.len();
            if !entries.is_empty() {
                if first > until {
                    return None;
                }
                self.last = first;
            }
            self.filled &= !(1 << bucket);
            let mut moved = std::mem::take(entries);
            for (deadline, entry) in moved.drain(..) {
                self.place(deadline, entry);
            }
            // The emptied bucket keeps its memory: it will be filled again.
            self.buckets[bucket] = moved;
        }
        if self.last > until {
            return None;
        }
        self.len -= 1;
        self.due.pop_front().map(|entry| (self.last, entry))
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_come_out_by_deadline_and_then_in_the_order_they_went_in(
            steps in prop::collection::vec((0u64..50, prop::bool::ANY), 1..400),
        ) {
            let mut heap = RadixHeap::new();
            let mut model: Vec<(u64, usize)> = Vec::new();
            let mut now = 0;
            for (number, (delay, take)) in steps.into_iter().enumerate() {
                heap.push(now + delay, number);
                model.push((now + delay, number));
                if take {
                    let first = *model.iter().min().expect("just pushed");
                    model.retain(|entry| *entry != first);
                    now = first.0;
                    prop_assert_eq!(heap.pop(u64::MAX, |_| true), Some(first));
                }
            }
            prop_assert_eq!(heap.len(), model.len());
            model.sort_unstable();
            for entry in model {
                prop_assert_eq!(heap.pop(entry.0, |_| true), Some(entry));
            }
            prop_assert_eq!(heap.pop(u64::MAX, |_| true), None);
        }
    }

    #[test]
    fn an_entry_after_the_limit_stays() {
        let mut heap = RadixHeap::new();
        heap.push(10, 'a');
        assert_eq!(heap.pop(9, |_| true), None);
        assert_eq!(heap.pop(10, |_| true), Some((10, 'a')));
    }

    #[test]
    fn entries_that_nobody_wants_are_dropped_before_they_are_due() {
        let mut heap = RadixHeap::new();
        for deadline in [1_000, 1_001, 1_002, 5_000] {
            heap.push(deadline, deadline);
        }
        assert_eq!(heap.pop(u64::MAX, |deadline| deadline % 2 == 1), Some((1_001, 1_001)));
        assert_eq!(heap.len(), 1, "only what lies in a later bucket is left");
        assert_eq!(heap.pop(u64::MAX, |_| false), None, "and then nothing");
        assert_eq!(heap.len(), 0);
    }
}
