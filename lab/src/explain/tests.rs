//! Made-up books: a store is cut off for an hour, a shop that needs it falls with it and stays down longer, and a clock that
//! needs nobody goes on.

use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::record::{Event, Series};
use eastfall_topology::time::{Moment, Span};
use indexmap::IndexMap;

use super::evidence::Evidence;
use super::*;
use crate::run_folder::{Description, File, testing};
use crate::summary::{EdgeSummary, Summary, SystemSummary, WindowSummary, written};

const TOPOLOGY: &str = r#"
[region]
name = "somewhere"

[service.people]
kind = "customers"
mix = { "shop/buy" = 1.0, "store/look" = 1.0 }
calls.shop = {}
calls.store = {}

[service.shop]
kind = "service"
workers = 2
service-time = "50ms"
operations.buy = { calls = [{ service = "store", operation = "look" }] }
calls.store = {}

[service.store]
kind = "service"
workers = 2
service-time = "50ms"
operations.look = {}
"#;

const SCENARIO: &str = r#"
id = "cut-off"
title = "A store is cut off"
topology = "shop.toml"
starts = "2025-10-20T00:00:00-07:00"
ends = "+4h"

[[step]]
id = "store.cut-off"
kind = "trigger"
at = "+10m"
fault = "black-hole *->store"
what = "nothing reaches the store"

[[step]]
id = "noticed"
kind = "action"
at = "+20m"
what = "somebody notices"

[[step]]
id = "store.useless"
kind = "action"
at = "+30m"
set = { "service.shop.workers" = 3 }
what = "somebody does something"

[[step]]
id = "store.mended"
kind = "action"
at = "+70m"
set = { "service.store.workers" = 3 }
what = "somebody does the right thing"
"#;

const MINUTES: usize = 240;

/// A series of so much a minute, and something else in a time.
fn except(usual: f64, times: std::ops::Range<usize>, then: f64) -> Vec<f64> {
    (0..MINUTES).map(|minute| if times.contains(&minute) { then } else { usual }).collect()
}

fn at(minute: u64) -> Moment {
    Moment::START + Span::from_mins(minute)
}

/// Asks about the made-up run.
fn told<T>(ask: impl FnOnce(&Evidence<'_>, &[Input]) -> T) -> T {
    let file = |name: &str, text: &str| File { file: name.to_owned(), text: text.to_owned() };
    let description = Description {
        starts: "2025-10-20T00:00:00-07:00".to_owned(),
        lead: Span::ZERO,
        settings: Vec::new(),
        scenario: file("cut-off.toml", SCENARIO),
        topology: file("shop.toml", TOPOLOGY),
        ..testing::description()
    };
    let files = Files::of(&description).unwrap_or_else(|failure| panic!("{failure}"));
    let timeline: Timeline = description.timeline().unwrap_or_else(|error| panic!("{error}"));
    // The store is away from minute 10 to 70, the shop fails from 11 to 100 (its own queue is long by then).
    let series = [
        ("people->store.requests", except(100.0, 0..0, 0.0)),
        ("people->store.ok", except(100.0, 10..70, 0.0)),
        ("people->store.attempts", except(100.0, 10..70, 300.0)),
        ("people->store.retries", except(0.0, 10..70, 200.0)),
        ("people->shop.requests", except(100.0, 0..0, 0.0)),
        ("people->shop.ok", except(100.0, 11..100, 10.0)),
        ("people->shop.attempts", except(100.0, 0..0, 0.0)),
        ("people->shop.retries", except(0.0, 0..0, 0.0)),
        ("shop->store.requests", except(100.0, 0..0, 0.0)),
        ("shop->store.ok", except(100.0, 10..71, 5.0)),
        ("store.server.served", except(200.0, 10..70, 0.0)),
        ("shop.server.served", except(100.0, 0..0, 0.0)),
        ("system.store.requests", except(100.0, 0..0, 0.0)),
        ("system.store.failed", except(0.0, 10..70, 100.0)),
        ("system.store.rejected", except(0.0, 0..0, 0.0)),
        ("system.shop.requests", except(100.0, 0..0, 0.0)),
        ("system.shop.failed", except(0.0, 11..100, 90.0)),
        ("system.shop.rejected", except(0.0, 0..0, 0.0)),
    ];
    let times = (1..=MINUTES as u64).map(at).collect();
    let series = Series::from_columns(times, series.map(|(name, values)| (name.to_owned(), values)));
    let event = |minute: u64, service: &str, kind: &str, id: &str| Event {
        at: at(minute),
        system: service.into(),
        service: service.into(),
        instance: service.into(),
        kind: kind.to_owned(),
        fields: [("id".to_owned(), id.to_owned())].into_iter().collect(),
    };
    let mut events = vec![event(1, "store", "cache.warm", ""), event(10, "store", "cache.warm", "")];
    for (minute, id) in [(10, "store.cut-off"), (20, "noticed"), (30, "store.useless"), (70, "store.mended")]
    {
        events.push(event(minute, "lab", "step.started", id));
        if id != "store.cut-off" {
            events.push(event(minute, "lab", "step.ended", id));
        }
    }
    events.push(event(11, "shop", "store.lost", ""));
    let system = |windows: &[(u64, u64)]| SystemSummary {
        requests: 24_000,
        failed: 6_000,
        rejected: 0,
        retries: 0,
        amplification: 1.0,
        peak_amplification: 1.0,
        goodput_per_s: 0.0,
        wasted: 0,
        wasted_s: 0.0,
        impact_min: 0.0,
        windows: windows
            .iter()
            .map(|&(from, to)| WindowSummary {
                from: written(&timeline, at(from)),
                to: written(&timeline, at(to)),
            })
            .collect(),
        p50_ms: 0.0,
        p99_ms: 0.0,
        p999_ms: 0.0,
    };
    let edge = |peak_amplification: f64, wasted: u64| EdgeSummary {
        requests: 0,
        attempts: 0,
        amplification: 1.0,
        peak_amplification,
        goodput_per_s: 0.0,
        failed: 0,
        short_circuited: 0,
        wasted,
        wasted_s: wasted as f64 / 10.0,
        p50_ms: 0.0,
        p99_ms: 0.0,
    };
    let edges =
        [("people->store", edge(3.0, 5)), ("people->shop", edge(1.0, 70)), ("shop->store", edge(1.0, 0))];
    let summary = Summary {
        scenario: "cut-off".to_owned(),
        seed: 1,
        simulated_s: MINUTES as f64 * 60.0,
        wall_s: 0.0,
        rpcs: 0,
        peak_rss_bytes: 0,
        milestones: Vec::new(),
        checks: Vec::new(),
        windows: IndexMap::new(),
        // Both start up before anything broke; the shop does well for six minutes in between.
        systems: [
            ("shop".to_owned(), system(&[(0, 1), (11, 40), (46, 100)])),
            ("store".to_owned(), system(&[(0, 1), (10, 70)])),
        ]
        .into_iter()
        .collect(),
        edges: edges.into_iter().map(|(name, edge)| (name.to_owned(), edge)).collect(),
    };
    let evidence =
        Evidence { files: &files, summary: &summary, series: &series, events: &events, timeline: &timeline };
    let inputs = inputs(&evidence);
    ask(&evidence, &inputs)
}

fn clock(minute: u64) -> String {
    format!("2025-10-20T{:02}:{:02}:00-07:00", minute / 60, minute % 60)
}

#[test]
fn systems_fall_in_order_and_what_was_over_before_the_trigger_is_no_fall() {
    let falls = told(causes::falls);
    let order: Vec<(&str, &str)> =
        falls.iter().map(|fall| (fall.system.as_str(), fall.from.as_str())).collect();
    assert_eq!(order, [("store", clock(10).as_str()), ("shop", clock(11).as_str())]);
    assert_eq!(falls[1].unanswered_share, Some(0.9));
}

#[test]
fn six_good_minutes_are_no_recovery() {
    let falls = told(causes::falls);
    let shop: Vec<(&str, Option<&str>)> = falls
        .iter()
        .filter(|fall| fall.system == "shop")
        .map(|fall| (fall.from.as_str(), fall.to.as_deref()))
        .collect();
    assert_eq!(shop, [(clock(11).as_str(), Some(clock(100).as_str()))], "one fall of one cause");
}

#[test]
fn a_system_falls_by_the_call_that_failed_first_or_was_not_reached() {
    let falls = told(causes::falls);
    let cause = Cause::Dependency {
        edge: "shop->store".to_owned(),
        system: "store".to_owned(),
        from: clock(10),
        share: 1.0,
    };
    assert_eq!(falls[1].cause, cause);
    assert_eq!(
        falls[0].cause,
        Cause::Unreachable { reached: 0.0 },
        "the store calls nobody, and nobody reached it"
    );
}

#[test]
fn a_system_rises_when_its_dependency_is_back_and_then_needs_time_of_its_own() {
    let falls = told(causes::falls);
    let rise = Rise {
        dependency_back: Some(clock(71)),
        own_minutes: Some(29.0),
        last_action: Some("store.mended".to_owned()),
        last_action_at: Some(clock(70)),
    };
    assert_eq!(falls[1].rise, Some(rise));
}

#[test]
fn the_cure_is_the_action_after_which_errors_fell_and_the_rest_is_recovery() {
    let timing = told(|evidence, inputs| causes::timing(evidence, inputs, &causes::falls(evidence, inputs)));
    let timing = timing.expect("something fell");
    assert_eq!((timing.first.as_str(), timing.cured_by.as_deref()), ("store", Some("store.mended")));
    assert_eq!((timing.trigger_minutes, timing.recovery_minutes), (60.0, 30.0));
    assert_eq!((timing.error_share, timing.all_recovered), (Some([1.0, 0.0]), true));
}

#[test]
fn first_signs_are_failing_calls_and_new_kinds_of_events() {
    let signs =
        told(|evidence, inputs| causes::first_signs(evidence, inputs, &causes::falls(evidence, inputs)));
    let signs: Vec<(&str, &str)> = signs.iter().map(|sign| (sign.what.as_str(), sign.kind)).collect();
    let expected = [
        ("people->store", "calls-fail"),
        ("shop->store", "calls-fail"),
        ("people->shop", "calls-fail"),
        ("store.lost", "event"),
    ];
    assert_eq!(signs, expected, "and nothing that had been seen before, nor the lab's own events");
}

#[test]
fn waste_and_amplification_are_told_by_edge() {
    let (wasted, amplified) = told(|evidence, _| (evidence.wasted(), evidence.amplified()));
    let wasted: Vec<(&str, u64)> = wasted.iter().map(|one| (one.edge.as_str(), one.requests)).collect();
    assert_eq!(wasted, [("people->shop", 70), ("people->store", 5)], "most first");
    let amplified: Vec<(&str, Option<String>)> = amplified.into_iter().map(|one| ("", one.at)).collect();
    assert_eq!(amplified, [("", Some(clock(10)))], "once, in the first such minute");
}

#[test]
fn the_text_tells_all_of_it() {
    let text = told(|evidence, inputs| {
        let falls = causes::falls(evidence, inputs);
        let story = Story {
            scenario: "cut-off".to_owned(),
            seed: 1,
            first_signs: causes::first_signs(evidence, inputs, &falls),
            timing: causes::timing(evidence, inputs, &falls),
            inputs: inputs.to_vec(),
            falls,
            wasted: evidence.wasted(),
            amplified: evidence.amplified(),
        };
        story.to_string()
    });
    for part in [
        "00:10  trigger store.cut-off: nothing reaches the store",
        "00:20  note noticed",
        "00:11  shop FALLS for 1h29m, 90 % unanswered: shop->store fails from 00:10 on",
        "01:40  shop RISES, 29m after its dependency was back at 01:11; last done before: store.mended at 01:10",
        "store fell first at 00:10; store.mended cured it at 01:10 (errors from 100 % to 0 %)",
        "trigger 1h00m (67 %), recovery 30m (33 %); all was well at 01:40",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}
