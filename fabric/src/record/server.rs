//! What an instance served, as it sees it itself: work done, work refused, and work done for nobody.
//!
//! A server under overload can be busy all the time and of use to no one: its answers come after their callers gave
//! up. Throughput hides that, so late answers are counted apart.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use eastfall_topology::time::{Moment, Span};

use super::{Aggregate, Reading};

const LONGEST_WAIT: &str = "server.longest_wait_s";

const NAMES: [&str; 7] = [
    "server.served",
    "server.rejected",
    "server.late",
    "server.waited",
    "server.wait_s",
    "server.time_s",
    LONGEST_WAIT,
];

/// The names, made once: they are handed over at every tick of every instance.
static INTERNED: LazyLock<[Arc<str>; NAMES.len()]> = LazyLock::new(|| NAMES.map(Arc::from));

/// Records what one instance served. Cheap to clone.
///
/// Its series are `<service>.server.served`, `rejected`, `late` and `waited` (counts), `wait_s` and `time_s` (seconds
/// that requests waited for a worker, and spent here in all: divided by `waited` and `served` the mean, divided by the
/// sampling interval the mean number present, by Little's law) and `longest_wait_s`.
#[derive(Clone, Debug, Default)]
pub struct ServerRecorder(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    served: u64,
    refused: u64,
    late: u64,
    waited: u64,
    wait: Span,
    time: Span,
    longest_wait: Span,
}

impl ServerRecorder {
    /// A request got a worker after waiting so long.
    pub fn waited(&self, wait: Span) {
        let mut book = self.book();
        book.waited += 1;
        book.wait += wait;
        book.longest_wait = book.longest_wait.max(wait);
    }

    /// A request was turned away: the queue was full, or shed it.
    pub fn refused(&self) {
        self.book().refused += 1;
    }

    /// A request was answered; `late` if its caller had given up by then, which makes it wasted work.
    pub fn served(&self, arrived: Moment, answered: Moment, late: bool) {
        let mut book = self.book();
        book.served += 1;
        book.late += u64::from(late);
        book.time += answered.since(arrived);
    }

    /// Hands over what came together.
    pub(super) fn take(&self) -> [Reading; NAMES.len()] {
        let book = std::mem::take(&mut *self.book());
        let [wait, time, longest_wait] = [book.wait, book.time, book.longest_wait].map(Span::as_secs_f64);
        let counts = [book.served, book.refused, book.late, book.waited].map(|count| count as f64);
        let [served, refused, late, waited] = counts;
        let values = [served, refused, late, waited, wait, time, longest_wait];
        std::array::from_fn(|index| Reading {
            name: Arc::clone(&INTERNED[index]),
            aggregate: if NAMES[index] == LONGEST_WAIT { Aggregate::Maximum } else { Aggregate::Count },
            value: values[index],
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
