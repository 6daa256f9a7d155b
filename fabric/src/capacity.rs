//! Capacity: workers, service times, and the queue in front of them.
//!
//! Capacity is modelled, not burned. A station works out when each request leaves and waits until then, so a laptop can
//! stand in for a region, and the arithmetic is exact: a request starts at the very moment the one before it left,
//! not when a timer got round to saying so. Live, where timers fire up to a millisecond late, an error would otherwise
//! add up over a busy queue (at `--speed 120` a millisecond is 120 ms of the incident).
//!
//! Work that has begun is finished even if its caller has gone: that is what makes a queue collapse (PHYSICS, the
//! lease law). What to do with work whose caller has gone *before* it begins is the queue's discipline.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_topology::time::{Moment, Span};
use eastfall_topology::{Capacity, Discipline, Distribution};
use tokio::sync::oneshot;
use tonic::Status;

use crate::clock::Clock;
use crate::distribution::draw;
use crate::rng::Rng;

/// Workers and a queue; clones are handles to the same ones.
#[derive(Clone)]
pub struct Station {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

struct State {
    capacity: Capacity,
    /// Mean service time, for the slow-down by queue length.
    rng: Rng,
    busy: u32,
    waiting: VecDeque<Waiter>,
    codel: Codel,
}

struct Waiter {
    arrived: Moment,
    deadline: Option<Moment>,
    turn: oneshot::Sender<Turn>,
}

/// A waiter's turn has come: the moment its work begins, or that it is not to be done.
enum Turn {
    Begin(Moment),
    Drop(&'static str),
}

/// What a request met at a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Time in the queue.
    pub waited: Span,
    /// Time in service.
    pub served: Span,
    /// The exact moment of departure.
    pub departed: Moment,
}

impl Station {
    /// A station with nobody in it.
    pub fn new(clock: Clock, rng: Rng, capacity: Capacity) -> Self {
        let state = State { capacity, rng, busy: 0, waiting: VecDeque::new(), codel: Codel::default() };
        Station { clock, state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait, not counting those in service.
    pub fn queue_length(&self) -> usize {
        self.state().waiting.len()
    }

    /// Puts other settings in force. Those in the queue stay in it, also beyond a new limit.
    pub fn set_capacity(&self, capacity: Capacity) {
        let mut state = self.state();
        state.capacity = capacity;
        // More workers than before: some who wait can begin at once.
        let now = self.clock.now();
        while state.busy < state.capacity.workers && state.begin_next(now) {}
    }

    /// Waits for a worker and through the service time; `service_time` in place of the station's, if given.
    /// `slow_factor` multiplies it (a fault that slows the instance down; 1 otherwise).
    ///
    /// # Errors
    /// `resource_exhausted` if the queue is full or the discipline sheds the request, `deadline_exceeded` if the
    /// discipline drops work whose caller no longer waits.
    pub async fn visit(
        &self,
        deadline: Option<Moment>,
        service_time: Option<&Distribution>,
        slow_factor: f64,
    ) -> Result<Visit, Status> {
        let arrived = self.clock.now();
        let mut place = Place { station: self, departs: None };
        let wait = {
            let mut state = self.state();
            if state.busy < state.capacity.workers {
                state.busy += 1;
                None
            } else {
                if state.capacity.queue.limit.is_some_and(|limit| state.waiting.len() >= limit as usize) {
                    return Err(Status::resource_exhausted("the queue is full"));
                }
                let (turn, wait) = oneshot::channel();
                state.waiting.push_back(Waiter { arrived, deadline, turn });
                Some(wait)
            }
        };
        let begins = match wait {
            None => arrived,
            Some(wait) => match wait.await {
                Ok(Turn::Begin(moment)) => moment,
                Ok(Turn::Drop("expired")) => {
                    return Err(Status::deadline_exceeded("the caller's deadline passed in the queue"));
                }
                Ok(Turn::Drop(why)) => return Err(Status::resource_exhausted(why)),
                Err(_) => return Err(Status::unavailable("the server went away")),
            },
        };
        let served = self.state().service_time(service_time).mul_f64(slow_factor);
        let departed = begins + served;
        place.departs = Some(departed);
        self.clock.sleep_until(departed).await;
        drop(place);
        Ok(Visit { waited: begins.since(arrived), served, departed })
    }
}

/// Frees the worker at the end of a visit, also if the visit is cancelled on the way.
struct Place<'a> {
    station: &'a Station,
    departs: Option<Moment>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(departs) = self.departs {
            let free_from = departs.min(self.station.clock.now());
            let mut state = self.station.state();
            state.busy -= 1;
            while state.busy < state.capacity.workers && state.begin_next(free_from) {}
        }
    }
}

impl State {
    fn service_time(&mut self, own: Option<&Distribution>) -> Span {
        let base = draw(own.unwrap_or(&self.capacity.service_time), &mut self.rng);
        if self.capacity.slowdown > 0.0 {
            base.mul_f64(1.0 + self.capacity.slowdown * self.waiting.len() as f64)
        } else {
            base
        }
    }

    /// Gives a free worker to the next in the queue by its discipline; false if there is none.
    fn begin_next(&mut self, free_from: Moment) -> bool {
        loop {
            let next = match self.capacity.queue.discipline {
                Discipline::Lifo => self.waiting.pop_back(),
                _ => self.waiting.pop_front(),
            };
            let Some(waiter) = next else { return false };
            // A worker can't begin what has not arrived.
            let begins = free_from.max(waiter.arrived);
            let drop_it = match &self.capacity.queue.discipline {
                Discipline::DropExpired => {
                    waiter.deadline.is_some_and(|deadline| deadline <= begins).then_some("expired")
                }
                Discipline::CoDel { target, interval } => {
                    let sojourn = begins.since(waiter.arrived);
                    let empty = self.waiting.is_empty();
                    self.codel.sheds(begins, sojourn, *target, *interval, empty).then_some("shed by CoDel")
                }
                Discipline::Fifo | Discipline::Lifo => None,
            };
            if let Some(why) = drop_it {
                // Whoever has stopped listening does not need to know.
                let _ = waiter.turn.send(Turn::Drop(why));
                continue;
            }
            if waiter.turn.send(Turn::Begin(begins)).is_ok() {
                self.busy += 1;
                return true;
            }
        }
    }
}

/// Controlled delay for request queues, after folly's variant: while the shortest wait of the last interval was above
/// the target the server is overloaded, and requests that waited more than twice the target are shed.
#[derive(Default)]
struct Codel {
    interval_ends: Moment,
    shortest: Option<Span>,
    overloaded: bool,
}

impl Codel {
    fn sheds(&mut self, now: Moment, sojourn: Span, target: Span, interval: Span, last: bool) -> bool {
        if now >= self.interval_ends {
            self.overloaded = self.shortest.is_some_and(|shortest| shortest > target);
            self.interval_ends = now + interval;
            self.shortest = Some(sojourn);
        }
        self.shortest = Some(self.shortest.map_or(sojourn, |shortest| shortest.min(sojourn)));
        self.overloaded && sojourn > target * 2 && !last
    }
}

impl std::fmt::Debug for Station {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Station({} waiting)", self.queue_length())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sim;
    use crate::rng::stream;
    use eastfall_topology::Queue;

    fn capacity(discipline: Discipline, limit: Option<u32>) -> Capacity {
        Capacity {
            workers: 1,
            service_time: Distribution::Constant { value: Span::from_secs(1) },
            queue: Queue { discipline, limit },
            slowdown: 0.0,
        }
    }

    /// Lets `count` requests arrive at once, each with this deadline, and returns what each met.
    fn burst(capacity: Capacity, count: u64, deadline: Option<Moment>) -> Vec<Result<Visit, Status>> {
        sim::reset();
        let station = Station::new(Clock::virtual_time(), stream(1, "station"), capacity);
        let results = Arc::new(Mutex::new(Vec::new()));
        for number in 0..count {
            let (station, results) = (station.clone(), Arc::clone(&results));
            let visit = async move {
                let visit = station.visit(deadline, None, 1.0).await;
                results.lock().expect("results").push((number, visit));
            };
            sim::spawn(sim::Owner(1), Box::pin(visit));
        }
        sim::run_until(Moment::MAX);
        let mut results = std::mem::take(&mut *results.lock().expect("results"));
        results.sort_by_key(|(number, _)| *number);
        results.into_iter().map(|(_, visit)| visit).collect()
    }

    fn waits(visits: &[Result<Visit, Status>]) -> Vec<Option<u64>> {
        visits
            .iter()
            .map(|visit| visit.as_ref().ok().map(|visit| visit.waited.as_nanos() / 1_000_000_000))
            .collect()
    }

    #[test]
    fn first_come_first_served_waits_for_all_before() {
        let visits = burst(capacity(Discipline::Fifo, None), 4, None);
        assert_eq!(waits(&visits), [Some(0), Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn last_come_first_served_lets_the_oldest_wait_longest() {
        let visits = burst(capacity(Discipline::Lifo, None), 4, None);
        assert_eq!(waits(&visits), [Some(0), Some(3), Some(2), Some(1)]);
    }

    #[test]
    fn a_full_queue_refuses() {
        let visits = burst(capacity(Discipline::Fifo, Some(2)), 4, None);
        assert_eq!(waits(&visits), [Some(0), Some(1), Some(2), None]);
    }

    #[test]
    fn expired_work_is_dropped_unserved() {
        let deadline = Moment::START + Span::from_millis(1_500);
        let visits = burst(capacity(Discipline::DropExpired, None), 4, Some(deadline));
        assert_eq!(waits(&visits), [Some(0), Some(1), None, None]);
    }

    #[test]
    fn codel_sheds_when_even_the_shortest_wait_is_above_the_target() {
        let codel = Discipline::CoDel { target: Span::from_millis(5), interval: Span::from_millis(100) };
        let shed = burst(capacity(codel, None), 100, None).iter().filter(|visit| visit.is_err()).count();
        assert!(shed > 90, "{shed} of 100 shed");
    }
}
