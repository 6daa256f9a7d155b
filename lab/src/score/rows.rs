//! From runs and published facts to rows.

use std::collections::BTreeSet;

use eastfall_chaos::expect::Window;
use eastfall_chaos::reference::{Fact, FactKind};
use eastfall_chaos::timeline::Timeline;
use eastfall_topology::time::{Moment, Span};
use indexmap::IndexSet;
use jiff::Timestamp;

use super::matching::{Stretch as Minutes, matched};
use super::sources::{Group, Published, Scored};
use super::{
    Errors, Matching, MilestoneRow, Point, RunName, Score, Seen, Stretch, UnmatchedRow, UntimedRow, Why,
    WindowRow, median,
};
use crate::failure::Failure;
use crate::summary::{Summary, WindowSummary};

/// One run, ready to be asked.
struct Run<'a> {
    summary: &'a Summary,
    timeline: Timeline,
    /// Its last moment, in minutes after the incident's start.
    end: f64,
    /// How long a window must have been closed for its end to be known, in minutes.
    quiet: f64,
}

pub(super) fn score(group: &Group, matching: Matching) -> Result<Score, Failure> {
    let Some(first) = group.runs.first() else { return Err(Failure("there is no run to score".to_owned())) };
    let published = Published::of(first)?;
    if published.facts.is_empty() && published.windows.is_empty() {
        return Err(Failure(format!(
            "{}: nothing is published to score it against; name a file with `reference = \"FILE\"` in the scenario's \
             expectations, and run it again",
            first.name
        )));
    }
    let runs = group.runs.iter().map(|run| Run::new(run, published.quiet)).collect::<Result<Vec<_>, _>>()?;
    let milestones: Vec<MilestoneRow> = published
        .facts
        .iter()
        .map(|fact| MilestoneRow {
            id: fact.id.clone(),
            system: fact.system.clone(),
            kind: fact.kind.to_string(),
            time: point(&runs, fact.at, runs.iter().map(|run| run.milestone(fact)).collect()),
        })
        .collect();
    let (windows, unmatched) = windows(&runs, &published, matching);
    let untimed = published.windows.iter().filter(|window| window.from.is_none() && window.to.is_none());
    let mut score = Score {
        scenario: first.summary.scenario.clone(),
        variant: group.name.clone(),
        runs: group
            .runs
            .iter()
            .map(|run| RunName { name: run.name.clone(), seed: run.summary.seed })
            .collect(),
        all: Errors::default(),
        milestones_only: Errors::default(),
        windows_only: Errors::default(),
        milestones,
        windows,
        without_times: untimed
            .map(|window| UntimedRow {
                system: window.system.clone(),
                what: window.what.clone(),
                runs: runs
                    .iter()
                    .map(|run| {
                        run.windows(&window.system).map(|all| all.into_iter().map(|w| run.told(w)).collect())
                    })
                    .collect(),
            })
            .collect(),
        unmatched,
        matching,
    };
    score.all = Errors::of(score.outcomes());
    score.windows_only = Errors::of(score.window_ends());
    score.milestones_only = Errors::of(
        score.milestones.iter().filter(|row| row.kind == "outcome").map(|row| (row.id.clone(), &row.time)),
    );
    Ok(score)
}

/// A published time and what each run says to it, in the order of the runs.
fn point(runs: &[Run<'_>], published: Timestamp, seen: Vec<Seen>) -> Point {
    let mut errors: Vec<f64> = seen.iter().filter_map(|seen| seen.error_min).map(f64::abs).collect();
    Point {
        published: runs.first().map(|run| run.timeline.written(published)).unwrap_or_default(),
        published_min: runs.first().map_or(f64::NAN, |run| run.minutes(published)),
        runs: seen,
        median_error_min: median(&mut errors),
        worst_error_min: errors.last().copied(),
    }
}

/// The rows of windows with times, and what of the runs nothing published matches. A window that ends, to the second,
/// with what operators did is closed by definition: such an end is an input.
fn windows(runs: &[Run<'_>], facts: &Published, rules: Matching) -> (Vec<WindowRow>, Vec<UnmatchedRow>) {
    let is_step = |at| facts.facts.iter().any(|fact| fact.kind == FactKind::Action && fact.at == at);
    let published = &facts.windows;
    let timed: Vec<&Window> =
        published.iter().filter(|window| window.from.is_some() || window.to.is_some()).collect();
    let untimed: BTreeSet<&str> = published
        .iter()
        .filter(|window| window.from.is_none() && window.to.is_none())
        .map(|window| window.system.as_str())
        .collect();
    let names = timed.iter().map(|window| window.system.as_str());
    let here = runs.iter().flat_map(|run| run.systems());
    let systems: IndexSet<&str> = names.chain(here).collect();
    let (mut rows, mut unmatched) = (Vec::new(), Vec::new());
    for system in systems {
        let own: Vec<&Window> = timed.iter().copied().filter(|window| window.system == system).collect();
        let mut found: Vec<Option<Vec<Option<Minutes>>>> = Vec::new();
        let mut left_over: Vec<Vec<Stretch>> = Vec::new();
        for run in runs {
            let minutes = |end: Option<Timestamp>, none| end.map_or(none, |end| run.minutes(end));
            let stretches: Vec<Minutes> = own
                .iter()
                .map(|window| Minutes {
                    from: minutes(window.from, f64::NEG_INFINITY),
                    to: minutes(window.to, f64::INFINITY),
                })
                .collect();
            let there = run.windows(system);
            let (matches, left) = matched(&stretches, there.as_deref().unwrap_or_default(), rules);
            found.push(there.map(|_| matches));
            left_over.push(left.into_iter().map(|window| run.told(window)).collect());
        }
        for (index, window) in own.iter().enumerate() {
            let end = |published: Option<Timestamp>, pick: fn(Minutes) -> f64, is_end: bool| {
                let published = published?;
                if is_end && is_step(published) {
                    return Some(point(
                        runs,
                        published,
                        runs.iter().map(|_| Seen::none(Why::Input)).collect(),
                    ));
                }
                let seen = runs.iter().zip(&found).map(|(run, found)| {
                    let window = found.as_ref().map(|matches| matches[index]);
                    run.end_of_window(window, run.minutes(published), pick, is_end)
                });
                Some(point(runs, published, seen.collect()))
            };
            rows.push(WindowRow {
                system: system.to_owned(),
                number: index + 1,
                what: window.what.clone(),
                from: end(window.from, |window| window.from, false),
                to: end(window.to, |window| window.to, true),
            });
        }
        if left_over.iter().any(|left| !left.is_empty()) && !untimed.contains(system) {
            unmatched.push(UnmatchedRow { system: system.to_owned(), runs: left_over });
        }
    }
    (rows, unmatched)
}

impl<'a> Run<'a> {
    fn new(run: &'a Scored, quiet: Span) -> Result<Run<'a>, Failure> {
        let timeline =
            run.description.timeline().map_err(|error| Failure(format!("{}: {error}", run.name)))?;
        let end = timeline.date(Moment::START + Span::from_secs_f64(run.summary.simulated_s));
        let mut this = Run { summary: &run.summary, timeline, end: 0.0, quiet: quiet.as_secs_f64() / 60.0 };
        this.end = this.minutes(end);
        Ok(this)
    }

    /// Minutes after the incident's start.
    fn minutes(&self, date: Timestamp) -> f64 {
        date.duration_since(self.timeline.starts()).as_secs_f64() / 60.0
    }

    /// The same of a time that results write.
    fn read(&self, written: &str) -> Option<f64> {
        Some(self.minutes(written.parse().ok()?))
    }

    fn written(&self, minutes: f64) -> String {
        let nanos = jiff::SignedDuration::from_secs_f64(minutes * 60.0);
        let date = self.timeline.starts().checked_add(nanos).unwrap_or(Timestamp::MAX);
        // To the second: what is read back from text may lie a nanosecond off.
        self.timeline.written(date.round(jiff::Unit::Second).unwrap_or(date))
    }

    fn told(&self, window: Minutes) -> Stretch {
        let Minutes { from, to } = window;
        Stretch { from: self.written(from), to: self.written(to), from_min: from, to_min: to }
    }

    /// The systems that it has windows of, or could have.
    fn systems(&self) -> impl Iterator<Item = &'a str> {
        let summary: &'a Summary = self.summary;
        summary.systems.keys().chain(summary.windows.keys()).map(String::as_str)
    }

    /// A system's windows; nothing if the run has no such system.
    fn windows(&self, system: &str) -> Option<Vec<Minutes>> {
        let of_customers = || self.summary.systems.get(system).map(|system| &system.windows);
        let windows: &Vec<WindowSummary> = self.summary.windows.get(system).or_else(of_customers)?;
        let window = |w: &WindowSummary| Some(Minutes { from: self.read(&w.from)?, to: self.read(&w.to)? });
        Some(windows.iter().filter_map(window).collect())
    }

    fn milestone(&self, fact: &Fact) -> Seen {
        let published = self.minutes(fact.at);
        let found = self.summary.milestones.iter().find(|milestone| milestone.id == fact.id);
        let at = found.and_then(|milestone| milestone.at.as_deref()).and_then(|at| self.read(at));
        match (fact.kind, found, at) {
            (FactKind::Outcome, _, Some(at)) => self.seen(at, published),
            (FactKind::Outcome, Some(milestone), None) if milestone.skipped => Seen::none(Why::NotLookedFor),
            (FactKind::Outcome, Some(_), None) => Seen::none(self.absent(published)),
            (FactKind::Outcome, None, None) => Seen::none(Why::NotLookedFor),
            _ => Seen::none(Why::Input),
        }
    }

    /// One end of a window. `window` is nothing if the run has no such system, and `Some(None)` if nothing matched.
    fn end_of_window(
        &self,
        window: Option<Option<Minutes>>,
        published: f64,
        pick: fn(Minutes) -> f64,
        is_end: bool,
    ) -> Seen {
        match window {
            None => Seen::none(Why::NotLookedFor),
            // Still open when the run ended, or not closed for long enough to say.
            Some(Some(window)) if is_end && self.end - window.to < self.quiet => {
                Seen::none(self.absent(published))
            }
            Some(Some(window)) => self.seen(pick(window), published),
            Some(None) => Seen::none(self.absent(published)),
        }
    }

    fn absent(&self, published: f64) -> Why {
        if published > self.end { Why::RunEnded } else { Why::NotSeen }
    }

    fn seen(&self, at: f64, published: f64) -> Seen {
        Seen { at: Some(self.written(at)), at_min: Some(at), error_min: Some(at - published), why: None }
    }
}

impl Seen {
    fn none(why: Why) -> Seen {
        Seen { at: None, at_min: None, error_min: None, why: Some(why) }
    }
}
