//! Step by step: what a caller says, and what it hears.

use super::*;
use eastfall_topology::{ClientThrottle, RateLimit};

#[test]
fn a_breaker_opens_probes_and_closes() {
    play(async {
        let policy = Policy { breaker: breaker(3, 30), ..Policy::default() };
        let edge = Edge::new(&policy, |n| if n < 4 { FAILS } else { ANSWERS });
        for _ in 0..3 {
            assert_eq!(edge.call().await, "callee", "closed: failures come back");
        }
        assert_eq!(edge.call().await, "breaker", "open: nothing is sent");
        assert_eq!(edge.sent(), 3, "calls sent so far");
        pause(30_000).await;
        assert_eq!(edge.call().await, "callee", "half open: a probe is sent, and fails");
        assert_eq!(edge.call().await, "breaker", "open again");
        pause(30_000).await;
        assert_eq!(edge.call().await, "ok", "half open: the next probe succeeds");
        assert_eq!(edge.call().await, "ok", "closed: calls flow");
        let events = [
            "0 breaker.opened",
            "30000 breaker.half-open",
            "30000 breaker.opened",
            "60000 breaker.half-open",
            "60000 breaker.closed",
        ];
        assert_eq!(edge.events(), events, "what was reported");
    });
}

#[test]
fn a_probe_whose_caller_went_away_does_not_leave_the_breaker_half_open() {
    play(async {
        let policy = Policy { breaker: breaker(1, 30), ..Policy::default() };
        let edge = Edge::new(&policy, |n| [FAILS, HANGS, ANSWERS][n]);
        assert_eq!(edge.call().await, "callee", "it opens");
        pause(30_000).await;
        let probe = CLOCK.timeout(Span::from_secs(1), edge.call()).await;
        assert!(probe.is_err(), "the probe hangs and its caller gives up");
        assert_eq!(edge.call().await, "ok", "another may probe");
    });
}

#[test]
fn only_errors_that_may_pass_are_tried_again() {
    play(async {
        let policy = Policy { retry: retry(3, 100), ..Policy::default() };
        let edge = Edge::new(&policy, |_| Does(0, Err(Code::InvalidArgument)));
        assert_eq!(edge.call().await, "callee", "a mistake of the caller's");
        assert_eq!(edge.arrivals(), [0], "is sent once");
        let edge = Edge::new(&policy, |_| FAILS);
        assert_eq!(edge.call().await, "callee", "unavailable");
        assert_eq!(edge.arrivals(), [0, 100, 200], "is tried again after the pauses");
        let attempts: Vec<u32> = lock(&edge.callee.calls).iter().map(|arrival| arrival.attempt).collect();
        assert_eq!(attempts, [0, 1, 2], "and the callee sees which attempt it is");
    });
}

#[test]
fn after_throttling_the_pause_is_longer() {
    play(async {
        let mut settings = retry(3, 100).expect("settings");
        settings.throttle_base_delay = millis(1_000);
        let policy = Policy { retry: Some(settings), ..Policy::default() };
        let edge = Edge::new(&policy, |n| if n == 0 { Does(0, Err(Code::ResourceExhausted)) } else { FAILS });
        edge.call().await;
        assert_eq!(edge.arrivals(), [0, 1_000, 1_100], "a second after throttling, then the usual pause");
    });
}

#[test]
fn no_pause_reaches_the_deadline() {
    play(async {
        let policy = Policy { retry: retry(10, 400), deadline: millis(1_000), ..Policy::default() };
        let edge = Edge::new(&policy, |_| FAILS);
        assert_eq!(edge.call().await, "callee", "the last error is the answer");
        assert_eq!(edge.arrivals(), [0, 400, 800], "attempts");
        assert_eq!(now_ms(), 800, "and it comes at once, not at the deadline");
    });
}

#[test]
fn a_call_past_its_deadline_is_not_sent() {
    play(async {
        let edge = Edge::new(&Policy::default(), |_| ANSWERS);
        pause(10).await;
        let mut call = CALL.call(());
        call.context.deadline = Some(5_000_000);
        assert_eq!(who(&edge.stack.call(call, CLOCK.now()).await), "deadline", "given up 5 ms ago");
        assert_eq!(edge.sent(), 0, "nothing was sent");
    });
}

#[test]
fn the_callers_deadline_counts_where_it_is_the_earlier_and_travels_only_if_propagated() {
    play(async {
        for propagate_deadline in [true, false] {
            let policy = Policy { deadline: millis(1_000), propagate_deadline, ..Policy::default() };
            let edge = Edge::new(&policy, |_| HANGS);
            let mut call = CALL.call(());
            let started = CLOCK.now();
            let deadline = started + Span::from_millis(300);
            call.context.deadline = Some(deadline.as_nanos());
            assert_eq!(who(&edge.stack.call(call, started).await), "deadline", "the callee hangs");
            assert_eq!(CLOCK.now(), deadline, "the caller's deadline, not our own second");
            let told = lock(&edge.callee.calls)[0].deadline;
            let expected = propagate_deadline.then_some(deadline.as_nanos() / 1_000_000);
            assert_eq!(told, expected, "what the callee was told with propagation {propagate_deadline}");
        }
    });
}

#[test]
fn a_late_call_is_hedged_and_the_first_answer_counts() {
    play(async {
        let policy = Policy { hedge: hedge(50), ..Policy::default() };
        let edge = Edge::new(&policy, |n| [HANGS, Does(10, Ok(())), Does(40, Ok(()))][n]);
        assert_eq!(edge.call().await, "ok", "the hedge's answer");
        assert_eq!(now_ms(), 60, "50 ms late, then 10 ms");
        assert_eq!(edge.call().await, "ok", "in time");
        assert_eq!(edge.arrivals(), [0, 50, 60], "a call in time is not hedged");
    });
}

#[test]
fn an_error_waits_for_the_hedge_under_way() {
    play(async {
        let policy = Policy { hedge: hedge(50), ..Policy::default() };
        let edge = Edge::new(&policy, |n| [Does(60, Err(Code::Unavailable)), Does(30, Ok(()))][n]);
        assert_eq!(edge.call().await, "ok", "the hedge's answer");
        assert_eq!(now_ms(), 80, "though the error came first");
    });
}

#[test]
fn a_call_that_failed_leaves_its_slot_to_the_hedge_that_waits_for_it() {
    play(async {
        let policy = Policy { hedge: hedge(10), concurrency: queue(1), ..Policy::default() };
        let edge = Edge::new(&policy, |n| [Does(20, Err(Code::Unavailable)), ANSWERS][n]);
        assert_eq!(edge.call().await, "ok", "the hedge's answer");
        assert_eq!(edge.arrivals(), [0, 20], "its turn came when the first call had failed");
    });
}

#[test]
fn a_rate_lets_a_burst_through_and_then_its_calls_a_second() {
    play(async {
        let rate = Some(RateLimit { per_second: 10.0, burst: 2 });
        let edge = Edge::new(&Policy { rate, ..Policy::default() }, |_| ANSWERS);
        assert_eq!(
            [edge.call().await, edge.call().await, edge.call().await],
            ["ok", "ok", "rate"],
            "a burst of two"
        );
        pause(100).await;
        assert_eq!(
            [edge.call().await, edge.call().await],
            ["ok", "rate"],
            "one more after a tenth of a second"
        );
    });
}

#[test]
fn a_bulkhead_sheds_what_finds_no_slot_and_gives_slots_back() {
    play(async {
        let edge = Edge::new(&Policy { concurrency: shed(1), ..Policy::default() }, |n| [HANGS, ANSWERS][n]);
        let (given_up, refused) =
            futures_util::future::join(CLOCK.timeout(Span::from_secs(1), edge.call()), async {
                pause(1).await;
                edge.call().await
            })
            .await;
        assert_eq!(refused, "limit", "the first call holds the only slot");
        assert!(given_up.is_err(), "its caller gives up");
        assert_eq!(edge.call().await, "ok", "and the slot is free");
    });
}

#[test]
fn a_throttle_lets_a_callee_that_is_down_see_few_calls_and_notices_when_it_is_back() {
    play(async {
        let throttle = Some(ClientThrottle { k: 2.0, window: Span::from_secs(10) });
        let edge = Edge::new(&Policy { throttle, ..Policy::default() }, |_| {
            if now_ms() < 60_000 { FAILS } else { ANSWERS }
        });
        let mut sent_in_outage = 0;
        for _ in 0..12_000 {
            edge.call().await;
            pause(10).await;
            if now_ms() < 60_000 {
                sent_in_outage = edge.sent();
            }
        }
        assert!(sent_in_outage < 120, "{sent_in_outage} of 6,000 calls of the outage were sent");
        let answered = (0..1_000).map(|_| edge.stack.call(CALL.call(()), CLOCK.now()));
        let mut rejected = 0;
        for call in answered {
            rejected += usize::from(call.await.is_err());
        }
        assert_eq!(rejected, 0, "a minute after it came back, nothing is rejected");
    });
}
