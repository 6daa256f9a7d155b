//! Made-up runs of a made-up incident, scored.

use std::str::FromStr as _;

use super::*;
use crate::run_folder::{Description, File};
use crate::summary::{Check, Milestone, Summary, SystemSummary, WindowSummary};

const TOPOLOGY: &str = r#"
[region]
name = "somewhere"

[service.people]
kind = "customers"
mix = { "shop/buy" = 1.0 }
calls.shop = {}

[service.shop]
kind = "service"
workers = 2
service-time = "50ms"
operations.buy = {}
"#;

const SCENARIO: &str = r#"
id = "slow-shop"
title = "A shop is slow"
topology = "shop.toml"
expectations = "slow-shop.expect.toml"
starts = "2025-10-20T00:00:00-07:00"
lead = "10m"
ends = "+5h"

[[step]]
id = "shop.slow"
kind = "trigger"
at = "+1m"
fault = "slow 10x shop"
for = "2m"
what = "everything takes ten times as long"
"#;

const EXPECTATIONS: &str = r#"
reference = "shop.reference.toml"

[[milestone]]
id = "shop.recovered"
when = "first time after shop.slow that system.shop.error_share < 1% for 1m"

[[milestone]]
id = "shop.queue-empty"
when = "first time after shop.slow that shop.queue = 0"

[[check]]
id = "never-empty"
about = "shop.recovered"
never = "shop.queue > 1000000"

[[check]]
id = "quiet-before"
what = "nothing fails by itself"
never = "system.shop.error_share > 0.5"
to = "+0s"

[[window]]
system = "queue"
when = "shop.queue > 5"
"#;

const REFERENCE: &str = r#"
[incident]
id = "slow-shop"
title = "The slow shop"
starts = "2025-10-20T00:00:00-07:00"
ends = "2025-10-20T02:00:00-07:00"

[[milestone]]
id = "shop.slow"
system = "shop"
kind = "trigger"
at = "2025-10-20T00:01:00-07:00"
what = "everything takes ten times as long | as they say"
source = "us"

[[milestone]]
id = "shop.recovered"
system = "shop"
kind = "outcome"
at = "2025-10-20T01:00:00-07:00"
what = "people can buy again"
source = "us"

[[milestone]]
id = "shop.queue-empty"
system = "shop"
kind = "outcome"
at = "2025-10-20T01:30:00-07:00"
what = "nobody waits"
source = "us"

[[milestone]]
id = "till.recovered"
system = "till"
kind = "outcome"
at = "2025-10-20T01:30:00-07:00"
what = "the till"
source = "us"

[[window]]
system = "shop"
from = "2025-10-20T00:02:00-07:00"
to = "2025-10-20T00:50:00-07:00"
what = "errors"

[[window]]
system = "shop"
from = "2025-10-20T04:00:00-07:00"
to = "2025-10-20T06:00:00-07:00"
what = "errors again"

[[window]]
system = "queue"
what = "named without a time"
"#;

fn clock(minutes: u32) -> String {
    format!("2025-10-20T{:02}:{:02}:00-07:00", minutes / 60, minutes % 60)
}

/// A run to five hours after the incident's start: when milestones came, and the windows of the shop's customers.
fn run(seed: u64, milestones: &[(&str, Option<u32>)], windows: &[(u32, u32)]) -> Scored {
    let file = |name: &str, text: &str| File { file: name.to_owned(), text: text.to_owned() };
    let description = Description {
        starts: "2025-10-20T00:00:00-07:00".to_owned(),
        lead: "10m".parse().expect("a span"),
        settings: Vec::new(),
        seed,
        scenario: file("slow-shop.toml", SCENARIO),
        expectations: Some(file("slow-shop.expect.toml", EXPECTATIONS)),
        reference: Some(file("shop.reference.toml", REFERENCE)),
        topology: file("shop.toml", TOPOLOGY),
        ..crate::run_folder::testing::description()
    };
    let window = |&(from, to): &(u32, u32)| WindowSummary { from: clock(from), to: clock(to) };
    let system = SystemSummary {
        requests: 0,
        failed: 0,
        rejected: 0,
        retries: 0,
        amplification: 1.0,
        peak_amplification: 1.0,
        goodput_per_s: 0.0,
        wasted: 0,
        wasted_s: 0.0,
        impact_min: 0.0,
        windows: windows.iter().map(window).collect(),
        p50_ms: 0.0,
        p99_ms: 0.0,
        p999_ms: 0.0,
    };
    let milestone = |(id, at): &(&str, Option<u32>)| Milestone {
        id: (*id).to_owned(),
        at: at.map(clock),
        published: None,
        error_min: None,
        skipped: false,
    };
    let check = |id: &str, verdict: &str| Check {
        id: id.to_owned(),
        verdict: verdict.to_owned(),
        found: String::new(),
    };
    let summary = Summary {
        scenario: "slow-shop".to_owned(),
        seed,
        simulated_s: 310.0 * 60.0,
        wall_s: 0.0,
        rpcs: 0,
        peak_rss_bytes: 0,
        milestones: milestones.iter().map(milestone).collect(),
        checks: vec![check("never-empty", "passed"), check("quiet-before", "failed")],
        windows: [("queue".to_owned(), vec![window(&(3, 9))])].into_iter().collect(),
        systems: [("shop".to_owned(), system)].into_iter().collect(),
        edges: indexmap::IndexMap::new(),
    };
    Scored { name: format!("run-{seed}"), description, summary }
}

fn good() -> Scored {
    run(1, &[("shop.recovered", Some(64)), ("shop.queue-empty", Some(89))], &[(1, 20), (25, 55), (243, 304)])
}

fn scored(runs: Vec<Scored>) -> (Group, Score) {
    let group = Group { name: String::new(), runs };
    let score = Score::of(&group, Matching::default()).unwrap_or_else(|failure| panic!("{failure}"));
    (group, score)
}

fn outcome(score: &Score, name: &str) -> (Vec<Option<f64>>, Vec<Option<Why>>) {
    let (_, point) = score.outcomes().find(|(id, _)| id == name).unwrap_or_else(|| panic!("no {name}"));
    let rounded = |error: f64| (error * 10.0).round() / 10.0;
    let errors = point.runs.iter().map(|seen| seen.error_min.map(rounded)).collect();
    (errors, point.runs.iter().map(|seen| seen.why).collect())
}

#[test]
fn outcomes_are_scored_in_minutes_and_inputs_are_not() {
    let (_, score) = scored(vec![good()]);
    assert_eq!(outcome(&score, "shop.recovered"), (vec![Some(4.0)], vec![None]));
    assert_eq!(outcome(&score, "shop.queue-empty"), (vec![Some(-1.0)], vec![None]));
    assert_eq!(outcome(&score, "till.recovered"), (vec![None], vec![Some(Why::NotLookedFor)]));
    let input = &score.milestones[0];
    assert_eq!((input.kind.as_str(), input.time.runs[0].why), ("trigger", Some(Why::Input)));
    assert!(score.outcomes().all(|(id, _)| id != "shop.slow"), "an input is no outcome");
}

#[test]
fn both_ends_of_a_window_are_scored_and_one_still_open_is_not() {
    let (_, score) = scored(vec![good()]);
    assert_eq!(outcome(&score, "shop opens").0, [Some(-1.0)], "the first of two");
    assert_eq!(outcome(&score, "shop closes").0, [Some(5.0)], "two pieces are one window");
    let second = &score.windows[1];
    let ends = [&second.from, &second.to]
        .map(|end| end.as_ref().map(|point| (point.runs[0].error_min, point.runs[0].why)));
    assert_eq!(ends[0], Some((Some(3.0), None)));
    assert_eq!(ends[1], Some((None, Some(Why::RunEnded))), "published after the run's end");
    assert_eq!(score.without_times[0].runs[0].as_ref().map(Vec::len), Some(1), "the windows of its own rule");
    assert_eq!(score.unmatched.len(), 0, "a system that is published without times has no unmatched windows");
}

#[test]
fn the_end_of_a_window_that_operators_closed_is_an_input() {
    let step = "[[milestone]]\nid = \"shop.reopened\"\nsystem = \"operators\"\nkind = \"action\"\n\
                at = \"2025-10-20T00:50:00-07:00\"\nwhat = \"the shop is opened again\"\nsource = \"us\"\n";
    let mut run = good();
    let reference = run.description.reference.as_mut().expect("it has one");
    reference.text = format!("{}\n{step}", reference.text);
    let (_, score) = scored(vec![run]);
    assert_eq!(outcome(&score, "shop opens").0, [Some(-1.0)], "its start is an outcome all the same");
    assert!(score.outcomes().all(|(id, _)| id != "shop closes"));
    assert_eq!(score.windows[0].to.as_ref().map(|end| end.runs[0].why), Some(Some(Why::Input)));
}

#[test]
fn the_median_and_the_worst_are_over_all_outcomes() {
    let (_, score) = scored(vec![good()]);
    assert_eq!((score.all.published, score.all.looked_for, score.all.seen, score.all.missing), (7, 5, 5, 0));
    assert_eq!((score.all.median_min, score.all.worst_min), (Some(3.0), Some(5.0)), "of 1, 1, 3, 4 and 5");
    assert_eq!(score.all.worst_id.as_deref(), Some("shop closes"));
    assert_eq!(score.milestones_only.median_min, Some(2.5));
}

#[test]
fn what_did_not_come_is_missing_and_out_of_bounds() {
    let (_, score) = scored(vec![run(1, &[("shop.recovered", None), ("shop.queue-empty", Some(90))], &[])]);
    let missing = ["shop.recovered", "shop opens", "shop closes", "shop #2 opens"].map(str::to_owned);
    assert_eq!(score.all.missing_ids, missing, "also windows that no run showed, if it lasted to their time");
    let bounds = Bounds::from_str("10,45").expect("a pair");
    assert_eq!(score.beyond(bounds).len(), 4, "{:?}", score.beyond(bounds));
    let (_, score) = scored(vec![good()]);
    assert_eq!(score.beyond(bounds), Vec::<String>::new());
    let strict = score.beyond(Bounds { median_min: 2.0, worst_min: 5.0 });
    assert_eq!(strict, ["the median error is 3.0 min, at most 2 are allowed"]);
    assert!(Bounds::from_str("10").is_err() && Bounds::from_str("-1,3").is_err());
}

#[test]
fn several_runs_are_scored_together() {
    let late = run(
        2,
        &[("shop.recovered", Some(70)), ("shop.queue-empty", None)],
        &[(2, 50), (120, 130), (250, 299)],
    );
    let (_, score) = scored(vec![good(), late]);
    assert_eq!(outcome(&score, "shop.recovered").0, [Some(4.0), Some(10.0)]);
    let (_, point) = score.outcomes().next().expect("an outcome");
    assert_eq!((point.median_error_min, point.worst_error_min), (Some(7.0), Some(10.0)));
    assert_eq!(score.all.missing_ids, ["shop.queue-empty (1 of 2 runs)"]);
    assert_eq!(score.unmatched[0].runs.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1]);
    let text = score.to_string();
    assert!(text.contains("seeds 1, 2") && text.contains("1/2"), "{text}");
}

#[test]
fn the_page_has_every_sentence_its_component_and_its_result() {
    let (group, score) = scored(vec![good()]);
    let page = fidelity_page(&group, &score).unwrap_or_else(|failure| panic!("{failure}"));
    for part in [
        "ten times as long \\| as they say [us]",
        "step `shop.slow`",
        "`shop` (kind `service`)",
        "`first time after shop.slow that system.shop.error_share < 0.01 for 1m`",
        "01:04 (+4.0); check `never-empty` passed",
        "till (not in the topology)",
        "nobody looks for it yet",
        "`shop.queue > 5`",
        "check `quiet-before` **failed**: nothing fails by itself",
    ] {
        assert!(page.contains(part), "`{part}` is not in\n{page}");
    }
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    let tables: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
    assert!(tables.iter().all(|line| [6, 7].contains(&columns(line))), "{page}");
}

#[test]
fn the_picture_has_a_lane_a_system_and_every_tag_is_closed() {
    let (_, score) = scored(vec![good(), good()]);
    let svg = swimlanes(&score);
    for name in [">shop<", ">till<", ">queue<", "shop.recovered, simulated (+4.0 min)", "overlaid"] {
        assert!(svg.contains(name), "{name} is not in\n{svg}");
    }
    let bars = svg.matches("<rect").count();
    // Legend 3; published 2; simulated 2 runs of 1 (the second window is still open), queue 2 runs of 1.
    assert_eq!(bars, 3 + 2 + 2 + 2, "{svg}");
    for tag in ["svg", "text", "title", "rect", "path"] {
        let opened = svg.matches(&format!("<{tag}")).count();
        let closed = svg.matches(&format!("</{tag}>")).count();
        let alone = svg
            .split(&format!("<{tag}"))
            .skip(1)
            .filter(|rest| rest.split('>').next().is_some_and(|t| t.ends_with('/')))
            .count();
        assert_eq!(opened, closed + alone, "{tag}");
    }
}

#[test]
fn a_run_without_published_times_is_refused_with_a_cure() {
    let mut bare = good();
    bare.description.reference = None;
    bare.description.expectations = None;
    bare.description.scenario.text = SCENARIO.replace("expectations = \"slow-shop.expect.toml\"\n", "");
    let group = Group { name: String::new(), runs: vec![bare] };
    let refused = Score::of(&group, Matching::default()).expect_err("nothing to score against");
    assert!(refused.0.contains("nothing is published") && refused.0.contains("reference ="), "{refused}");
}

#[test]
fn medians_lie_in_the_middle() {
    assert_eq!(median(&mut [9.0, 1.0, 4.0, 2.0]), Some(3.0));
    assert_eq!(median(&mut [9.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&mut []), None);
}
