//! What a scrape says: text and buckets as the formats want them, and whose samples are in which part.

use std::sync::Arc;

use eastfall_fabric::record::{
    Aggregate, EdgeReport, Ending, Event, Histograms, Latencies, Layout, Measure, Reading, Report, Role,
    Sample, ServedReport, Tally,
};
use eastfall_topology::time::{Moment, Span};

use super::book::{Book, Format, INSTANCE, Kind, Metric, Whose};
use super::buckets::{BOUNDS, Buckets};
use super::reports;

const COUNTED: Metric = Metric::new("eastfall_test", Kind::Counter, "Tests \"told\"\nin a \\ line.");

fn layout() -> Layout {
    let role = |system: &str, calls: &[&str]| Role {
        system: system.into(),
        customers: false,
        calls: calls.iter().map(|&callee| callee.into()).collect(),
    };
    Layout {
        sample: Span::from_secs(10),
        histograms: Span::from_mins(1),
        window_share: 0.05,
        window_quiet: Span::from_mins(5),
        services: [("dwfm".into(), role("ec2", &["dynamodb"])), ("dynamodb".into(), role("dynamodb", &[]))]
            .into_iter()
            .collect(),
    }
}

fn page(reports: &[Report], format: Format, whose: &Whose<'_>) -> String {
    let (mut book, layout) = (Book::default(), layout());
    for report in reports {
        reports::add(&mut book, &layout, report);
    }
    book.write(format, whose)
}

/// The value of the one sample that begins so.
fn value(page: &str, sample: &str) -> f64 {
    let mut found = page.lines().filter_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    let value = found.next().unwrap_or_else(|| panic!("no {sample} in\n{page}"));
    assert_eq!(found.next(), None, "{sample} is there twice in\n{page}");
    value.parse().unwrap()
}

fn latencies(millis: &[u64]) -> Latencies {
    let mut latencies = Latencies::default();
    for &millis in millis {
        latencies.record(Span::from_millis(millis));
    }
    latencies
}

fn edge(instance: &str) -> Report {
    let mut tally = Tally::default();
    for ending in [Ending::Ok, Ending::Ok, Ending::TimedOut] {
        tally.requests.add(ending);
        tally.attempts.add(ending);
    }
    let histograms: Histograms =
        [(Measure::ActualOk, latencies(&[3, 40])), (Measure::ActualFailed, latencies(&[1_000]))]
            .into_iter()
            .collect();
    Report::Edge(EdgeReport {
        at: Moment::START,
        caller: "dwfm".into(),
        callee: "dynamodb".into(),
        instance: instance.into(),
        tally,
        breakers: eastfall_fabric::record::Breakers { all: 3, open: 1, half_open: 0 },
        histograms: Some(Box::new(histograms)),
    })
}

#[test]
fn text_is_escaped_as_each_format_wants_it() {
    let mut book = Book::default();
    book.add(&COUNTED, vec![("step", Arc::from("a \"b\"\\\n"))], 2.0);
    let text = book.write(Format::Text, &Whose::Everybodys);
    assert_eq!(
        text,
        "# HELP eastfall_test_total Tests \"told\"\\nin a \\\\ line.\n# TYPE eastfall_test_total counter\n\
         eastfall_test_total{step=\"a \\\"b\\\"\\\\\\n\"} 2\n"
    );
    let open = book.write(Format::OpenMetrics, &Whose::Everybodys);
    assert_eq!(
        open,
        "# HELP eastfall_test Tests \\\"told\\\"\\nin a \\\\ line.\n# TYPE eastfall_test counter\n\
         eastfall_test_total{step=\"a \\\"b\\\"\\\\\\n\"} 2\n# EOF\n"
    );
}

#[test]
fn buckets_cumulate_and_end_in_all() {
    let mut buckets = Buckets::default();
    buckets.add(&latencies(&[1, 3, 40, 700_000]));
    let cumulated: Vec<u64> = buckets.cumulated().map(|(_, count)| count).collect();
    assert_eq!(cumulated.len(), BOUNDS.len());
    assert!(cumulated.is_sorted(), "{cumulated:?}");
    assert_eq!((cumulated[BOUNDS.len() - 1], buckets.count()), (3, 4), "one is beyond the last bound");
    assert!((buckets.sum() / 700.044 - 1.0).abs() < 0.01, "{}", buckets.sum());
}

#[test]
fn an_edge_is_told_in_everybodys_words() {
    let text = page(&[edge("dwfm-1")], Format::Text, &Whose::Everybodys);
    let own = "instance=\"dwfm-1\",service=\"dwfm\",system=\"ec2\"";
    let call = |end: &str| format!("rpc_client_call_duration_seconds_{end}");
    let rpc = format!("{{{own},rpc_system_name=\"grpc\",server_address=\"dynamodb\"");
    assert_eq!(value(&text, &(call("count") + &rpc + "}")), 2.0);
    assert_eq!(value(&text, &(call("count") + &rpc + ",error_type=\"_OTHER\"}")), 1.0);
    assert_eq!(value(&text, &(call("bucket") + &rpc + ",le=\"0.005\"}")), 1.0);
    assert_eq!(value(&text, &(call("bucket") + &rpc + ",le=\"+Inf\"}")), 2.0);
    let graph = format!("{{{own},client=\"dwfm\",server=\"dynamodb\",connection_type=\"\"}}");
    assert_eq!(value(&text, &format!("traces_service_graph_request_total{graph}")), 3.0);
    assert_eq!(value(&text, &format!("traces_service_graph_request_failed_total{graph}")), 1.0);
    let ours = format!("{{{own},caller=\"dwfm\",callee=\"dynamodb\"");
    assert_eq!(value(&text, &format!("eastfall_edge_requests_total{ours},ending=\"timed-out\"}}")), 1.0);
    assert_eq!(
        value(&text, &format!("eastfall_edge_requests_total{ours},ending=\"failed\"}}")),
        0.0,
        "known before the first, so that its rate is"
    );
    assert_eq!(value(&text, &format!("eastfall_edge_breakers{ours},state=\"closed\"}}")), 2.0);
}

#[test]
fn what_a_server_took_is_told_by_client() {
    let served = Report::Served(ServedReport {
        at: Moment::START,
        edge: ("dwfm".into(), "dynamodb".into()),
        instance: "dynamodb-1".into(),
        answered: Box::new(latencies(&[3])),
        unanswered: Box::default(),
    });
    let text = page(&[served], Format::Text, &Whose::Everybodys);
    let own = "instance=\"dynamodb-1\",service=\"dynamodb\",system=\"dynamodb\"";
    assert_eq!(
        value(&text, &format!("rpc_server_call_duration_seconds_count{{{own},rpc_system_name=\"grpc\"}}")),
        1.0
    );
    let graph = format!("{{{own},client=\"dwfm\",server=\"dynamodb\",connection_type=\"\"}}");
    assert_eq!(value(&text, &format!("traces_service_graph_request_server_seconds_count{graph}")), 1.0);
    assert!(!text.contains("_OTHER"), "nothing failed: {text}");
}

fn sample(readings: &[(&str, Aggregate, f64)]) -> Report {
    let reading =
        |&(name, aggregate, value): &(&str, Aggregate, f64)| Reading { name: name.into(), aggregate, value };
    Report::Sample(Sample {
        at: Moment::START,
        service: "dwfm".into(),
        instance: "dwfm-1".into(),
        readings: readings.iter().map(reading).collect(),
    })
}

#[test]
fn counts_add_up_and_states_are_replaced() {
    let report = sample(&[
        ("server.time_s", Aggregate::Count, 1.5),
        ("changes-pending", Aggregate::Sum, 7.0),
        ("addresses.dynamodb.test", Aggregate::Sum, 3.0),
    ]);
    let text = page(&[report.clone(), report], Format::Text, &Whose::Everybodys);
    let own = "instance=\"dwfm-1\",service=\"dwfm\",system=\"ec2\"";
    assert_eq!(value(&text, &format!("eastfall_service_server_time_seconds_total{{{own}}}")), 3.0);
    assert_eq!(value(&text, &format!("eastfall_service_changes_pending{{{own}}}")), 7.0);
    assert_eq!(value(&text, &format!("eastfall_service_addresses{{{own},name=\"dynamodb.test\"}}")), 3.0);
}

#[test]
fn the_dead_hold_nothing_but_their_counts_stay() {
    let (mut book, layout) = (Book::default(), layout());
    let report = sample(&[("served", Aggregate::Count, 2.0), ("queue", Aggregate::Sum, 7.0)]);
    reports::add(&mut book, &layout, &report);
    book.forget_gauges("dwfm-1");
    let text = book.write(Format::Text, &Whose::Everybodys);
    assert!(
        text.contains("eastfall_service_served_total{") && !text.contains("eastfall_service_queue"),
        "{text}"
    );
}

#[test]
fn parts_are_disjoint_and_together_the_whole() {
    let event = |service: &str, instance: &str| {
        Report::Event(Event {
            at: Moment::START,
            system: service.into(),
            service: service.into(),
            instance: instance.into(),
            kind: "breaker.opened".to_owned(),
            fields: Default::default(),
        })
    };
    let reports = [edge("dwfm-1"), edge("dwfm-2"), event("dwfm", "dwfm-1"), event("lab", "controller")];
    let lines = |whose: Whose<'_>| -> Vec<String> {
        let text = page(&reports, Format::Text, &whose);
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    let mut parts: Vec<String> = [Whose::Instances("dwfm-1"), Whose::Instances("dwfm-2"), Whose::Labs]
        .into_iter()
        .flat_map(lines)
        .collect();
    let mut whole = lines(Whose::Everybodys);
    parts.sort();
    whole.sort();
    assert_eq!(parts, whole);
    assert_eq!(lines(Whose::Labs), ["eastfall_events_total{kind=\"breaker.opened\"} 1"]);
    assert!(whole.iter().all(|line| !line.contains("controller")), "the lab is no {INSTANCE}");
}

#[test]
fn a_client_gets_openmetrics_if_it_asks() {
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4";
    assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
    assert_eq!(Format::accepted("*/*"), Format::Text);
}
