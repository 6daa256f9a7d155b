//! tower-resilience's layers, over a bare tower service.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tower::{Layer, Service, ServiceExt as _, service_fn};
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::circuitbreaker::CircuitBreakerLayer;
use tower_resilience::ratelimiter::RateLimiterLayer;
use tower_resilience::retry::RetryLayer;
use tower_resilience::timelimiter::TimeLimiterLayer;

use super::{Answers, Layers, runtime, time_a_call};

/// What any of them may say; here none does.
#[derive(Clone, Debug)]
struct Failure;

/// Each layer has an error type of its own, so between two of them stands a translation, and it costs nothing.
fn failure<E>(_: E) -> Failure {
    Failure
}

/// A service that layers can be put around.
trait Callee: Service<(), Response = (), Error = Failure, Future: Send> + Clone + Send + 'static {}

impl<S> Callee for S where
    S: Service<(), Response = (), Error = Failure, Future: Send> + Clone + Send + 'static
{
}

fn callee(answers: Answers) -> impl Callee {
    service_fn(move |()| async move {
        answers.wait().await;
        Ok(())
    })
}

fn timeout(inner: impl Callee) -> impl Callee {
    let layer = TimeLimiterLayer::builder().timeout_duration(Duration::from_secs(1)).build();
    layer.layer(inner).map_err(failure)
}

fn retry(inner: impl Callee) -> impl Callee {
    let layer = RetryLayer::<(), (), Failure>::builder();
    layer.max_attempts(3).exponential_backoff(Duration::from_millis(50)).build().layer(inner)
}

fn breaker(inner: impl Callee) -> impl Callee {
    let layer = CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(100)
        .minimum_number_of_calls(100)
        .wait_duration_in_open(Duration::from_secs(30))
        .permitted_calls_in_half_open(1)
        .build();
    layer.expect("a sound breaker").layer(inner).map_err(failure)
}

fn limit(inner: impl Callee) -> impl Callee {
    let layer = BulkheadLayer::builder().max_concurrent_calls(1024).reject_when_full().build();
    layer.expect("a sound limit").layer(inner).map_err(failure)
}

fn rate(inner: impl Callee) -> impl Callee {
    // A window has no burst: this makes it the token bucket that ours is.
    let layer = RateLimiterLayer::builder()
        .limit_for_period(1_000_000_000)
        .refresh_period(Duration::from_secs(1))
        .burst_size(0)
        .timeout_duration(Duration::ZERO)
        .build();
    layer.expect("a sound rate").layer(inner).map_err(failure)
}

/// Nanoseconds a call on the wall's clock.
pub fn live(layers: Layers, answers: Answers) -> f64 {
    let callee = callee(answers);
    match layers {
        Layers::Callee | Layers::Nothing => calls(callee),
        Layers::Timeout => calls(timeout(callee)),
        Layers::Retry => calls(retry(callee)),
        Layers::Breaker => calls(breaker(callee)),
        Layers::Limit => calls(limit(callee)),
        Layers::Rate => calls(rate(callee)),
        Layers::All => calls(retry(breaker(limit(rate(timeout(callee)))))),
    }
}

fn calls(mut service: impl Callee) -> f64 {
    runtime().block_on(time_a_call(|| {
        let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(ready, Poll::Ready(Ok(()))), "none of them makes callers wait before the call");
        service.call(())
    }))
}
