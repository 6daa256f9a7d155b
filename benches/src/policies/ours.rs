//! Our stack, over a handler.

use std::sync::Arc;
use std::time::SystemTime;

use eastfall_fabric::call::{Call, CallFuture, Codec, Handler, Method, Payload, Rpc};
use eastfall_fabric::clock::Clock;
use eastfall_fabric::engine::live::LiveClock;
use eastfall_fabric::engine::sim;
use eastfall_fabric::policy::Stack;
use eastfall_fabric::record::EdgeRecorder;
use eastfall_fabric::rng::stream;
use eastfall_topology::{
    Backoff, Breaker, Concurrency, Jitter, Policy, RateLimit, Retry, RetryOn, Span, Trip,
};

use super::{Answers, Layers, runtime, time_a_call};

static METHOD: Method = Method {
    service: "bench.Bench",
    name: "Call",
    path: "/bench.Bench/Call",
    index: 0,
    codec: &Codec::of::<(), ()>(),
};

struct Callee {
    clock: Clock,
    answers: Answers,
    answer: Payload,
}

impl Handler for Callee {
    fn handle(&self, _: Call) -> CallFuture {
        let (clock, answers, answer) = (self.clock, self.answers, self.answer.clone());
        Box::pin(async move {
            // Timers must go by as they do in a run: where time stands still, those that are done with would pile up.
            match clock.as_live() {
                None if answers == Answers::Later => clock.sleep(Span::from_millis(1)).await,
                _ => answers.wait().await,
            }
            Ok(answer)
        })
    }
}

fn policy(layers: Layers) -> Policy {
    Policy {
        timeout: layers.has(Layers::Timeout).then_some(Span::from_secs(1)),
        retry: layers.has(Layers::Retry).then(|| Retry {
            attempts: 3,
            backoff: Backoff::Exponential,
            jitter: Jitter::None,
            base_delay: Span::from_millis(50),
            max_delay: Span::from_secs(20),
            multiplier: 2.0,
            throttle_base_delay: None,
            retry_on: vec![RetryOn::Unavailable],
        }),
        breaker: layers.has(Layers::Breaker).then_some(Breaker {
            trip: Trip::FailureRateCount { rate: 0.5, calls: 100, minimum: 100 },
            slow_call: None,
            open_for: Span::from_secs(30),
            half_open_calls: 1,
        }),
        concurrency: layers.has(Layers::Limit).then_some(Concurrency::Fixed { limit: 1024, queue: false }),
        rate: layers.has(Layers::Rate).then_some(RateLimit { per_second: 1e9, burst: 1_000_000_000 }),
        ..Policy::default()
    }
}

/// Nanoseconds a call in virtual time.
pub fn virtually(layers: Layers, answers: Answers) -> f64 {
    sim::block_on(calls(Clock::virtual_time(), layers, answers)).expect("calls come to an end")
}

/// Nanoseconds a call on the wall's clock.
#[expect(clippy::disallowed_methods, reason = "a live clock begins at a time of the wall's")]
pub fn live(layers: Layers, answers: Answers) -> f64 {
    let clock = Clock::live(LiveClock::new(SystemTime::now(), 1.0));
    runtime().block_on(calls(clock, layers, answers))
}

async fn calls(clock: Clock, layers: Layers, answers: Answers) -> f64 {
    let callee = Arc::new(Callee { clock, answers, answer: Payload::new(()) });
    let rpc = Rpc::<(), ()>::new(&METHOD);
    if layers == Layers::Callee {
        return time_a_call(|| callee.handle(rpc.call(()))).await;
    }
    let stack = Stack::new(clock, stream(1, "bench"), &policy(layers), EdgeRecorder::default(), callee);
    time_a_call(|| stack.call(rpc.call(()), clock.now())).await
}
