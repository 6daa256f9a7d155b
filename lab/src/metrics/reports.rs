//! Reports of instances as samples.

use std::borrow::Cow;
use std::sync::Arc;

use eastfall_fabric::record::{
    Aggregate, EdgeReport, Ending, Event, Layout, Measure, Reading, Report, Sample, ServedReport, WasteReport,
};

use super::book::{Book, INSTANCE, Kind, Labels, Metric};
use crate::journal::LAB;

const CLIENT_CALLS: Metric = Metric::new(
    "rpc_client_call_duration_seconds",
    Kind::Histogram,
    "How long calls took their callers, all attempts together, in seconds of incident time.",
);
const SERVER_CALLS: Metric = Metric::new(
    "rpc_server_call_duration_seconds",
    Kind::Histogram,
    "How long calls were at their server, in seconds of incident time.",
);
const ATTEMPTS: Metric = Metric::new(
    "grpc_client_attempt_duration_seconds",
    Kind::Histogram,
    "How long single attempts at calls took, in seconds of incident time.",
);
const GRAPH_REQUESTS: Metric =
    Metric::new("traces_service_graph_request", Kind::Counter, "Requests between two services.");
const GRAPH_FAILED: Metric = Metric::new(
    "traces_service_graph_request_failed",
    Kind::Counter,
    "Requests between two services that were not answered.",
);
const GRAPH_CLIENT: Metric = Metric::new(
    "traces_service_graph_request_client_seconds",
    Kind::Histogram,
    "How long requests between two services took the client, in seconds of incident time.",
);
const GRAPH_SERVER: Metric = Metric::new(
    "traces_service_graph_request_server_seconds",
    Kind::Histogram,
    "How long requests between two services took the server, in seconds of incident time.",
);
const INTENDED: Metric = Metric::new(
    "eastfall_edge_request_duration_seconds",
    Kind::Histogram,
    "How long requests took from when they were meant to start, in seconds of incident time.",
);
const REQUESTS: Metric = Metric::new(
    "eastfall_edge_requests",
    Kind::Counter,
    "Requests that ended: ok, failed, rejected on purpose, or timed-out.",
);
const ATTEMPTS_ENDED: Metric = Metric::new(
    "eastfall_edge_attempts",
    Kind::Counter,
    "Attempts at requests that ended: ok, failed, rejected on purpose, or timed-out.",
);
const RETRIES: Metric =
    Metric::new("eastfall_edge_retries", Kind::Counter, "Attempts that were not a request's first.");
const SHORT_CIRCUITED: Metric = Metric::new(
    "eastfall_edge_short_circuited",
    Kind::Counter,
    "Requests or attempts that a policy of the client kept back.",
);
const BREAKERS: Metric = Metric::new(
    "eastfall_edge_breakers",
    Kind::Gauge,
    "Circuit breakers by state: closed (traffic flows), open or half-open.",
);
const WASTED: Metric = Metric::new(
    "eastfall_edge_wasted_requests",
    Kind::Counter,
    "Requests that the callee worked on although their caller had given up.",
);
const WASTED_SECONDS: Metric = Metric::new(
    "eastfall_edge_wasted_worker_seconds",
    Kind::Counter,
    "Time of the callee's workers that went into such requests, in seconds of incident time.",
);
const EVENTS: Metric = Metric::new("eastfall_events", Kind::Counter, "Events by kind.");
const ADDRESSES: Metric =
    Metric::new("eastfall_service_addresses", Kind::Gauge, "Addresses under a name of the region's DNS.");

/// The services' own series that are named after something: the name is a label.
const NAMED: &str = "addresses.";

const ENDINGS: [(Ending, &str); 4] = [
    (Ending::Ok, "ok"),
    (Ending::Failed, "failed"),
    (Ending::Rejected, "rejected"),
    (Ending::TimedOut, "timed-out"),
];

/// OpenTelemetry's word for an error that has no better name: instances report endings, not status codes.
const OTHER_ERROR: &str = "_OTHER";

/// Whose a report is, in labels.
fn whose(layout: &Layout, instance: &Arc<str>, service: &Arc<str>) -> Labels {
    if **service == *LAB {
        return Labels::new();
    }
    let system =
        layout.services.get(service).map_or_else(|| Arc::clone(service), |role| Arc::clone(&role.system));
    vec![(INSTANCE, Arc::clone(instance)), ("service", Arc::clone(service)), ("system", system)]
}

fn with<const N: usize>(labels: &Labels, more: [(&'static str, Arc<str>); N]) -> Labels {
    labels.iter().cloned().chain(more).collect()
}

/// Takes up a report.
pub(super) fn add(book: &mut Book, layout: &Layout, report: &Report) {
    match report {
        Report::Event(event) => add_event(book, layout, event),
        Report::Sample(sample) => add_sample(book, layout, sample),
        Report::Edge(edge) => add_edge(book, layout, edge),
        Report::Waste(waste) => add_waste(book, layout, waste),
        Report::Served(served) => add_served(book, layout, served),
    }
}

fn add_event(book: &mut Book, layout: &Layout, event: &Event) {
    let own = whose(layout, &event.instance, &event.service);
    book.add(&EVENTS, with(&own, [("kind", event.kind.as_str().into())]), 1.0);
}

fn add_sample(book: &mut Book, layout: &Layout, sample: &Sample) {
    let own = whose(layout, &sample.instance, &sample.service);
    for Reading { name, aggregate, value } in &sample.readings {
        if let Some(of) = name.strip_prefix(NAMED) {
            book.set(&ADDRESSES, with(&own, [("name", of.into())]), *value);
            continue;
        }
        match aggregate {
            Aggregate::Count => book.add(&of_service(name, Kind::Counter), own.clone(), *value),
            Aggregate::Sum | Aggregate::Maximum => {
                book.set(&of_service(name, Kind::Gauge), own.clone(), *value)
            }
        }
    }
}

/// A series of a service as a metric: `server.time_s` is `eastfall_service_server_time_seconds_total`.
fn of_service(series: &str, kind: Kind) -> Metric {
    let base = series.strip_suffix("_s").map_or_else(|| series.to_owned(), |base| format!("{base}_seconds"));
    let plain: String = base.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let help = format!("The series '{series}' of a service; seconds are incident time.");
    Metric { name: Cow::Owned(format!("eastfall_service_{plain}")), kind, help: Cow::Owned(help) }
}

fn add_edge(book: &mut Book, layout: &Layout, report: &EdgeReport) {
    let own = whose(layout, &report.instance, &report.caller);
    let edge = with(&own, [("caller", Arc::clone(&report.caller)), ("callee", Arc::clone(&report.callee))]);
    let tally = &report.tally;
    for (ending, name) in ENDINGS {
        let labels = || with(&edge, [("ending", name.into())]);
        book.add(&REQUESTS, labels(), tally.requests.of(ending) as f64);
        book.add(&ATTEMPTS_ENDED, labels(), tally.attempts.of(ending) as f64);
    }
    book.add(&RETRIES, edge.clone(), tally.retries as f64);
    for (policy, count) in &tally.short_circuited {
        book.add(&SHORT_CIRCUITED, with(&edge, [("policy", policy.as_str().into())]), *count as f64);
    }
    let breakers = report.breakers;
    if !breakers.is_empty() {
        let closed = breakers.all.saturating_sub(breakers.open + breakers.half_open);
        let states = [("closed", closed), ("open", breakers.open), ("half-open", breakers.half_open)];
        for (state, count) in states {
            book.set(&BREAKERS, with(&edge, [("state", state.into())]), f64::from(count));
        }
    }
    let graph = graph(&own, &report.caller, &report.callee);
    book.add(&GRAPH_REQUESTS, graph.clone(), tally.requests.total() as f64);
    book.add(&GRAPH_FAILED, graph.clone(), tally.requests.unanswered() as f64);

    let Some(histograms) = &report.histograms else { return };
    for (measure, latencies) in histograms.iter() {
        use Measure::*;
        let answered = matches!(measure, IntendedOk | ActualOk | FirstAttemptOk | RetryOk);
        let retry: Arc<str> = if matches!(measure, RetryOk | RetryFailed) { "true" } else { "false" }.into();
        match measure {
            IntendedOk | IntendedFailed => {
                let answered: Arc<str> = if answered { "true" } else { "false" }.into();
                book.observe(&INTENDED, with(&edge, [("answered", answered)]), latencies);
            }
            ActualOk | ActualFailed => {
                book.observe(&CLIENT_CALLS, rpc(&own, Some(&report.callee), answered), latencies);
                book.observe(&GRAPH_CLIENT, graph.clone(), latencies);
            }
            FirstAttemptOk | FirstAttemptFailed | RetryOk | RetryFailed => {
                let mut labels = with(&own, [("grpc_target", Arc::clone(&report.callee)), ("retry", retry)]);
                labels.extend(error(answered));
                book.observe(&ATTEMPTS, labels, latencies);
            }
        }
    }
}

fn add_waste(book: &mut Book, layout: &Layout, report: &WasteReport) {
    let (caller, callee) = &report.edge;
    let own = whose(layout, &report.instance, callee);
    let edge = with(&own, [("caller", Arc::clone(caller)), ("callee", Arc::clone(callee))]);
    book.add(&WASTED, edge.clone(), report.waste.requests as f64);
    book.add(&WASTED_SECONDS, edge, report.waste.worker.as_secs_f64());
}

fn add_served(book: &mut Book, layout: &Layout, report: &ServedReport) {
    let (caller, callee) = &report.edge;
    let own = whose(layout, &report.instance, callee);
    for (latencies, answered) in [(&report.answered, true), (&report.unanswered, false)] {
        if latencies.count() > 0 {
            book.observe(&SERVER_CALLS, rpc(&own, None, answered), latencies);
            book.observe(&GRAPH_SERVER, graph(&own, caller, callee), latencies);
        }
    }
}

fn graph(own: &Labels, client: &Arc<str>, server: &Arc<str>) -> Labels {
    with(
        own,
        [("client", Arc::clone(client)), ("server", Arc::clone(server)), ("connection_type", "".into())],
    )
}

fn rpc(own: &Labels, server: Option<&Arc<str>>, answered: bool) -> Labels {
    let mut labels = with(own, [("rpc_system_name", "grpc".into())]);
    labels.extend(server.map(|server| ("server_address", Arc::clone(server))));
    labels.extend(error(answered));
    labels
}

fn error(answered: bool) -> Option<(&'static str, Arc<str>)> {
    (!answered).then(|| ("error_type", OTHER_ERROR.into()))
}
