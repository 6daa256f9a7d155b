//! One failing file for each rule on an edge's policy, and how its three layers lie.

use super::{breaks, sample, try_load};
use crate::{Backoff, Breaker, Budget, Concurrency, Connections, Hedge, Jitter, RetryOn, Span, Trip};

/// Breaks one rule in the edge web -> store, whose own keys are `retry` and `timeout`.
fn edge_breaks(keys: &str, expected: &str) {
    let to = format!("calls.store = {{ {keys} }}");
    let from = "calls.store = { retry = \"none\", timeout = \"500ms\" }";
    breaks(from, &to, &format!("service.web.calls.store.{expected}"));
}

#[test]
fn retries_are_1_to_100_attempts() {
    edge_breaks("retry.attempts = 0", "retry.attempts: 0 is out of range; write a value from 1 to 100");
    edge_breaks("retry.attempts = 101", "retry.attempts: 101 is out of range");
}

#[test]
fn a_max_delay_is_not_below_its_base_delay() {
    edge_breaks(
        "retry = { base-delay = \"100ms\", max-delay = \"50ms\" }",
        "retry.max-delay: 50ms is below base-delay 100ms; raise max-delay or lower base-delay",
    );
    edge_breaks("retry.throttle-base-delay = \"3s\"", "retry.max-delay: 2s is below throttle-base-delay 3s");
}

#[test]
fn a_multiplier_is_at_least_1() {
    edge_breaks(
        "retry.multiplier = 0.5",
        "retry.multiplier: 0.5 is out of range; write a value from 1 to 100",
    );
}

#[test]
fn a_timeout_fits_its_deadline() {
    edge_breaks("timeout = \"6s\"", "timeout: 6s is above deadline 5s; lower timeout or raise deadline");
    edge_breaks("timeout = \"0s\"", "timeout: 0s is out of range");
}

#[test]
fn a_budget_is_positive_and_of_a_known_kind() {
    edge_breaks("budget = { kind = \"token-bucket\", capacity = 0 }", "budget.capacity: 0 is out of range");
    edge_breaks("budget = { kind = \"grpc\", failure-cost = -1 }", "budget.failure-cost: -1 is out of range");
    edge_breaks("budget = { kind = \"ratio\", ratio = -1 }", "budget.ratio: -1 is out of range");
    edge_breaks("budget = { kind = \"rato\" }", "budget.kind: unknown word `rato`; did you mean `ratio`?");
    edge_breaks("budget = {}", "budget.kind: `kind` is missing");
    edge_breaks("budget = { kind = \"ratio\", capacity = 1 }", "budget.capacity: unknown key `capacity`");
}

#[test]
fn a_breaker_can_open_and_close() {
    edge_breaks("breaker = { half-open-calls = 0 }", "breaker.half-open-calls: 0 is out of range");
    edge_breaks("breaker = { failures = 0 }", "breaker.failures: 0 is out of range");
    edge_breaks("breaker = { open-for = \"0s\" }", "breaker.open-for: 0s is out of range");
    edge_breaks("breaker = { trip = \"failure-rate-time\", rate = 0 }", "breaker.rate: 0 is out of range");
    edge_breaks("breaker = { trip = \"failure-rate-time\", failures = 3 }", "breaker.failures: unknown key");
    edge_breaks("breaker = { slow-call = {} }", "breaker.slow-call.duration: `duration` is missing");
    edge_breaks(
        "breaker = { trip = \"failure-rate-count\", calls = 10, minimum = 20 }",
        "breaker.minimum: 20 is above calls 10",
    );
}

#[test]
fn limits_let_something_through() {
    edge_breaks("concurrency = { kind = \"fixed\", limit = 0 }", "concurrency.limit: 0 is out of range");
    edge_breaks("concurrency = { kind = \"fixed\" }", "concurrency.limit: `limit` is missing");
    edge_breaks(
        "concurrency = { kind = \"adaptive\", min = 9, max = 8 }",
        "concurrency.max: 8 is below min 9",
    );
    edge_breaks("rate = { per-second = 0 }", "rate.per-second: 0 is out of range");
    edge_breaks("rate = { per-second = 5, burst = 0 }", "rate.burst: 0 is out of range");
    edge_breaks("throttle = { k = 0.5 }", "throttle.k: 0.5 is out of range");
    edge_breaks("hedge = { at-most = 1 }", "hedge.after: `after` is missing");
}

#[test]
fn connections_are_made_and_spread() {
    edge_breaks("connections.per-peer = 0", "connections.per-peer: 0 is out of range");
    edge_breaks("connections.max-age-jitter = 1.5", "connections.max-age-jitter: 1.5 is out of range");
    edge_breaks("connections.max-age = \"0s\"", "connections.max-age: 0s is out of range");
}

#[test]
fn unknown_words_and_codes_are_refused() {
    edge_breaks("retry.backoff = \"linear\"", "retry.backoff: unknown word `linear`");
    edge_breaks("retry.jitter = \"ful\"", "retry.jitter: unknown word `ful`; did you mean `full`?");
    edge_breaks(
        "retry.retry-on = [\"unavailabel\"]",
        "retry.retry-on: unknown word `unavailabel`; did you mean `unavailable`?",
    );
    edge_breaks("retyr = \"none\"", "retyr: unknown key `retyr`; did you mean `retry`?");
}

#[test]
fn an_unknown_preset_is_refused() {
    edge_breaks("preset = \"hystrixx\"", "preset: unknown preset `hystrixx`; did you mean `hystrix`?");
}

#[test]
fn a_preset_of_the_file_is_checked_and_has_a_name_of_its_own() {
    breaks("failures = 7", "failures = 0", "preset.careful.breaker.failures: 0 is out of range");
    let twice = "[preset.hystrix]\ntimeout = \"1s\"\n\n[preset.careful]";
    breaks("[preset.careful]", twice, "preset.hystrix: `hystrix` is the name of a built-in preset");
}

#[test]
fn what_is_wrong_in_the_defaults_is_told_once_and_not_at_every_edge() {
    breaks("attempts = 3", "attempts = 0", "defaults.calls.retry.attempts: 0 is out of range");
}

#[test]
fn an_edge_lies_over_its_preset_over_the_defaults_key_by_key() {
    let policy = sample(&[]).services["users"].calls["web"].policy.clone();
    let retry = policy.retry.expect("the defaults have a retry");
    assert_eq!(retry.attempts, 4, "the edge's own");
    assert_eq!(retry.max_delay, Span::from_secs(2), "from the defaults");
    assert_eq!(policy.timeout, Some(Span::from_secs(1)), "from the defaults");
    assert_eq!(policy.breaker.map(|breaker| breaker.open_for), Some(Span::from_secs(10)), "from the preset");
    assert_eq!(policy.preset.as_deref(), Some("careful"));
    assert_eq!(policy.connections.max_age, Some(Span::from_mins(10)), "from the defaults");
}

#[test]
fn none_switches_off_what_lies_below() {
    let topology =
        sample(&["service.users.calls.web.breaker=none", "defaults.calls.connections.max-age=unlimited"]);
    let policy = &topology.services["users"].calls["web"].policy;
    assert_eq!(policy.breaker, None);
    assert_eq!(policy.connections.max_age, None);
    assert_eq!(topology.services["web"].calls["store"].policy.retry, None);
}

#[test]
fn a_part_that_is_switched_on_again_starts_from_the_defaults_of_its_kind() {
    let topology = sample(&["service.web.calls.store.retry.attempts=2"]);
    let retry = topology.services["web"].calls["store"].policy.retry.clone().expect("switched on again");
    assert_eq!((retry.attempts, retry.max_delay), (2, Span::from_secs(2)), "what lies below shows again");
}

#[test]
fn every_part_of_a_policy_is_read() {
    let keys = r#"calls.store = { timeout = "200ms", deadline = "1s", propagate-deadline = true,
      retry = { attempts = 2, backoff = "fixed", jitter = "decorrelated", base-delay = "10ms", max-delay = "1s",
                multiplier = 3, throttle-base-delay = "20ms", retry-on = ["aborted", "unknown"] },
      budget = { kind = "ratio", window = "5s", min-per-second = 1, ratio = 0.1 },
      breaker = { trip = "failure-rate-count", calls = 10, minimum = 5, rate = 0.3,
                  open-for = "1s", half-open-calls = 2 },
      concurrency = { kind = "fixed", limit = 7, queue = true }, rate = { per-second = 2.5, burst = 3 },
      throttle = { k = 1.5, window = "1m" }, hedge = { after = "50ms", at-most = 2 }, static-addresses = true,
      connections = { per-peer = 2, connect-timeout = "3s", idle-timeout = "1m", max-age = "2m",
                      max-age-jitter = 0.5, reuse = false } }"#;
    let text = super::changed("calls.store = { retry = \"none\", timeout = \"500ms\" }", keys);
    let topology = try_load(&text, &[]).expect("a full policy");
    let edge = &topology.services["web"].calls["store"];
    let policy = edge.policy.clone();
    let retry = policy.retry.expect("a retry");
    assert!(edge.static_addresses && policy.propagate_deadline);
    assert_eq!((retry.backoff, retry.jitter), (Backoff::Fixed, Jitter::Decorrelated));
    assert_eq!(retry.retry_on, [RetryOn::Aborted, RetryOn::Unknown]);
    assert_eq!(
        policy.budget,
        Some(Budget::Ratio { window: Span::from_secs(5), min_per_second: 1.0, ratio: 0.1 })
    );
    assert_eq!(
        policy.breaker,
        Some(Breaker {
            trip: Trip::FailureRateCount { calls: 10, minimum: 5, rate: 0.3 },
            slow_call: None,
            open_for: Span::from_secs(1),
            half_open_calls: 2
        })
    );
    assert_eq!(policy.concurrency, Some(Concurrency::Fixed { limit: 7, queue: true }));
    assert_eq!(policy.rate.map(|rate| (rate.per_second, rate.burst)), Some((2.5, 3)));
    assert_eq!(
        policy.throttle.map(|throttle| (throttle.k, throttle.window)),
        Some((1.5, Span::from_mins(1)))
    );
    assert_eq!(policy.hedge, Some(Hedge { after: Span::from_millis(50), at_most: 2 }));
    assert_eq!(
        policy.connections,
        Connections {
            per_peer: 2,
            connect_timeout: Span::from_secs(3),
            idle_timeout: Some(Span::from_mins(1)),
            max_age: Some(Span::from_mins(2)),
            max_age_jitter: 0.5,
            reuse: false
        }
    );
}
