//! The race of the Enactors on the shipped files, over many seeds: it is the timing that empties the name, and no seed in
//! particular.
//!
//! Every order of steps is searched beside the Enactors' code, with each repair; here a few seeds show that the repairs do
//! the same in the shipped region, under its trigger. Two hundred seeds are for the automation as it was built.

use std::fs;

use eastfall_topology::time::{Moment, Span};
use rayon::prelude::*;

use crate::support::{Ran, incident, minutes, run, run_file, scratch, shipped};

/// Six minutes beyond the incident's start, with hardly a customer: the race is between the Enactors. Not by `--load`,
/// which shrinks the record store's capacity too, and the Enactors meet one another at their locks.
const BRIEF: &str = "--until 23:54 --set service.customers-web.rate=0.1 \
                     --set service.customers-serverless.rate=0.1 --set service.customers-pinned.rate=0.1 \
                     --set service.customers-global.rate=0.1 --set service.customers-ec2.rate=0.01 \
                     --set service.droplets.count=60";

/// The trigger ends at 23:47:30, which is minute 19.5.
const TRIGGER_ENDS: f64 = 19.5;

fn seeds(count: u64, options: &str) -> Vec<Ran> {
    (0..count).into_par_iter().map(|seed| run(&format!("{BRIEF} --seed {seed} {options}"))).collect()
}

fn never_empties(nights: &[Ran]) {
    for night in nights {
        assert_eq!(night.emptied().map(minutes), None, "minute of the empty answer: {}", night.command());
        assert_eq!(night.milestone("dns.automation-stuck"), None, "{}", night.command());
    }
}

#[test]
fn the_automation_as_built_empties_the_name_in_nearly_every_seed() {
    let nights = seeds(200, "");
    let sound: Vec<&str> = nights
        .iter()
        .filter(|night| night.milestone("dns.endpoint-empty").is_none())
        .map(Ran::command)
        .collect();
    assert!(sound.len() <= 10, "{} of 200 seeds kept the addresses: {sound:?}", sound.len());
    for night in &nights {
        let Some(emptied) = night.emptied().map(minutes) else { continue };
        let (from, to) = (TRIGGER_ENDS - 1.0, TRIGGER_ENDS + 3.0);
        assert!((from..to).contains(&emptied), "at minute {emptied}: {}", night.command());
    }
}

#[test]
fn without_its_trigger_the_race_is_never_lost() {
    never_empties(&seeds(10, "--without dns.enactor-delayed"));
}

#[test]
fn comparing_the_generation_at_the_record_store_keeps_the_name_filled() {
    never_empties(&seeds(10, "--set service.dns-enactor.compare-and-set-generation=true"));
}

#[test]
fn checking_for_staleness_at_every_endpoint_keeps_the_name_filled() {
    never_empties(&seeds(10, "--set service.dns-enactor.check-staleness-per-endpoint=true"));
}

#[test]
fn a_cleaner_that_spares_referenced_plans_keeps_the_name_filled() {
    never_empties(&seeds(10, "--set service.dns-enactor.cleaner-spares-referenced=true"));
}

/// Frozen from the very start nobody would ever install a record, so it is a step of a scenario that adds to the shipped.
#[test]
fn automation_frozen_a_minute_before_the_trigger_keeps_the_name_filled() {
    let folder = scratch();
    let scenario = folder.path().join("frozen.toml");
    let absolute = |name: &str| shipped(name).display().to_string();
    let text = fs::read_to_string(incident())
        .unwrap_or_else(|error| panic!("{error}"))
        .replace("../topology.toml", &absolute("topology.toml"))
        .replace(
            "\"2025-10-20.expect.toml\"",
            &format!("\"{}\"", absolute("scenarios/2025-10-20.expect.toml")),
        );
    let step = "\n[[step]]\nid = \"dns.frozen\"\nkind = \"action\"\nat = \"2025-10-19T23:39\"\n\
                what = \"frozen\"\n\
                set = { \"service.dns-enactor.frozen\" = true }\n";
    fs::write(&scenario, text + step).unwrap_or_else(|error| panic!("{error}"));
    let nights: Vec<Ran> = (0..5_u64)
        .into_par_iter()
        .map(|seed| run_file(&scenario, &format!("{BRIEF} --seed {seed}")))
        .collect();
    never_empties(&nights);
    for night in &nights {
        // A pass that had begun may end; then nothing is applied any more.
        let late = Moment::START + Span::from_mins(13);
        let applied =
            night.events.iter().filter(|event| event.kind == "dns.plan-applied" && event.at > late).count();
        assert_eq!(applied, 0, "plans applied while frozen: {}", night.command());
    }
}

#[test]
fn tolerating_a_missing_plan_does_not_prevent_the_empty_answer_but_heals_it_within_minutes() {
    let nights = seeds(10, "--set service.dns-enactor.tolerate-missing-plan=true");
    let mut emptied = 0;
    for night in &nights {
        assert_eq!(night.milestone("dns.automation-stuck"), None, "{}", night.command());
        let Some(empty) = night.emptied() else { continue };
        emptied += 1;
        let healed = night.regional("dns.endpoint-filled", empty);
        let soon = healed.is_some_and(|healed| minutes(healed) - minutes(empty) < 3.0);
        assert!(
            soon,
            "empty at {}, filled at {:?}: {}",
            minutes(empty),
            healed.map(minutes),
            night.command()
        );
    }
    assert!(emptied >= 8, "it empties as often as without: {emptied} of 10");
}
