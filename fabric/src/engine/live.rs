//! The live back end of the clock: incident time is wall time times a speed.
//!
//! All processes of a fleet share one origin, a wall-clock instant that the launcher chose, so they agree on the time
//! of the incident without talking. Within a process time is read from the monotonic clock.

use std::time::{Duration, Instant, SystemTime};

use eastfall_topology::time::{Moment, Span};

use super::fine::{self, FineSleep, FineTimer};

/// Maps wall time to incident time.
#[derive(Clone, Copy, Debug)]
pub struct LiveClock {
    anchor: Instant,
    at_anchor: f64,
    speed: f64,
    fine: Option<&'static FineTimer>,
}

impl LiveClock {
    /// A clock that showed `Moment::START` when the wall clock showed `origin`, and runs `speed` times faster than it.
    #[expect(clippy::disallowed_methods, reason = "this is the live edge of the world's clock")]
    pub fn new(origin: SystemTime, speed: f64) -> Self {
        let elapsed = match SystemTime::now().duration_since(origin) {
            Ok(since) => since.as_secs_f64(),
            Err(ahead) => -ahead.duration().as_secs_f64(),
        };
        LiveClock { anchor: Instant::now(), at_anchor: elapsed, speed, fine: None }
    }

    /// The same clock with waits of less than a few milliseconds of the wall by a timer that counts less than whole ones.
    /// For tasks of the runtime that the timer was started in.
    pub fn with_fine_waits(self, timer: &'static FineTimer) -> Self {
        LiveClock { fine: Some(timer), ..self }
    }

    /// The wait until a moment, if it is a short one and there is a timer for those.
    #[expect(clippy::disallowed_methods, reason = "this is the live edge of the world's clock")]
    pub(crate) fn short_wait(&self, until: Moment) -> Option<FineSleep> {
        let deadline = self.wall(until);
        let is_short = deadline.saturating_duration_since(Instant::now()) < fine::SHORT;
        self.fine.filter(|_| is_short).map(|timer| timer.sleep_until(deadline))
    }

    /// How many times faster than the wall.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// The present moment of the incident; its start until the origin is reached.
    pub fn now(&self) -> Moment {
        let wall = self.at_anchor + self.anchor.elapsed().as_secs_f64();
        Moment::START + Span::from_secs_f64(wall * self.speed)
    }

    /// The wall-clock instant at which a moment comes.
    pub fn wall(&self, moment: Moment) -> Instant {
        let wall = moment.since_start().as_secs_f64() / self.speed - self.at_anchor;
        // A run that ends in the year 584 would overflow; a day of wall time is as good as never.
        self.anchor + Duration::from_secs_f64(wall.clamp(0.0, 10.0 * 86_400.0))
    }

    /// How long an incident span takes on the wall.
    pub fn wall_span(&self, span: Span) -> Duration {
        Duration::from_secs_f64((span.as_secs_f64() / self.speed).min(10.0 * 86_400.0))
    }
}
