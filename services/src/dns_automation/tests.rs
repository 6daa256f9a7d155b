//! The whole automation in virtual time, from 20 minutes before the published moment on: the trigger is the only thing
//! that differs between a quiet night and the event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use eastfall_fabric::engine::sim;
use eastfall_fabric::record::{Event, Report};
use eastfall_fabric::simulation::{LAB, Setup, Simulation};
use eastfall_fabric::{Moment, Span};
use eastfall_proto::dns_automation::{InstallRecordTreeRequest, InstallRecordTreeResponse, operators_api};
use eastfall_topology::{Setting, Source, Topology};
use tonic::Status;

const REGIONAL: &str = "dynamodb.us-east-1.amazonaws.com";

/// `dynamodb` stands for the balancers: anything that answers is healthy to the Planner.
const TOPOLOGY: &str = r#"
    [region]
    name = "us-east-1"
    dns-service = "route53"

    [service.route53]
    kind = "route53"
    workers = 4
    service-time = { distribution = "exponential", mean = "5ms" }

    [service.dynamodb]
    kind = "route53"
    instances = 2
    addresses = 4

    [service.dns-planner]
    kind = "dns-planner"
    calls.dynamodb = {}

    [service.dns-enactor]
    kind = "dns-enactor"
    instances = ["a", "b", "c"]
    calls.dns-planner = {}
    calls.route53 = {}

    [service.dns-tool]
    kind = "dns-tool"
    calls.dns-planner = {}
    calls.route53 = {}

    [service.operator]
    kind = "route53"
    calls.dns-tool = {}
"#;

/// The run begins at 23:28, as in the shipped scenario.
fn at(minutes: f64) -> Moment {
    Moment::START + Span::from_secs_f64(minutes * 60.0)
}

const DELAY_BEGINS: f64 = 12.0;
const DELAY_ENDS: f64 = 19.5;

struct Night {
    simulation: Simulation,
    events: Vec<Event>,
}

impl Night {
    fn begin(seed: u64, settings: &[&str]) -> Self {
        let kinds = crate::kinds();
        let schemas: Vec<_> = kinds.iter().map(|kind| kind.schema).collect();
        let source = Source { file: "test.toml", text: TOPOLOGY };
        let settings: Vec<Setting> = settings.iter().map(|text| text.parse().expect("a setting")).collect();
        let topology = Topology::load(source, &settings, &schemas, 1.0).expect("a sound topology");
        let starts_at = Span::from_mins(23 * 60 + 28);
        let setup = Setup { seed, starts_at, codec: false };
        let simulation = Simulation::new(topology, kinds, &setup).expect("a simulation");
        simulation.start_all();
        Night { simulation, events: Vec::new() }
    }

    /// Lets time pass, and keeps what was recorded.
    fn until(&mut self, minutes: f64) {
        self.simulation.run_until(at(minutes));
        assert_eq!(self.simulation.start_failures(), Vec::<String>::new());
        for report in self.simulation.take_reports(at(minutes)) {
            if let Report::Event(event) = report {
                self.events.push(event);
            }
        }
    }

    /// The trigger, and four minutes more.
    fn with_trigger(seed: u64, settings: &[&str]) -> Self {
        let mut night = Night::begin(seed, settings);
        night.until(DELAY_BEGINS);
        let fault = "latency 15s on dns-enactor-c->route53".parse().expect("a fault");
        night.simulation.region().faults.add("delay", fault);
        night.until(DELAY_ENDS);
        night.simulation.region().faults.remove("delay");
        night.until(DELAY_ENDS + 4.0);
        night
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| event.kind == kind)
    }

    /// When the regional endpoint lost its last address.
    fn emptied(&self) -> Option<f64> {
        let mut events =
            self.of_kind("dns.endpoint-empty").filter(|event| event.fields["endpoint"] == REGIONAL);
        events.next().map(minutes)
    }

    fn install_by_hand(&mut self) -> Result<InstallRecordTreeResponse, Status> {
        let world = self.simulation.world("operator").expect("it runs");
        let (now, answer) = (world.now(), Arc::new(Mutex::new(None)));
        let slot = Arc::clone(&answer);
        sim::spawn(
            LAB,
            Box::pin(async move {
                let tool = world.dial("dns-tool").expect("an edge");
                let request = InstallRecordTreeRequest::default();
                let outcome = tool.call(&operators_api::INSTALL_RECORD_TREE, request).await;
                *slot.lock().expect("the slot") = Some(outcome);
            }),
        );
        self.until(now.since_start().as_secs_f64() / 60.0 + 0.5);
        answer.lock().expect("the slot").take().expect("an answer within half a minute")
    }
}

impl Drop for Night {
    fn drop(&mut self) {
        self.simulation.finish();
    }
}

fn minutes(event: &Event) -> f64 {
    event.at.since_start().as_secs_f64() / 60.0
}

#[test]
fn a_quiet_night_never_empties_the_endpoint() {
    for seed in 0..3 {
        let mut night = Night::begin(seed, &[]);
        night.until(60.0);
        assert_eq!(night.emptied(), None, "seed {seed}");
        assert_eq!(night.of_kind("dns.stuck").count(), 0, "seed {seed}");
        let applied: BTreeMap<&str, usize> =
            night.of_kind("dns.plan-applied").fold(BTreeMap::new(), |mut counts, event| {
                *counts.entry(event.fields["endpoint"].as_str()).or_default() += 1;
                counts
            });
        assert!(
            applied.len() == 5 && applied.values().all(|count| *count > 200),
            "every endpoint, every plan: {applied:?}"
        );
        assert!(night.of_kind("dns.plan-deleted").count() > 200, "old plans are cleaned away");
    }
}

#[test]
fn the_trigger_empties_the_endpoint_near_the_published_moment_in_nearly_every_run() {
    let seeds = std::env::var("EASTFALL_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(20_u64);
    let mut missed = Vec::new();
    for seed in 0..seeds {
        let night = Night::with_trigger(seed, &[]);
        let Some(minute) = night.emptied() else {
            let late = night.of_kind("dns.lock-lost").filter(|event| &*event.instance == "dns-enactor-c");
            let kept_from: BTreeSet<&String> = late.map(|event| &event.fields["endpoint"]).collect();
            missed.push(format!("seed {seed}, where the delayed Enactor was kept from {kept_from:?}"));
            continue;
        };
        assert!((DELAY_ENDS..DELAY_ENDS + 1.0).contains(&minute), "seed {seed}: at minute {minute}");
        // At the first endpoint of a pass that has lost its tree; the regional one is the last of them.
        let reason = &night.of_kind("dns.stuck").next().expect("the automation is stuck").fields["reason"];
        assert!(reason.contains("does not exist"), "the record store refuses: {reason}");
    }
    assert!(missed.len() * 100 <= seeds as usize * 5, "{} of {seeds} runs: {missed:#?}", missed.len());
}

#[test]
fn stuck_lasts_until_operators_install_a_tree_and_then_the_automation_goes_on() {
    let mut night = Night::with_trigger(1, &[]);
    let empty = night.emptied().expect("seed 1 empties it");
    night.until(60.0);
    let filled = |night: &Night| {
        night.of_kind("dns.endpoint-filled").map(minutes).filter(|at| *at > empty).collect::<Vec<_>>()
    };
    assert_eq!(filled(&night), Vec::<f64>::new(), "forty minutes later");
    let installed = night.install_by_hand().expect("it installs");
    assert_eq!(installed.endpoints.len(), 5, "every endpoint");
    assert_eq!(filled(&night).len(), 1, "filled at once");
    night.until(90.0);
    let later = night.of_kind("dns.plan-applied").filter(|event| minutes(event) > 61.0).count();
    assert!(later > 5 * 100, "plans are applied again: {later}");
    assert_eq!(night.of_kind("dns.endpoint-empty").filter(|event| minutes(event) > 60.0).count(), 0);
}

#[test]
fn each_repair_of_the_race_keeps_the_endpoint_filled() {
    for repair in [
        "service.dns-enactor.compare-and-set-generation=true",
        "service.dns-enactor.check-staleness-per-endpoint=true",
        "service.dns-enactor.cleaner-spares-referenced=true",
    ] {
        for seed in 0..5 {
            let night = Night::with_trigger(seed, &[repair]);
            assert_eq!(night.emptied(), None, "{repair}, seed {seed}");
            assert_eq!(night.of_kind("dns.stuck").count(), 0, "{repair}, seed {seed}");
        }
    }
}

#[test]
fn automation_that_is_frozen_before_the_trigger_harms_nothing() {
    let mut night = Night::begin(1, &[]);
    night.until(5.0);
    night
        .simulation
        .region()
        .set(&"service.dns-enactor.frozen=true".parse().expect("a setting"))
        .expect("it is sound");
    night.until(6.0);
    let before = night.events.len();
    night
        .simulation
        .region()
        .faults
        .add("delay", "latency 15s on dns-enactor-c->route53".parse().expect("a fault"));
    night.until(30.0);
    let after: Vec<_> =
        night.events[before..].iter().filter(|event| event.kind.starts_with("dns.")).collect();
    assert!(after.is_empty(), "nothing happens: {after:?}");
    assert_eq!(night.emptied(), None);
}

#[test]
fn tolerating_a_missing_plan_lets_the_endpoint_heal_within_minutes() {
    let night = Night::with_trigger(1, &["service.dns-enactor.tolerate-missing-plan=true"]);
    let empty = night.emptied().expect("seed 1 empties it");
    let filled = night.of_kind("dns.endpoint-filled").map(minutes).find(|at| *at > empty);
    assert!(filled.expect("filled again") < empty + 1.0, "emptied at {empty}, filled at {filled:?}");
    assert_eq!(night.of_kind("dns.stuck").count(), 0, "nobody is stuck");
}

#[test]
fn an_enactor_that_dies_with_the_lock_blocks_nobody_for_ever() {
    let mut night = Night::begin(3, &[]);
    night.until(5.0);
    for tenth in 0..20 {
        night.simulation.kill_instance("dns-enactor-a");
        night.simulation.start_instance("dns-enactor-a");
        night.until(5.0 + f64::from(tenth) / 20.0);
    }
    night.simulation.kill_instance("dns-enactor-a");
    night.until(10.0);
    let last = night.of_kind("dns.plan-applied").filter(|event| minutes(event) > 8.0).count();
    assert!(last > 5 * 5, "the others go on: {last}");
    assert_eq!(night.emptied(), None);
}

#[test]
fn the_same_seed_gives_the_same_night() {
    let night = || Night::with_trigger(7, &[]).events.clone();
    let once = night();
    assert!(once.len() > 100, "a night full of events: {}", once.len());
    assert_eq!(once, night());
}
