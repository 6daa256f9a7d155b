//! `--set`: what it reaches, what it may not make, and that the same checks hold.

use super::{sample, setting_breaks, try_load};
use crate::{Backoff, Discipline, Distribution, Setting, Span, Trip};

fn setting(text: &str) -> Setting {
    text.parse().expect("a setting")
}

#[test]
fn words_durations_and_numbers_need_no_quotes() {
    let topology = sample(&[
        "service.users.calls.web.retry.backoff=fixed",
        "service.users.think-time=20s",
        "service.users.arrivals=10",
        "service.store.title=Store of 2025",
        "service.web.service-time=3ms",
        "service.web.operations.write.calls.0.probability=0.25",
    ]);
    let retry = topology.services["users"].calls["web"].policy.retry.clone();
    assert_eq!(retry.map(|retry| retry.backoff), Some(Backoff::Fixed));
    assert_eq!(topology.value("service.users.think-time").as_deref(), Some("20s"));
    assert_eq!(topology.services["store"].title, "Store of 2025");
    let capacity = topology.services["web"].capacity.clone().expect("web has workers");
    assert_eq!(capacity.service_time, Distribution::Constant { value: Span::from_millis(3) });
    assert_eq!(topology.services["web"].operations["write"].calls[0].probability, 0.25);
}

#[test]
fn the_last_setting_of_a_path_counts() {
    let topology = sample(&["service.web.workers=1", "service.web.workers=5"]);
    assert_eq!(topology.services["web"].capacity.as_ref().map(|capacity| capacity.workers), Some(5));
    assert_eq!(topology.settings().len(), 2, "all settings are kept, in order");
}

#[test]
fn a_setting_passes_the_same_checks_and_names_itself() {
    setting_breaks("service.web.workers=0", "service.web.workers: 0 is out of range");
    setting_breaks(
        "service.web.wrokers=3",
        "service.web.wrokers: unknown key `wrokers`; did you mean `workers`?",
    );
    setting_breaks("service.users.think-time=1ms", "service.users.think-time: 1ms is out of range");
    setting_breaks("recrod.sample=1s", "recrod: unknown key `recrod`; did you mean `record`?");
    setting_breaks("service.web.kind.deeper=1", "service.web.kind: a table is not a text");
}

#[test]
fn a_setting_makes_no_service_edge_operation_or_preset() {
    setting_breaks("service.wep.workers=3", "service.wep.workers: unknown name `wep`; did you mean `web`?");
    setting_breaks(
        "service.users.calls.wbe.timeout=1s",
        "service.users.calls.wbe.timeout: unknown name `wbe`; did you mean `web`?",
    );
    setting_breaks(
        "service.web.operations.raed.parallel=true",
        "service.web.operations.raed.parallel: unknown name `raed`",
    );
    setting_breaks(
        "preset.carefull.timeout=1s",
        "preset.carefull.timeout: unknown name `carefull`; did you mean `careful`?",
    );
    setting_breaks(
        "service.web.operations.write.calls.7.count=1",
        "service.web.operations.write.calls.7.count: unknown name `7`",
    );
}

#[test]
fn a_star_reaches_every_edge_that_is_there() {
    let topology = sample(&["service.*.calls.*.retry.attempts=1"]);
    for (caller, callee) in [("users", "web"), ("web", "store")] {
        let retry = topology.services[caller].calls[callee].policy.retry.clone();
        assert_eq!(retry.map(|retry| retry.attempts), Some(1), "{caller} -> {callee}");
    }
    let one = sample(&["service.*.calls.store.timeout=300ms"]);
    assert_eq!(one.services["web"].calls["store"].policy.timeout, Some(Span::from_millis(300)));
    assert_eq!(one.services["users"].calls["web"].policy.timeout, Some(Span::from_secs(1)));
}

#[test]
fn a_star_passes_over_services_whose_kind_has_no_such_parameter() {
    let topology = sample(&["service.*.think-time=9s"]);
    assert_eq!(topology.value("service.users.think-time").as_deref(), Some("9s"));
    assert_eq!(topology.value("service.web.think-time"), None);
}

#[test]
fn a_star_that_matches_nothing_is_an_error() {
    setting_breaks("service.*.thinking=9s", "service.*.thinking: nothing matches the `*`");
    setting_breaks("service.dns.calls.*.timeout=9s", "service.dns.calls.*.timeout: nothing matches the `*`");
    setting_breaks(
        "service.*.calls.stroe.timeout=9s",
        "service.*.calls.stroe.timeout: unknown name `stroe`; did you mean `store`?",
    );
}

#[test]
fn another_word_leaves_the_keys_of_the_one_before_behind() {
    let topology =
        sample(&["service.web.queue.discipline=lifo", "preset.careful.breaker.trip=failure-rate-time"]);
    let capacity = topology.services["web"].capacity.clone().expect("web has workers");
    assert_eq!((capacity.queue.discipline, capacity.queue.limit), (Discipline::Lifo, Some(100)));
    let breaker = topology.services["users"].calls["web"].policy.breaker.expect("from the preset");
    assert_eq!(breaker.open_for, Span::from_secs(10), "what both have stays");
    assert!(matches!(breaker.trip, Trip::FailureRateTime { minimum: 20, .. }), "{:?}", breaker.trip);
}

#[test]
fn with_changes_one_value_and_leaves_the_rest() {
    let before = sample(&["service.web.workers=4"]);
    let after = before.with(&setting("service.web.calls.store.timeout=200ms")).expect("a valid setting");
    assert_eq!(after, sample(&["service.web.workers=4", "service.web.calls.store.timeout=200ms"]));
    let problems = before.with(&setting("service.web.workers=0")).expect_err("no workers");
    assert_eq!(problems.0[0].origin, "--set service.web.workers=0");
}

#[test]
fn a_value_that_looks_like_another_type_can_be_quoted() {
    assert_eq!(sample(&["service.store.title=\"5\""]).services["store"].title, "5");
    assert!(try_load(super::SAMPLE, &["service.store.title=5"]).is_err(), "5 is a number");
}

#[test]
fn switching_capacity_off_and_on_needs_one_setting_each() {
    let off = sample(&["service.web.workers=none"]);
    assert_eq!(off.services["web"].capacity, None);
    let on = off.with(&setting("service.web.workers=8")).expect("valid");
    assert_eq!(on.services, sample(&[]).services);
}
