//! The order of the layers is behaviour. One fact for each pair of neighbours that would change if they were swapped.

use super::*;
use eastfall_topology::{ClientThrottle, RateLimit};
use futures_util::future::join3;

#[test]
fn the_deadline_is_around_all_attempts_and_each_attempt_learns_the_earlier_end() {
    play(async {
        let policy = Policy {
            timeout: millis(1_000),
            deadline: millis(2_500),
            propagate_deadline: true,
            retry: retry(10, 0),
            ..Policy::default()
        };
        let edge = Edge::new(&policy, |_| HANGS);
        assert_eq!(edge.call().await, "deadline", "what ended it");
        assert_eq!(now_ms(), 2_500, "when it ended");
        let arrival = |at, attempt, deadline| Arrival { at, attempt, deadline: Some(deadline) };
        let expected = [arrival(0, 0, 1_000), arrival(1_000, 1, 2_000), arrival(2_000, 2, 2_500)];
        assert_eq!(*lock(&edge.callee.calls), expected, "what the callee was told");
    });
}

#[test]
fn every_attempt_asks_the_breaker_and_a_refusal_is_not_tried_again() {
    play(async {
        let policy = Policy { retry: retry(10, 0), breaker: breaker(3, 30), ..Policy::default() };
        let edge = Edge::new(&policy, |_| FAILS);
        assert_eq!(edge.call().await, "breaker", "what ended it");
        assert_eq!(edge.sent(), 3, "the breaker opened after the third attempt");
        assert_eq!(now_ms(), 0, "no pause before a refusal was the answer");
    });
}

#[test]
fn a_call_that_pauses_before_a_retry_holds_no_slot() {
    play(async {
        let policy = Policy { retry: retry(2, 1_000), concurrency: shed(1), ..Policy::default() };
        let edge = Edge::new(&policy, |n| if n == 0 { FAILS } else { ANSWERS });
        edge.start();
        pause(500).await;
        assert_eq!(edge.call().await, "ok", "the slot is free during the other's pause");
    });
}

#[test]
fn a_retry_is_hedged_again() {
    play(async {
        let policy = Policy { retry: retry(2, 0), hedge: hedge(10), ..Policy::default() };
        let edge = Edge::new(&policy, |_| Does(20, Err(Code::Unavailable)));
        assert_eq!(edge.call().await, "callee", "all failed");
        assert_eq!(edge.arrivals(), [0, 10, 30, 40], "two attempts of two calls each");
    });
}

#[test]
fn a_hedge_needs_a_slot_of_its_own() {
    play(async {
        let policy = Policy { hedge: hedge(10), concurrency: shed(1), ..Policy::default() };
        let edge = Edge::new(&policy, |_| Does(20, Ok(())));
        assert_eq!(edge.call().await, "ok", "the refused hedge does not matter");
        assert_eq!(edge.arrivals(), [0], "the hedge found no slot");
    });
}

#[test]
fn an_open_breaker_refuses_at_once_though_all_slots_are_taken() {
    play(async {
        let policy = Policy { breaker: breaker(1, 60), concurrency: queue(2), ..Policy::default() };
        let edge = Edge::new(&policy, |n| if n == 1 { Does(1_000, Err(Code::Unavailable)) } else { HANGS });
        // One hangs, one fails after a second and opens the breaker, and one waits and then hangs in the free slot.
        (0..3).for_each(|_| edge.start());
        pause(2_000).await;
        assert_eq!(edge.sent(), 3, "both slots are taken");
        assert_eq!(edge.call().await, "breaker", "who refused");
        assert_eq!(now_ms(), 2_000, "without waiting for a slot");
    });
}

#[test]
fn a_call_that_finds_no_slot_spends_no_token_of_the_rate() {
    play(async {
        let rate = Some(RateLimit { per_second: 0.001, burst: 2 });
        let edge =
            Edge::new(&Policy { concurrency: shed(1), rate, ..Policy::default() }, |_| Does(1_000, Ok(())));
        edge.start();
        pause(500).await;
        assert_eq!(edge.call().await, "limit", "the slot is taken");
        pause(500).await;
        assert_eq!(edge.call().await, "ok", "the second token is still there");
        assert_eq!(edge.call().await, "rate", "there is no third");
    });
}

#[test]
fn the_throttle_counts_only_what_the_rate_lets_through() {
    play(async {
        let rate = Some(RateLimit { per_second: 0.001, burst: 1 });
        let throttle = Some(ClientThrottle { k: 1.0, window: Span::from_secs(120) });
        let edge = Edge::new(&Policy { rate, throttle, ..Policy::default() }, |_| ANSWERS);
        assert_eq!(edge.call().await, "ok", "the only token");
        for _ in 0..100 {
            assert_eq!(edge.call().await, "rate", "always the rate, never the throttle");
        }
        let built = edge.stack.built.load();
        let throttle = built.state.throttle.as_ref().expect("there is a throttle");
        assert_eq!(throttle.rejection(CLOCK.now()), 0.0, "one request, one accepted");
    });
}

#[test]
fn a_timeout_is_a_failure_to_the_breaker() {
    play(async {
        let policy = Policy { timeout: millis(100), breaker: breaker(2, 60), ..Policy::default() };
        let edge = Edge::new(&policy, |_| HANGS);
        assert_eq!(edge.call().await, "timeout", "first");
        assert_eq!(edge.call().await, "timeout", "second");
        assert_eq!(edge.call().await, "breaker", "open");
    });
}

#[test]
fn a_deadline_alone_opens_the_breaker_too() {
    play(async {
        let policy = Policy { deadline: millis(100), breaker: breaker(1, 60), ..Policy::default() };
        let edge = Edge::new(&policy, |_| HANGS);
        assert_eq!(edge.call().await, "deadline", "the callee hangs");
        assert_eq!(edge.call().await, "breaker", "and that counts");
    });
}

#[test]
fn waiting_for_a_slot_is_not_held_against_the_callee() {
    play(async {
        let policy = Policy { timeout: millis(1_000), concurrency: queue(1), ..Policy::default() };
        let edge = Edge::new(&policy, |_| Does(800, Ok(())));
        let ends = join3(edge.call(), edge.call(), edge.call()).await;
        assert_eq!(
            ends,
            ("ok".into(), "ok".into(), "ok".into()),
            "each is answered a second after its turn came"
        );
        assert_eq!(edge.arrivals(), [0, 800, 1_600], "one after the other");
    });
}

#[test]
fn waiting_for_a_slot_ends_with_the_deadline() {
    play(async {
        let policy = Policy { deadline: millis(1_000), concurrency: queue(1), ..Policy::default() };
        let edge = Edge::new(&policy, |_| Does(800, Ok(())));
        let ends = join3(edge.call(), edge.call(), edge.call()).await;
        assert_eq!(ends, ("ok".into(), "deadline".into(), "deadline".into()), "only the first has the time");
        assert_eq!(now_ms(), 1_000, "nobody waits longer");
        assert_eq!(edge.arrivals(), [0, 800], "the third's turn came too late, and it was not sent");
    });
}
