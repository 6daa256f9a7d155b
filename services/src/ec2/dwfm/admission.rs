//! The operators' throttle: attempts come in at a rate, and the others are told when to come back.
//!
//! **The failure it prevents**: thousands who are refused together and ask again every few minutes, each time for
//! nothing, are a load of their own. Those who are refused are given turns, one after the other, at the rate at which
//! they can be let in (gRPC calls that retry pushback).

use eastfall_fabric::token_bucket::TokenBucket;
use eastfall_topology::{Moment, RateLimit, Span};

/// Lets attempts in at a rate.
#[derive(Debug)]
pub(super) struct Admission {
    bucket: TokenBucket,
    /// The last turn that was given away.
    last: Moment,
}

/// Two may come together: who comes at its turn is let in also if the one before was a moment late.
const BURST: u32 = 2;

impl Admission {
    pub(super) fn new(now: Moment) -> Admission {
        let one = RateLimit { per_second: 1.0, burst: 1 };
        Admission { bucket: TokenBucket::full(&one, now), last: now }
    }

    /// Lets an attempt in, or says how long it has to wait, which is `longest` at most. Who would have to wait longer
    /// is given no turn, and asks for one again then.
    pub(super) fn admit(&mut self, per_second: f64, longest: Span, now: Moment) -> Result<(), Span> {
        if self.bucket.take(&RateLimit { per_second, burst: BURST }, now) {
            return Ok(());
        }
        let turn = self.last.max(now) + Span::from_secs_f64(1.0 / per_second);
        let wait = turn.since(now);
        if wait > longest {
            return Err(longest);
        }
        self.last = turn;
        Err(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets so many ask at once, and each again when it was told to. How long until all were in, and how often they asked.
    fn all_in(count: usize, per_second: f64, longest: Span) -> (f64, usize) {
        let mut admission = Admission::new(Moment::START);
        let (mut asked, mut end) = (0, Moment::START);
        let mut waiting = vec![Moment::START; count];
        while !waiting.is_empty() {
            waiting.sort_unstable();
            // A message takes a moment.
            let now = waiting.remove(0) + Span::from_micros(250);
            asked += 1;
            match admission.admit(per_second, longest, now) {
                Ok(()) => end = now,
                Err(wait) => waiting.push(now + wait),
            }
        }
        (end.since_start().as_secs_f64(), asked)
    }

    #[test]
    fn all_come_in_at_the_rate_and_nobody_asks_more_than_twice() {
        let (took, asked) = all_in(400, 0.5, Span::from_mins(60));
        assert!((took - 800.0).abs() < 8.0, "400 at half a second each took {took:.0} s");
        assert!(asked <= 2 * 400, "asked {asked} times");
    }

    #[test]
    fn a_limit_on_the_wait_costs_questions_and_no_time() {
        let (took, asked) = all_in(400, 0.5, Span::from_mins(2));
        assert!((took - 800.0).abs() < 8.0, "took {took:.0} s");
        assert!(asked < 10 * 400, "asked {asked} times");
    }
}
