//! Capacity: workers, service times, and the queue in front of them.
//!
//! Capacity is modelled, not burned. A station works out when each request leaves and waits until then, so a laptop can
//! stand in for a region, and the arithmetic is exact: a request starts at the very moment the one before it left,
//! not when a timer got round to saying so. Live, where timers fire up to a millisecond late, an error would otherwise
//! add up over a busy queue (at `--speed 120` a millisecond is 120 ms of the incident).
//!
//! Work that has begun is finished even if its caller has gone: that is what makes a queue collapse (the lease law,
//! docs/model.md). What to do with work whose caller has gone *before* it begins is the queue's discipline. Only a server
//! that cancels abandoned work drops a visit on the way; its worker, or its place in the queue, is then free at once.

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
    /// In the order of their numbers, so that one that goes away is found quickly.
    waiting: VecDeque<Waiter>,
    next_number: u64,
    codel: Codel,
}

struct Waiter {
    number: u64,
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
        let state = State {
            capacity,
            rng,
            busy: 0,
            waiting: VecDeque::new(),
            next_number: 0,
            codel: Codel::default(),
        };
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

    /// Waits for a worker.
    ///
    /// # Errors
    /// `resource_exhausted` if the queue is full or the discipline sheds the request, `deadline_exceeded` if the
    /// discipline drops work whose caller no longer waits.
    pub async fn enter(&self, deadline: Option<Moment>) -> Result<Place<'_>, Status> {
        let arrived = self.clock.now();
        let mut queued = {
            let mut state = self.state();
            if state.busy < state.capacity.workers {
                state.busy += 1;
                return Ok(Place { station: self, arrived, begins: arrived, departs: None });
            }
            if state.capacity.queue.limit.is_some_and(|limit| state.waiting.len() >= limit as usize) {
                return Err(Status::resource_exhausted("the queue is full"));
            }
            let (turn, wait) = oneshot::channel();
            let number = state.next_number;
            state.next_number += 1;
            state.waiting.push_back(Waiter { number, arrived, deadline, turn });
            Queued { station: self, number, wait, taken: false }
        };
        let turn = (&mut queued.wait).await;
        queued.taken = true;
        match turn {
            Ok(Turn::Begin(begins)) => Ok(Place { station: self, arrived, begins, departs: None }),
            Ok(Turn::Drop("expired")) => {
                Err(Status::deadline_exceeded("the caller's deadline passed in the queue"))
            }
            Ok(Turn::Drop(why)) => Err(Status::resource_exhausted(why)),
            Err(_) => Err(Status::unavailable("the server went away")),
        }
    }

    /// Waits for a worker and through the service time: [`Station::enter`], then [`Place::serve`].
    ///
    /// # Errors
    /// Those of [`Station::enter`].
    pub async fn visit(
        &self,
        deadline: Option<Moment>,
        service_time: Option<&Distribution>,
        slow_factor: f64,
    ) -> Result<Visit, Status> {
        Ok(self.enter(deadline).await?.serve(service_time, slow_factor).await)
    }

    /// A worker is free from a moment on.
    fn release(&self, free_from: Moment) {
        let mut state = self.state();
        state.busy -= 1;
        while state.busy < state.capacity.workers && state.begin_next(free_from) {}
    }
}

/// A worker's attention. Dropping it frees the worker, also in the middle of the service.
#[derive(Debug)]
pub struct Place<'a> {
    station: &'a Station,
    arrived: Moment,
    begins: Moment,
    departs: Option<Moment>,
}

impl Place<'_> {
    /// When the worker begins; in a live fleet up to a timer's delay ago.
    pub fn begins(&self) -> Moment {
        self.begins
    }

    /// How long it waited in the queue.
    pub fn waited(&self) -> Span {
        self.begins.since(self.arrived)
    }

    /// Waits through the service time; `service_time` in place of the station's, if given. `slow_factor` multiplies it
    /// (a fault that slows the instance down; 1 otherwise).
    pub async fn serve(mut self, service_time: Option<&Distribution>, slow_factor: f64) -> Visit {
        let served = self.station.state().service_time(service_time).mul_f64(slow_factor);
        let departed = self.begins + served;
        self.departs = Some(departed);
        self.station.clock.sleep_until(departed).await;
        Visit { waited: self.waited(), served, departed }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let now = self.station.clock.now();
        self.station.release(self.departs.map_or(now, |departs| departs.min(now)));
    }
}

/// A place in the queue. Whoever goes away leaves it to others: the next in a bounded queue, or, if its turn had just
/// come, the next to be served.
struct Queued<'a> {
    station: &'a Station,
    number: u64,
    wait: oneshot::Receiver<Turn>,
    /// The turn has come, and was taken note of.
    taken: bool,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let called = {
            let mut state = self.station.state();
            if let Ok(position) = state.waiting.binary_search_by_key(&self.number, |waiter| waiter.number) {
                state.waiting.remove(position);
            }
            matches!(self.wait.try_recv(), Ok(Turn::Begin(_)))
        };
        if called {
            self.station.release(self.station.clock.now());
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
mod tests;
