//! Counts over the last while, in ten slices: what ratio budgets, failure rates and the client throttle look back on.
//!
//! Ten counters a window instead of a list of every call: a client at 10,000 calls a second looks back two minutes
//! without keeping 1.2 million entries. The price is that the oldest slice goes as a whole, so that the window reaches
//! back between nine and ten tenths of its length.

use eastfall_topology::time::{Moment, Span};

const SLICES: usize = 10;

/// `K` counters over a sliding window of time.
#[derive(Clone, Debug)]
pub(super) struct Window<const K: usize> {
    slice: u64,
    slices: [[u64; K]; SLICES],
    totals: [u64; K],
    /// The number of the newest slice, counted from the start of the run.
    newest: u64,
}

impl<const K: usize> Window<K> {
    /// An empty window of this length.
    pub(super) fn new(length: Span) -> Self {
        let slice = (length.as_nanos() / SLICES as u64).max(1);
        Window { slice, slices: [[0; K]; SLICES], totals: [0; K], newest: 0 }
    }

    /// Adds one to a counter.
    pub(super) fn add(&mut self, now: Moment, counter: usize) {
        self.slide(now);
        self.slices[(self.newest % SLICES as u64) as usize][counter] += 1;
        self.totals[counter] += 1;
    }

    /// The counters over the window that ends now.
    pub(super) fn totals(&mut self, now: Moment) -> [u64; K] {
        self.slide(now);
        self.totals
    }

    fn slide(&mut self, now: Moment) {
        let number = now.as_nanos() / self.slice;
        let steps = number.saturating_sub(self.newest);
        for step in 1..=steps.min(SLICES as u64) {
            let gone =
                std::mem::replace(&mut self.slices[((self.newest + step) % SLICES as u64) as usize], [0; K]);
            for (total, gone) in self.totals.iter_mut().zip(gone) {
                *total -= gone;
            }
        }
        // Steps beyond a full turn have nothing left to clear, but the slot must be that of the new number.
        self.newest = self.newest.max(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_window_counts_what_happened_within_nine_tenths_and_nothing_older_than_all_of_it(
            gaps in prop::collection::vec(0u64..40, 1..80),
        ) {
            let mut window = Window::<1>::new(Span::from_nanos(100));
            let (mut now, mut seen) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                window.add(Moment::from_nanos(now), 0);
                seen.push(now);
                let within = |reach: u64| seen.iter().filter(|&&at| at + reach > now).count() as u64;
                let [total] = window.totals(Moment::from_nanos(now));
                prop_assert!(within(90) <= total && total <= within(100), "{total} of {seen:?} at {now}");
            }
        }
    }
}
