//! The innermost service: hands the call to whatever sends it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower::Service;

use super::attempt::{Attempt, AttemptResult, Failure};
use crate::call::{CallFuture, Payload, SharedHandler};

/// Sends attempts.
#[derive(Clone)]
pub struct Transport(pub SharedHandler);

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

impl Service<Attempt> for Transport {
    type Response = Payload;
    type Error = Failure;
    type Future = TransportFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, attempt: Attempt) -> TransportFuture {
        TransportFuture(self.0.handle(attempt.call))
    }
}

/// An attempt on its way.
pub struct TransportFuture(CallFuture);

impl Future for TransportFuture {
    type Output = AttemptResult;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<AttemptResult> {
        self.0.as_mut().poll(context).map(Failure::of)
    }
}

impl std::fmt::Debug for TransportFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TransportFuture")
    }
}
