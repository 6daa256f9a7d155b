//! Capacity: workers, service times, and the queue in front of them.
//!
//! Capacity is modelled, not burned. A station works out when each request leaves and waits until then, so a laptop can
//! stand in for a region, and the arithmetic is exact: a request starts at the very moment the one before it left,
//! not when a timer got round to saying so. Live, where timers fire up to a millisecond late, an error would otherwise
//! add up over a busy queue (at `--speed 120` a millisecond is 120 ms of the incident).
//!
//! Work that has begun is finished even if its caller has gone: that is what makes a queue collapse (PHYSICS, the
//! lease law). What to do with work whose caller has gone *before* it begins is the queue's discipline.

pub mod line;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_topology::time::{Moment, Span};
use eastfall_topology::{Capacity, Distribution};
use tokio::sync::oneshot;
use tonic::Status;

use self::line::{Line, Next, Shed};
use crate::clock::Clock;
use crate::rng::Rng;

/// Workers and a queue; clones are handles to the same ones.
#[derive(Clone)]
pub struct Station {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

struct State {
    busy: u32,
    line: Line<oneshot::Sender<Turn>>,
}

/// A waiter's turn has come: the moment its work begins, or that it is not to be done.
enum Turn {
    Begin(Moment),
    Drop(Shed),
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
        let state = State { busy: 0, line: Line::new(rng, capacity) };
        Station { clock, state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait, not counting those in service.
    pub fn queue_length(&self) -> usize {
        self.state().line.len()
    }

    /// Puts other settings in force. Those in the queue stay in it, also beyond a new limit.
    pub fn set_capacity(&self, capacity: Capacity) {
        let mut state = self.state();
        state.line.set_capacity(capacity);
        // More workers than before: some who wait can begin at once.
        let now = self.clock.now();
        while state.begin_next(now) {}
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
            if state.busy < state.line.capacity().workers {
                state.busy += 1;
                None
            } else {
                let (turn, wait) = oneshot::channel();
                if state.line.join(arrived, deadline, turn).is_err() {
                    return Err(Status::resource_exhausted("the queue is full"));
                }
                Some(wait)
            }
        };
        let begins = match wait {
            None => arrived,
            Some(wait) => match wait.await {
                Ok(Turn::Begin(moment)) => moment,
                Ok(Turn::Drop(shed)) => return Err(shed.into()),
                Err(_) => return Err(Status::unavailable("the server went away")),
            },
        };
        let served = self.state().line.service_time(service_time).mul_f64(slow_factor);
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
            while state.begin_next(free_from) {}
        }
    }
}

impl State {
    /// Gives a free worker to the next in the line; false if there is none of either.
    fn begin_next(&mut self, free_from: Moment) -> bool {
        while self.busy < self.line.capacity().workers {
            match self.line.next(free_from) {
                None => return false,
                // Whoever has stopped listening does not need to know.
                Some(Next::Shed { item, why }) => drop(item.send(Turn::Drop(why))),
                Some(Next::Begin { item, begins, .. }) => {
                    if item.send(Turn::Begin(begins)).is_ok() {
                        self.busy += 1;
                        return true;
                    }
                }
            }
        }
        false
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
    use eastfall_topology::{Discipline, Queue};

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
