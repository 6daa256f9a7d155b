//! A time-out for each attempt.
//!
//! Without one, a callee that hangs holds its callers for ever: threads, slots and connections run out one caller
//! after the other, which is how a slow leaf takes a whole graph down. It is the innermost layer: it starts when the
//! attempt is sent, so that waiting for a slot of our own is not held against the callee, and breaker, limit and
//! recorder around it see a time-out as what it is, an ending. An attempt is also given up when the overall deadline
//! comes first.
//!
//! The callee learns the moment if the edge propagates deadlines, and may stop working for a caller that is gone. If
//! the edge doesn't, it learns nothing, not even the deadline that came with a call which is passed on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use eastfall_topology::time::{Moment, Span};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::attempt::{Attempt, AttemptResult, Failure};
use crate::call::Payload;
use crate::clock::{Clock, Sleep};

/// Puts a time-out around every attempt.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutLayer {
    clock: Clock,
    timeout: Option<Span>,
    propagate: bool,
}

impl TimeoutLayer {
    /// A time-out (none: only the deadline counts), told to the callee if `propagate`.
    pub fn new(clock: Clock, timeout: Option<Span>, propagate: bool) -> Self {
        TimeoutLayer { clock, timeout, propagate }
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;
    fn layer(&self, inner: S) -> Timeout<S> {
        Timeout { settings: *self, inner }
    }
}

/// A service whose attempts end in time.
#[derive(Clone, Debug)]
pub struct Timeout<S> {
    settings: TimeoutLayer,
    inner: S,
}

impl<S> Service<Attempt> for Timeout<S>
where
    S: Service<Attempt, Response = Payload, Error = Failure>,
{
    type Response = Payload;
    type Error = Failure;
    type Future = Until<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut attempt: Attempt) -> Self::Future {
        let TimeoutLayer { clock, timeout, propagate } = self.settings;
        let up = timeout.map(|timeout| clock.now() + timeout);
        let end = earliest(up, attempt.deadline);
        attempt.call.context.deadline = end.filter(|_| propagate).map(Moment::as_nanos);
        let message = if end == up {
            "timeout: no answer within the time of an attempt"
        } else {
            "deadline: no answer within the time of all attempts"
        };
        Until::new(clock, end, message, self.inner.call(attempt))
    }
}

/// The earlier of two moments, where none is later than all.
pub(super) fn earliest(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

pin_project! {
    /// A future that fails at a moment. It goes first: done at that moment is done in time.
    #[derive(Debug)]
    pub struct Until<F> {
        #[pin]
        inner: F,
        clock: Clock,
        end: Option<Moment>,
        // Made when it is first needed: most attempts end before they would wait.
        sleep: Option<Sleep>,
        message: &'static str,
    }
}

impl<F> Until<F> {
    pub(super) fn new(clock: Clock, end: Option<Moment>, message: &'static str, inner: F) -> Self {
        Until { inner, clock, end, sleep: None, message }
    }
}

impl<F: Future<Output = AttemptResult>> Future for Until<F> {
    type Output = AttemptResult;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<AttemptResult> {
        let this = self.project();
        if let Poll::Ready(result) = this.inner.poll(context) {
            return Poll::Ready(result);
        }
        let Some(end) = *this.end else { return Poll::Pending };
        let sleep = this.sleep.get_or_insert_with(|| this.clock.sleep_until(end));
        ready!(Pin::new(sleep).poll(context));
        Poll::Ready(Err(Failure::timed_out(this.message)))
    }
}
