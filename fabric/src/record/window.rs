//! Impact windows: from when to when a system's customers were let down.
//!
//! A window is judged by the minute, not by the sample: at ten requests a sample one lost request would be a share of
//! 10 %. A minute is bad if at least a given share of its requests were not answered. A window runs from the start of
//! its first bad minute to the end of its last, and closes once a given time passed without a bad one. A minute without
//! any request lets nobody down.

use eastfall_topology::time::{Moment, Span};

pub(super) const MINUTE: Span = Span::from_mins(1);

/// A time in which a system let its customers down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The start of the first bad minute.
    pub from: Moment,
    /// The end of the last bad minute.
    pub to: Moment,
}

impl Window {
    /// The windows of any requests, from two series over the same moments: how many there were, and how many of them went
    /// unanswered. `share` and `quiet` are as in [`super::Layout`].
    pub fn all(
        times: &[Moment],
        requests: &[f64],
        unanswered: &[f64],
        share: f64,
        quiet: Span,
    ) -> Vec<Window> {
        windows(&by_minute(times, [requests, unanswered]), share, quiet)
    }

    /// How long it was.
    pub fn length(&self) -> Span {
        self.to.since(self.from)
    }
}

/// What one minute (or one sampling interval, if that is longer) saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Minute {
    pub(super) from: Moment,
    pub(super) to: Moment,
    /// The sums of the series that were asked for.
    pub(super) sums: [f64; 2],
}

/// Adds up two series by the minute.
pub(super) fn by_minute(times: &[Moment], series: [&[f64]; 2]) -> Vec<Minute> {
    let mut minutes: Vec<Minute> = Vec::new();
    let mut from = Moment::START;
    for (row, &to) in times.iter().enumerate() {
        let number = |end: Moment| end.as_nanos().saturating_sub(1) / MINUTE.as_nanos();
        match minutes.last_mut() {
            Some(minute) if number(minute.to) == number(to) => minute.to = to,
            _ => minutes.push(Minute { from, to, sums: [0.0; 2] }),
        }
        if let Some(minute) = minutes.last_mut() {
            for (sum, values) in minute.sums.iter_mut().zip(series) {
                *sum += values.get(row).copied().unwrap_or(0.0);
            }
        }
        from = to;
    }
    minutes
}

/// The windows in which at least `share` of the requests (first sum) went unanswered (second sum).
pub(super) fn windows(minutes: &[Minute], share: f64, quiet: Span) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    for minute in minutes {
        let [requests, unanswered] = minute.sums;
        if unanswered <= 0.0 || unanswered < share * requests {
            continue;
        }
        match windows.last_mut() {
            Some(window) if minute.from.since(window.to) < quiet => window.to = minute.to,
            _ => windows.push(Window { from: minute.from, to: minute.to }),
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUIET: Span = Span::from_mins(5);

    fn minute_of(number: u64, requests: f64, unanswered: f64) -> Minute {
        let from = Moment::START + MINUTE * number;
        Minute { from, to: from + MINUTE, sums: [requests, unanswered] }
    }

    /// Windows as pairs of minutes, of minutes with 100 requests each.
    fn of(unanswered: &[u32]) -> Vec<(u64, u64)> {
        let minutes: Vec<Minute> = unanswered
            .iter()
            .zip(0..)
            .map(|(&bad, number)| minute_of(number, 100.0, f64::from(bad)))
            .collect();
        let minute = |moment: Moment| moment.as_nanos() / MINUTE.as_nanos();
        windows(&minutes, 0.05, QUIET).iter().map(|window| (minute(window.from), minute(window.to))).collect()
    }

    #[test]
    fn a_window_opens_at_the_share_and_not_below() {
        assert_eq!(of(&[0, 4, 0]), []);
        assert_eq!(of(&[0, 5, 0]), [(1, 2)]);
    }

    #[test]
    fn four_quiet_minutes_do_not_close_a_window_and_five_do() {
        assert_eq!(of(&[9, 0, 0, 0, 0, 9]), [(0, 6)]);
        assert_eq!(of(&[9, 0, 0, 0, 0, 0, 9]), [(0, 1), (6, 7)]);
    }

    #[test]
    fn a_minute_without_requests_lets_nobody_down() {
        assert_eq!(windows(&[minute_of(0, 0.0, 0.0)], 0.05, QUIET), []);
        assert_eq!(windows(&[minute_of(0, 0.0, 0.0)], 0.0, QUIET), [], "not even at a share of nothing");
    }

    #[test]
    fn samples_are_judged_by_the_minute() {
        // One lost request of ten in a sample, but of sixty in its minute.
        let times: Vec<Moment> = (1..=12).map(|n| Moment::START + Span::from_secs(10) * n).collect();
        let requests = [10.0; 12];
        let mut unanswered = [0.0; 12];
        unanswered[3] = 1.0;
        let minutes = by_minute(&times, [&requests, &unanswered]);
        assert_eq!(minutes, [minute_of(0, 60.0, 1.0), minute_of(1, 60.0, 0.0)]);
        assert_eq!(windows(&minutes, 0.05, QUIET), []);
    }

    #[test]
    fn samples_longer_than_a_minute_are_judged_as_they_are() {
        let times = [Moment::START + MINUTE * 10, Moment::START + MINUTE * 20];
        let minutes = by_minute(&times, [&[100.0, 100.0], &[0.0, 50.0]]);
        let windows = windows(&minutes, 0.05, QUIET);
        assert_eq!(windows, [Window { from: times[0], to: times[1] }]);
    }

    proptest! {
        #[test]
        fn every_bad_minute_is_in_a_window_and_windows_keep_their_distance(unanswered in prop::collection::vec(0u32..10, 0..80)) {
            let windows = of(&unanswered);
            for (number, &bad) in unanswered.iter().enumerate() {
                let inside = windows.iter().any(|&(from, to)| (from..to).contains(&(number as u64)));
                prop_assert!(bad < 5 || inside, "minute {} is bad and in no window of {:?}", number, windows);
            }
            for (from, to) in &windows {
                prop_assert!(unanswered[*from as usize] >= 5 && unanswered[*to as usize - 1] >= 5, "ends are bad minutes");
            }
            for pair in windows.windows(2) {
                prop_assert!(pair[1].0 - pair[0].1 >= 5, "{:?}", pair);
            }
        }
    }
}
