//! One edge as its caller sees it: requests and attempts as they end, and the states of breakers as they change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_topology::time::Moment;

use super::{Breakers, Ending, Histograms, Measure, Tally};

/// Records one edge (caller to callee) as seen by one caller instance. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct EdgeRecorder(Arc<Mutex<Book>>);

/// What came together since it was last handed over.
#[derive(Debug, Default)]
struct Book {
    tally: Tally,
    histograms: Histograms,
    /// A state and no count: it stays when the rest is handed over.
    breakers: Breakers,
}

impl EdgeRecorder {
    /// A request has ended. `intended` is when an open-loop client meant to send it, `started` when it did.
    pub fn request(&self, ending: Ending, intended: Moment, started: Moment, ended: Moment) {
        let (from_intended, from_actual) = match ending {
            Ending::Ok => (Measure::IntendedOk, Measure::ActualOk),
            _ => (Measure::IntendedFailed, Measure::ActualFailed),
        };
        let mut book = self.book();
        book.tally.requests.add(ending);
        book.histograms.record(from_intended, ended.since(intended));
        book.histograms.record(from_actual, ended.since(started));
    }

    /// An attempt has ended; `number` is 0 for the first.
    pub fn attempt(&self, number: u32, ending: Ending, started: Moment, ended: Moment) {
        let measure = match (number, ending) {
            (0, Ending::Ok) => Measure::FirstAttemptOk,
            (0, _) => Measure::FirstAttemptFailed,
            (_, Ending::Ok) => Measure::RetryOk,
            _ => Measure::RetryFailed,
        };
        let mut book = self.book();
        book.tally.attempts.add(ending);
        book.tally.retries += u64::from(number > 0);
        book.histograms.record(measure, ended.since(started));
    }

    /// A client-side policy (`breaker`, `budget`, `throttle`, `limit`, `rate`) refused to send.
    pub fn short_circuited(&self, policy: &'static str) {
        let mut book = self.book();
        match book.tally.short_circuited.get_mut(policy) {
            Some(count) => *count += 1,
            None => {
                book.tally.short_circuited.insert(policy.to_owned(), 1);
            }
        }
    }

    /// The states of the edge's breakers have changed.
    pub fn breakers(&self, change: impl FnOnce(&mut Breakers)) {
        change(&mut self.book().breakers);
    }

    /// The states of the edge's breakers.
    pub(super) fn breakers_now(&self) -> Breakers {
        self.book().breakers
    }

    /// Hands over the counts, and the latencies too if they are due.
    pub(super) fn take(&self, latencies_due: bool) -> (Tally, Option<Box<Histograms>>) {
        let mut book = self.book();
        let histograms = (latencies_due && !book.histograms.is_empty())
            .then(|| Box::new(std::mem::take(&mut book.histograms)));
        (std::mem::take(&mut book.tally), histograms)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_topology::time::Span;

    fn at(millis: u64) -> Moment {
        Moment::START + Span::from_millis(millis)
    }

    #[test]
    fn a_stall_shows_from_the_intended_start_and_hides_from_the_actual_one() {
        // A client means to send every 10 ms and waits for each answer; one answer takes a second, all others 1 ms.
        let edge = EdgeRecorder::default();
        let mut free = at(0);
        for number in 0..200 {
            let intended = at(number * 10);
            let started = free.max(intended);
            let service = Span::from_millis(if number == 50 { 1_000 } else { 1 });
            free = started + service;
            edge.request(Ending::Ok, intended, started, free);
        }
        let (_, histograms) = edge.take(true);
        let histograms = histograms.unwrap();
        let p99 = |measure| histograms.get(measure).unwrap().quantile(0.99);
        // One in 200 is beyond the 99th percentile: the stall is invisible to who starts the watch when it sends.
        assert!(p99(Measure::ActualOk) < Span::from_millis(2), "{:?}", p99(Measure::ActualOk));
        assert!(p99(Measure::IntendedOk) > Span::from_millis(900), "{:?}", p99(Measure::IntendedOk));
    }

    #[test]
    fn failures_keep_their_latency_and_stay_apart() {
        let edge = EdgeRecorder::default();
        edge.request(Ending::Ok, at(0), at(0), at(2));
        edge.request(Ending::TimedOut, at(0), at(0), at(3_000));
        edge.attempt(0, Ending::TimedOut, at(0), at(1_000));
        edge.attempt(1, Ending::Ok, at(1_000), at(1_002));
        let (tally, histograms) = edge.take(true);
        let histograms = histograms.unwrap();
        assert_eq!((tally.requests.total(), tally.requests.of(Ending::TimedOut)), (2, 1));
        assert_eq!((tally.attempts.total(), tally.retries), (2, 1));
        let counted = Measure::ALL.map(|measure| histograms.count(measure));
        assert_eq!(counted, [1, 1, 1, 1, 0, 1, 1, 0], "in the order of Measure::ALL");
        let failed = histograms.get(Measure::IntendedFailed).unwrap().longest();
        assert!(failed >= Span::from_secs(3), "{failed}");
    }

    #[test]
    fn latencies_stay_until_they_are_due() {
        let edge = EdgeRecorder::default();
        edge.attempt(0, Ending::Ok, at(0), at(1));
        assert_eq!(edge.take(false).1, None, "not due yet");
        let (tally, histograms) = edge.take(true);
        assert!(tally.is_empty(), "the tally was handed over before: {tally:?}");
        assert_eq!(histograms.map(|h| h.count(Measure::FirstAttemptOk)), Some(1));
        assert_eq!(edge.take(true), (Tally::default(), None), "and all of it once only");
    }

    #[test]
    fn policies_are_told_apart() {
        let edge = EdgeRecorder::default();
        for policy in ["breaker", "budget", "breaker"] {
            edge.short_circuited(policy);
        }
        let (tally, _) = edge.take(false);
        assert_eq!((tally.short_circuits(), tally.short_circuited["breaker"]), (3, 2));
    }
}
