//! Who waits for a worker, and who is next: the queue disciplines, for whatever waits.
//!
//! A station queues calls, each with a task behind it. A service that keeps work of its own for hours, as DWFM keeps
//! lease attempts whose askers are long gone, queues a few bytes a piece. Both wait in a [`Line`], so that a discipline
//! is written once.

use std::collections::VecDeque;

use eastfall_topology::time::{Moment, Span};
use eastfall_topology::{Capacity, Discipline, Distribution};
use tonic::Status;

use crate::distribution::draw;
use crate::record::ServerRecorder;
use crate::rng::Rng;

/// A queue in front of workers, by a service's capacity.
#[derive(Debug)]
pub struct Line<T> {
    capacity: Capacity,
    rng: Rng,
    recorder: ServerRecorder,
    /// In the order of their tickets, so that one that goes away is found quickly.
    waiting: VecDeque<Waiter<T>>,
    tickets: u64,
    codel: Codel,
}

/// The number of a place in a line; later ones are larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

#[derive(Debug)]
struct Waiter<T> {
    ticket: Ticket,
    arrived: Moment,
    deadline: Option<Moment>,
    item: T,
}

/// What happens to the next in a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// A worker takes it.
    Begin {
        /// The place it had.
        ticket: Ticket,
        /// What waited.
        item: T,
        /// When it came.
        arrived: Moment,
        /// When the work on it begins: never before it came, nor before the worker was free.
        begins: Moment,
    },
    /// The discipline drops it unserved.
    Shed {
        /// The place it had.
        ticket: Ticket,
        /// What waited.
        item: T,
        /// Why it is dropped.
        why: Shed,
    },
}

/// Why a discipline drops what waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// Its deadline passed in the queue (`drop-expired`).
    Expired,
    /// The wait has stayed too long (`codel`).
    Overload,
}

impl From<Shed> for Status {
    fn from(shed: Shed) -> Status {
        match shed {
            Shed::Expired => Status::deadline_exceeded("the caller's deadline passed in the queue"),
            Shed::Overload => Status::resource_exhausted("shed by CoDel"),
        }
    }
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<T> Line<T> {
    /// An empty line. `rng` is its own stream, for service times; `recorder` is told of its length.
    pub fn new(rng: Rng, capacity: Capacity, recorder: ServerRecorder) -> Self {
        Line { capacity, rng, recorder, waiting: VecDeque::new(), tickets: 0, codel: Codel::default() }
    }

    /// The settings in force.
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// Puts other settings in force. Those in the line stay in it, also beyond a new limit.
    pub fn set_capacity(&mut self, capacity: Capacity) {
        self.capacity = capacity;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Joins the line.
    ///
    /// # Errors
    /// If as many wait as the capacity's limit allows.
    pub fn join(&mut self, arrived: Moment, deadline: Option<Moment>, item: T) -> Result<Ticket, Full> {
        if self.capacity.queue.limit.is_some_and(|limit| self.waiting.len() >= limit as usize) {
            return Err(Full);
        }
        Ok(self.join_anyway(arrived, deadline, item))
    }

    /// Joins the line whatever its limit: work that nobody outside can be refused.
    pub fn join_anyway(&mut self, arrived: Moment, deadline: Option<Moment>, item: T) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.recorder.joined_queue(arrived);
        self.waiting.push_back(Waiter { ticket, arrived, deadline, item });
        ticket
    }

    /// Leaves the line, if it is still in it.
    pub fn leave(&mut self, ticket: Ticket, now: Moment) -> Option<T> {
        let position = self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()?;
        let waiter = self.waiting.remove(position)?;
        self.recorder.left_queue(now);
        Some(waiter.item)
    }

    /// Takes the next for a worker that is free from a moment on.
    pub fn next(&mut self, free_from: Moment) -> Option<Next<T>> {
        let waiter = match self.capacity.queue.discipline {
            Discipline::Lifo => self.waiting.pop_back(),
            _ => self.waiting.pop_front(),
        };
        let Waiter { ticket, arrived, deadline, item } = waiter?;
        // A worker can't begin what has not arrived.
        let begins = free_from.max(arrived);
        self.recorder.left_queue(begins);
        let why = match self.capacity.queue.discipline {
            Discipline::DropExpired => {
                deadline.is_some_and(|deadline| deadline <= begins).then_some(Shed::Expired)
            }
            Discipline::CoDel { target, interval } => {
                let last = self.waiting.is_empty();
                let sheds = self.codel.sheds(begins, begins.since(arrived), target, interval, last);
                sheds.then_some(Shed::Overload)
            }
            Discipline::Fifo | Discipline::Lifo => None,
        };
        Some(match why {
            Some(why) => Next::Shed { ticket, item, why },
            None => Next::Begin { ticket, item, arrived, begins },
        })
    }

    /// Draws a service time (from a distribution of its own, if given), longer by the slow-down for those who wait now.
    pub fn service_time(&mut self, own: Option<&Distribution>) -> Span {
        let base = draw(own.unwrap_or(&self.capacity.service_time), &mut self.rng);
        if self.capacity.slowdown > 0.0 {
            base.mul_f64(1.0 + self.capacity.slowdown * self.waiting.len() as f64)
        } else {
            base
        }
    }
}

/// Controlled delay for request queues, after folly's variant: while the shortest wait of the last interval was above
/// the target the server is overloaded, and requests that waited more than twice the target are shed.
#[derive(Debug, Default)]
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
