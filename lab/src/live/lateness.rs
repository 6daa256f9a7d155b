//! How late a live fleet's timers ran: whether the machine kept up with the speed.
//!
//! A timer that fires late is a machine's delay multiplied by the speed: at 300 times the wall, 10 ms are three seconds of
//! the incident. Every instance notes how long after its due time its own sampling tick ran. Where that comes near the
//! time-outs of the topology, the run shows the machine and not the region.

use std::fmt;

use eastfall_fabric::record::{Recorder, Series};
use eastfall_topology::time::{Moment, Span};

/// The series' name within a service.
const SERIES: &str = "timer-late-seconds";

/// Notes that a timer due at one moment ran at another.
pub(super) fn note(record: &Recorder, due: Moment, ran: Moment) {
    record.gauge_max(SERIES, ran.since(due).as_secs_f64());
}

/// How late the timers of a run were, in incident time.
#[derive(Debug, PartialEq)]
pub(super) struct Lateness {
    half: Span,
    most: Span,
    worst: Span,
    /// The service that was worst.
    service: String,
    speed: f64,
}

impl Lateness {
    /// Of all services and samples of a run's series; nothing if no instance said anything.
    pub(super) fn of(series: &Series, speed: f64) -> Option<Lateness> {
        let mut late: Vec<(f64, &str)> = Vec::new();
        for (name, values) in series.iter() {
            if let Some(service) = name.strip_suffix(SERIES).and_then(|name| name.strip_suffix('.')) {
                late.extend(values.iter().filter(|value| value.is_finite()).map(|value| (*value, service)));
            }
        }
        late.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let at = |share: f64| late.get(((late.len() - 1) as f64 * share) as usize);
        let (worst, service) = late.last()?;
        Some(Lateness {
            half: Span::from_secs_f64(at(0.5)?.0),
            most: Span::from_secs_f64(at(0.99)?.0),
            worst: Span::from_secs_f64(*worst),
            service: (*service).to_owned(),
            speed,
        })
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = |span: Span| span.as_secs_f64() / self.speed * 1e3;
        write!(
            f,
            "timers ran late by {:.2} s of the incident in the middle, {:.2} s for 99 in 100, {:.2} s at worst ({}): {:.0}, \
             {:.0} and {:.0} ms of the wall",
            self.half.as_secs_f64(),
            self.most.as_secs_f64(),
            self.worst.as_secs_f64(),
            self.service,
            wall(self.half),
            wall(self.most),
            wall(self.worst),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lateness(columns: &[(&str, Vec<f64>)]) -> Option<Lateness> {
        let times = (1..=100).map(|second| Moment::START + Span::from_secs(second)).collect();
        let columns = columns.iter().map(|(name, values)| ((*name).to_owned(), values.clone()));
        Lateness::of(&Series::from_columns(times, columns), 300.0)
    }

    #[test]
    fn the_worst_service_is_named_and_nothing_else_is_taken_for_a_timer() {
        let mut late = vec![0.3; 100];
        late[40] = 6.0;
        let punctual = vec![0.0; 100];
        let columns = [
            ("dwfm.timer-late-seconds", late),
            ("dynamodb.timer-late-seconds", punctual),
            ("dwfm.queue", vec![1e6; 100]),
        ];
        let told = lateness(&columns).expect("two services said something").to_string();
        assert!(told.contains("6.00 s at worst (dwfm)"), "{told}");
        assert!(told.contains("20 ms of the wall"), "{told}");
    }

    #[test]
    fn a_run_without_live_instances_has_no_lateness() {
        assert_eq!(lateness(&[("dwfm.queue", vec![1.0; 100])]), None);
    }
}
