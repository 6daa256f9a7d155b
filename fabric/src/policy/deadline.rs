//! One deadline for all attempts of a request together.
//!
//! A time-out bounds an attempt, so three attempts and their pauses last three time-outs and more; the caller above
//! has long given up and tried again, and both work at the same thing. A deadline is kept through retries, and is the
//! earlier of this edge's own and the one that came with the call, so that no layer works longer than its caller
//! waits. A call past its deadline is not sent at all.

use std::sync::Arc;
use std::task::{Context, Poll};

use eastfall_topology::time::{Moment, Span};
use tonic::Code;
use tower::{Layer, Service};

use super::attempt::{Attempt, AttemptResult, Failure};
use super::observer::Observer;
use super::timeout::{Until, earliest};
use crate::call::Payload;

/// Gives every request a deadline.
#[derive(Clone, Debug)]
pub struct DeadlineLayer {
    observer: Arc<Observer>,
    deadline: Option<Span>,
}

impl DeadlineLayer {
    /// The edge's own deadline; with none, only the caller's counts.
    pub fn new(observer: &Arc<Observer>, deadline: Option<Span>) -> Self {
        DeadlineLayer { observer: Arc::clone(observer), deadline }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;
    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { settings: self.clone(), inner }
    }
}

/// A service whose requests have a deadline.
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    settings: DeadlineLayer,
    inner: S,
}

impl<S> Service<Attempt> for Deadline<S>
where
    S: Service<Attempt, Response = Payload, Error = Failure>,
{
    type Response = Payload;
    type Error = Failure;
    type Future = futures_util::future::Either<std::future::Ready<AttemptResult>, Until<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut attempt: Attempt) -> Self::Future {
        let observer = &self.settings.observer;
        let now = observer.now();
        let own = self.settings.deadline.map(|deadline| now + deadline);
        attempt.deadline = earliest(own, attempt.call.context.deadline.map(Moment::from_nanos));
        if attempt.has_expired(now) {
            let refusal =
                observer.refuse("deadline", Code::DeadlineExceeded, "the caller has given up already");
            return futures_util::future::Either::Left(std::future::ready(Err(Failure::Refused(refusal))));
        }
        futures_util::future::Either::Right(Until::new(
            observer.clock,
            attempt.deadline,
            "deadline: no answer within the time of all attempts",
            self.inner.call(attempt),
        ))
    }
}
