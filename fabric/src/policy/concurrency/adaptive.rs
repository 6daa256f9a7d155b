//! A limit that follows the latency: Envoy's gradient controller, as its documentation describes it.
//!
//! A fixed limit is right for one load and one callee, and wrong after the next release. This one compares the latency
//! of the last interval with the lowest there is: latency above it means that calls queue at the callee, so there are
//! too many of them. Every interval, with `gradient = (1 + buffer) x minimum / latency` kept within 0.5..=2:
//! `limit = gradient x limit + sqrt(gradient x limit)`, the root being headroom to grow into.
//!
//! The minimum itself is measured anew from time to time, with the limit at its lowest for as long as that takes, since
//! otherwise a queue of our own making would pass for the callee's usual latency. Calls above are shed then as well.
//! Envoy spreads these measurements by 15 % so that not all clients shed at once; there is no setting for it here.
//! Latencies are those of answers, and of time-outs too, which took at least as long; only answers count for the
//! minimum.

use std::sync::{Arc, Mutex};

use eastfall_topology::time::{Moment, Span};
use tonic::Code;

use crate::policy::attempt::{Attempt, Refusal};
use crate::policy::gate::{End, Gate};
use crate::policy::observer::{Observer, lock};
use crate::record::Ending;

/// What the controller is told: the fields of [`eastfall_topology::Concurrency::Adaptive`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The limit is never lower; at least 1.
    pub min: u32,
    /// The limit is never higher.
    pub max: u32,
    /// How often the limit is computed anew.
    pub update_interval: Span,
    /// How often the minimum latency is measured anew.
    pub minimum_interval: Span,
    /// Answers in one measurement of the minimum.
    pub minimum_samples: u32,
    /// Latency above the minimum that is fine, as a share of it.
    pub buffer: f64,
    /// The percentile of the latencies that is compared, 0..=1.
    pub percentile: f64,
}

/// A concurrency limit that adapts.
#[derive(Debug)]
pub struct Adaptive {
    controller: Mutex<Controller>,
    observer: Arc<Observer>,
}

#[derive(Debug)]
struct Controller {
    settings: Settings,
    limit: u32,
    under_way: u32,
    phase: Phase,
    /// Counts the phases: a call that began in an earlier one tells nothing of this one.
    number: u64,
    /// Latencies in nanoseconds.
    samples: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Finds the lowest latency; the limit it returns to.
    Measuring { then: u32 },
    /// Compares with it.
    Comparing { minimum: f64, update_at: Moment, measure_at: Moment },
}

impl Adaptive {
    /// A controller that begins by measuring.
    pub fn new(settings: Settings, observer: &Arc<Observer>) -> Self {
        Adaptive { controller: Mutex::new(Controller::new(settings)), observer: Arc::clone(observer) }
    }

    /// How many calls may be under way at present.
    pub fn limit(&self) -> u32 {
        lock(&self.controller).limit
    }
}

/// A call under way.
#[derive(Debug)]
pub struct Slot {
    phase: u64,
    started: Moment,
}

impl Gate for Adaptive {
    type Permit = Slot;

    fn admit(&self, _: &Attempt) -> Result<Slot, Refusal> {
        let now = self.observer.now();
        lock(&self.controller).admit(now).ok_or_else(|| {
            self.observer.refuse(
                "limit",
                Code::ResourceExhausted,
                "more calls are under way than the callee bears",
            )
        })
    }

    fn settle(&self, slot: Slot, end: End) {
        let now = self.observer.now();
        lock(&self.controller).settle(now, &slot, end);
    }
}

impl Controller {
    fn new(settings: Settings) -> Self {
        Controller {
            settings,
            limit: settings.min,
            under_way: 0,
            phase: Phase::Measuring { then: settings.min },
            number: 0,
            samples: Vec::new(),
        }
    }

    fn admit(&mut self, now: Moment) -> Option<Slot> {
        if let Phase::Comparing { measure_at, .. } = self.phase
            && now >= measure_at
        {
            self.enter(Phase::Measuring { then: self.limit }, self.settings.min);
        }
        let free = self.under_way < self.limit;
        self.under_way += u32::from(free);
        free.then_some(Slot { phase: self.number, started: now })
    }

    fn settle(&mut self, now: Moment, slot: &Slot, end: End) {
        self.under_way = self.under_way.saturating_sub(1);
        let counts = match self.phase {
            Phase::Measuring { .. } => end == End::Sent(Ending::Ok),
            Phase::Comparing { .. } => matches!(end, End::Sent(Ending::Ok | Ending::TimedOut)),
        };
        if !counts || slot.phase != self.number {
            return;
        }
        self.samples.push(now.since(slot.started).as_nanos());
        match self.phase {
            Phase::Measuring { then } => self.measure(now, then),
            Phase::Comparing { minimum, update_at, measure_at } if now >= update_at => {
                self.limit = self.next_limit(minimum);
                self.samples.clear();
                let update_at = now + self.settings.update_interval;
                self.phase = Phase::Comparing { minimum, update_at, measure_at };
            }
            Phase::Comparing { .. } => {}
        }
    }

    fn measure(&mut self, now: Moment, then: u32) {
        if self.samples.len() >= self.settings.minimum_samples as usize {
            let minimum = self.percentile();
            let update_at = now + self.settings.update_interval;
            let measure_at = now + self.settings.minimum_interval;
            self.enter(Phase::Comparing { minimum, update_at, measure_at }, then);
        }
    }

    fn next_limit(&mut self, minimum: f64) -> u32 {
        let latency = self.percentile().max(1.0);
        let gradient = ((1.0 + self.settings.buffer) * minimum / latency).clamp(0.5, 2.0);
        let limit = gradient * f64::from(self.limit);
        // Rounded down as Envoy does: a limit of three under pressure then stays three.
        ((limit + limit.sqrt()) as u32).clamp(self.settings.min, self.settings.max)
    }

    /// The percentile of the samples, at least one of which there is.
    fn percentile(&mut self) -> f64 {
        let rank = ((self.samples.len() as f64 * self.settings.percentile).ceil() as usize).max(1) - 1;
        let rank = rank.min(self.samples.len() - 1);
        *self.samples.select_nth_unstable(rank).1 as f64
    }

    fn enter(&mut self, phase: Phase, limit: u32) {
        self.phase = phase;
        self.limit = limit;
        self.number += 1;
        self.samples.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS: Settings = Settings {
        min: 3,
        max: 1_000,
        update_interval: Span::from_millis(100),
        minimum_interval: Span::from_secs(60),
        minimum_samples: 50,
        buffer: 0.25,
        percentile: 0.5,
    };
    const ANSWERED: End = End::Sent(Ending::Ok);

    /// A callee with `workers` that answers in 10 ms, and takes its queue's share longer above that; callers who send
    /// whatever is admitted. The limit at the end.
    fn settles_at(workers: u32, span: Span) -> u32 {
        let mut controller = Controller::new(SETTINGS);
        let mut now = Moment::START;
        while now.since_start() < span {
            let slots: Vec<Slot> = std::iter::from_fn(|| controller.admit(now)).collect();
            let load = (slots.len() as f64 / f64::from(workers)).max(1.0);
            now += Span::from_millis(10).mul_f64(load);
            for slot in slots {
                controller.settle(now, &slot, ANSWERED);
            }
        }
        controller.limit
    }

    #[test]
    fn it_settles_where_the_callee_has_no_more_workers() {
        let limit = settles_at(100, Span::from_secs(30));
        // In balance gradient x limit + sqrt = limit: a little above workers x (1 + buffer).
        assert!((125..170).contains(&limit), "a limit of {limit} for 100 workers");
    }

    #[test]
    fn it_measures_the_minimum_with_the_lowest_limit_and_then_goes_back() {
        let mut controller = Controller::new(SETTINGS);
        let mut now = Moment::START;
        let mut serve = |controller: &mut Controller, calls: usize| {
            for _ in 0..calls {
                let slot = controller.admit(now).expect("one call at a time is always admitted");
                now += Span::from_millis(10);
                controller.settle(now, &slot, ANSWERED);
            }
            now
        };
        serve(&mut controller, 50);
        assert!(matches!(controller.phase, Phase::Comparing { .. }), "fifty samples are enough");
        serve(&mut controller, 500);
        let before = controller.limit;
        assert!(before > 3, "grown to {before} while the latency stays");
        serve(&mut controller, 5_501);
        assert!(matches!(controller.phase, Phase::Measuring { .. }), "after a minute");
        assert_eq!(controller.limit, 3, "the lowest");
        serve(&mut controller, 49);
        assert!(controller.limit >= before, "back to {before} or above, not {}", controller.limit);
    }

    proptest! {
        #[test]
        fn the_limit_stays_within_its_bounds_and_every_slot_comes_back(
            steps in prop::collection::vec((0u64..200, 0u8..5), 1..600),
        ) {
            let settings = Settings { minimum_samples: 5, max: 40, ..SETTINGS };
            let (mut controller, mut now, mut slots) = (Controller::new(settings), Moment::START, Vec::new());
            for (pause, step) in steps {
                now += Span::from_millis(pause);
                if step < 3 {
                    slots.extend(controller.admit(now));
                } else if !slots.is_empty() {
                    let slot = slots.remove(0);
                    controller.settle(now, &slot, if step == 3 { ANSWERED } else { End::Abandoned });
                }
                prop_assert!((3..=40).contains(&controller.limit), "a limit of {}", controller.limit);
                prop_assert_eq!(controller.under_way as usize, slots.len(), "calls under way");
            }
        }
    }
}
