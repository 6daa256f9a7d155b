//! A bulkhead that queues: above the limit a call waits for its turn, first come, first served.
//!
//! The slots are tower's. tower takes them in `poll_ready`, before there is a call; there, no deadline could end the
//! waiting, and every request would have to wait even for a breaker to refuse it. So the waiting is moved into the call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::Semaphore;
use tower::limit::ConcurrencyLimit;
use tower::util::Oneshot;
use tower::{Layer, Service, ServiceExt as _};

use crate::call::Payload;
use crate::policy::attempt::{Attempt, Failure};

/// Makes calls wait for one of some slots.
#[derive(Clone, Debug)]
pub struct QueueLayer(Arc<Semaphore>);

impl QueueLayer {
    /// A queue for these slots.
    pub fn new(slots: &Arc<Semaphore>) -> Self {
        QueueLayer(Arc::clone(slots))
    }
}

impl<S> Layer<S> for QueueLayer {
    type Service = Queue<ConcurrencyLimit<S>>;
    fn layer(&self, inner: S) -> Self::Service {
        Queue(ConcurrencyLimit::with_semaphore(inner, Arc::clone(&self.0)))
    }
}

/// Always ready; its calls wait until the service within is.
#[derive(Clone, Debug)]
pub struct Queue<S>(S);

impl<S> Service<Attempt> for Queue<S>
where
    S: Service<Attempt, Response = Payload, Error = Failure> + Clone,
{
    type Response = Payload;
    type Error = Failure;
    // Boxed, since most stacks have no queue and all would have the size of this future.
    type Future = Pin<Box<Oneshot<S, Attempt>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        Box::pin(self.0.clone().oneshot(attempt))
    }
}
