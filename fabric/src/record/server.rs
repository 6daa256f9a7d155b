//! What an instance served, as it sees it itself: work done, work refused, and work done for nobody.
//!
//! A server under overload can be busy all the time and of use to no one: its answers come after their callers gave
//! up. Throughput hides that, so late answers are counted apart.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_topology::time::{Moment, Span};

use super::{Aggregate, Reading};

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
    pub(super) fn take(&self) -> [Reading; 7] {
        let book = std::mem::take(&mut *self.book());
        let reading = |name: &'static str, aggregate, value| Reading { name: name.into(), aggregate, value };
        let count = |name, value: u64| reading(name, Aggregate::Count, value as f64);
        let seconds = |name, value: Span| reading(name, Aggregate::Count, value.as_secs_f64());
        [
            count("server.served", book.served),
            count("server.rejected", book.refused),
            count("server.late", book.late),
            count("server.waited", book.waited),
            seconds("server.wait_s", book.wait),
            seconds("server.time_s", book.time),
            reading("server.longest_wait_s", Aggregate::Maximum, book.longest_wait.as_secs_f64()),
        ]
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
