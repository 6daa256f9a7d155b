//! The race, in every order of steps there is.
//!
//! Three Enactors run the very visits and sweeps of the running automation against the pure record store. The explorer
//! lets any of them take the next step, from every state that can be reached, until there is no new state: no luck, no
//! bound. One Enactor (C) starts with an old plan that it has checked long ago; the others take the newest.
//!
//! What is left out: other endpoints (they share nothing), more plans than needed (an old one, the one in use, the
//! newest), and time, for which a lock's lease may be up at any look.

use std::fmt::Write as _;

use eastfall_fabric::{Moment, Span};
use eastfall_proto::dns_automation::{Balancer, EndpointPlan};
use eastfall_proto::route53::{ListResourceRecordSetsRequest, RecordSet};
use indexmap::IndexSet;

use super::names::{Applied, control_text, list_control};
use super::step::{Reply, Task, Wish};
use super::sweep::Sweep;
use super::visit::{Manner, Outcome, Visit};
use crate::route53::answer::addresses;
use crate::route53::zone::{Refusal, Zones};

const ENDPOINT: &str = "dynamodb.test";
const LEASE: Span = Span::from_secs(30);
// The plan that C holds, the one in use at first, and the newest; the cleaner keeps one generation.
const OLD: u64 = 1;
const CURRENT: u64 = 2;
const NEWEST: u64 = 3;
const KEEP: u64 = 1;

#[derive(Clone)]
struct Region {
    zones: Zones,
    enactors: Vec<Enactor>,
}

#[derive(Clone, Debug)]
struct Enactor {
    name: &'static str,
    generation: u64,
    work: Work,
}

#[derive(Clone, Debug)]
enum Work {
    /// The check at the start of a pass.
    Check,
    Visit(Visit),
    Sweep(Sweep),
}

#[derive(Clone, Default)]
struct Rules {
    manner: Manner,
    spare_referenced: bool,
    /// A lock's lease may be up at any look.
    leases_end: bool,
}

fn plan(generation: u64) -> EndpointPlan {
    let balancer = Balancer { address: format!("127.0.0.{generation}"), weight: 1, leaf: "leaf".into() };
    let tree = format!("tree{generation}");
    EndpointPlan { endpoint: ENDPOINT.into(), balancers: vec![balancer], dual_stack: false, tree }
}

impl Enactor {
    fn at_check(name: &'static str) -> Self {
        Enactor { name, generation: NEWEST, work: Work::Check }
    }

    fn visit(&self, rules: &Rules) -> Work {
        Work::Visit(Visit::new(
            self.name,
            self.generation,
            plan(self.generation),
            rules.manner.clone(),
            LEASE,
        ))
    }
}

impl Region {
    /// The plan in use is installed as an Enactor does it; C is past its check with `plan_of_c`.
    fn new(rules: &Rules, plan_of_c: u64) -> Self {
        let mut zones = Zones::default();
        zones.create(ENDPOINT, 900).expect("a zone");
        let installer = Enactor { name: "z", generation: CURRENT, work: Work::Check };
        let work = installer.visit(rules);
        let mut region = Region { zones, enactors: vec![Enactor { work, ..installer }] };
        while matches!(region.enactors[0].work, Work::Visit(_)) {
            region = region.after(0, Moment::START, rules);
        }
        let late = Enactor { name: "c", generation: plan_of_c, work: Work::Check };
        let work = late.visit(rules);
        region.enactors = vec![Enactor::at_check("a"), Enactor::at_check("b"), Enactor { work, ..late }];
        region
    }

    fn zone_list(&self, request: &ListResourceRecordSetsRequest) -> Vec<RecordSet> {
        self.zones.get(ENDPOINT).expect("the zone").list(request).records
    }

    /// What makes two states the same: everything but which of the texts that were never used before were used.
    fn key(&self) -> String {
        let words = self.words();
        let (mut key, mut nonces) = (String::new(), IndexSet::new());
        let mut parts = words.split(['<', '>']);
        while let Some(plain) = parts.next() {
            key.push_str(plain);
            if let Some(nonce) = parts.next() {
                let _ = write!(key, "#{}", nonces.insert_full(nonce).0);
            }
        }
        key
    }

    /// Everything, in words, but the zone's serial number, which only grows.
    fn words(&self) -> String {
        let generation = self.zones.get(ENDPOINT).expect("the zone").generation(ENDPOINT);
        let mut key = format!("{generation:?} {:?}", self.enactors);
        for record in self.zone_list(&ListResourceRecordSetsRequest::default()) {
            let _ = write!(key, "\n{} {} {:?} {:?}", record.name, record.r#type, record.values, record.alias);
        }
        key
    }

    fn is_empty(&self) -> bool {
        addresses(&self.zones, ENDPOINT) == 0
    }

    /// The endpoint is empty and nobody is past the step at which that is noticed.
    fn is_stuck(&self) -> bool {
        let past =
            |enactor: &Enactor| matches!(&enactor.work, Work::Visit(visit) if visit.is_past_rollback());
        self.is_empty() && !self.enactors.iter().any(past)
    }

    /// A text that is nowhere in the zone nor in anybody's memory: as good as one that was never used.
    fn fresh(&self) -> String {
        let everything = self.words();
        (0..)
            .map(|number| format!("<{number}>"))
            .find(|text| !everything.contains(text))
            .expect("some number is unused")
    }

    /// Carries out what a task wishes for.
    fn step<T: Task>(&mut self, task: &mut T, now: Moment) -> Option<T::Outcome> {
        let mut fresh = String::new();
        let reply = match task.wish() {
            Wish::List(request) => {
                // Only who has just looked makes a new text.
                fresh = self.fresh();
                Reply::Listed(self.zone_list(&request))
            }
            Wish::Change(request) => {
                match self.zones.change(&request.zone, &request.changes, request.precondition.as_ref()) {
                    Ok(_) => Reply::Changed,
                    Err(Refusal::Superseded { .. }) => Reply::Superseded,
                    Err(refusal) => Reply::Refused(refusal.to_string()),
                }
            }
            Wish::BackOff(_) => Reply::Waited,
            Wish::Done(outcome) => return Some(outcome),
        };
        task.reply(reply, now, &fresh);
        match task.wish() {
            Wish::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// The state after one step of one Enactor.
    fn after(&self, who: usize, now: Moment, rules: &Rules) -> Region {
        let mut region = self.clone();
        let mut enactor = region.enactors[who].clone();
        enactor.work = match enactor.work.clone() {
            Work::Check => {
                let records = region.zone_list(&list_control(ENDPOINT));
                let applied = control_text(&records, ENDPOINT, "applied").and_then(Applied::parse);
                let stale = applied.is_some_and(|applied| applied.generation > enactor.generation);
                if stale { Work::Check } else { enactor.visit(rules) }
            }
            Work::Visit(mut visit) => match region.step(&mut visit, now) {
                None => Work::Visit(visit),
                Some(Outcome::Stuck(_)) => {
                    enactor.generation = NEWEST;
                    Work::Check
                }
                Some(Outcome::Applied | Outcome::Overtaken) => {
                    let below = enactor.generation.saturating_sub(KEEP);
                    Work::Sweep(Sweep::new(enactor.name, ENDPOINT, below, rules.spare_referenced))
                }
            },
            Work::Sweep(mut sweep) => match region.step(&mut sweep, now) {
                None => Work::Sweep(sweep),
                Some(_) => {
                    enactor.generation = NEWEST;
                    Work::Check
                }
            },
        };
        region.enactors[who] = enactor;
        region
    }

    fn successors(&self, rules: &Rules) -> Vec<Region> {
        let looks = |work: &Work| matches!(work, Work::Visit(visit) if matches!(visit.wish(), Wish::List(_)));
        let mut successors = Vec::new();
        for (who, enactor) in self.enactors.iter().enumerate() {
            successors.push(self.after(who, Moment::START, rules));
            if rules.leases_end && looks(&enactor.work) {
                // Late enough for anybody's lease, and the new one ends when all others do.
                successors.push(self.after(who, Moment::START + LEASE, rules));
            }
        }
        successors
    }
}

/// All states that can be reached from some.
fn reachable(from: Vec<Region>, rules: &Rules) -> Vec<Region> {
    let (mut seen, mut found) = (IndexSet::new(), Vec::new());
    let mut waiting = from;
    while let Some(region) = waiting.pop() {
        if seen.insert(region.key()) {
            waiting.extend(region.successors(rules));
            found.push(region);
        }
    }
    assert!(found.len() > 100, "a real exploration: {} states", found.len());
    found
}

fn explored(rules: &Rules) -> Vec<Region> {
    reachable(vec![Region::new(rules, OLD)], rules)
}

#[test]
fn as_built_a_late_enactor_and_a_fast_cleaner_empty_the_endpoint_and_nothing_refills_it() {
    let rules = Rules::default();
    let states = explored(&rules);
    let stuck: Vec<Region> = states.into_iter().filter(Region::is_stuck).collect();
    assert!(!stuck.is_empty(), "the race is there");
    for region in reachable(stuck, &rules) {
        assert!(region.is_stuck(), "stuck for ever: {}", region.key());
    }
}

#[test]
fn without_a_late_enactor_the_endpoint_never_empties() {
    let rules = Rules { leases_end: true, ..Rules::default() };
    for region in reachable(vec![Region::new(&rules, CURRENT)], &rules) {
        assert!(!region.is_empty(), "{}", region.key());
    }
}

fn never_empties(rules: Rules) {
    let rules = Rules { leases_end: true, ..rules };
    for region in explored(&rules) {
        assert!(!region.is_empty(), "{}", region.key());
    }
}

#[test]
fn compare_and_set_of_the_generation_prevents_the_race() {
    let manner = Manner { compare_and_set_generation: true, ..Manner::default() };
    never_empties(Rules { manner, ..Rules::default() });
}

#[test]
fn a_look_at_the_plan_under_the_lock_prevents_the_race() {
    let manner = Manner { check_staleness: true, ..Manner::default() };
    never_empties(Rules { manner, ..Rules::default() });
}

#[test]
fn a_cleaner_that_spares_what_is_pointed_at_prevents_the_race() {
    never_empties(Rules { spare_referenced: true, ..Rules::default() });
}

#[test]
fn tolerating_a_missing_plan_prevents_the_sticking_and_not_the_race() {
    let manner = Manner { tolerate_missing_plan: true, ..Manner::default() };
    let rules = Rules { manner, ..Rules::default() };
    let empty: Vec<Region> = explored(&rules).into_iter().filter(Region::is_empty).collect();
    assert!(!empty.is_empty(), "the race is there");
    for mut region in empty {
        // Each in turn, as fair as a scheduler can be.
        for turn in 0..60 {
            region = region.after(turn % region.enactors.len(), Moment::START, &rules);
        }
        assert!(!region.is_empty(), "it was filled again: {}", region.key());
    }
}
