//! A span for every attempt that is sent.
//!
//! Around the time-out, so that an attempt that nobody answered in time ends as one that timed out, and within the gate
//! that counts attempts, so that there is a span for each of those and for no other. Attempts of one request are
//! siblings: each goes out beneath a span of its own, so that a server's part is seen where it belongs. Without a tracer
//! it passes everything on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::attempt::{Attempt, AttemptResult, Failure};
use super::observer::Observer;
use crate::call::Payload;
use crate::trace::OpenSpan;

/// Puts a span around every attempt.
#[derive(Clone, Debug)]
pub struct TraceLayer(Arc<Observer>);

impl TraceLayer {
    /// Spans by the observer's tracer, if it has one.
    pub fn new(observer: &Arc<Observer>) -> Self {
        TraceLayer(Arc::clone(observer))
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;
    fn layer(&self, inner: S) -> Traced<S> {
        Traced { layer: self.clone(), inner }
    }
}

/// A service whose attempts have spans.
#[derive(Clone, Debug)]
pub struct Traced<S> {
    layer: TraceLayer,
    inner: S,
}

impl<S> Service<Attempt> for Traced<S>
where
    S: Service<Attempt, Response = Payload, Error = Failure>,
{
    type Response = Payload;
    type Error = Failure;
    type Future = TracedFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut attempt: Attempt) -> Self::Future {
        let tracing = self.layer.0.tracing.as_ref();
        let span = tracing.map(|tracing| {
            Box::new(tracing.tracer.attempt(&mut attempt.call, &tracing.callee, attempt.number))
        });
        TracedFuture { inner: self.inner.call(attempt), span }
    }
}

pin_project! {
    /// An attempt with its span.
    #[derive(Debug)]
    pub struct TracedFuture<F> {
        #[pin]
        inner: F,
        span: Option<Box<OpenSpan>>,
    }
}

impl<F: Future<Output = AttemptResult>> Future for TracedFuture<F> {
    type Output = AttemptResult;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<AttemptResult> {
        let this = self.project();
        let result = ready!(this.inner.poll(context));
        if let Some(mut span) = this.span.take() {
            let ending = result.as_ref().map_or_else(Failure::ending, |_| crate::record::Ending::Ok);
            match &result {
                Err(Failure::Sent { status, .. }) => span.ended_with(ending, Some(status)),
                _ => span.ended_with(ending, None),
            }
        }
        Poll::Ready(result)
    }
}
