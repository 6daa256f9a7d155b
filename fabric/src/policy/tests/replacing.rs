//! Toggling a policy while calls are under way.

use super::*;
use crate::policy::BreakerState;
use eastfall_topology::Budget;

#[test]
fn a_call_under_way_ends_under_the_policy_it_began_with() {
    play(async {
        let edge = Edge::new(&Policy { timeout: millis(1_000), ..Policy::default() }, |_| HANGS);
        let call = edge.call();
        let replace = async {
            pause(500).await;
            edge.stack.replace(&Policy { timeout: millis(100), ..Policy::default() });
            let new = edge.call().await;
            (new, now_ms())
        };
        let (old, new) = futures_util::future::join(async { (call.await, now_ms()) }, replace).await;
        assert_eq!(old, ("timeout".to_owned(), 1_000), "the old call's time-out");
        assert_eq!(new, ("timeout".to_owned(), 600), "the new call's time-out");
    });
}

#[test]
fn an_open_breaker_stays_open_unless_its_own_settings_change() {
    play(async {
        let policy = Policy { breaker: breaker(1, 30), ..Policy::default() };
        let edge = Edge::new(&policy, |_| FAILS);
        edge.call().await;
        let open = Some(BreakerState::Open { until: CLOCK.now() + Span::from_secs(30) });
        assert_eq!(edge.stack.breaker(), open, "one failure");
        edge.stack.replace(&Policy { timeout: millis(10), ..policy.clone() });
        assert_eq!(edge.stack.breaker(), open, "a time-out is none of its business");
        edge.stack.replace(&Policy { breaker: breaker(2, 30), ..policy });
        assert_eq!(edge.stack.breaker(), Some(BreakerState::Closed), "a new breaker");
        edge.stack.replace(&Policy::default());
        assert_eq!(edge.stack.breaker(), None, "no breaker");
    });
}

#[test]
fn an_empty_budget_stays_empty_when_the_backoff_changes() {
    play(async {
        let budget = Some(Budget::TokenBucket {
            capacity: 10.0,
            retry_cost: 5.0,
            timeout_cost: 10.0,
            success_refund: 1.0,
        });
        let edge = Edge::new(&Policy { retry: retry(10, 0), budget, ..Policy::default() }, |_| FAILS);
        edge.call().await;
        assert_eq!(edge.sent(), 3, "two retries empty the budget");
        edge.stack.replace(&Policy { retry: retry(10, 50), budget, ..Policy::default() });
        edge.call().await;
        assert_eq!(edge.sent(), 4, "no retry");
    });
}

#[test]
fn a_slot_taken_under_the_old_policy_counts_under_the_new() {
    play(async {
        let policy = Policy { concurrency: shed(1), ..Policy::default() };
        let edge = Edge::new(&policy, |_| HANGS);
        edge.start();
        pause(1).await;
        edge.stack.replace(&Policy { timeout: millis(10), ..policy });
        assert_eq!(edge.call().await, "limit", "the slot is still taken");
    });
}
