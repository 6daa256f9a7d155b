//! A second call when the first is late; the first answer counts.
//!
//! It cuts the tail that one slow instance or one lost packet makes: at a 95th percentile as `after`, five calls in a
//! hundred are made twice. When the callee as a whole is slow, all calls are, and hedging doubles the load. Only calls
//! that may be made twice should be hedged. Each hedge passes breaker, limits and recorder as a call of its own; those
//! that lose are dropped, and count as timed out. An error waits for the hedges that are under way, and if all failed
//! the last error that came back is the answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use eastfall_topology::Hedge;
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower::{Layer, Service, ServiceExt as _};

use super::attempt::{Attempt, AttemptResult, Failure};
use crate::call::Payload;
use crate::clock::{Clock, Sleep};

/// Hedges late calls.
#[derive(Clone, Copy, Debug)]
pub struct HedgeLayer {
    clock: Clock,
    settings: Hedge,
}

impl HedgeLayer {
    /// Hedges by these settings.
    pub fn new(clock: Clock, settings: Hedge) -> Self {
        HedgeLayer { clock, settings }
    }
}

impl<S> Layer<S> for HedgeLayer {
    type Service = Hedged<S>;
    fn layer(&self, inner: S) -> Hedged<S> {
        Hedged { hedging: *self, inner }
    }
}

/// A service whose late calls are made again.
#[derive(Clone, Debug)]
pub struct Hedged<S> {
    hedging: HedgeLayer,
    inner: S,
}

impl<S> Service<Attempt> for Hedged<S>
where
    S: Service<Attempt, Response = Payload, Error = Failure> + Clone,
{
    type Response = Payload;
    type Error = Failure;
    // Boxed, since most stacks don't hedge and all would have the size of this future.
    type Future = Pin<Box<HedgeFuture<S>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        Box::pin(HedgeFuture {
            first: Some(self.inner.call(attempt.clone())),
            hedges: Vec::new(),
            failure: None,
            launched: 0,
            sleep: self.hedging.clock.sleep(self.hedging.settings.after),
            hedging: self.hedging,
            attempt,
            service: self.inner.clone(),
        })
    }
}

pin_project! {
    /// The future of a [`Hedged`] call.
    pub struct HedgeFuture<S: Service<Attempt>> {
        // Dropped as soon as it has ended: it may hold the slot that its own hedge is waiting for.
        #[pin]
        first: Option<S::Future>,
        // Boxed, so that a call that needs no hedge allocates nothing for it.
        hedges: Vec<Pin<Box<Oneshot<S, Attempt>>>>,
        failure: Option<Failure>,
        launched: u32,
        sleep: Sleep,
        hedging: HedgeLayer,
        attempt: Attempt,
        service: S,
    }
}

impl<S> Future for HedgeFuture<S>
where
    S: Service<Attempt, Response = Payload, Error = Failure> + Clone,
{
    type Output = AttemptResult;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<AttemptResult> {
        let mut this = self.project();
        loop {
            if let Some(first) = this.first.as_mut().as_pin_mut()
                && let Poll::Ready(result) = first.poll(context)
            {
                this.first.set(None);
                match result {
                    Ok(response) => return Poll::Ready(Ok(response)),
                    Err(failure) => remember(this.failure, failure),
                }
            }
            let mut answer = None;
            this.hedges.retain_mut(|hedge| match hedge.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(Ok(response)) => {
                    answer.get_or_insert(response);
                    false
                }
                Poll::Ready(Err(failure)) => {
                    remember(this.failure, failure);
                    false
                }
            });
            if let Some(response) = answer {
                return Poll::Ready(Ok(response));
            }
            if this.first.is_none()
                && this.hedges.is_empty()
                && let Some(failure) = this.failure.take()
            {
                return Poll::Ready(Err(failure));
            }
            let Hedge { after, at_most } = this.hedging.settings;
            if *this.launched >= at_most || Pin::new(&mut *this.sleep).poll(context).is_pending() {
                return Poll::Pending;
            }
            *this.launched += 1;
            *this.sleep = this.hedging.clock.sleep(after);
            let mut attempt = this.attempt.clone();
            attempt.advance(*this.launched);
            this.hedges.push(Box::pin(this.service.clone().oneshot(attempt)));
        }
    }
}

/// Keeps the later failure, but no refusal in the place of something that came back.
fn remember(kept: &mut Option<Failure>, failure: Failure) {
    if kept.is_none() || matches!(failure, Failure::Sent { .. }) {
        *kept = Some(failure);
    }
}
