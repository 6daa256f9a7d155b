//! A live fleet's metrics: what its instances report, and what only the lab knows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::clock::Clock;
use eastfall_fabric::engine::live::LiveClock;
use eastfall_fabric::record::{Event, Layout, Report, Results, SystemTotals};
use eastfall_topology::time::{Moment, Span};

use super::book::{Book, Format, INSTANCE, Kind, Labels, Metric, Whose};
use super::reports;
use crate::journal::LAB;
use crate::live::supervisor::{Standing, Supervisor};
use crate::session::Session;

const INFO: Metric = Metric::new("eastfall_info", Kind::Gauge, "What is run; always 1.");
const DATE: Metric = Metric::new(
    "eastfall_incident_timestamp_seconds",
    Kind::Gauge,
    "The incident's clock, in seconds of the Unix epoch.",
);
const RUN: Metric =
    Metric::new("eastfall_run_seconds", Kind::Gauge, "Incident time since the run began, in seconds.");
const SPEED: Metric = Metric::new(
    "eastfall_clock_speed",
    Kind::Gauge,
    "How many seconds of incident time pass in a second of the wall's.",
);
const STATE: Metric = Metric::new(
    "eastfall_instance_state",
    Kind::Gauge,
    "1 for the state an instance's process is in: starting, up, paused or down.",
);
const STEP: Metric = Metric::new(
    "eastfall_step_started_run_seconds",
    Kind::Gauge,
    "When a step of the scenario began, in seconds since the run began.",
);
const FAULTS: Metric = Metric::new("eastfall_faults", Kind::Gauge, "Faults in force.");
const REQUESTS: Metric =
    Metric::new("eastfall_system_requests", Kind::Counter, "Requests of a system's customers.");
const UNANSWERED: Metric = Metric::new(
    "eastfall_system_unanswered",
    Kind::Counter,
    "Requests of a system's customers that failed, were rejected or timed out.",
);
const RETRIES: Metric = Metric::new(
    "eastfall_system_retries",
    Kind::Counter,
    "Attempts of a system's customers beyond the first.",
);
const ERROR_SHARE: Metric = Metric::new(
    "eastfall_system_error_share",
    Kind::Gauge,
    "The share of a system's requests that went unanswered in the last sampling interval, 0 to 1.",
);
const WINDOWS: Metric =
    Metric::new("eastfall_system_windows", Kind::Counter, "Impact windows of a system that have opened.");
const IMPAIRED: Metric =
    Metric::new("eastfall_system_impaired", Kind::Gauge, "1 while a system's impact window is open.");
const IMPACT: Metric = Metric::new(
    "eastfall_system_impact_seconds",
    Kind::Counter,
    "The length of a system's impact windows together, in seconds of incident time.",
);

const STATES: [(Standing, &str); 4] = [
    (Standing::Starting, "starting"),
    (Standing::Up, "up"),
    (Standing::Paused, "paused"),
    (Standing::Down, "down"),
];

/// The pages that Prometheus asks for.
pub(crate) struct FleetMetrics {
    clock: Clock,
    timeline: Timeline,
    supervisor: Supervisor,
    layout: Layout,
    /// Instance, service, system.
    instances: Vec<(Arc<str>, Arc<str>, Arc<str>)>,
    info: Labels,
    /// Systems are summed up anew no more often than this, since all rows of the run are gone through for it.
    every: Span,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    book: Book,
    faults: f64,
    summed: Option<Moment>,
}

/// An answer to a scrape.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) text: String,
}

const PLAIN: &str = "text/plain; charset=utf-8";

impl FleetMetrics {
    /// Of a fleet that has just begun.
    pub(crate) fn new(session: &Session, supervisor: &Supervisor, clock: Clock, layout: Layout) -> Arc<Self> {
        let speed = clock.as_live().map_or(1.0, LiveClock::speed);
        let instances = session.topology.services.values().flat_map(|service| {
            let (name, system): (Arc<str>, Arc<str>) =
                (service.name.as_str().into(), service.system.as_str().into());
            let of =
                move |instance: &String| (instance.as_str().into(), Arc::clone(&name), Arc::clone(&system));
            service.instances.iter().map(of).collect::<Vec<_>>()
        });
        let info = vec![
            ("scenario", session.scenario.id.as_str().into()),
            ("seed", session.seed.to_string().into()),
            ("version", env!("CARGO_PKG_VERSION").into()),
        ];
        Arc::new(FleetMetrics {
            clock,
            timeline: session.scenario.timeline,
            supervisor: supervisor.clone(),
            layout,
            instances: instances.collect(),
            info,
            every: Span::from_secs_f64(speed),
            seen: Mutex::default(),
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up a report.
    pub(crate) fn add(&self, report: &Report) {
        let mut seen = self.seen();
        if let Report::Event(event) = report {
            note_event(&mut seen, event);
        }
        reports::add(&mut seen.book, &self.layout, report);
    }

    /// An instance has died.
    pub(crate) fn died(&self, instance: &str) {
        self.seen().book.forget_gauges(instance);
    }

    /// Takes up how systems do.
    pub(crate) fn note(&self, results: &Results) {
        let now = self.clock.now();
        let mut seen = self.seen();
        if seen.summed.is_some_and(|summed| now.since(summed) < self.every) {
            return;
        }
        seen.summed = Some(now);
        for system in results.systems() {
            let share = results.series().values(&format!("system.{}.error_share", system.name));
            let share = share.and_then(<[f64]>::last).copied().unwrap_or(0.0);
            let end = Moment::START + results.length();
            note_system(&mut seen.book, &system, share, end, self.layout.window_quiet);
        }
    }

    /// The page at a path.
    pub(super) fn page(&self, path: &str, host: &str, format: Format) -> Page {
        let whole = |text| Page { status: 200, content_type: format.content_type(), text };
        match path.strip_prefix("/metrics") {
            Some("") => whole(self.write(format, Whose::Everybodys)),
            Some("/lab") => whole(self.write(format, Whose::Labs)),
            Some(part) => match part.strip_prefix('/') {
                Some(name) if self.instances.iter().any(|(instance, ..)| **instance == *name) => {
                    self.page_of(name, format)
                }
                _ => missing(path),
            },
            None if path == "/sd" => {
                Page { status: 200, content_type: "application/json", text: self.discovery(host) }
            }
            None if path == "/" => Page { status: 200, content_type: PLAIN, text: INDEX.to_owned() },
            None => missing(path),
        }
    }

    /// An instance's own page. One that is not up does not answer, whoever writes its page.
    fn page_of(&self, name: &str, format: Format) -> Page {
        match self.supervisor.standing(name) {
            Some((Standing::Up, _)) => Page {
                status: 200,
                content_type: format.content_type(),
                text: self.write(format, Whose::Instances(name)),
            },
            standing => {
                let standing = standing.map_or(Standing::Down, |(standing, _)| standing);
                let text = format!("{name} is {}\n", format!("{standing:?}").to_lowercase());
                Page { status: 503, content_type: PLAIN, text }
            }
        }
    }

    fn write(&self, format: Format, whose: Whose<'_>) -> String {
        let now = self.clock.now();
        let mut seen = self.seen();
        let faults = seen.faults;
        let book = &mut seen.book;
        book.set(&INFO, self.info.clone(), 1.0);
        book.set(&DATE, Labels::new(), self.timeline.date(now).as_millisecond() as f64 / 1e3);
        book.set(&RUN, Labels::new(), now.since_start().as_secs_f64());
        book.set(&SPEED, Labels::new(), self.clock.as_live().map_or(1.0, LiveClock::speed));
        book.set(&FAULTS, Labels::new(), faults);
        for (instance, service, system) in &self.instances {
            let standing =
                self.supervisor.standing(instance).map_or(Standing::Down, |(standing, _)| standing);
            for (state, name) in STATES {
                // The lab's word, and so without a label that would make it the instance's.
                let labels = vec![
                    ("name", Arc::clone(instance)),
                    ("service", Arc::clone(service)),
                    ("state", name.into()),
                    ("system", Arc::clone(system)),
                ];
                book.set(&STATE, labels, if state == standing { 1.0 } else { 0.0 });
            }
        }
        book.write(format, &whose)
    }

    /// Prometheus's HTTP service discovery: where each part is to be scraped, under which labels.
    fn discovery(&self, host: &str) -> String {
        let target = |path: &str, labels: &[(&str, &str)]| {
            let path = ("__metrics_path__", format!("/metrics/{path}"));
            let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).chain([path]);
            let labels: serde_json::Map<_, _> =
                labels.map(|(name, value)| (name.to_owned(), value.into())).collect();
            serde_json::json!({ "targets": [host], "labels": labels })
        };
        let lab = target(LAB, &[(INSTANCE, LAB), ("service", LAB), ("system", LAB)]);
        let instances = self.instances.iter().map(|(instance, service, system)| {
            target(instance, &[(INSTANCE, instance), ("service", service), ("system", system)])
        });
        serde_json::Value::Array(std::iter::once(lab).chain(instances).collect()).to_string()
    }
}

const INDEX: &str = "eastfall: /metrics, /metrics/INSTANCE, /metrics/lab, /sd\n";

fn missing(path: &str) -> Page {
    Page { status: 404, content_type: PLAIN, text: format!("{path}: there is no such page; {INDEX}") }
}

fn note_event(seen: &mut Seen, event: &Event) {
    let at = event.at.since_start().as_secs_f64();
    match event.kind.as_str() {
        "fault.injected" => seen.faults += 1.0,
        "fault.ended" => seen.faults = (seen.faults - 1.0).max(0.0),
        "step.started" => {
            let step: Arc<str> = event.fields.get("id").map_or("", String::as_str).into();
            seen.book.set(&STEP, vec![("step", step)], at);
        }
        _ => {}
    }
}

fn note_system(book: &mut Book, system: &SystemTotals, share: f64, end: Moment, quiet: Span) {
    let labels = || vec![("system", Arc::clone(&system.name))];
    let requests = system.tally.requests;
    book.set(&REQUESTS, labels(), requests.total() as f64);
    book.set(&UNANSWERED, labels(), requests.unanswered() as f64);
    book.set(&RETRIES, labels(), system.tally.retries as f64);
    book.set(&ERROR_SHARE, labels(), share);
    book.set(&WINDOWS, labels(), system.windows.len() as f64);
    book.set(&IMPACT, labels(), system.impact().as_secs_f64());
    // A window closes once it has been quiet for long enough.
    let open = system.windows.last().is_some_and(|window| end.since(window.to) < quiet);
    book.set(&IMPAIRED, labels(), if open { 1.0 } else { 0.0 });
}
