//! `eastfall compare` on a shop that is slow for two minutes, with customers who try again.
//!
//! What they ask three times each is more than the shop can serve, so it stays down when it is quick again, unless they stop
//! trying or the shop stops working for those who are gone.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::scratch;

const SCENARIO: &str = r#"
id = "slow-shop"
title = "A shop is slow for two minutes"
topology = "shop.toml"
expectations = "slow-shop.expect.toml"
starts = "2025-10-20T00:00:00-07:00"
lead = "1m"
ends = "+12m"

[[step]]
id = "shop.slow"
kind = "trigger"
at = "+1m"
fault = "slow 10x shop"
for = "2m"
what = "everything takes ten times as long"
"#;

pub(crate) const EXPECTATIONS: &str = r#"
[[milestone]]
id = "shop.recovered"
system = "shop"
when = "first time after shop.slow that system.shop.error_share < 1% and shop.queue < 5 for 1m"
"#;

const TOPOLOGY: &str = r#"
[region]
name = "somewhere"

[service.people]
kind = "customers"
rate = 15.0
hosts = 5
mix = { "shop/buy" = 1.0 }
calls.shop = { timeout = "1s", retry = { attempts = 3, base-delay = "100ms" } }

[service.shop]
kind = "service"
workers = 2
service-time = { distribution = "exponential", mean = "50ms" }
operations.buy = {}
"#;

/// A folder with the shop's files.
pub(crate) fn shop() -> tempfile::TempDir {
    let place = scratch();
    for (name, text) in
        [("slow-shop.toml", SCENARIO), ("slow-shop.expect.toml", EXPECTATIONS), ("shop.toml", TOPOLOGY)]
    {
        fs::write(place.path().join(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    place
}

fn command(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eastfall"));
    command.args(["compare", "slow-shop.toml"]).args(arguments).current_dir(place);
    command
}

/// `eastfall compare slow-shop.toml ARGUMENTS`, which must do.
fn compared(place: &Path, arguments: &[&str]) -> String {
    let output = command(place, arguments).output().unwrap_or_else(|error| panic!("{error}"));
    let Output { status, stdout, stderr } = output;
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!((status.code(), &*said), (Some(0), ""), "{arguments:?}: nothing but results");
    String::from_utf8(stdout).unwrap_or_else(|error| panic!("{error}"))
}

/// The object that `--json` prints.
fn object(place: &Path, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&compared(place, &arguments)).unwrap_or_else(|error| panic!("{error}"))
}

fn names(comparison: &Value) -> Vec<&str> {
    let variants = comparison["variants"].as_array().map(Vec::as_slice).unwrap_or_default();
    variants.iter().filter_map(|variant| variant["name"].as_str()).collect()
}

/// Calls `each` with every estimate of a variant.
fn estimates(variant: &Value, each: &mut dyn FnMut(&Value)) {
    match variant {
        Value::Object(object) if object.contains_key("never") => each(variant),
        Value::Object(object) => object.values().for_each(|value| estimates(value, each)),
        _ => {}
    }
}

#[test]
fn a_setting_that_matters_to_nothing_gives_identical_runs_and_is_called_noise() {
    let place = shop();
    let vary = ["--vary", "service.shop.title=Shop,Store", "--seeds", "6"];
    let comparison = object(place.path(), &vary);
    let mut count = 0;
    estimates(&comparison["variants"][1], &mut |estimate| {
        count += 1;
        let difference = &estimate["difference"];
        assert_eq!(
            (&difference["median"], &difference["low"], &difference["high"]),
            (&0.0.into(), &0.0.into(), &0.0.into())
        );
        assert_eq!(difference["verdict"], "within-noise", "{estimate}");
    });
    assert!(count > 20, "{count} numbers");
    for key in ["milestones", "latency", "system_latency"] {
        let [one, other] = [0, 1].map(|number| {
            let mut value = comparison["variants"][number][key].clone();
            // The baseline has nothing to differ from.
            value.as_object_mut().into_iter().flat_map(|object| object.values_mut()).for_each(|estimate| {
                estimate.as_object_mut().map(|estimate| estimate.remove("difference"));
            });
            value
        });
        assert_eq!(one, other, "{key}");
    }
    let text = compared(place.path(), &vary);
    assert!(text.contains("~ differs from `title=Shop`, seed by seed, by no more than noise"), "{text}");
}

#[test]
fn the_same_command_twice_prints_and_writes_the_same_bytes() {
    let place = shop();
    let once = |out: &str| {
        let vary = ["--vary", "service.shop.workers=2,3", "--seeds", "3", "--out", out];
        let mut printed = object(place.path(), &vary);
        let wall = printed.as_object_mut().and_then(|printed| printed.remove("wall_s"));
        assert!(wall.is_some(), "how long it took is among the results");
        let read = |name: &str| {
            fs::read(place.path().join(out).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        let files = [
            "runs.csv",
            "table.csv",
            "1-workers-2/people_shop.hlog",
            "2-workers-3/system.shop.intended-ok.hgrm",
        ];
        (printed, files.map(read))
    };
    assert_eq!(once("one"), once("two"));
    let report = fs::read_to_string(place.path().join("one/report.html")).unwrap_or_default();
    assert!(report.contains("id=\"document\">"), "the report has its data in it");
    let described =
        fs::read_to_string(place.path().join("one/compare.toml")).unwrap_or_else(|error| panic!("{error}"));
    let described: toml::Table = described.parse().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(described["complete"].as_bool(), Some(true));
    assert_eq!(described["run"]["topology"]["text"].as_str(), Some(TOPOLOGY), "the files, in full");
    let runs =
        fs::read_to_string(place.path().join("one/runs.csv")).unwrap_or_else(|error| panic!("{error}"));
    let rows: Vec<String> =
        runs.lines().map(|line| line.split(',').take(2).collect::<Vec<_>>().join(",")).collect();
    let expected = [
        "variant,seed",
        "workers=2,1",
        "workers=2,2",
        "workers=2,3",
        "workers=3,1",
        "workers=3,2",
        "workers=3,3",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn rows_are_named_bundles_times_varied_values() {
    let place = shop();
    let bundles = ["--variant", "as built:", "--variant", "patient: service.people.calls.shop.timeout=5s"];
    let queues = "service.shop.queue={ discipline = \"fifo\", limit = 50 },{ discipline = \"lifo\" }";
    let rest = ["--vary", queues, "--seeds", "1", "--until", "+2m"];
    let comparison = object(place.path(), &[&bundles[..], &rest[..]].concat());
    let queue = ["queue={ discipline = \"fifo\", limit = 50 }", "queue={ discipline = \"lifo\" }"];
    let expected = ["as built", "patient"].map(|bundle| queue.map(|queue| format!("{bundle}, {queue}")));
    assert_eq!(names(&comparison), expected.as_flattened());
    assert_eq!(comparison["variants"][3]["settings"][0], "service.people.calls.shop.timeout=5s");
    assert_eq!(comparison["variants"][3]["seeds"], 1);
}

#[test]
fn what_differs_by_more_than_noise_is_said_and_what_never_comes_too() {
    let place = shop();
    let variants = [
        ["--variant", "as built:"],
        ["--variant", "no retries: service.people.calls.shop.retry=none"],
        ["--variant", "one worker, slower: service.shop.workers=1 service.shop.service-time=80ms"],
        ["--variant", "cancelling: service.shop.queue.cancel-abandoned=true"],
    ];
    let arguments = [variants.as_flattened(), &["--seeds", "6"][..]].concat();
    let comparison = object(place.path(), &arguments);
    let [built, without, slower, cancelling] = [0, 1, 2, 3].map(|number| &comparison["variants"][number]);
    let amplification = &without["region"]["peak_amplification"];
    assert_eq!(
        (&amplification["median"], &amplification["difference"]["verdict"]),
        (&1.0.into(), &"less".into())
    );
    let wasted = &without["edges"]["people->shop"]["wasted"]["difference"];
    assert_eq!(wasted["verdict"], "less", "who tries once wastes less: {wasted}");
    let recovered = |variant: &Value| variant["milestones"]["shop.recovered"]["never"].as_f64();
    assert_eq!(recovered(built), Some(1.0), "retries keep it down");
    assert_eq!(recovered(without), Some(0.0), "without them it heals by itself");
    assert_eq!(recovered(cancelling), Some(0.0), "and so it does if nothing is done for nobody");
    assert_eq!(cancelling["milestones"]["shop.recovered"]["difference"]["verdict"], "less");
    // 15 a second are more than 12.5.
    let recovered = &slower["milestones"]["shop.recovered"];
    assert_eq!((&recovered["median"], &recovered["never"]), (&Value::Null, &1.0.into()), "{recovered}");
    assert_eq!(slower["systems"]["shop"]["recovery_min"]["never"], 1.0);

    let text = compared(place.path(), &arguments);
    assert!(text.contains("never"), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 120, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn fewer_than_six_seeds_have_no_interval_and_it_is_said() {
    let place = shop();
    let vary = ["--vary", "service.shop.workers=2,3", "--seeds", "5", "--until", "+2m"];
    let comparison = object(place.path(), &vary);
    assert_eq!(comparison["level"], Value::Null);
    let failed = &comparison["variants"][1]["customers"]["failed"];
    assert_eq!((&failed["low"], &failed["difference"]["verdict"]), (&Value::Null, &"too-few-seeds".into()));
    let text = compared(place.path(), &vary);
    assert!(text.contains("fewer than six seeds"), "{text}");
}

#[test]
fn every_variant_is_checked_before_the_first_run() {
    let place = shop();
    let variant = "broken: service.shop.worker=2 service.people.rate=-1";
    let arguments = ["--vary", "service.shpo.workers=1,2", "--variant", variant, "--out", "out"];
    let output = command(place.path(), &arguments).output().unwrap_or_else(|error| panic!("{error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
    for part in [
        "service.shpo.workers=1",
        "service.shpo.workers=2",
        "did you mean `shop`",
        "did you mean `workers`",
        "service.people.rate",
    ] {
        assert!(said.contains(part), "names {part}: {said}");
    }
    assert!(said.lines().all(|line| line.contains("variant `broken")), "{said}");
    assert!(!place.path().join("out").exists(), "nothing was begun");
}

#[test]
fn runs_are_kept_if_asked() {
    let place = shop();
    let rest = ["--seeds", "2", "--seed", "7", "--until", "+1m", "--out", "out", "--keep-runs"];
    compared(place.path(), &rest);
    for seed in [7, 8] {
        let summary = place.path().join(format!("out/1-as-built/seed-{seed}/summary.json"));
        assert!(summary.exists(), "{}", summary.display());
    }
    let again = command(place.path(), &rest).output().unwrap_or_else(|error| panic!("{error}"));
    let said = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(2), "{said}");
    assert!(said.contains("holds a comparison already"), "{said}");
}

#[test]
fn an_interrupted_comparison_leaves_what_had_ended() {
    let place = shop();
    let runs = place.path().join("out/runs.csv");
    let rows = || fs::read_to_string(&runs).unwrap_or_default().lines().count();
    let mut comparing = command(place.path(), &["--seeds", "10000", "--out", "out"]);
    let mut comparing = comparing.stdout(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{error}"));
    until(&mut comparing, || rows() > 3);
    let pid = comparing.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap_or_else(|error| panic!("{error}"));
    assert!(sent.success(), "the signal reached it");
    let output = comparing.wait_with_output().unwrap_or_else(|error| panic!("{error}"));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{printed}");
    assert!(printed.contains("INCOMPLETE"), "{printed}");
    let described =
        fs::read_to_string(place.path().join("out/compare.toml")).unwrap_or_else(|error| panic!("{error}"));
    assert!(described.starts_with("complete = false"), "{described}");
    let summary =
        fs::read_to_string(place.path().join("out/summary.json")).unwrap_or_else(|error| panic!("{error}"));
    let summary: Value = serde_json::from_str(&summary).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(summary["variants"][0]["seeds"].as_u64(), Some(rows() as u64 - 1), "as many as have a row");
}

/// Waits until something holds, for a minute at most and as long as the program runs.
fn until(program: &mut Child, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        let ended = program.try_wait().unwrap_or_else(|error| panic!("{error}"));
        assert!(ended.is_none(), "it ended too early: {ended:?}");
        #[expect(clippy::disallowed_methods, reason = "the program runs on the wall's clock")]
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing came within a minute");
}
