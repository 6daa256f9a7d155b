//! The crate's rules, one failing file for each, on one small region.
//!
//! A rule is tested by changing one line of a valid file, so that only this rule is broken, and by looking at the whole
//! problem: where it points, which key it names, what it says.

use crate::{KindSchema, Problem, Setting, Source, Span, Topology};
use indexmap::IndexMap;

mod graph;
mod kinds;
mod part;
mod policies;
mod presets;
mod properties;
mod rules;
mod scaling;
mod settings;

/// A valid region that uses most of what a file can say.
const SAMPLE: &str = r#"[region]
name = "test-1"
dns-service = "dns"

[record]
sample = "5s"

[defaults.calls]
timeout = "1s"
deadline = "5s"
retry = { attempts = 3, base-delay = "100ms", max-delay = "2s" }
connections = { max-age = "10m" }

[defaults.resolver]
negative-max = "15m"

[preset.careful]
breaker = { trip = "consecutive-failures", failures = 7, open-for = "10s" }

[service.dns]
kind = "zone"

[service.users]
kind = "crowd"
arrivals = 50
mix = { read = 0.7, write = 0.3 }
calls.web = { endpoint = "web.test-1.example.com", preset = "careful", retry.attempts = 4 }

[service.web]
kind = "service"
instances = 3
workers = 8
service-time = { distribution = "exponential", mean = "2ms" }
queue = { discipline = "codel", target = "5ms", limit = 100 }
slowdown = 0.01
calls.store = { retry = "none", timeout = "500ms" }

[service.web.operations.read]
calls = [{ service = "store", operation = "get" }]

[service.web.operations.write]
service-time = "5ms"
parallel = true
calls = [
  { service = "store", operation = "get", required = false, probability = 0.5 },
  { service = "store", operation = "put", count = 2 },
]

[service.store]
kind = "service"
system = "storage"
title = "The store"
instances = ["a", "b"]
workers = 2
service-time = "1ms"
operations.get = {}
operations.put = { error-share = 0.001 }
"#;

crate::words! {
    /// How the crowd behaves.
    enum Mood {
        /// Waits.
        Calm = "calm",
        /// Comes again.
        Angry = "angry",
    }
}

crate::params! {
    /// A generic service.
    struct GenericParams for "service" with operations {}
}

crate::params! {
    /// Answers DNS.
    struct ZoneParams for "zone" offers ["resolve"] {}
}

crate::params! {
    /// Customers.
    /// Many of them.
    struct CrowdParams for "crowd" {
        /// Requests a second.
        arrivals: f64 = 100, range 0.0..=1000.0, scaled by load;
        /// How many there are.
        population: u64 = 3, range 1..=1000, scaled by load;
        /// How long they think.
        think_time: Span = "2s", range "10ms"..="1h";
        /// How long they wait.
        patience: Option<Span> = "none";
        /// How they behave.
        mood: Mood = "calm";
        /// What they ask for.
        mix: IndexMap<String, f64>;
        /// When they come.
        day: crate::Curve = [["00:00", 0.5], ["12:00", 1.5]];
        /// Where they live.
        places: Vec<String> = ["here", "there"];
        /// They come back.
        loyal: bool = true;
        /// How long they type.
        typing: crate::Distribution = { distribution = "uniform", low = "1s", high = "3s" };
    }
}

const KINDS: [KindSchema; 3] = [GenericParams::SCHEMA, ZoneParams::SCHEMA, CrowdParams::SCHEMA];

fn try_load(text: &str, settings: &[&str]) -> Result<Topology, Vec<Problem>> {
    let settings: Vec<Setting> = settings.iter().map(|text| text.parse().expect("a setting")).collect();
    Topology::load(Source { file: "topology.toml", text }, &settings, &KINDS, 1.0)
        .map_err(|problems| problems.0)
}

/// The sample with settings.
fn sample(settings: &[&str]) -> Topology {
    try_load(SAMPLE, settings)
        .unwrap_or_else(|problems| panic!("the sample with {settings:?}: {problems:#?}"))
}

/// The sample with one piece of text replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(SAMPLE.contains(from), "the sample has no `{from}`");
    SAMPLE.replacen(from, to, 1)
}

/// All problems of the sample with one piece of text replaced.
fn problems_of(from: &str, to: &str) -> Vec<String> {
    match try_load(&changed(from, to), &[]) {
        Ok(_) => panic!("`{to}` in place of `{from}` was accepted"),
        Err(problems) => problems.iter().map(Problem::to_string).collect(),
    }
}

/// Asserts that the changed sample has exactly one problem, which begins so.
fn breaks(from: &str, to: &str, expected: &str) {
    let problems = problems_of(from, to);
    assert_eq!(problems.len(), 1, "`{to}` in place of `{from}`: {problems:#?}");
    let (_, told) = problems[0].split_once(' ').expect("a place and a problem");
    assert!(told.starts_with(expected), "expected `{expected}`, found `{}`", problems[0]);
}

/// Asserts that the sample with one setting has exactly one problem, which begins so after its origin.
fn setting_breaks(setting: &str, expected: &str) {
    let Err(problems) = try_load(SAMPLE, &[setting]) else { panic!("`{setting}` was accepted") };
    assert_eq!(problems.len(), 1, "`{setting}`: {problems:#?}");
    let (told, origin) = (problems[0].to_string(), format!("--set {setting}"));
    let told =
        told.strip_prefix(&format!("{origin}: ")).unwrap_or_else(|| panic!("not from {origin}: {told}"));
    assert!(told.starts_with(expected), "expected `{expected}`, found `{told}`");
}

#[test]
fn the_sample_is_read_as_written() {
    let topology = sample(&[]);
    let names: Vec<&str> = topology.services.keys().map(String::as_str).collect();
    assert_eq!(names, ["dns", "users", "web", "store"], "services keep the order of the file");
    let web = &topology.services["web"];
    assert_eq!(web.instances, ["web-1", "web-2", "web-3"]);
    assert_eq!(topology.services["store"].instances, ["store-a", "store-b"]);
    assert_eq!(topology.services["users"].instances, ["users"]);
    assert_eq!((web.system.as_str(), topology.services["store"].system.as_str()), ("web", "storage"));
    assert_eq!(web.resolver.negative_max, Span::from_mins(15), "resolvers inherit defaults");
    assert_eq!(topology.record.sample, Span::from_secs(5));
    assert_eq!(topology.region.port, 7443);
    assert_eq!(web.operations["write"].calls[1].count, 2);
    assert!(web.operations["read"].calls[0].required, "calls are required unless the file says otherwise");
    assert_eq!(topology.source(), ("topology.toml", SAMPLE));
}

#[test]
fn a_file_with_many_mistakes_gets_all_of_them_told_in_one_go() {
    let text = changed("sample = \"5s\"", "sampel = \"5s\"")
        .replace("kind = \"zone\"", "kind = \"zome\"")
        .replace("attempts = 3", "attempts = 0");
    let problems = try_load(&text, &["service.web.workers=no"]).expect_err("four mistakes");
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys.len(), 4, "{problems:#?}");
    for key in ["record.sampel", "service.dns.kind", "defaults.calls.retry.attempts", "service.web.workers"] {
        assert!(keys.contains(&key), "{key} is missing in {keys:?}");
    }
}

#[test]
fn a_value_in_force_is_told_whether_written_or_default() {
    let topology = sample(&["service.web.calls.store.timeout=300ms"]);
    for (path, value) in [
        ("service.web.calls.store.timeout", Some("300ms")),
        ("service.web.calls.store.retry", Some("none")),
        ("service.users.calls.web.retry.attempts", Some("4")),
        ("service.users.calls.web.retry.multiplier", Some("2")),
        ("service.users.calls.web.breaker.failures", Some("7")),
        ("service.users.think-time", Some("2s")),
        ("service.users.mood", Some("calm")),
        ("service.web.service-time.mean", Some("2ms")),
        ("region.port", Some("7443")),
        ("service.web", None),
        ("service.web.nothing", None),
    ] {
        assert_eq!(topology.value(path).as_deref(), value, "{path}");
    }
}
