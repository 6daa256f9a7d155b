//! Short waits of a live instance, to a tenth of a millisecond.
//!
//! tokio's timers, and the wait of its reactor underneath them, count whole milliseconds and round up: a quarter of one
//! takes between one and two. At 60 times the wall that makes a call that is served in 5 ms one of 100 ms, and the forty
//! calls of a pass of the DNS automation, which are half a second of the incident, come to four: what depends on such a
//! margin then depends on the runtime. So waits below [`SHORT`] share one timer of the kernel's (`timerfd`) in each
//! instance; longer ones are tokio's, to which most of all waits (time-outs) are cheaper, and a millisecond is nothing.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::net::unix::pipe::Receiver;

/// Wall time below which a wait is a short one.
pub(crate) const SHORT: Duration = Duration::from_millis(10);

/// The short waits of an instance.
pub struct FineTimer {
    /// Can be read when the time is up, which is all that the reactor wants of a pipe.
    kernel: Receiver,
    waits: Mutex<Waits>,
}

#[derive(Default)]
struct Waits {
    /// By when they are over; a number tells apart those that end together.
    wakers: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    /// When the kernel will tell, if it is to.
    armed: Option<Instant>,
}

impl FineTimer {
    /// The timer of this process, for the tasks of the runtime that this is called in. It lasts as long as the process: call
    /// it once.
    ///
    /// # Errors
    /// If the kernel has no such timer, as outside Linux.
    #[expect(clippy::disallowed_methods, reason = "it wakes the world's tasks, so it can't be one of them")]
    pub fn start() -> io::Result<&'static Self> {
        let kernel = Receiver::from_owned_fd_unchecked(kernel::create()?)?;
        let timer: &'static FineTimer = Box::leak(Box::new(FineTimer { kernel, waits: Mutex::default() }));
        tokio::spawn(timer.run());
        Ok(timer)
    }

    /// Waits until an instant.
    pub(crate) fn sleep_until(&'static self, deadline: Instant) -> FineSleep {
        FineSleep { timer: self, deadline, number: None }
    }

    async fn run(&self) {
        // The runtime that it belongs to is going away when this fails.
        while self.kernel.readable().await.is_ok() {
            // How often it has told does not matter; only once there is nothing more to read does the reactor wait again.
            while self.kernel.try_read(&mut [0; 8]).is_ok() {}
            for waker in self.over() {
                waker.wake();
            }
        }
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes those that are over, and has the kernel tell of the next one.
    #[expect(clippy::disallowed_methods, reason = "this is the live edge of the world's clock")]
    fn over(&self) -> impl Iterator<Item = Waker> + use<> {
        let mut waits = self.waits();
        let later = waits.wakers.split_off(&(Instant::now(), u64::MAX));
        let over = std::mem::replace(&mut waits.wakers, later);
        waits.armed = None;
        self.arm(&mut waits);
        over.into_values()
    }

    /// Has the kernel tell of the first wait, unless it will.
    fn arm(&self, waits: &mut Waits) {
        if let Some((first, _)) = waits.wakers.keys().next().copied()
            && waits.armed.is_none_or(|armed| first < armed)
        {
            waits.armed = Some(first);
            kernel::arm(&self.kernel, first);
        }
    }
}

impl std::fmt::Debug for FineTimer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FineTimer({} waits)", self.waits().wakers.len())
    }
}

/// A short wait; see [`FineTimer::sleep_until`].
#[derive(Debug)]
pub(crate) struct FineSleep {
    timer: &'static FineTimer,
    deadline: Instant,
    number: Option<u64>,
}

impl Future for FineSleep {
    type Output = ();

    #[expect(clippy::disallowed_methods, reason = "this is the live edge of the world's clock")]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        let (timer, deadline) = (self.timer, self.deadline);
        let mut waits = timer.waits();
        let number = *self.number.get_or_insert_with(|| {
            waits.next += 1;
            waits.next
        });
        waits.wakers.insert((deadline, number), context.waker().clone());
        timer.arm(&mut waits);
        Poll::Pending
    }
}

impl Drop for FineSleep {
    fn drop(&mut self) {
        // That the kernel may tell of it all the same does no harm.
        if let Some(number) = self.number {
            self.timer.waits().wakers.remove(&(self.deadline, number));
        }
    }
}

/// The kernel's side.
#[cfg(target_os = "linux")]
mod kernel {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Instant;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::net::unix::pipe::Receiver;

    pub(super) fn create() -> io::Result<OwnedFd> {
        Ok(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the live edge of the world's clock")]
    pub(super) fn arm(timer: &Receiver, at: Instant) {
        let wait = at.saturating_duration_since(Instant::now());
        // Nothing would disarm it. What is short fits.
        let nanos = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX).max(1);
        let it_value = Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Only a wrong descriptor or time is refused.
        let _ = timerfd_settime(timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value });
    }
}

/// Elsewhere there is no such timer, and all waits are tokio's.
#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Instant;

    use tokio::net::unix::pipe::Receiver;

    pub(super) fn create() -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn arm(_: &Receiver, _: Instant) {}
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "the wall's clock is what is tested")]
mod tests {
    use super::*;

    fn within<T>(test: impl AsyncFnOnce(&'static FineTimer) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { test(FineTimer::start().expect("Linux has timers")).await })
    }

    #[test]
    fn a_wait_is_over_when_its_time_is_up_and_not_before() {
        within(async |timer| {
            let began = Instant::now();
            for micros in [100, 2_000, 50, 0, 700] {
                let deadline = Instant::now() + Duration::from_micros(micros);
                timer.sleep_until(deadline).await;
                assert!(Instant::now() >= deadline, "{micros} us were not over");
            }
            assert!(began.elapsed() < Duration::from_secs(5), "none of them was forgotten");
        });
    }

    #[test]
    fn a_wait_that_began_later_and_ends_sooner_is_not_held_up() {
        within(async |timer| {
            let now = Instant::now();
            let mut long = Box::pin(timer.sleep_until(now + Duration::from_mins(10)));
            assert!(futures_util::poll!(&mut long).is_pending(), "it has only begun");
            timer.sleep_until(now + Duration::from_millis(2)).await;
            assert!(now.elapsed() < Duration::from_mins(1), "the kernel was told of the earlier one");
            assert!(futures_util::poll!(&mut long).is_pending(), "the other goes on waiting");
        });
    }

    #[test]
    fn who_is_given_up_leaves_nothing_behind_and_holds_nobody_up() {
        within(async |timer| {
            let now = Instant::now();
            let mut first = Box::pin(timer.sleep_until(now + Duration::from_millis(1)));
            let second = timer.sleep_until(now + Duration::from_millis(3));
            assert!(futures_util::poll!(&mut first).is_pending(), "it has only begun");
            drop(first);
            assert!(timer.waits().wakers.is_empty(), "it is forgotten");
            second.await;
            assert!(timer.waits().wakers.is_empty(), "so is who has waited to the end");
        });
    }
}
