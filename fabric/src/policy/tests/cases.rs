//! Published and textbook numbers: what retries and budgets do to the load.

use super::*;
use crate::record::EdgeRecorder;
use eastfall_topology::{Budget, ClientThrottle};
use rand::RngExt as _;

/// A callee that fails a share of its calls, by chance.
fn fails_a_share(share: f64) -> impl Fn(usize) -> Does + Send + Sync + 'static {
    let rng = Mutex::new(stream(7, "callee"));
    move |_| if lock(&rng).random::<f64>() < share { FAILS } else { ANSWERS }
}

/// Sends requests one after the other, with a pause between them in milliseconds; how many were answered.
async fn send(edge: &Edge, requests: usize, every: u64) -> usize {
    let mut answered = 0;
    for _ in 0..requests {
        answered += usize::from(edge.call().await == "ok");
        if every > 0 {
            pause(every).await;
        }
    }
    answered
}

#[track_caller]
fn assert_near(what: &str, measured: f64, expected: f64, tolerance: f64) {
    let off = (measured / expected - 1.0).abs();
    assert!(off <= tolerance, "{what}: {measured} is {off:.4} off {expected}");
}

#[test]
fn four_attempts_multiply_the_load_by_the_geometric_sum() {
    for (failure, load) in [(0.1, 1.111), (0.5, 1.875), (0.9, 3.439)] {
        let (sent, answered) = play(async move {
            let edge = Edge::new(&Policy { retry: retry(4, 0), ..Policy::default() }, fails_a_share(failure));
            let answered = send(&edge, 100_000, 0).await;
            (edge.sent(), answered)
        });
        assert_near(&format!("load at failure {failure}"), sent as f64 / 1e5, load, 0.01);
        assert_near(&format!("success at {failure}"), answered as f64 / 1e5, 1.0 - failure.powi(4), 0.01);
    }
}

#[test]
fn in_an_outage_the_aws_quota_pays_for_100_or_50_or_35_retries_in_all() {
    for (cost, end, retries) in [(5.0, FAILS, 100), (10.0, HANGS, 50), (14.0, FAILS, 35)] {
        let made = play(async move {
            let budget = Budget::TokenBucket {
                capacity: 500.0,
                retry_cost: if cost == 14.0 { 14.0 } else { 5.0 },
                timeout_cost: if cost == 14.0 { 14.0 } else { 10.0 },
                success_refund: 1.0,
            };
            let policy = Policy {
                retry: retry(3, 0),
                budget: Some(budget),
                timeout: millis(100),
                ..Policy::default()
            };
            let edge = Edge::new(&policy, move |_| end);
            send(&edge, 1_000, 0).await;
            edge.sent() - 1_000
        });
        assert_eq!(made, retries, "retries that cost {cost}");
    }
}

#[test]
fn grpcs_throttle_allows_retries_at_5_percent_failures_and_none_from_20_on() {
    for (failure, load) in [(0.05, 1.052), (0.2, 1.0), (0.5, 1.0), (0.9, 1.0)] {
        let sent = play(async move {
            let budget = Some(Budget::Grpc { max_tokens: 10.0, failure_cost: 1.0, success_refund: 0.1 });
            let edge = Edge::new(
                &Policy { retry: retry(4, 0), budget, ..Policy::default() },
                fails_a_share(failure),
            );
            send(&edge, 100_000, 0).await;
            edge.sent()
        });
        assert_near(&format!("load at failure {failure}"), sent as f64 / 1e5, load, 0.01);
    }
}

/// Passes a call on through a stack of its own, as a service in the middle of a chain does.
struct Middle(Arc<Stack>);

impl Handler for Middle {
    fn handle(&self, call: Call) -> CallFuture {
        let stack = Arc::clone(&self.0);
        Box::pin(async move { stack.call(call, CLOCK.now()).await })
    }
}

#[test]
fn three_layers_of_four_attempts_make_64_calls_to_a_dead_leaf() {
    play(async {
        let policy = Policy { retry: retry(4, 0), ..Policy::default() };
        let leaf = Edge::new(&policy, |_| FAILS);
        let around = |inner: &Arc<Stack>, seed| {
            let transport = Arc::new(Middle(Arc::clone(inner)));
            Arc::new(Stack::new(CLOCK, stream(seed, "middle"), &policy, EdgeRecorder::default(), transport))
        };
        let top = around(&around(&leaf.stack, 2), 3);
        let outcome = top.call(CALL.call(()), CLOCK.now()).await;
        assert_eq!(who(&outcome), "callee", "the leaf's error comes all the way up");
        assert_eq!(leaf.sent(), 64, "calls to the leaf for one request");
        let last = lock(&leaf.callee.calls).last().map(|arrival| arrival.attempt);
        assert_eq!(last, Some(9), "the leaf sees the retries of all three layers added up");
    });
}

#[test]
fn no_two_calls_of_a_client_pause_equally_long() {
    play(async {
        let mut settings = retry(2, 1_000).expect("settings");
        settings.jitter = Jitter::Full;
        let edge = Edge::new(&Policy { retry: Some(settings), ..Policy::default() }, |n| {
            if n < 1_000 { FAILS } else { ANSWERS }
        });
        // A thousand calls that fail at the same moment, as at the beginning of an outage.
        (0..1_000).for_each(|_| edge.start());
        pause(2_000).await;
        let mut seconds: Vec<u64> = edge.arrivals().split_off(1_000);
        assert_eq!(seconds.len(), 1_000, "all came back");
        seconds.dedup();
        assert!(seconds.len() > 500, "in only {} different milliseconds", seconds.len());
    });
}

#[test]
fn the_same_seed_gives_the_same_pauses_and_another_gives_others() {
    let pauses = |seed| {
        play(async move {
            let mut settings = retry(10, 1_000).expect("settings");
            settings.jitter = Jitter::Decorrelated;
            settings.max_delay = Span::from_secs(20);
            let edge = Edge::seeded(seed, &Policy { retry: Some(settings), ..Policy::default() }, |_| FAILS);
            edge.call().await;
            edge.arrivals()
        })
    };
    assert_eq!(pauses(1), pauses(1), "the same seed");
    assert_ne!(pauses(1), pauses(2), "another seed");
}

/// PHYSICS, trap 6: ten retries a second are much for a client that makes one request a second.
#[test]
fn a_budget_of_ten_retries_a_second_lets_a_small_client_multiply_its_load_by_eleven() {
    let load = |requests: usize, every: u64| {
        play(async move {
            let budget =
                Some(Budget::Ratio { window: Span::from_secs(10), min_per_second: 10.0, ratio: 0.2 });
            let edge = Edge::new(&Policy { retry: retry(100, 0), budget, ..Policy::default() }, |_| FAILS);
            send(&edge, requests, every).await;
            edge.sent() as f64 / requests as f64
        })
    };
    // 10 + 0.2 retries to one request a second; the first window's burst of a hundred retries makes little difference.
    assert_near("one request a second", load(2_000, 1_000), 11.2, 0.15);
    assert_near("a thousand a second", load(200_000, 1), 1.21, 0.02);
}

/// The SRE book: at k = 2 the callee sees about twice what it accepts, whatever is asked for.
#[test]
fn under_the_client_throttle_a_callee_sees_twice_what_it_accepts() {
    let (sent, accepted) = play(async {
        let throttle = Some(ClientThrottle { k: 2.0, window: Span::from_secs(120) });
        let next = Mutex::new(0);
        // It accepts a hundred calls a second of a thousand.
        let edge = Edge::new(&Policy { throttle, ..Policy::default() }, move |_| {
            let mut next = lock(&next);
            if now_ms() < *next {
                return FAILS;
            }
            *next = now_ms() + 10;
            ANSWERS
        });
        let accepted = send(&edge, 300_000, 1).await;
        (edge.sent(), accepted)
    });
    assert_near("calls seen for each accepted", sent as f64 / accepted as f64, 2.0, 0.05);
}
