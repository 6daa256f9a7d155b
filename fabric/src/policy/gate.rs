//! The one shape of a policy that decides before an attempt and learns from its end.
//!
//! Breaker, limits, rate, throttle and the recorder differ in what they decide and learn, not in how a tower service
//! around an attempt looks. That part is written here once, with the mistake it prevents: a caller may drop the future
//! at any moment (an outer time-out does), and a breaker that never hears of its half-open probe again stays half open
//! for ever, a limit that never gets its slot back shrinks. So a permit always comes back: with how the attempt ended,
//! or from the guard's `Drop`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::attempt::{Attempt, AttemptResult, Failure, Refusal};
use crate::call::Payload;
use crate::record::Ending;

/// A policy around an attempt. State behind `&self`: one gate serves all calls of an edge.
pub trait Gate: Send + Sync + 'static {
    /// What an admitted attempt holds until it ends.
    type Permit: Send + 'static;

    /// Lets an attempt pass, or not.
    ///
    /// # Errors
    /// The refusal; nothing is sent then, and [`Gate::settle`] is not called.
    fn admit(&self, attempt: &Attempt) -> Result<Self::Permit, Refusal>;

    /// Takes the permit back.
    fn settle(&self, permit: Self::Permit, end: End);
}

/// How an admitted attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was sent, and ended so.
    Sent(Ending),
    /// A layer further in kept it back: no news of the callee.
    Refused,
    /// Its future was dropped: no news of the callee either.
    Abandoned,
}

impl End {
    fn of(result: &AttemptResult) -> End {
        match result {
            Ok(_) => End::Sent(Ending::Ok),
            Err(Failure::Sent { ending, .. }) => End::Sent(*ending),
            Err(Failure::Refused(_)) => End::Refused,
        }
    }
}

/// Puts a [`Gate`] around a service, or nothing but a branch.
///
/// It is optional by itself and not by tower's `Either`, which names the service within twice: ten of those in a row
/// make a type a thousand times as long, for the compiler and for whoever reads a backtrace.
#[derive(Debug)]
pub struct GateLayer<G>(Option<Arc<G>>);

impl<G> GateLayer<G> {
    /// A layer with this gate, whose state it shares with all other layers with it.
    pub fn new(gate: Option<&Arc<G>>) -> Self {
        GateLayer(gate.cloned())
    }
}

impl<G, S> Layer<S> for GateLayer<G> {
    type Service = Gated<G, S>;
    fn layer(&self, inner: S) -> Gated<G, S> {
        Gated { gate: self.0.clone(), inner }
    }
}

/// A service behind a [`Gate`].
#[derive(Debug)]
pub struct Gated<G, S> {
    gate: Option<Arc<G>>,
    inner: S,
}

impl<G, S: Clone> Clone for Gated<G, S> {
    fn clone(&self) -> Self {
        Gated { gate: self.gate.clone(), inner: self.inner.clone() }
    }
}

impl<G, S> Service<Attempt> for Gated<G, S>
where
    G: Gate,
    S: Service<Attempt, Response = Payload, Error = Failure>,
{
    type Response = Payload;
    type Error = Failure;
    type Future = GateFuture<G, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let mut guard = None;
        if let Some(gate) = &self.gate {
            match gate.admit(&attempt) {
                Ok(permit) => guard = Some(Guard { gate: Arc::clone(gate), permit: Some(permit) }),
                Err(refusal) => return GateFuture { state: State::Refused { refusal } },
            }
        }
        GateFuture { state: State::Passed { guard, inner: self.inner.call(attempt) } }
    }
}

pin_project! {
    /// The future of a [`Gated`] call.
    pub struct GateFuture<G: Gate, F> {
        #[pin]
        state: State<G, F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<G: Gate, F> {
        Passed { guard: Option<Guard<G>>, #[pin] inner: F },
        Refused { refusal: Refusal },
    }
}

impl<G: Gate, F: Future<Output = AttemptResult>> Future for GateFuture<G, F> {
    type Output = AttemptResult;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<AttemptResult> {
        match self.project().state.project() {
            StateProjection::Passed { guard, inner } => {
                let result = ready!(inner.poll(context));
                if let Some(guard) = guard {
                    guard.settle(End::of(&result));
                }
                Poll::Ready(result)
            }
            StateProjection::Refused { refusal } => Poll::Ready(Err(Failure::Refused(*refusal))),
        }
    }
}

/// Holds a permit and gives it back exactly once.
struct Guard<G: Gate> {
    gate: Arc<G>,
    permit: Option<G::Permit>,
}

impl<G: Gate> Guard<G> {
    fn settle(&mut self, end: End) {
        if let Some(permit) = self.permit.take() {
            self.gate.settle(permit, end);
        }
    }
}

impl<G: Gate> Drop for Guard<G> {
    fn drop(&mut self) {
        self.settle(End::Abandoned);
    }
}
