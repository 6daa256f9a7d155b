//! An instance's recorder: everything it has to say, kept until the next sampling tick.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_topology::time::{Moment, Span};
use foldhash::fast::FixedState;
use indexmap::IndexMap;

use super::{
    Aggregate, Breakers, EdgeKey, EdgeRecorder, EdgeReport, Event, Reading, Report, Sample, ServerRecorder,
};
use crate::clock::Clock;

/// Events one instance may have in one sampling interval. A loop that goes wrong in virtual time makes millions of them
/// in no time; the rest is counted in an event of its own instead of filling the memory.
const EVENTS_AT_MOST: usize = 10_000;

/// Whose recorder it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The system it counts under.
    pub system: Arc<str>,
    /// The service.
    pub service: Arc<str>,
    /// The instance.
    pub instance: Arc<str>,
}

/// Records what one instance has to say. Cheap to clone.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    clock: Clock,
    origin: Origin,
    histograms: Span,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    events: Vec<Event>,
    events_dropped: u64,
    gauges: IndexMap<Arc<str>, (Aggregate, f64), FixedState>,
    counts: IndexMap<Arc<str>, u64, FixedState>,
    edges: IndexMap<EdgeKey, EdgeRecorder, FixedState>,
    server: Option<ServerRecorder>,
    /// Whether that keeps latencies.
    server_latencies: bool,
    /// The number of the interval whose latencies are being recorded.
    latency_interval: u64,
}

impl Recorder {
    /// A recorder of an instance that starts now. Latencies are handed over once per `histograms`; with [`Span::MAX`]
    /// only at the end, which is much cheaper where nobody looks at intervals.
    pub fn new(clock: Clock, origin: Origin, histograms: Span) -> Self {
        let histograms = histograms.max(Span::from_nanos(1));
        let latency_interval = clock.now().as_nanos() / histograms.as_nanos();
        let books = Mutex::new(Books { latency_interval, ..Books::default() });
        Recorder(Arc::new(Shared { clock, origin, histograms, books }))
    }

    /// Whose recorder it is.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Something changed: what kind of change, and the reason or whatever tells it from others of its kind.
    pub fn event(&self, kind: &str, fields: &[(&str, String)]) {
        let event = self.make_event(self.0.clock.now(), kind, fields);
        let mut books = self.books();
        if books.events.len() < EVENTS_AT_MOST {
            books.events.push(event);
        } else {
            books.events_dropped += 1;
        }
    }

    /// A state as it is from now on; added up over the service's instances. A value that is not a number is ignored.
    pub fn gauge(&self, name: &str, value: f64) {
        self.set(name, Aggregate::Sum, value);
    }

    /// The same, but the largest of the service's instances counts.
    pub fn gauge_max(&self, name: &str, value: f64) {
        self.set(name, Aggregate::Maximum, value);
    }

    /// So many more happened. Zero makes the series known before the first.
    pub fn count(&self, name: &str, more: u64) {
        let mut books = self.books();
        match books.counts.get_mut(name) {
            Some(count) => *count += more,
            None => {
                books.counts.insert(name.into(), more);
            }
        }
    }

    /// The recorder of an edge, the same for the same two services.
    pub fn edge(&self, caller: &str, callee: &str) -> EdgeRecorder {
        self.books().edges.entry((caller.into(), callee.into())).or_default().clone()
    }

    /// The recorder of what this instance serves.
    pub fn server(&self) -> ServerRecorder {
        let mut books = self.books();
        let keeps_latencies = books.server_latencies;
        let server = books.server.get_or_insert_default();
        if keeps_latencies {
            server.keep_latencies();
        }
        server.clone()
    }

    /// Keeps how long the instance takes to answer, by caller, once it serves ([`ServerRecorder::keep_latencies`]).
    pub fn keep_server_latencies(&self) {
        self.books().server_latencies = true;
    }

    /// The instance has died, and this recorder goes on for the next one of that name: what it held is gone.
    pub fn died(&self) {
        self.books().gauges.clear();
    }

    /// Hands over what came together until a sampling tick.
    pub fn take(&self, at: Moment) -> Vec<Report> {
        self.hand_over(at, false)
    }

    /// Hands over what is left when the instance or the run has come to its end: latencies whether due or not, but no
    /// gauges, for what is dead holds nothing.
    pub fn take_last(&self, at: Moment) -> Vec<Report> {
        self.hand_over(at, true)
    }

    fn hand_over(&self, at: Moment, last: bool) -> Vec<Report> {
        let interval = at.as_nanos() / self.0.histograms.as_nanos();
        let mut guard = self.books();
        let books = &mut *guard;
        let latencies_due = last || interval > books.latency_interval;
        books.latency_interval = interval;

        let mut reports: Vec<Report> = books.events.drain(..).map(Report::Event).collect();
        let dropped = std::mem::take(&mut books.events_dropped);
        if dropped > 0 {
            let fields = [("count", dropped.to_string()), ("limit", EVENTS_AT_MOST.to_string())];
            reports.push(Report::Event(self.make_event(at, "record.events-dropped", &fields)));
        }
        let readings = books.readings(at, last);
        if !readings.is_empty() {
            let Origin { service, instance, .. } = self.0.origin.clone();
            reports.push(Report::Sample(Sample { at, service, instance, readings }));
        }
        for ((caller, callee), edge) in &books.edges {
            let (tally, histograms) = edge.take(latencies_due);
            let breakers = if last { Breakers::default() } else { edge.breakers_now() };
            if !tally.is_empty() || histograms.is_some() || !breakers.is_empty() {
                let (caller, callee) = (Arc::clone(caller), Arc::clone(callee));
                let instance = Arc::clone(&self.0.origin.instance);
                let report = EdgeReport { at, caller, callee, instance, tally, breakers, histograms };
                reports.push(Report::Edge(report));
            }
        }
        if let Some(server) = &books.server {
            reports.extend(server.take_wastes(at, &self.0.origin).into_iter().map(Report::Waste));
            if latencies_due {
                reports.extend(server.take_latencies(at, &self.0.origin).into_iter().map(Report::Served));
            }
        }
        reports
    }

    fn make_event(&self, at: Moment, kind: &str, fields: &[(&str, String)]) -> Event {
        let Origin { system, service, instance } = self.0.origin.clone();
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        Event { at, system, service, instance, kind: kind.to_owned(), fields }
    }

    fn set(&self, name: &str, aggregate: Aggregate, value: f64) {
        if !value.is_finite() {
            return;
        }
        let mut books = self.books();
        match books.gauges.get_mut(name) {
            Some(gauge) => *gauge = (aggregate, value),
            None => {
                books.gauges.insert(name.into(), (aggregate, value));
            }
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn readings(&mut self, at: Moment, last: bool) -> Vec<Reading> {
        let mut readings = Vec::with_capacity(self.gauges.len() + self.counts.len() + 11);
        if !last {
            readings.extend(self.gauges.iter().map(|(name, &(aggregate, value))| Reading {
                name: Arc::clone(name),
                aggregate,
                value,
            }));
        }
        for (name, count) in &mut self.counts {
            let value = std::mem::take(count) as f64;
            readings.push(Reading { name: Arc::clone(name), aggregate: Aggregate::Count, value });
        }
        if let Some(server) = &self.server {
            readings.extend(server.take(at));
        }
        readings
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({})", self.0.origin.instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Ending, Fate};

    fn recorder() -> Recorder {
        let origin = Origin { system: "ec2".into(), service: "dwfm".into(), instance: "dwfm-1".into() };
        Recorder::new(Clock::virtual_time(), origin, Span::from_secs(60))
    }

    fn at(seconds: u64) -> Moment {
        Moment::START + Span::from_secs(seconds)
    }

    fn readings(reports: &[Report]) -> Vec<(String, f64)> {
        let samples =
            reports.iter().filter_map(|r| if let Report::Sample(sample) = r { Some(sample) } else { None });
        samples.flat_map(|s| s.readings.iter().map(|r| (r.name.to_string(), r.value))).collect()
    }

    #[test]
    fn a_gauge_stays_and_a_count_starts_again() {
        let recorder = recorder();
        recorder.gauge("leases.held", 7.0);
        recorder.gauge("leases.held", f64::NAN);
        recorder.count("expired", 3);
        let expected = |count| vec![("leases.held".to_owned(), 7.0), ("expired".to_owned(), count)];
        assert_eq!(readings(&recorder.take(at(10))), expected(3.0));
        assert_eq!(readings(&recorder.take(at(20))), expected(0.0));
    }

    #[test]
    fn the_dead_hold_nothing() {
        let recorder = recorder();
        recorder.gauge("leases.held", 7.0);
        recorder.count("expired", 3);
        assert_eq!(readings(&recorder.take_last(at(10))), [("expired".to_owned(), 3.0)]);
        recorder.died();
        assert_eq!(
            readings(&recorder.take(at(20))),
            [("expired".to_owned(), 0.0)],
            "but its counts are known"
        );
    }

    #[test]
    fn latencies_come_at_their_own_slower_interval_and_at_the_end() {
        let recorder = recorder();
        let edge = recorder.edge("dwfm", "dynamodb");
        let mut with_latencies = Vec::new();
        for tick in 1..=13 {
            edge.attempt(0, Ending::Ok, at(tick), at(tick));
            for report in recorder.take(at(tick * 10)) {
                if matches!(&report, Report::Edge(EdgeReport { histograms: Some(_), .. })) {
                    with_latencies.push(tick * 10);
                }
            }
        }
        assert_eq!(with_latencies, [60, 120]);
        let last = recorder.take_last(at(130));
        assert!(matches!(last[..], [Report::Edge(EdgeReport { histograms: Some(_), .. })]), "{last:?}");
    }

    #[test]
    fn an_idle_edge_says_nothing() {
        let recorder = recorder();
        let _edge = recorder.edge("dwfm", "dynamodb");
        assert_eq!(recorder.take(at(60)), []);
    }

    #[test]
    fn a_server_keeps_latencies_only_if_asked_and_hands_them_over_once() {
        let served = |reports: &[Report]| -> Vec<(u64, u64)> {
            let of = |report: &Report| match report {
                Report::Served(served) => Some((served.answered.count(), served.unanswered.count())),
                _ => None,
            };
            reports.iter().filter_map(of).collect()
        };
        let caller: Arc<str> = "customers".into();
        let recorder = recorder();
        recorder.server().answered(Some(&caller), Ending::Ok, Span::from_millis(2));
        assert_eq!(served(&recorder.take_last(at(10))), [], "nobody asked");
        recorder.keep_server_latencies();
        for ending in [Ending::Ok, Ending::Failed, Ending::TimedOut] {
            recorder.server().answered(Some(&caller), ending, Span::from_millis(2));
        }
        assert_eq!(served(&recorder.take(at(20))), [], "not due yet");
        assert_eq!(served(&recorder.take(at(60))), [(1, 2)]);
        recorder.server().answered(Some(&caller), Ending::Ok, Span::from_millis(2));
        assert_eq!(served(&recorder.take_last(at(70))), [(1, 0)], "and it goes on after that");
    }

    #[test]
    fn a_flood_of_events_is_cut_and_counted() {
        let recorder = recorder();
        for _ in 0..EVENTS_AT_MOST + 5 {
            recorder.event("lease.lost", &[]);
        }
        let reports = recorder.take(at(10));
        assert_eq!(reports.len(), EVENTS_AT_MOST + 1, "as many as fit, and one that says so");
        let Some(Report::Event(event)) = reports.last() else { panic!("{:?}", reports.last()) };
        assert_eq!((event.kind.as_str(), event.fields["count"].as_str()), ("record.events-dropped", "5"));
    }

    #[test]
    fn reports_survive_the_pipe() {
        let recorder = recorder();
        recorder.event("lease.lost", &[("droplet", "d-17".to_owned())]);
        recorder.gauge_max("queue.age_s", 1.5);
        recorder.count("expired", 1);
        recorder.server().ended(Fate::Served, Span::from_secs(1), true);
        recorder.server().wasted(Some(&"customers".into()), Span::from_millis(3));
        recorder.keep_server_latencies();
        recorder.server().answered(Some(&"customers".into()), Ending::Ok, Span::from_millis(2));
        let edge = recorder.edge("dwfm", "dynamodb");
        edge.request(Ending::Failed, at(1), at(1), at(2));
        edge.short_circuited("breaker");
        edge.breakers(|breakers| breakers.all += 1);
        for report in recorder.take(at(60)) {
            let line = serde_json::to_string(&report).unwrap();
            let read: Report = serde_json::from_str(&line).unwrap();
            assert!(!line.contains('\n'), "one line each: {line}");
            // Histograms are compared as text: what was read has no spare room.
            assert_eq!(serde_json::to_string(&read).unwrap(), line);
        }
    }
}
