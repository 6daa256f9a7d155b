//! Dates of an incident and moments of its run.
//!
//! A run begins some warm-up (`lead`) before the incident does, and its clock counts from there; people speak of
//! `02:25`, of `2025-10-20T02:25` or of `+2h37m` after the incident's start. One place converts, so that steps,
//! `--until`, expectations and reports can't disagree. Incidents have one fixed offset from UTC: a clock that is put
//! back in the middle of one would make `01:30` two moments.

use std::fmt;
use std::str::FromStr;

use eastfall_fabric::{Moment, Span};
use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};

/// When the incident and its run begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    starts: Timestamp,
    offset: Offset,
    lead: Span,
}

/// Why a text is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no time; write 02:25, 2025-10-20T02:25, 2025-10-20T02:25:00-07:00, or +2h37m after the incident's start"
)]
pub struct TimeError {
    text: String,
}

/// A move in time, either way: `+1h`, `-100m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// So much later.
    Later(Span),
    /// So much earlier.
    Earlier(Span),
}

/// Why a text is no move in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no move in time; write +1h for later or -100m for earlier")]
pub struct ShiftError {
    text: String,
}

impl Timeline {
    /// An incident that starts at a date with its offset (`2025-10-19T23:48:00-07:00`) and whose run begins `lead`
    /// before.
    ///
    /// # Errors
    /// If the text is no such date.
    pub fn new(starts: &str, lead: Span) -> Result<Timeline, TimeError> {
        let error = || TimeError { text: starts.to_owned() };
        let offset = Pieces::parse(starts).ok().and_then(|pieces| pieces.to_numeric_offset());
        let starts = starts.parse().map_err(|_| error())?;
        Ok(Timeline { starts, offset: offset.ok_or_else(error)?, lead })
    }

    /// The incident's start.
    pub fn starts(&self) -> Timestamp {
        self.starts
    }

    /// How long before the incident's start the run begins.
    pub fn lead(&self) -> Span {
        self.lead
    }

    /// The moment of the incident's start.
    pub fn incident(&self) -> Moment {
        Moment::START + self.lead
    }

    /// The moment of a date; nothing if the run had not begun.
    pub fn moment(&self, date: Timestamp) -> Option<Moment> {
        let since = date.duration_since(self.starts).as_nanos() + i128::from(self.lead.as_nanos());
        u64::try_from(since).ok().map(Moment::from_nanos)
    }

    /// The date of a moment.
    pub fn date(&self, moment: Moment) -> Timestamp {
        let since = i128::from(moment.as_nanos()) - i128::from(self.lead.as_nanos());
        let since = SignedDuration::try_from_nanos_i128(since).unwrap_or(SignedDuration::MAX);
        self.starts.checked_add(since).unwrap_or(Timestamp::MAX)
    }

    /// A date as results write it: `2025-10-20T02:25:00-07:00`, in the incident's own offset.
    pub fn written(&self, date: Timestamp) -> String {
        self.offset.to_datetime(date).to_string() + &written_offset(self.offset)
    }

    /// The time of day at a moment, since midnight where the incident was.
    pub fn time_of_day(&self, moment: Moment) -> Span {
        let time = self.offset.to_datetime(self.date(moment)).time();
        let midnight = Time::midnight();
        Span::from_nanos(u64::try_from(time.duration_since(midnight).as_nanos()).unwrap_or(0))
    }

    /// Reads a time: `+2h37m` and `-8m` count from the incident's start, `02:25` and `02:25:30` are the next such time
    /// at or after `after`, a date without offset has the incident's.
    ///
    /// # Errors
    /// If the text is none of these.
    pub fn read(&self, text: &str, after: Timestamp) -> Result<Timestamp, TimeError> {
        let text = text.trim();
        let error = || TimeError { text: text.to_owned() };
        if let Ok(shift) = text.parse::<Shift>() {
            return shift.apply(self.starts).ok_or_else(error);
        }
        if let Ok(date) = text.parse::<Timestamp>() {
            return Ok(date);
        }
        let zone = || TimeZone::fixed(self.offset);
        if text.contains(['T', ' ']) {
            let date: DateTime = text.parse().map_err(|_| error())?;
            return date.to_zoned(zone()).map(|zoned| zoned.timestamp()).map_err(|_| error());
        }
        let time: Time = text.parse().map_err(|_| error())?;
        let today = Zoned::new(after, zone()).with().time(time).build().map_err(|_| error())?;
        let next = if today.timestamp() < after { today.tomorrow().map_err(|_| error())? } else { today };
        Ok(next.with().time(time).build().map_err(|_| error())?.timestamp())
    }
}

/// `-07:00`.
fn written_offset(offset: Offset) -> String {
    let minutes = offset.seconds() / 60;
    format!("{}{:02}:{:02}", if minutes < 0 { '-' } else { '+' }, minutes.abs() / 60, minutes.abs() % 60)
}

impl Shift {
    /// The date so much later or earlier, if the calendar reaches so far.
    pub fn apply(self, date: Timestamp) -> Option<Timestamp> {
        let (Shift::Later(span) | Shift::Earlier(span)) = self;
        let span = SignedDuration::from_nanos(i64::try_from(span.as_nanos()).ok()?);
        match self {
            Shift::Later(_) => date.checked_add(span).ok(),
            Shift::Earlier(_) => date.checked_sub(span).ok(),
        }
    }

    /// The moment so much later or earlier; nothing if that is before the run.
    pub fn move_moment(self, moment: Moment) -> Option<Moment> {
        match self {
            Shift::Later(span) => Some(moment + span),
            Shift::Earlier(span) => moment.as_nanos().checked_sub(span.as_nanos()).map(Moment::from_nanos),
        }
    }
}

impl FromStr for Shift {
    type Err = ShiftError;

    fn from_str(text: &str) -> Result<Shift, ShiftError> {
        let error = || ShiftError { text: text.to_owned() };
        let (sign, span) = text.trim().split_at_checked(1).ok_or_else(error)?;
        let span = span.parse().map_err(|_| error())?;
        match sign {
            "+" => Ok(Shift::Later(span)),
            "-" => Ok(Shift::Earlier(span)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shift::Later(span) => write!(f, "+{span}"),
            Shift::Earlier(span) => write!(f, "-{span}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timeline() -> Timeline {
        Timeline::new("2025-10-19T23:48:00-07:00", Span::from_mins(20)).expect("a date")
    }

    #[test]
    fn a_time_can_be_written_in_every_promised_way() {
        let timeline = timeline();
        for text in [
            "02:25",
            "02:25:00",
            "2025-10-20T02:25",
            "2025-10-20 02:25",
            "2025-10-20T02:25:00-07:00",
            "2025-10-20T09:25:00Z",
            "+2h37m",
        ] {
            let date = timeline.read(text, timeline.starts()).expect(text);
            assert_eq!(timeline.written(date), "2025-10-20T02:25:00-07:00", "{text}");
        }
    }

    #[test]
    fn a_time_of_day_is_the_next_one() {
        let timeline = timeline();
        let next = |text, after: &str| {
            let after = timeline.read(after, timeline.starts()).expect(after);
            timeline.written(timeline.read(text, after).expect(text))
        };
        assert_eq!(next("23:48", "+0s"), "2025-10-19T23:48:00-07:00", "now is soon enough");
        assert_eq!(next("23:40", "+0s"), "2025-10-20T23:40:00-07:00", "past, so tomorrow");
        assert_eq!(next("23:47:30", "-8m"), "2025-10-19T23:47:30-07:00", "after the step's own start");
    }

    #[test]
    fn the_run_begins_its_lead_before_the_incident() {
        let timeline = timeline();
        assert_eq!(timeline.moment(timeline.starts()), Some(Moment::START + Span::from_mins(20)));
        let early = timeline.read("-21m", timeline.starts()).expect("a time");
        assert_eq!(timeline.moment(early), None, "before the run");
        assert_eq!(timeline.time_of_day(Moment::START), Span::from_mins(23 * 60 + 28));
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_ways_to_write_one() {
        let timeline = timeline();
        for text in ["", "25:00", "noon", "+", "2025-13-01T00:00", "+5", "é"] {
            let error = timeline.read(text, timeline.starts()).expect_err(text);
            assert!(error.to_string().contains("write 02:25"), "{error}");
        }
        assert!(Timeline::new("2025-10-19T23:48:00", Span::ZERO).is_err(), "without an offset");
    }

    proptest! {
        #[test]
        fn dates_and_moments_are_inverse(nanos in 0_u64..1_000_000_000_000_000) {
            let (timeline, moment) = (timeline(), Moment::from_nanos(nanos));
            let date = timeline.date(moment);
            prop_assert_eq!(timeline.moment(date), Some(moment));
            prop_assert_eq!(timeline.read(&timeline.written(date), timeline.starts()), Ok(date));
        }
    }
}
