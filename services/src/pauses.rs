//! Leaving something alone that failed: for a while, longer each time, and then one tries for all.
//!
//! Between a caller that gives up and one that keeps knocking. Of many who share it, one asks after each pause; if that
//! works, all may again. The price is that a recovery is noticed up to the longest pause late.

use eastfall_fabric::rng::Rng;
use eastfall_topology::{Moment, Span};
use rand::RngExt as _;

/// How long pauses are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lengths {
    /// The first one; each is twice the one before.
    pub(crate) first: Span,
    /// But no longer than this.
    pub(crate) longest: Span,
    /// The share of a pause that chance may take off, so that many who pause for the same reason don't come back together;
    /// none where one asks for all there are.
    pub(crate) jitter: f64,
}

/// Whether something may be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pauses {
    failures: u32,
    /// Who asked after pauses and was answered, in a row.
    successes: u32,
    until: Moment,
}

/// Leave to ask, and how many failures there had been then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Leave(u32);

impl Pauses {
    /// Leave to ask now. After a failure one asker gets it at the end of the pause, the others wait for the next.
    pub(crate) fn leave(&mut self, now: Moment, lengths: &Lengths, rng: &mut Rng) -> Option<Leave> {
        if self.failures > 0 {
            if now < self.until {
                return None;
            }
            self.until = now + self.pause(lengths, rng);
        }
        Some(Leave(self.failures))
    }

    /// Who had this leave was let down. Of several who asked at once, one counts.
    pub(crate) fn failed(&mut self, leave: Leave, now: Moment, lengths: &Lengths, rng: &mut Rng) {
        if leave.0 == self.failures {
            self.failures = self.failures.saturating_add(1);
            self.successes = 0;
            self.until = now + self.pause(lengths, rng);
        }
    }

    /// It works: all may ask.
    pub(crate) fn over(&mut self) {
        *self = Pauses::default();
    }

    /// It worked once: all may ask after so many in a row, each after a pause. So one lucky call among many that fail sends
    /// nobody else.
    pub(crate) fn worked(&mut self, needed: u32) {
        self.successes = self.successes.saturating_add(1);
        if self.successes >= needed {
            self.over();
        }
    }

    fn pause(&self, lengths: &Lengths, rng: &mut Rng) -> Span {
        let full = lengths.first.doubled(self.failures.saturating_sub(1), lengths.longest);
        full.mul_f64(1.0 - lengths.jitter * rng.random::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_fabric::rng::stream;

    const LENGTHS: Lengths = Lengths { first: Span::from_secs(1), longest: Span::from_secs(8), jitter: 0.5 };

    fn at(seconds: u64) -> Moment {
        Moment::START + Span::from_secs(seconds)
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end_when_it_works() {
        let (mut pauses, mut rng) = (Pauses::default(), stream(1, "pauses"));
        let mut now = at(0);
        for longest in [1, 2, 4, 8, 8] {
            let leave = pauses.leave(now, &LENGTHS, &mut rng).expect("the pause is over");
            pauses.failed(leave, now, &LENGTHS, &mut rng);
            let pause = pauses.until.since(now);
            let (low, high) = (Span::from_secs(longest) / 2, Span::from_secs(longest));
            assert!(low <= pause && pause <= high, "{pause} is not in {low}..={high}");
            assert_eq!(pauses.leave(now, &LENGTHS, &mut rng), None, "nobody asks in the pause");
            now = pauses.until;
        }
        pauses.over();
        for _ in 0..3 {
            assert!(pauses.leave(now, &LENGTHS, &mut rng).is_some(), "all may ask");
        }
    }

    #[test]
    fn all_may_ask_after_as_many_successes_in_a_row_as_are_needed() {
        let (mut pauses, mut rng) = (Pauses { failures: 9, ..Pauses::default() }, stream(1, "pauses"));
        let mut now = at(0);
        // Two successes, a failure, and two more are not three in a row.
        for works in [true, true, false, true, true] {
            let leave = pauses.leave(now, &LENGTHS, &mut rng).expect("the pause is over");
            assert_eq!(pauses.leave(now, &LENGTHS, &mut rng), None, "one asks for all");
            match works {
                true => pauses.worked(3),
                false => pauses.failed(leave, now, &LENGTHS, &mut rng),
            }
            assert_eq!(pauses.leave(now, &LENGTHS, &mut rng), None, "the next asks after a pause");
            now = pauses.until;
        }
        assert!(pauses.leave(now, &LENGTHS, &mut rng).is_some(), "the pause is over");
        pauses.worked(3);
        for _ in 0..3 {
            assert!(pauses.leave(now, &LENGTHS, &mut rng).is_some(), "all may ask");
        }
    }

    #[test]
    fn of_many_who_fail_at_once_one_counts_and_one_asks_after_the_pause() {
        let (mut pauses, mut rng) = (Pauses::default(), stream(1, "pauses"));
        let leaves: Vec<Leave> =
            (0..5).map(|_| pauses.leave(at(0), &LENGTHS, &mut rng).expect("all is well")).collect();
        for leave in leaves {
            pauses.failed(leave, at(0), &LENGTHS, &mut rng);
        }
        assert_eq!(pauses.failures, 1);
        assert!(pauses.leave(at(2), &LENGTHS, &mut rng).is_some(), "one may ask");
        assert_eq!(pauses.leave(at(2), &LENGTHS, &mut rng), None, "the next waits");
    }
}
