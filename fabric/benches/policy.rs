//! What the policies cost a call in virtual time, over a handler that answers at once.
//!
//! A run of 28 hours is some ten million calls, so a microsecond here is ten seconds there. The aim: a million calls a
//! second on one core through retry, breaker, limit and time-out. Measured on a busy two-core machine, the fastest of a
//! hundred samples, with the recorder's histograms in the figure: no policy 0.33 us, those four 0.53 us, all 0.75 us.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use eastfall_fabric::call::{Call, CallFuture, Codec, Handler, Method, Payload, Rpc};
use eastfall_fabric::clock::Clock;
use eastfall_fabric::engine::sim;
use eastfall_fabric::policy::Stack;
use eastfall_fabric::record::EdgeRecorder;
use eastfall_fabric::rng::stream;
use eastfall_topology::{
    Backoff, Breaker, Budget, ClientThrottle, Concurrency, Hedge, Jitter, Policy, RateLimit, Retry, RetryOn,
    Span, Trip,
};

static METHOD: Method = Method {
    service: "bench.Bench",
    name: "Call",
    path: "/bench.Bench/Call",
    index: 0,
    codec: &Codec::of::<(), ()>(),
};

struct Answers(Payload);

impl Handler for Answers {
    fn handle(&self, _: Call) -> CallFuture {
        let answer = self.0.clone();
        Box::pin(async move { Ok(answer) })
    }
}

fn usual() -> Policy {
    Policy {
        timeout: Some(Span::from_secs(1)),
        retry: Some(Retry {
            attempts: 3,
            backoff: Backoff::Exponential,
            jitter: Jitter::Full,
            base_delay: Span::from_millis(50),
            max_delay: Span::from_secs(20),
            multiplier: 2.0,
            throttle_base_delay: None,
            retry_on: vec![RetryOn::Unavailable],
        }),
        breaker: Some(Breaker {
            trip: Trip::ConsecutiveFailures { failures: 5 },
            slow_call: None,
            open_for: Span::from_secs(30),
            half_open_calls: 1,
        }),
        concurrency: Some(Concurrency::Fixed { limit: 1024, queue: false }),
        ..Policy::default()
    }
}

fn all() -> Policy {
    Policy {
        deadline: Some(Span::from_secs(5)),
        propagate_deadline: true,
        budget: Some(Budget::Ratio { window: Span::from_secs(10), min_per_second: 10.0, ratio: 0.2 }),
        rate: Some(RateLimit { per_second: 1e9, burst: 1_000_000_000 }),
        throttle: Some(ClientThrottle { k: 2.0, window: Span::from_mins(2) }),
        hedge: Some(Hedge { after: Span::from_secs(1), at_most: 1 }),
        ..usual()
    }
}

/// The wall time of so many calls, one after the other.
fn calls(policy: &Policy, count: u64) -> Duration {
    let clock = Clock::virtual_time();
    let transport = Arc::new(Answers(Payload::new(())));
    let stack = Stack::new(clock, stream(1, "bench"), policy, EdgeRecorder::default(), transport);
    let rpc = Rpc::<(), ()>::new(&METHOD);
    #[expect(clippy::disallowed_methods, reason = "a bench measures the wall's time")]
    let started = std::time::Instant::now();
    sim::block_on(async move {
        for _ in 0..count {
            black_box(stack.call(rpc.call(()), clock.now()).await.is_ok());
        }
    });
    started.elapsed()
}

fn policies(criterion: &mut Criterion) {
    let policies =
        [("none", Policy::default()), ("retry+breaker+limit+timeout", usual()), ("every policy", all())];
    for (name, policy) in policies {
        criterion.bench_function(name, |bencher| bencher.iter_custom(|count| calls(&policy, count)));
    }
}

criterion_group!(benches, policies);
criterion_main!(benches);
