//! The world's clock: the one way to know the time and to wait.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use eastfall_topology::time::{Moment, Span};
use pin_project_lite::pin_project;

use crate::engine::fine::FineSleep;
use crate::engine::live::LiveClock;
use crate::engine::sim;

/// Reads incident time and waits for it, in virtual time or live.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug)]
enum Source {
    Virtual,
    Live(LiveClock),
}

impl Clock {
    /// The clock of the simulation on this thread.
    pub const fn virtual_time() -> Self {
        Clock(Source::Virtual)
    }

    /// A clock on the wall's.
    pub const fn live(clock: LiveClock) -> Self {
        Clock(Source::Live(clock))
    }

    /// The live clock underneath, if there is one.
    pub const fn as_live(&self) -> Option<&LiveClock> {
        match &self.0 {
            Source::Virtual => None,
            Source::Live(clock) => Some(clock),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::Virtual => sim::now(),
            Source::Live(clock) => clock.now(),
        }
    }

    /// Waits until a moment; not at all if it is past.
    pub fn sleep_until(&self, deadline: Moment) -> Sleep {
        match &self.0 {
            Source::Virtual => Sleep(Waiting::Virtual(sim::Sleep::until(deadline))),
            Source::Live(clock) => Sleep(match clock.short_wait(deadline) {
                Some(sleep) => Waiting::Short(sleep),
                None => Waiting::Live(Box::pin(tokio::time::sleep_until(clock.wall(deadline).into()))),
            }),
        }
    }

    /// Waits for a span of incident time.
    pub fn sleep(&self, span: Span) -> Sleep {
        self.sleep_until(self.now() + span)
    }

    /// Waits for a future, but no longer than until `deadline`. The future goes first: done in time is done.
    ///
    /// # Errors
    /// [`Elapsed`] when the deadline came first; the future is dropped.
    pub async fn timeout_at<F: Future>(&self, deadline: Moment, future: F) -> Result<F::Output, Elapsed> {
        Timeout { future, sleep: self.sleep_until(deadline) }.await
    }

    /// Waits for a future, but no longer than a span.
    ///
    /// # Errors
    /// [`Elapsed`] when the time was up first; the future is dropped.
    pub fn timeout<F: Future>(&self, span: Span, future: F) -> Timeout<F> {
        Timeout { future, sleep: self.sleep(span) }
    }

    /// Ticks every `period`, first one period from now. The moments are exact multiples: late ticks don't shift those
    /// after them. Ticks that were missed come at once, one after the other.
    pub fn interval(&self, period: Span) -> Interval {
        let period = period.max(Span::from_nanos(1));
        Interval { clock: *self, period, next: self.now() + period }
    }
}

/// The time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time was up")]
pub struct Elapsed;

/// Waits; see [`Clock::sleep_until`].
#[derive(Debug)]
pub struct Sleep(Waiting);

#[derive(Debug)]
enum Waiting {
    Virtual(sim::Sleep),
    Live(Pin<Box<tokio::time::Sleep>>),
    Short(FineSleep),
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Waiting::Virtual(sleep) => Pin::new(sleep).poll(context),
            Waiting::Live(sleep) => sleep.as_mut().poll(context),
            Waiting::Short(sleep) => Pin::new(sleep).poll(context),
        }
    }
}

pin_project! {
    /// A future with a limit; see [`Clock::timeout`].
    #[derive(Debug)]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        this.sleep.poll(context).map(|()| Err(Elapsed))
    }
}

/// Ticks; see [`Clock::interval`].
#[derive(Debug)]
pub struct Interval {
    clock: Clock,
    period: Span,
    next: Moment,
}

impl Interval {
    /// Waits for the next tick and says when it was due.
    pub async fn tick(&mut self) -> Moment {
        let due = self.next;
        self.clock.sleep_until(due).await;
        self.next = due + self.period;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_that_is_done_at_the_deadline_is_done_in_time() {
        let clock = Clock::virtual_time();
        let second = Span::from_secs(1);
        let outcome = sim::block_on(async move { clock.timeout(second, clock.sleep(second)).await });
        assert_eq!(outcome, Some(Ok(())));
    }

    #[test]
    fn a_future_that_takes_longer_is_given_up_at_the_deadline() {
        let clock = Clock::virtual_time();
        let outcome = sim::block_on(async move {
            let outcome = clock.timeout(Span::from_millis(10), std::future::pending::<()>()).await;
            (outcome, clock.now())
        });
        assert_eq!(outcome, Some((Err(Elapsed), Moment::START + Span::from_millis(10))));
    }

    #[test]
    fn ticks_do_not_drift() {
        let clock = Clock::virtual_time();
        let due = sim::block_on(async move {
            let mut ticks = clock.interval(Span::from_secs(1));
            ticks.tick().await;
            clock.sleep(Span::from_millis(400)).await;
            ticks.tick().await
        });
        assert_eq!(due, Some(Moment::START + Span::from_secs(2)));
    }
}
