//! What is recorded: requests as callers see them, attempts as the callee does.

use super::*;
use crate::record::Ending;
use eastfall_topology::Budget;
use proptest::prelude::*;

#[test]
fn a_request_is_one_request_however_many_attempts_it_takes() {
    play(async {
        let edge = Edge::new(&Policy { retry: retry(3, 10), ..Policy::default() }, |n| {
            if n < 2 { FAILS } else { ANSWERS }
        });
        assert_eq!(edge.call().await, "ok", "the third attempt");
        let tally = edge.tally();
        assert_eq!((tally.requests.total(), tally.requests.of(Ending::Ok)), (1, 1), "one request, answered");
        let attempts = (tally.attempts.total(), tally.attempts.of(Ending::Failed), tally.retries);
        assert_eq!(attempts, (3, 2, 2), "three attempts, two of which failed, two of which were retries");
    });
}

#[test]
fn a_retry_further_up_is_a_first_attempt_here() {
    play(async {
        let edge = Edge::new(&Policy::default(), |_| ANSWERS);
        let mut call = CALL.call(());
        call.context.attempt = 2;
        assert_eq!(who(&edge.stack.call(call, CLOCK.now()).await), "ok", "outcome");
        assert_eq!(lock(&edge.callee.calls)[0].attempt, 2, "the callee sees that somebody retried");
        assert_eq!(edge.tally().retries, 0, "but this edge did not");
    });
}

#[test]
fn what_a_policy_kept_back_is_a_rejected_request_and_no_attempt() {
    play(async {
        let policy = Policy { breaker: breaker(1, 30), ..Policy::default() };
        let edge = Edge::new(&policy, |_| FAILS);
        for _ in 0..5 {
            edge.call().await;
        }
        let tally = edge.tally();
        assert_eq!(tally.attempts.total(), 1, "one call was sent");
        assert_eq!(tally.requests.of(Ending::Rejected), 4, "four were kept back");
        assert_eq!(tally.short_circuited["breaker"], 4, "by the breaker");
    });
}

#[test]
fn a_retry_that_the_budget_refuses_is_counted() {
    play(async {
        let budget = Some(Budget::Grpc { max_tokens: 2.0, failure_cost: 1.0, success_refund: 0.1 });
        let edge = Edge::new(&Policy { retry: retry(3, 0), budget, ..Policy::default() }, |_| FAILS);
        assert_eq!(edge.call().await, "callee", "the first error is the answer");
        let tally = edge.tally();
        assert_eq!(
            (tally.attempts.total(), tally.short_circuited["budget"]),
            (1, 1),
            "one attempt, one refused"
        );
    });
}

#[test]
fn a_caller_that_goes_away_leaves_a_request_and_an_attempt_that_timed_out() {
    play(async {
        let edge = Edge::new(&Policy::default(), |_| HANGS);
        assert!(CLOCK.timeout(Span::from_secs(1), edge.call()).await.is_err(), "it gives up");
        let tally = edge.tally();
        assert_eq!(tally.requests.of(Ending::TimedOut), 1, "the request");
        assert_eq!(tally.attempts.of(Ending::TimedOut), 1, "the attempt");
    });
}

/// Any mixture of policies, some of which get in each other's way.
fn any_policy() -> impl Strategy<Value = Policy> {
    (
        (prop::option::of(1u64..60), prop::option::of(20u64..200), 0u32..5, 0u64..30),
        (prop::option::of(1u32..4), 0u32..4, any::<bool>(), prop::option::of(1u64..40)),
    )
        .prop_map(|((timeout, deadline, attempts, pause), (failures, limit, queueing, after))| Policy {
            timeout: timeout.map(Span::from_millis),
            deadline: deadline.map(Span::from_millis),
            retry: if attempts > 0 { retry(attempts, pause) } else { None },
            breaker: failures.and_then(|failures| breaker(failures, 1)),
            concurrency: match limit {
                0 => None,
                _ if queueing => queue(limit),
                _ => shed(limit),
            },
            hedge: after.and_then(hedge),
            ..Policy::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Conservation: every request ends once, every call the callee sees is one attempt, and slots come back.
    #[test]
    fn nothing_is_lost_whatever_the_policy(policy in any_policy(), seed: u64, calls in 1usize..40) {
        let rng = Mutex::new(stream(seed, "callee"));
        let edge_policy = policy.clone();
        let (tally, sent, afterwards) = play(async move {
            let edge = Edge::seeded(seed, &edge_policy, move |_| {
                use rand::RngExt as _;
                let mut rng = lock(&rng);
                let end = if rng.random::<f64>() < 0.3 { Err(Code::Unavailable) } else { Ok(()) };
                Does(rng.random_range(0..80), end)
            });
            for _ in 0..calls {
                edge.start();
                pause(7).await;
            }
            // Long enough for every pause, and for the breaker to let a probe through.
            pause(60_000).await;
            let (tally, sent) = (edge.tally(), edge.sent());
            edge.stack.replace(&Policy { timeout: None, deadline: None, retry: None, hedge: None, ..edge_policy });
            (tally, sent, edge.call().await)
        });
        prop_assert_eq!(tally.requests.total(), calls as u64, "requests");
        prop_assert_eq!(tally.attempts.total(), sent as u64, "attempts");
        prop_assert!(afterwards == "ok" || afterwards == "callee", "a slot or a probe was lost: {}", afterwards);
    }
}
