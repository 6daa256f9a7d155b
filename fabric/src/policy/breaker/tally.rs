//! What a closed breaker remembers of its calls, and when that is too much.

use std::collections::VecDeque;

use eastfall_topology::time::Moment;
use eastfall_topology::{Breaker as Settings, Trip};

use crate::policy::window::Window;

/// How a call ended, to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) failed: bool,
    /// It took longer than a call may; always false for a breaker that doesn't look.
    pub(super) slow: bool,
}

/// Counts calls and says when the breaker has to open.
#[derive(Debug)]
pub(super) struct Tally {
    counting: Counting,
    slow_rate: f64,
}

#[derive(Debug)]
enum Counting {
    /// A share of slow calls means nothing in a row: there, a slow call counts as a failure.
    InARow {
        limit: u32,
        failures: u32,
    },
    Calls {
        calls: usize,
        minimum: u32,
        rate: f64,
        last: VecDeque<Verdict>,
        failed: u64,
        slow: u64,
    },
    Time {
        minimum: u32,
        rate: f64,
        window: Box<Window<3>>,
    },
}

const CALLS: usize = 0;
const FAILED: usize = 1;
const SLOW: usize = 2;

impl Tally {
    pub(super) fn new(settings: &Settings) -> Self {
        let counting = match settings.trip {
            Trip::ConsecutiveFailures { failures } => Counting::InARow { limit: failures, failures: 0 },
            Trip::FailureRateCount { calls, minimum, rate } => {
                let calls = calls.max(1) as usize;
                Counting::Calls { calls, minimum, rate, last: VecDeque::new(), failed: 0, slow: 0 }
            }
            Trip::FailureRateTime { window, minimum, rate } => {
                Counting::Time { minimum, rate, window: Box::new(Window::new(window)) }
            }
        };
        Tally { counting, slow_rate: settings.slow_call.map_or(1.0, |slow| slow.rate) }
    }

    /// Counts a call; the reason to open, if there is one.
    pub(super) fn add(&mut self, now: Moment, verdict: Verdict) -> Option<&'static str> {
        let (calls, failed, slow, minimum, rate) = match &mut self.counting {
            Counting::InARow { limit, failures } => {
                *failures = if verdict.failed || verdict.slow { *failures + 1 } else { 0 };
                return (*failures >= *limit).then_some("failures in a row");
            }
            Counting::Calls { calls, minimum, rate, last, failed, slow } => {
                if last.len() == *calls
                    && let Some(gone) = last.pop_front()
                {
                    *failed -= u64::from(gone.failed);
                    *slow -= u64::from(gone.slow);
                }
                last.push_back(verdict);
                *failed += u64::from(verdict.failed);
                *slow += u64::from(verdict.slow);
                (last.len() as u64, *failed, *slow, *minimum, *rate)
            }
            Counting::Time { minimum, rate, window } => {
                window.add(now, CALLS);
                if verdict.failed {
                    window.add(now, FAILED);
                }
                if verdict.slow {
                    window.add(now, SLOW);
                }
                let [calls, failed, slow] = window.totals(now);
                (calls, failed, slow, *minimum, *rate)
            }
        };
        let share = |count: u64| count as f64 / calls as f64;
        if calls < u64::from(minimum) {
            None
        } else if failed > 0 && share(failed) >= rate {
            Some("share of failures")
        } else if slow > 0 && share(slow) >= self.slow_rate {
            Some("share of slow calls")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_topology::{SlowCall, Span};
    use proptest::prelude::*;

    fn tally(trip: Trip) -> Tally {
        let slow_call = Some(SlowCall { duration: Span::from_secs(1), rate: 0.8 });
        Tally::new(&Settings { trip, slow_call, open_for: Span::from_secs(5), half_open_calls: 1 })
    }

    fn call(failed: bool, slow: bool) -> Verdict {
        Verdict { failed, slow }
    }

    #[test]
    fn a_success_ends_a_row_of_failures() {
        let mut tally = tally(Trip::ConsecutiveFailures { failures: 3 });
        for failed in [true, true, false, true, true] {
            assert_eq!(tally.add(Moment::START, call(failed, false)), None, "never three in a row");
        }
        assert_eq!(tally.add(Moment::START, call(true, false)), Some("failures in a row"), "the third");
    }

    #[test]
    fn nothing_opens_below_the_minimum_of_calls() {
        let mut tally = tally(Trip::FailureRateCount { calls: 100, minimum: 20, rate: 0.5 });
        for number in 1..20 {
            assert_eq!(tally.add(Moment::START, call(true, false)), None, "call {number} of 20");
        }
        assert_eq!(tally.add(Moment::START, call(true, false)), Some("share of failures"), "the twentieth");
    }

    #[test]
    fn failures_older_than_the_window_are_forgotten() {
        let mut tally = tally(Trip::FailureRateTime { window: Span::from_secs(10), minimum: 4, rate: 0.5 });
        for _ in 0..3 {
            assert_eq!(tally.add(Moment::START, call(true, false)), None, "three failures at the start");
        }
        let later = Moment::START + Span::from_secs(11);
        assert_eq!(tally.add(later, call(true, false)), None, "the only call within ten seconds");
    }

    #[test]
    fn a_share_of_slow_calls_opens_though_all_are_answered() {
        let mut tally = tally(Trip::FailureRateCount { calls: 10, minimum: 5, rate: 0.5 });
        for slow in [false, true, true, true] {
            assert_eq!(tally.add(Moment::START, call(false, slow)), None, "below five calls");
        }
        assert_eq!(tally.add(Moment::START, call(false, true)), Some("share of slow calls"), "four of five");
    }

    proptest! {
        #[test]
        fn the_last_calls_are_counted_as_a_naive_count_does(
            verdicts in prop::collection::vec(any::<bool>(), 1..200), calls in 1u32..20, rate in 0.05f64..1.0,
        ) {
            let mut tally = tally(Trip::FailureRateCount { calls, minimum: 1, rate });
            for end in 1..=verdicts.len() {
                let last = &verdicts[end.saturating_sub(calls as usize)..end];
                let failed = last.iter().filter(|&&failed| failed).count();
                let opens = failed > 0 && failed as f64 / last.len() as f64 >= rate;
                prop_assert_eq!(tally.add(Moment::START, call(verdicts[end - 1], false)).is_some(), opens, "{:?}", last);
            }
        }
    }
}
