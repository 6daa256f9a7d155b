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

pub mod line;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_topology::time::{Moment, Span};
use eastfall_topology::{Capacity, Distribution};
use tokio::sync::oneshot;
use tonic::Status;

use self::line::{Line, Next, Shed, Ticket};
use crate::clock::Clock;
use crate::record::ServerRecorder;
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
    /// A station with nobody in it. `rng` is its own stream, for service times; `recorder` is told of its queue's length.
    pub fn new(clock: Clock, rng: Rng, capacity: Capacity, recorder: ServerRecorder) -> Self {
        let state = State { busy: 0, line: Line::new(rng, capacity, recorder) };
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

    /// Waits for a worker.
    ///
    /// # Errors
    /// `resource_exhausted` if the queue is full or the discipline sheds the request, `deadline_exceeded` if the
    /// discipline drops work whose caller no longer waits.
    pub async fn enter(&self, deadline: Option<Moment>) -> Result<Place<'_>, Status> {
        let arrived = self.clock.now();
        let mut queued = {
            let mut state = self.state();
            if state.busy < state.line.capacity().workers {
                state.busy += 1;
                return Ok(Place { station: self, arrived, begins: arrived, departs: None });
            }
            let (turn, wait) = oneshot::channel();
            let ticket = state.line.join(arrived, deadline, turn);
            let ticket = ticket.map_err(|_| Status::resource_exhausted("the queue is full"))?;
            Queued { station: self, ticket, wait, taken: false }
        };
        let turn = (&mut queued.wait).await;
        queued.taken = true;
        match turn {
            Ok(Turn::Begin(begins)) => Ok(Place { station: self, arrived, begins, departs: None }),
            Ok(Turn::Drop(shed)) => Err(shed.into()),
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
        while state.begin_next(free_from) {}
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
        let served = self.station.state().line.service_time(service_time).mul_f64(slow_factor);
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
    ticket: Ticket,
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
            self.station.state().line.leave(self.ticket, self.station.clock.now());
            matches!(self.wait.try_recv(), Ok(Turn::Begin(_)))
        };
        if called {
            self.station.release(self.station.clock.now());
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
                Some(Next::Shed { item, why, .. }) => drop(item.send(Turn::Drop(why))),
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
mod tests;
