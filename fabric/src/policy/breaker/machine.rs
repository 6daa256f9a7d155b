//! The three phases of a breaker, without clock, lock or future.

use eastfall_topology::Breaker as Settings;
use eastfall_topology::time::Moment;

use super::tally::{Tally, Verdict};

/// Whether calls flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// They do.
    Closed,
    /// They don't, until then.
    Open {
        /// When the first probe may go.
        until: Moment,
    },
    /// Probes do.
    HalfOpen,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened(&'static str),
    HalfOpened,
    /// A probe failed: open again.
    Reopened,
    Closed,
}

/// closed -(too many failures)-> open -(after a while)-> half open -(probes succeed)-> closed, -(one fails)-> open.
#[derive(Debug)]
pub(super) struct Machine {
    settings: Settings,
    phase: Phase,
    /// Counts the phases, so that a call that began in an earlier one can be told.
    number: u64,
}

#[derive(Debug)]
enum Phase {
    Closed(Tally),
    Open { until: Moment },
    HalfOpen { under_way: u32, succeeded: u32 },
}

impl Machine {
    pub(super) fn new(settings: Settings) -> Self {
        Machine { settings, phase: Phase::Closed(Tally::new(&settings)), number: 0 }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed(_) => BreakerState::Closed,
            Phase::Open { until } => BreakerState::Open { until },
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// The number of the present phase.
    pub(super) fn phase(&self) -> u64 {
        self.number
    }

    /// Whether a call may go now.
    pub(super) fn admit(&mut self, now: Moment) -> (bool, Option<Change>) {
        match &mut self.phase {
            Phase::Closed(_) => (true, None),
            Phase::Open { until } if now < *until => (false, None),
            Phase::Open { .. } => {
                let change = self.enter(Phase::HalfOpen { under_way: 1, succeeded: 0 }, Change::HalfOpened);
                (true, Some(change))
            }
            Phase::HalfOpen { under_way, succeeded } => {
                let free = *under_way + *succeeded < self.settings.half_open_calls;
                *under_way += u32::from(free);
                (free, None)
            }
        }
    }

    /// Learns from a call that began in the phase of this number; `None`: it says nothing of the callee.
    pub(super) fn settle(&mut self, now: Moment, phase: u64, verdict: Option<Verdict>) -> Option<Change> {
        if phase != self.number {
            return None;
        }
        match &mut self.phase {
            Phase::Closed(tally) => {
                let reason = tally.add(now, verdict?)?;
                Some(self.open(now, Change::Opened(reason)))
            }
            Phase::HalfOpen { under_way, succeeded } => {
                *under_way -= 1;
                let verdict = verdict?;
                if verdict.failed || verdict.slow {
                    return Some(self.open(now, Change::Reopened));
                }
                *succeeded += 1;
                (*succeeded >= self.settings.half_open_calls)
                    .then(|| self.enter(Phase::Closed(Tally::new(&self.settings)), Change::Closed))
            }
            Phase::Open { .. } => None,
        }
    }

    fn open(&mut self, now: Moment, change: Change) -> Change {
        self.enter(Phase::Open { until: now + self.settings.open_for }, change)
    }

    fn enter(&mut self, phase: Phase, change: Change) -> Change {
        self.phase = phase;
        self.number += 1;
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_topology::{SlowCall, Span, Trip};
    use proptest::prelude::*;

    const FAILED: Option<Verdict> = Some(Verdict { failed: true, slow: false });
    const ANSWERED: Option<Verdict> = Some(Verdict { failed: false, slow: false });

    fn machine(half_open_calls: u32) -> Machine {
        Machine::new(Settings {
            trip: Trip::ConsecutiveFailures { failures: 2 },
            slow_call: None,
            open_for: Span::from_secs(30),
            half_open_calls,
        })
    }

    fn at(seconds: u64) -> Moment {
        Moment::START + Span::from_secs(seconds)
    }

    /// A breaker that has opened at zero seconds and half opened with a first probe at thirty.
    fn half_open(half_open_calls: u32) -> Machine {
        let mut machine = machine(half_open_calls);
        machine.settle(at(0), 0, FAILED);
        assert_eq!(
            machine.settle(at(0), 0, FAILED),
            Some(Change::Opened("failures in a row")),
            "two failures"
        );
        assert_eq!(machine.admit(at(29)), (false, None), "still open");
        assert_eq!(machine.admit(at(30)), (true, Some(Change::HalfOpened)), "a first probe");
        machine
    }

    #[test]
    fn a_probe_that_succeeds_closes() {
        let mut machine = half_open(1);
        assert_eq!(machine.admit(at(31)), (false, None), "one probe at a time");
        let probe = machine.phase();
        assert_eq!(machine.settle(at(32), probe, ANSWERED), Some(Change::Closed), "the probe came back");
        assert_eq!(machine.admit(at(32)), (true, None), "calls flow");
    }

    #[test]
    fn a_probe_that_fails_opens_for_the_full_time_again() {
        let mut machine = half_open(1);
        let probe = machine.phase();
        assert_eq!(machine.settle(at(40), probe, FAILED), Some(Change::Reopened), "the probe failed");
        assert_eq!(machine.state(), BreakerState::Open { until: at(70) }, "thirty seconds more");
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_its_place_to_another() {
        let mut machine = half_open(1);
        let probe = machine.phase();
        assert_eq!(machine.settle(at(31), probe, None), None, "nobody knows how it would have ended");
        assert_eq!(machine.admit(at(31)), (true, None), "another may probe");
    }

    #[test]
    fn every_probe_must_succeed() {
        let mut machine = half_open(3);
        let probe = machine.phase();
        assert_eq!(machine.admit(at(30)), (true, None), "a second probe");
        assert_eq!(machine.admit(at(30)), (true, None), "a third probe");
        assert_eq!(machine.admit(at(30)), (false, None), "no fourth");
        assert_eq!(machine.settle(at(31), probe, ANSWERED), None, "one of three");
        assert_eq!(machine.settle(at(31), probe, ANSWERED), None, "two of three");
        assert_eq!(machine.admit(at(31)), (false, None), "two came back, one is under way");
        assert_eq!(machine.settle(at(31), probe, ANSWERED), Some(Change::Closed), "three of three");
    }

    #[test]
    fn a_call_from_before_it_opened_is_no_probe() {
        let mut machine = half_open(1);
        assert_eq!(machine.settle(at(31), 0, ANSWERED), None, "it began while the breaker was closed");
        assert_eq!(machine.state(), BreakerState::HalfOpen, "the probe is still under way");
    }

    #[test]
    fn slow_calls_open_a_breaker_that_counts_in_a_row() {
        let mut machine = Machine::new(Settings {
            slow_call: Some(SlowCall { duration: Span::from_secs(1), rate: 1.0 }),
            ..machine(1).settings
        });
        let slow = Some(Verdict { failed: false, slow: true });
        assert_eq!(machine.settle(at(1), 0, slow), None, "one");
        assert_eq!(machine.settle(at(2), 0, slow), Some(Change::Opened("failures in a row")), "two");
    }

    proptest! {
        /// Whatever happens, it never sticks: once every call has been settled and time has passed, a call may go.
        #[test]
        fn a_call_may_always_go_in_the_end(
            half_open_calls in 1u32..4,
            steps in prop::collection::vec((0u64..20, 0u8..4), 1..200),
        ) {
            let mut machine = machine(half_open_calls);
            let (mut now, mut under_way) = (0, Vec::new());
            for (pause, step) in steps {
                now += pause;
                if step == 0 || under_way.is_empty() {
                    if machine.admit(at(now)).0 {
                        under_way.push(machine.phase());
                    }
                } else {
                    let verdict = [ANSWERED, FAILED, None][usize::from(step) - 1];
                    machine.settle(at(now), under_way.remove(0), verdict);
                }
                if let Phase::HalfOpen { under_way, succeeded } = machine.phase {
                    prop_assert!(under_way + succeeded <= half_open_calls, "too many probes");
                }
            }
            for phase in under_way {
                machine.settle(at(now), phase, None);
            }
            prop_assert!(machine.admit(at(now + 30)).0, "stuck in {:?}", machine.phase);
        }
    }
}
