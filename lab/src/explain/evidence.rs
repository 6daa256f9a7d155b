//! What a run recorded, asked by edge and system.

use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::record::{Event, Series, Window};
use eastfall_topology::time::{Moment, Span};

use super::{Amplified, Wasted};
use crate::session::Files;
use crate::summary::{Summary, written};

/// How many edges are named for waste and for retries.
const NAMED: usize = 5;

/// First attempts that a minute must have to be judged by its amplification; as in the run's own books.
const JUDGED_FROM: f64 = 10.0;

pub(super) struct Evidence<'a> {
    pub(super) files: &'a Files,
    pub(super) summary: &'a Summary,
    pub(super) series: &'a Series,
    pub(super) events: &'a [Event],
    pub(super) timeline: &'a Timeline,
}

/// The sums of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Answered {
    pub(super) requests: f64,
    pub(super) unanswered: f64,
}

impl Answered {
    /// The share that went unanswered, 0..=1; nothing if nobody asked.
    pub(super) fn lost(self) -> Option<f64> {
        (self.requests > 0.0).then(|| self.unanswered / self.requests)
    }
}

impl Evidence<'_> {
    /// The end of the run.
    pub(super) fn end(&self) -> Moment {
        self.series.times().last().copied().unwrap_or_default()
    }

    pub(super) fn time(&self, moment: Moment) -> String {
        written(self.timeline, moment)
    }

    /// The system that a service counts under.
    pub(super) fn system_of<'s>(&'s self, service: &'s str) -> &'s str {
        self.files.topology.services.get(service).map_or(service, |service| &service.system)
    }

    /// Caller and callee of every edge.
    pub(super) fn edges(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.summary.edges.keys().filter_map(|name| {
            let (caller, callee) = name.split_once("->")?;
            Some((name.as_str(), caller, callee))
        })
    }

    /// The sum of a series' samples of a time; 0 of a series that there is none of.
    pub(super) fn sum(&self, name: &str, from: Moment, to: Moment) -> f64 {
        let values = self.series.values(name).unwrap_or_default();
        let samples = self.series.times().iter().zip(values);
        samples
            .filter(|(at, value)| **at > from && **at <= to && !value.is_nan())
            .map(|(_, value)| value)
            .sum()
    }

    /// What an edge carried in a time.
    pub(super) fn edge(&self, edge: &str, from: Moment, to: Moment) -> Answered {
        let sum = |what: &str| self.sum(&format!("{edge}.{what}"), from, to);
        let requests = sum("requests");
        Answered { requests, unanswered: requests - sum("ok") }
    }

    /// What a system's customers met in a time.
    pub(super) fn system(&self, system: &str, from: Moment, to: Moment) -> Answered {
        let sum = |what: &str| self.sum(&format!("system.{system}.{what}"), from, to);
        Answered { requests: sum("requests"), unanswered: sum("failed") + sum("rejected") }
    }

    /// When the calls of an edge failed, by the rule of impact windows.
    pub(super) fn edge_windows(&self, edge: &str) -> Vec<Window> {
        let values = |what: &str| self.series.values(&format!("{edge}.{what}")).unwrap_or_default();
        let (requests, ok) = (values("requests"), values("ok"));
        let unanswered: Vec<f64> = requests.iter().zip(ok).map(|(all, ok)| all - ok).collect();
        let record = &self.files.topology.record;
        Window::all(self.series.times(), requests, &unanswered, record.window_share, record.window_quiet)
    }

    /// The edges on which most work was done for nobody.
    pub(super) fn wasted(&self) -> Vec<Wasted> {
        let edges = self.summary.edges.iter().filter(|(_, edge)| edge.wasted > 0);
        let mut wasted: Vec<Wasted> = edges
            .map(|(name, edge)| Wasted { edge: name.clone(), requests: edge.wasted, seconds: edge.wasted_s })
            .collect();
        wasted.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
        wasted.truncate(NAMED);
        wasted
    }

    /// The edges on which retries multiplied most.
    pub(super) fn amplified(&self) -> Vec<Amplified> {
        let edges = self.summary.edges.iter().filter(|(_, edge)| edge.peak_amplification > 1.05);
        let mut amplified: Vec<Amplified> = edges
            .map(|(name, edge)| Amplified {
                edge: name.clone(),
                factor: edge.peak_amplification,
                at: self.worst_minute(name).map(|at| self.time(at)),
            })
            .collect();
        amplified.sort_by(|one, other| other.factor.total_cmp(&one.factor));
        amplified.truncate(NAMED);
        amplified
    }

    /// The start of the minute with most attempts for each first one.
    fn worst_minute(&self, edge: &str) -> Option<Moment> {
        let values = |what: &str| self.series.values(&format!("{edge}.{what}")).unwrap_or_default();
        let (attempts, retries) = (values("attempts"), values("retries"));
        let minute = Span::from_mins(1).as_nanos();
        let (mut worst, mut at) = (0.0, None);
        let mut row = 0;
        let times = self.series.times();
        while row < times.len() {
            let number = times[row].as_nanos().saturating_sub(1) / minute;
            let (mut all, mut again) = (0.0, 0.0);
            while row < times.len() && times[row].as_nanos().saturating_sub(1) / minute == number {
                all += attempts.get(row).copied().unwrap_or(0.0);
                again += retries.get(row).copied().unwrap_or(0.0);
                row += 1;
            }
            let first = all - again;
            if first >= JUDGED_FROM && all / first > worst {
                (worst, at) = (all / first, Some(Moment::from_nanos(number * minute)));
            }
        }
        at
    }
}
