//! What an instance served, as it sees it itself: work done, work refused, and work done for nobody.
//!
//! A server under overload can be busy all the time and of use to no one: its answers come after their callers gave
//! up. Throughput hides that, so late answers are counted apart, and the time of workers that they took, by the service
//! that had asked: whoever gives up early and tries again is who wastes a callee's time.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use eastfall_topology::time::{Moment, Span};

use super::{Aggregate, EdgeKey, Ending, Latencies, Origin, Reading, ServedReport, Waste, WasteReport};

const LONGEST_WAIT: &str = "server.longest_wait_s";

const NAMES: [&str; 11] = [
    "server.served",
    "server.rejected",
    "server.cancelled",
    "server.late",
    "server.waited",
    "server.queued",
    "server.wait_s",
    "server.queue_s",
    "server.time_s",
    "server.wasted_s",
    LONGEST_WAIT,
];

/// The names, made once: they are handed over at every tick of every instance.
static INTERNED: LazyLock<[Arc<str>; NAMES.len()]> = LazyLock::new(|| NAMES.map(Arc::from));

/// What became of a request at its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was answered, well or not.
    Served,
    /// It was turned away: the queue was full or shed it, or nobody here knows the method.
    Refused,
    /// Its caller had gone, and the server noticed and stopped.
    Cancelled,
}

/// Records what one instance served. Cheap to clone.
///
/// Its series are `<service>.server.served`, `rejected`, `cancelled`, `late`, `waited` and `queued` (counts: a request
/// that got a worker has waited, if only for no time; one for which no worker was free has queued), `wait_s` and
/// `time_s` (seconds that requests waited for a worker, and spent here in all if they were not refused: divided by `waited`
/// and by `served` + `cancelled` the mean), `queue_s` (the queue's length, added up over time: divided by the sampling
/// interval the mean length), `wasted_s` (seconds of workers' time that went into requests whose callers had given up) and
/// `longest_wait_s`.
///
/// `wait_s` is told by requests, as each gets its worker, and `queue_s` by the queue, as its length changes. By Little's law
/// the two are equal over any time at whose ends the queue is empty and in which nobody leaves it unserved.
#[derive(Clone, Debug, Default)]
pub struct ServerRecorder(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    served: u64,
    refused: u64,
    cancelled: u64,
    late: u64,
    waited: u64,
    queued: u64,
    queue: Queue,
    wait: Span,
    time: Span,
    wasted: Span,
    longest_wait: Span,
    /// By caller. A service has few, so they are looked for one by one.
    wastes: Vec<(Arc<str>, Waste)>,
    /// By caller too, if anybody wants to know.
    latencies: Option<Vec<(Arc<str>, ServedLatencies)>>,
}

/// How long requests were here, by whether they were answered.
#[derive(Debug, Default)]
struct ServedLatencies {
    answered: Latencies,
    unanswered: Latencies,
}

/// How many wait in an instance's queues, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    length: u64,
    since: Moment,
    /// The length, added up over time since it was last handed over.
    sum: Span,
}

impl Queue {
    /// Adds up to a moment. A timer that fired late tells of an earlier one than has been added up to; that adds nothing.
    fn advance(&mut self, to: Moment) {
        self.sum += to.since(self.since) * self.length;
        self.since = self.since.max(to);
    }
}

impl ServerRecorder {
    /// A request waits for a worker.
    pub fn joined_queue(&self, at: Moment) {
        let mut book = self.book();
        book.queue.advance(at);
        book.queue.length += 1;
    }

    /// A request is no longer in the queue, for whatever reason.
    pub fn left_queue(&self, at: Moment) {
        let mut book = self.book();
        book.queue.advance(at);
        book.queue.length = book.queue.length.saturating_sub(1);
    }

    /// A request got a worker after waiting so long.
    pub fn waited(&self, wait: Span) {
        let mut book = self.book();
        book.waited += 1;
        book.queued += u64::from(!wait.is_zero());
        book.wait += wait;
        book.longest_wait = book.longest_wait.max(wait);
    }

    /// A request left after so long; `in_vain` if its caller had given up by then.
    pub fn ended(&self, fate: Fate, time: Span, in_vain: bool) {
        let mut book = self.book();
        match fate {
            Fate::Served => {
                book.served += 1;
                book.late += u64::from(in_vain);
                book.time += time;
            }
            Fate::Refused => book.refused += 1,
            Fate::Cancelled => {
                book.cancelled += 1;
                book.time += time;
            }
        }
    }

    /// So much of a worker's time went into a request that its caller, a service of this name, no longer waited for.
    pub fn wasted(&self, caller: Option<&Arc<str>>, worker: Span) {
        let mut book = self.book();
        book.wasted += worker;
        let Some(caller) = caller else { return };
        let waste = Waste { requests: 1, worker };
        match book.wastes.iter_mut().find(|(known, _)| known == caller) {
            Some((_, sum)) => sum.merge(waste),
            None => book.wastes.push((Arc::clone(caller), waste)),
        }
    }

    /// Keeps the latency of every request from now on, by caller. That is for those who watch a live fleet: run folders
    /// have latencies as callers see them, and in virtual time nobody would look at these.
    pub fn keep_latencies(&self) {
        self.book().latencies.get_or_insert_default();
    }

    /// Whether it keeps latencies.
    pub fn keeps_latencies(&self) -> bool {
        self.book().latencies.is_some()
    }

    /// A request of a service of this name left after so long, and this is how it ended.
    pub fn answered(&self, caller: Option<&Arc<str>>, ending: Ending, time: Span) {
        let mut book = self.book();
        let (Some(latencies), Some(caller)) = (&mut book.latencies, caller) else { return };
        let index = latencies.iter().position(|(known, _)| known == caller).unwrap_or_else(|| {
            latencies.push((Arc::clone(caller), ServedLatencies::default()));
            latencies.len() - 1
        });
        let latencies = &mut latencies[index].1;
        match ending {
            Ending::Ok => latencies.answered.record(time),
            _ => latencies.unanswered.record(time),
        }
    }

    /// Hands over the latencies, if any are kept.
    pub(super) fn take_latencies(&self, at: Moment, origin: &Origin) -> Vec<ServedReport> {
        let taken = self.book().latencies.as_mut().map(std::mem::take).unwrap_or_default();
        let report = |(caller, latencies): (Arc<str>, ServedLatencies)| ServedReport {
            at,
            edge: (caller, Arc::clone(&origin.service)),
            instance: Arc::clone(&origin.instance),
            answered: Box::new(latencies.answered),
            unanswered: Box::new(latencies.unanswered),
        };
        taken.into_iter().map(report).collect()
    }

    /// Hands over what came together until a moment.
    pub(super) fn take(&self, at: Moment) -> [Reading; NAMES.len()] {
        let mut book = self.book();
        book.queue.advance(at);
        let queue = Queue { sum: Span::ZERO, ..book.queue };
        let (wastes, latencies) = (std::mem::take(&mut book.wastes), book.latencies.take());
        let book = std::mem::replace(&mut *book, Book { wastes, latencies, queue, ..Book::default() });
        let counts = [book.served, book.refused, book.cancelled, book.late, book.waited, book.queued];
        let [served, refused, cancelled, late, waited, queued] = counts.map(|count| count as f64);
        let times = [book.wait, book.queue.sum, book.time, book.wasted, book.longest_wait];
        let [wait, queue, time, wasted, longest_wait] = times.map(Span::as_secs_f64);
        let values =
            [served, refused, cancelled, late, waited, queued, wait, queue, time, wasted, longest_wait];
        std::array::from_fn(|index| Reading {
            name: Arc::clone(&INTERNED[index]),
            aggregate: if NAMES[index] == LONGEST_WAIT { Aggregate::Maximum } else { Aggregate::Count },
            value: values[index],
        })
    }

    /// Hands over what was done in vain, by caller.
    pub(super) fn take_wastes(&self, at: Moment, origin: &Origin) -> Vec<WasteReport> {
        let wastes = std::mem::take(&mut self.book().wastes);
        let report = |(caller, waste): (Arc<str>, Waste)| {
            let edge: EdgeKey = (caller, Arc::clone(&origin.service));
            WasteReport { at, edge, instance: Arc::clone(&origin.instance), waste }
        };
        wastes.into_iter().map(report).collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
