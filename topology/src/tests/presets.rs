//! The built-in presets have the published numbers, each of them.

use super::sample;
use crate::{Backoff, Breaker, Budget, ClientThrottle, Concurrency, Jitter, Policy, Span, Trip};

/// The policy of an edge that has nothing but a preset.
fn preset(name: &str) -> Policy {
    let own = format!("service.web.calls.store={{ preset = \"{name}\" }}");
    let topology = sample(&["defaults.calls={}", &own]);
    topology.services["web"].calls["store"].policy.clone()
}

/// Attempts, base, longest and throttling delay of a preset with exponential back-off and full jitter.
fn retry(policy: &Policy) -> (u32, Span, Span, Option<Span>) {
    let retry = policy.retry.as_ref().expect("the preset retries");
    assert_eq!((retry.backoff, retry.jitter), (Backoff::Exponential, Jitter::Full));
    assert_eq!(retry.multiplier, 2.0);
    (retry.attempts, retry.base_delay, retry.max_delay, retry.throttle_base_delay)
}

#[test]
fn grpc_retries_five_times_and_throttles_at_half_of_ten_tokens() {
    let policy = preset("grpc-retry");
    assert_eq!(retry(&policy).0, 5);
    assert_eq!(
        policy.budget,
        Some(Budget::Grpc { max_tokens: 10.0, failure_cost: 1.0, success_refund: 0.1 })
    );
}

#[test]
fn the_aws_sdks_have_a_quota_of_500() {
    let (ms, cap, second) = (Span::from_millis, Span::from_secs(20), Some(Span::from_secs(1)));
    for (name, expected, retry_cost, timeout_cost) in [
        ("aws-sdk-standard-2025", (3, ms(100), cap, None), 5.0, 10.0),
        ("aws-sdk-standard-2026", (3, ms(50), cap, second), 14.0, 14.0),
        ("aws-sdk-dynamodb-2026", (4, ms(25), cap, second), 14.0, 14.0),
    ] {
        let policy = preset(name);
        assert_eq!(retry(&policy), expected, "{name}");
        let bucket = Budget::TokenBucket { capacity: 500.0, retry_cost, timeout_cost, success_refund: 1.0 };
        assert_eq!(policy.budget, Some(bucket), "{name}");
    }
}

#[test]
fn finagle_grants_a_fifth_of_the_requests_and_ten_a_second() {
    let ratio = Budget::Ratio { window: Span::from_secs(10), min_per_second: 10.0, ratio: 0.2 };
    assert_eq!(preset("finagle-budget").budget, Some(ratio));
}

#[test]
fn breakers_have_their_published_thresholds() {
    let secs = Span::from_secs;
    let by_time = |window, minimum, rate| Trip::FailureRateTime { window: secs(window), minimum, rate };
    for (name, trip, open_for, half_open_calls) in [
        ("envoy-breaker", Trip::ConsecutiveFailures { failures: 5 }, 30, 1),
        ("hystrix", by_time(10, 20, 0.5), 5, 1),
        ("resilience4j", Trip::FailureRateCount { calls: 100, minimum: 100, rate: 0.5 }, 60, 10),
        ("polly-v8", by_time(30, 100, 0.1), 5, 1),
    ] {
        let expected = Breaker { trip, slow_call: None, open_for: secs(open_for), half_open_calls };
        assert_eq!(preset(name).breaker, Some(expected), "{name}");
    }
    assert_eq!(preset("envoy-breaker").concurrency, Some(Concurrency::Fixed { limit: 1024, queue: false }));
}

#[test]
fn the_sre_throttle_lets_two_through_for_each_accepted_one() {
    let throttle = ClientThrottle { k: 2.0, window: Span::from_mins(2) };
    assert_eq!(preset("sre-client-throttle").throttle, Some(throttle));
}

#[test]
fn no_preset_goes_untested() {
    let table: toml::Table = toml::from_str(include_str!("../presets.toml")).expect("presets.toml is TOML");
    let mut names: Vec<&str> = table.keys().map(String::as_str).collect();
    names.sort_unstable();
    let tested = [
        "aws-sdk-dynamodb-2026",
        "aws-sdk-standard-2025",
        "aws-sdk-standard-2026",
        "envoy-breaker",
        "finagle-budget",
        "grpc-retry",
        "hystrix",
        "polly-v8",
        "resilience4j",
        "sre-client-throttle",
    ];
    assert_eq!(names, tested);
}
