//! A small run's worth of reports, and what the books must say of it.

use super::*;
use crate::clock::Clock;
use crate::record::{Breakers, EdgeRecorder, Fate, Measure, Origin, Recorder, Role, Window};
use proptest::prelude::*;

fn at(seconds: u64) -> Moment {
    Moment::START + Span::from_secs(seconds)
}

fn layout() -> Layout {
    let role = |system: &str, customers, calls: &[&str]| Role {
        system: system.into(),
        customers,
        calls: calls.iter().map(|&callee| callee.into()).collect(),
    };
    let services = [
        ("customers-web", role("customers-web", true, &["dynamodb"])),
        ("dwfm", role("ec2", false, &["dynamodb"])),
        ("dynamodb", role("dynamodb", false, &[])),
    ];
    Layout {
        sample: Span::from_secs(10),
        histograms: Span::from_mins(1),
        window_share: 0.05,
        window_quiet: Span::from_mins(5),
        services: services.into_iter().map(|(name, role)| (name.into(), role)).collect(),
    }
}

fn recorder(service: &str, instance: &str) -> Recorder {
    let origin = Origin { system: service.into(), service: service.into(), instance: instance.into() };
    Recorder::new(Clock::virtual_time(), origin, Span::from_mins(1))
}

/// One request with so many attempts, all but the last of which failed.
fn request(edge: &EdgeRecorder, attempts: u32, ending: Ending, at: Moment) {
    for number in 0..attempts {
        let ending = if number + 1 == attempts { ending } else { Ending::Failed };
        edge.attempt(number, ending, at, at + Span::from_millis(2));
    }
    edge.request(ending, at, at, at + Span::from_millis(u64::from(attempts) * 2));
}

/// Customers ask 10 times a sample for half an hour; everything fails from minute 10 to minute 20, each with a retry.
fn outage() -> Results {
    let mut results = Results::new(layout());
    let customers = recorder("customers-web", "customers-web-1");
    let edge = customers.edge("customers-web", "dynamodb");
    for tick in 0..180 {
        let bad = (60..120).contains(&tick);
        for _ in 0..10 {
            let (attempts, ending) = if bad { (2, Ending::Failed) } else { (1, Ending::Ok) };
            request(&edge, attempts, ending, at(tick * 10));
        }
        for report in customers.take(at(tick * 10 + 10)) {
            results.add(report);
        }
        results.close(at(tick * 10 + 10));
    }
    results.finish(at(1800));
    results
}

#[test]
fn an_outage_shows_in_windows_series_and_totals() {
    let results = outage();
    let systems: Vec<SystemTotals> = results.systems().collect();
    let [dynamodb] = &systems[..] else { panic!("only dynamodb is called: {systems:?}") };
    assert_eq!(dynamodb.windows, [Window { from: at(600), to: at(1200) }]);
    assert_eq!(dynamodb.impact(), Span::from_mins(10));
    assert_eq!(
        (dynamodb.tally.requests.total(), dynamodb.failed(), dynamodb.tally.retries),
        (1800, 600, 600)
    );
    assert_eq!((dynamodb.goodput, dynamodb.peak_amplification), (1200.0 / 1800.0, 2.0));
    assert_eq!(dynamodb.latencies.count(), 1800, "failures count with their latency");

    let share = results.series().values("system.dynamodb.error_share").unwrap();
    assert_eq!((share[59], share[60], share[119], share[120]), (0.0, 1.0, 1.0, 0.0));
    let edge = results.edges().next().unwrap();
    assert_eq!((edge.amplification(), results.peak_amplification(edge)), (2400.0 / 1800.0, 2.0));
    assert_eq!(results.rpcs(), 2400);
    assert_eq!(results.imbalances(), [], "all books agree");
}

#[test]
fn the_error_share_stays_while_nobody_asks() {
    let mut results = Results::new(layout());
    let customers = recorder("customers-web", "customers-web-1");
    let edge = customers.edge("customers-web", "dynamodb");
    request(&edge, 1, Ending::TimedOut, at(1));
    customers.take(at(10)).into_iter().for_each(|report| results.add(report));
    results.close(at(30));
    request(&edge, 1, Ending::Ok, at(31));
    customers.take(at(40)).into_iter().for_each(|report| results.add(report));
    results.close(at(40));
    assert_eq!(results.series().values("system.dynamodb.error_share").unwrap(), [1.0, 1.0, 1.0, 0.0]);
}

#[test]
fn internal_calls_do_not_count_where_there_are_customers() {
    let mut results = Results::new(layout());
    let dwfm = recorder("dwfm", "dwfm-1");
    request(&dwfm.edge("dwfm", "dynamodb"), 1, Ending::Failed, at(1));
    dwfm.take_last(at(10)).into_iter().for_each(|report| results.add(report));
    results.finish(at(10));
    let dynamodb = results.systems().next().unwrap();
    assert_eq!((dynamodb.tally.requests.total(), dynamodb.windows.len()), (0, 0));
    assert_eq!(results.series().values("dwfm->dynamodb.failed").unwrap(), [1.0]);
}

#[test]
fn gauges_are_added_over_instances_and_fall_with_one_that_dies() {
    let mut results = Results::new(layout());
    let hosts = ["dwfm-1", "dwfm-2"].map(|instance| recorder("dwfm", instance));
    for host in &hosts {
        host.gauge("leases.held", 5.0);
        host.gauge_max("oldest_s", if host.origin().instance.ends_with('1') { 3.0 } else { 9.0 });
        host.count("lost", 2);
        host.take(at(10)).into_iter().for_each(|report| results.add(report));
    }
    // The second dies between two ticks.
    hosts[1].count("lost", 1);
    hosts[1].take_last(at(14)).into_iter().for_each(|report| results.add(report));
    hosts[0].take(at(20)).into_iter().for_each(|report| results.add(report));
    results.finish(at(20));
    let values = |name: &str| results.series().values(name).unwrap().to_vec();
    assert_eq!(values("dwfm.leases.held"), [10.0, 5.0]);
    assert_eq!(values("dwfm.oldest_s"), [9.0, 3.0]);
    assert_eq!(values("dwfm.lost"), [4.0, 1.0]);
}

#[test]
fn servers_tell_work_from_wasted_work() {
    let mut results = Results::new(layout());
    let storage = recorder("dynamodb", "dynamodb-1");
    let server = storage.server();
    (0..3).for_each(|_| server.joined_queue(at(0)));
    (1..4).for_each(|second| server.left_queue(at(second)));
    for number in 0..4 {
        server.waited(Span::from_secs(number));
        server.ended(Fate::Served, Span::from_secs(number + 1), number == 3);
    }
    server.ended(Fate::Refused, Span::ZERO, false);
    server.ended(Fate::Cancelled, Span::from_secs(2), true);
    storage.take(at(10)).into_iter().for_each(|report| results.add(report));
    results.finish(at(10));
    let totals = results.server("dynamodb");
    assert_eq!((totals.served, totals.rejected, totals.cancelled), (4, 1, 1));
    assert_eq!(totals.late_share(), 0.25);
    assert_eq!((totals.wait, totals.time), (Span::from_secs(6), Span::from_secs(12)));
    assert_eq!((totals.queued, totals.queue), (3, totals.wait), "nobody left unserved: Little's law");
    assert_eq!(totals.goodput(Span::from_secs(10)), 0.3);
    assert_eq!(results.series().values("dynamodb.server.longest_wait_s").unwrap(), [3.0]);
}

#[test]
fn waste_counts_for_its_edge_and_for_the_system_that_served() {
    let mut results = Results::new(layout());
    let storage = recorder("dynamodb", "dynamodb-1");
    for caller in ["dwfm", "customers-web", "dwfm"] {
        storage.server().wasted(Some(&caller.into()), Span::from_millis(1_500));
    }
    // From outside the region: nobody's edge.
    storage.server().wasted(None, Span::from_millis(1_500));
    storage.take(at(10)).into_iter().for_each(|report| results.add(report));
    results.finish(at(10));
    let total = |name: &str| results.series().total(name);
    assert_eq!((total("dwfm->dynamodb.wasted"), total("dwfm->dynamodb.wasted_s")), (2.0, 3.0));
    assert_eq!((total("system.dynamodb.wasted"), total("system.dynamodb.wasted_s")), (3.0, 4.5));
    assert_eq!(results.server("dynamodb").wasted, Span::from_secs(6));
    let waste = results.systems().next().unwrap().waste;
    assert_eq!(waste, Waste { requests: 3, worker: Span::from_millis(4_500) });
    assert_eq!(results.imbalances(), [], "all books agree");
}

#[test]
fn a_peak_needs_enough_first_attempts() {
    let mut results = Results::new(layout());
    let customers = recorder("customers-web", "customers-web-1");
    let edge = customers.edge("customers-web", "dynamodb");
    // Nine requests of four attempts in the first minute, ten of two in the second.
    for (minute, requests, attempts) in [(0, 9, 4), (1, 10, 2)] {
        (0..requests).for_each(|_| request(&edge, attempts, Ending::Ok, at(minute * 60 + 1)));
        customers.take(at(minute * 60 + 60)).into_iter().for_each(|report| results.add(report));
    }
    results.finish(at(120));
    let edge = results.edges().next().unwrap();
    assert_eq!(edge.amplification(), 56.0 / 19.0);
    assert_eq!(results.peak_amplification(edge), 56.0 / 19.0, "the first minute can't be judged");
    let series = results.series().values("customers-web->dynamodb.amplification").unwrap();
    assert_eq!((series[5], series[11]), (4.0, 2.0));
    assert!(series[6].is_nan(), "nothing was sent");
}

#[test]
fn states_of_breakers_are_added_over_hosts_and_end_with_them() {
    let mut results = Results::new(layout());
    let hosts = ["dwfm-1", "dwfm-2"].map(|instance| recorder("dwfm", instance));
    for host in &hosts {
        let breakers = Breakers { all: 3, open: 1, half_open: 1 };
        host.edge("dwfm", "dynamodb").breakers(|states| *states = breakers);
        host.take(at(10)).into_iter().for_each(|report| results.add(report));
    }
    hosts[0]
        .take(at(20))
        .into_iter()
        .chain(hosts[1].take_last(at(20)))
        .for_each(|report| results.add(report));
    results.finish(at(20));
    let values = |what: &str| results.series().values(&format!("dwfm->dynamodb.{what}")).unwrap();
    assert_eq!((values("breakers"), values("breakers_open")), (&[6.0, 3.0][..], &[2.0, 1.0][..]));
    assert_eq!(values("breakers_half_open"), [2.0, 1.0]);
}

#[test]
fn events_come_in_the_order_of_time_whoever_reports_first() {
    let event = |instance: &str, second, kind: &str| {
        Report::Event(Event {
            at: at(second),
            system: "ec2".into(),
            service: "dwfm".into(),
            instance: instance.into(),
            kind: kind.to_owned(),
            fields: IndexMap::new(),
        })
    };
    let mut results = Results::new(layout());
    for report in
        [event("b", 3, "second"), event("b", 15, "next"), event("a", 3, "first"), event("b", 3, "third")]
    {
        results.add(report);
    }
    let kinds = |tick: Tick| tick.events.into_iter().map(|event| event.kind).collect::<Vec<_>>();
    assert_eq!(kinds(results.close(at(10))), ["first", "second", "third"]);
    assert_eq!(kinds(results.close(at(20))), ["next"]);
}

#[test]
fn books_that_disagree_are_found() {
    let mut results = Results::new(layout());
    let dwfm = recorder("dwfm", "dwfm-1");
    let edge = dwfm.edge("dwfm", "dynamodb");
    // Answered, and no attempt that was.
    edge.request(Ending::Ok, at(1), at(1), at(2));
    dwfm.take_last(at(10)).into_iter().for_each(|report| results.add(report));
    results.finish(at(10));
    let laws: Vec<&str> = results.imbalances().iter().map(|imbalance| imbalance.law).collect();
    assert_eq!(
        laws,
        [
            "answered requests <= answered attempts",
            "requests <= first attempts + short-circuited + timed out"
        ]
    );
}

#[test]
fn latencies_lost_on_the_way_are_found() {
    let mut results = Results::new(layout());
    let dwfm = recorder("dwfm", "dwfm-1");
    request(&dwfm.edge("dwfm", "dynamodb"), 2, Ending::Ok, at(1));
    for mut report in dwfm.take_last(at(10)) {
        if let Report::Edge(edge) = &mut report {
            edge.histograms = None;
        }
        results.add(report);
    }
    results.finish(at(10));
    assert_eq!(results.imbalances().len(), 4, "{:?}", results.imbalances());
}

proptest! {
    /// Requests by second, calling instance, attempts and ending; some reports are delivered late.
    #[test]
    fn whoever_reports_when_the_books_agree_and_are_the_same(
        requests in prop::collection::vec((0u64..400, 0usize..3, 1u32..4, 0usize..4), 0..120),
        late in prop::collection::vec(any::<bool>(), 40),
    ) {
        let run = |late: &[bool]| {
            let mut results = Results::new(layout());
            let recorders = ["dwfm-1", "dwfm-2", "dwfm-3"].map(|instance| recorder("dwfm", instance));
            let edges: Vec<EdgeRecorder> = recorders.iter().map(|r| r.edge("dwfm", "dynamodb")).collect();
            let mut held_back = Vec::new();
            let mut intervals = 0;
            for tick in 0..40 {
                for &(second, instance, attempts, ending) in requests.iter().filter(|request| request.0 / 10 == tick) {
                    let ending = [Ending::Ok, Ending::Failed, Ending::Rejected, Ending::TimedOut][ending];
                    request(&edges[instance], attempts, ending, at(second));
                }
                for recorder in &recorders {
                    let reports = recorder.take(at(tick * 10 + 10));
                    if late[tick as usize] { held_back.extend(reports) } else { reports.into_iter().for_each(|r| results.add(r)) }
                }
                let tick = results.close(at(tick * 10 + 10));
                intervals += tick.latencies.iter().map(|i| i.histograms.count(Measure::IntendedOk)).sum::<u64>();
            }
            held_back.into_iter().for_each(|report| results.add(report));
            recorders.iter().flat_map(|r| r.take_last(at(400))).for_each(|report| results.add(report));
            let last = results.finish(at(400));
            intervals += last.latencies.iter().map(|i| i.histograms.count(Measure::IntendedOk)).sum::<u64>();
            (results, intervals)
        };
        let (in_time, _) = run(&[false; 40]);
        let (results, intervals) = run(&late);
        prop_assert_eq!(results.imbalances(), []);
        let edge = results.edges().find(|edge| &*edge.caller == "dwfm").unwrap();
        prop_assert_eq!(edge.tally.requests.total(), requests.len() as u64);
        prop_assert_eq!(intervals, edge.tally.requests.of(Ending::Ok), "intervals together are the whole");
        let table = |results: &Results| format!("{:?}", results.series().iter().collect::<Vec<_>>());
        prop_assert_eq!(table(&results), table(&in_time));
    }
}
