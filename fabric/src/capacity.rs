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
mod tests {
    use std::future::Future as _;

    use super::*;
    use crate::engine::sim;
    use crate::record::{Origin, Recorder, Report};
    use crate::rng::stream;
    use eastfall_topology::{Discipline, Queue};

    fn capacity(discipline: Discipline, limit: Option<u32>) -> Capacity {
        Capacity {
            workers: 1,
            service_time: Distribution::Constant { value: Span::from_secs(1) },
            queue: Queue { discipline, limit, cancel_abandoned: false },
            slowdown: 0.0,
        }
    }

    fn new_station(capacity: Capacity) -> Station {
        let clock = Clock::virtual_time();
        Station::new(clock, stream(1, "station"), capacity, ServerRecorder::default())
    }

    /// Lets `count` requests arrive at once, each with this deadline, and returns what each met.
    fn burst(capacity: Capacity, count: u64, deadline: Option<Moment>) -> Vec<Result<Visit, Status>> {
        sim::reset();
        let station = new_station(capacity);
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

    /// Three requests for one worker, of which the one of this number is given up half a second after it came: when the
    /// others departed, and how many waited just after.
    fn given_up(number: u64) -> (Vec<Option<u64>>, usize) {
        sim::reset();
        let clock = Clock::virtual_time();
        let station = new_station(capacity(Discipline::Fifo, None));
        let departed = Arc::new(Mutex::new(vec![None; 3]));
        for each in 0..3 {
            let (station, departed) = (station.clone(), Arc::clone(&departed));
            sim::spawn(
                sim::Owner(1),
                Box::pin(async move {
                    let patience = if each == number { Span::from_millis(500) } else { Span::MAX };
                    let visit = clock.timeout(patience, station.visit(None, None, 1.0)).await;
                    let millis =
                        visit.ok().and_then(Result::ok).map(|visit| visit.departed.as_nanos() / 1_000_000);
                    departed.lock().expect("moments")[each as usize] = millis;
                }),
            );
        }
        sim::run_until(Moment::START + Span::from_millis(600));
        let waiting = station.queue_length();
        sim::run_until(Moment::MAX);
        let departed = departed.lock().expect("moments").clone();
        (departed, waiting)
    }

    #[test]
    fn work_given_up_in_the_middle_frees_its_worker_at_once() {
        assert_eq!(given_up(0), (vec![None, Some(1_500), Some(2_500)], 1));
    }

    #[test]
    fn work_given_up_in_the_queue_leaves_its_place() {
        assert_eq!(given_up(1), (vec![Some(1_000), None, Some(2_000)], 1));
        assert_eq!(given_up(2), (vec![Some(1_000), Some(2_000), None], 1));
    }

    #[test]
    fn the_queue_s_length_over_time_counts_those_who_leave_unserved_as_long_as_they_were_there() {
        sim::reset();
        let clock = Clock::virtual_time();
        let origin = Origin { system: "s".into(), service: "s".into(), instance: "s".into() };
        let recorder = Recorder::new(clock, origin, Span::MAX);
        let capacity = capacity(Discipline::Fifo, None);
        let station = Station::new(clock, stream(1, "station"), capacity, recorder.server());
        for patience in [Span::MAX, Span::from_millis(500), Span::MAX, Span::MAX] {
            let station = station.clone();
            let visit = async move { drop(clock.timeout(patience, station.visit(None, None, 1.0)).await) };
            sim::spawn(sim::Owner(1), Box::pin(visit));
        }
        let queue_seconds = |until: Moment| {
            sim::run_until(until);
            let readings = recorder.take(until).into_iter().filter_map(|report| match report {
                Report::Sample(sample) => Some(sample.readings),
                _ => None,
            });
            readings.flatten().find(|reading| &*reading.name == "server.queue_s").map(|reading| reading.value)
        };
        // Three wait, one of them for half a second; the others begin after one second and after two.
        assert_eq!(queue_seconds(Moment::START + Span::from_millis(1_500)), Some(0.5 + 1.0 + 1.5));
        assert_eq!(
            queue_seconds(Moment::START + Span::from_secs(10)),
            Some(0.5),
            "what was told is not told again"
        );
    }

    #[test]
    fn a_turn_that_comes_to_somebody_who_just_left_goes_to_the_next() {
        sim::reset();
        let station = new_station(capacity(Discipline::Fifo, None));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let first = Box::pin(station.enter(None)).as_mut().poll(&mut context);
        let [mut second, mut third] = [0, 1].map(|_| Box::pin(station.enter(None)));
        assert!(second.as_mut().poll(&mut context).is_pending(), "one worker");
        assert!(third.as_mut().poll(&mut context).is_pending(), "one worker");
        drop(first);
        drop(second);
        assert!(third.as_mut().poll(&mut context).is_ready(), "the second left without taking its turn");
    }

    #[test]
    fn codel_sheds_when_even_the_shortest_wait_is_above_the_target() {
        let codel = Discipline::CoDel { target: Span::from_millis(5), interval: Span::from_millis(100) };
        let shed = burst(capacity(codel, None), 100, None).iter().filter(|visit| visit.is_err()).count();
        assert!(shed > 90, "{shed} of 100 shed");
    }
}
