//! The one format: a run as the page sees it.
//!
//! What is fixed when a run begins (graph, scenario, published times) is said once; what grows (series, latencies, events,
//! policies in force, milestones) is kept so that a live page can ask for what is new. Times are seconds since the start
//! of the run; `time.starts` ties them to the date.

mod parts;

use std::collections::BTreeMap;

use eastfall_chaos::expect::{Evaluation, MilestoneResult, evaluate};
use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::record::{Event, Layout, Results, Series, Tick};
use eastfall_topology::time::Moment;
use indexmap::IndexMap;
use serde::Serialize;

use super::columns::Columns;
use super::events::Events;
use super::heat::{Heat, Whole};
use super::policies::Policies;
use crate::conclusion::Conclusion;
use crate::failure::Failure;
use crate::run_folder::{LoggedInterval, RunFolder};
use crate::session::Session;
use crate::summary::Summary;
use parts::{About, EdgeOf, Published, ServiceOf, StepOf, Time};
pub(crate) use parts::{CheckOf, MilestoneOf, SystemOf};

/// A run as the page sees it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Model {
    about: About,
    time: Time,
    services: Vec<ServiceOf>,
    edges: Vec<EdgeOf>,
    /// Published impact of systems, whether the run has them or not.
    published: Vec<Published>,
    steps: Vec<StepOf>,
    pub(crate) systems: Vec<SystemOf>,
    /// Impact of systems that the expectations recognise it of by a condition of their own, with customers or without.
    pub(crate) windows: IndexMap<String, Vec<(f64, f64)>>,
    pub(crate) milestones: Vec<MilestoneOf>,
    pub(crate) checks: Vec<CheckOf>,
    pub(crate) policies: Policies,
    pub(crate) events: Events,
    pub(crate) series: Columns,
    pub(crate) latency: Heat,
    /// The run in one object, once it is over.
    summary: Option<Summary>,
}

// === impl Model ===

impl Model {
    /// The model of a run that has just begun.
    pub(crate) fn new(session: &Session, name: &str) -> Model {
        let (topology, scenario) = (&session.topology, &session.scenario);
        let layout = Layout::of(topology);
        let timeline = &scenario.timeline;
        let services = topology.services.values();
        let published = session.expectations.iter().flat_map(|expectations| &expectations.windows);
        let seconds = |date: Option<jiff::Timestamp>| date.map(|date| seconds_at(timeline, date));
        Model {
            about: About::of(session, name),
            time: Time {
                starts: timeline.written(timeline.date(Moment::START)),
                incident: timeline.lead().as_secs_f64(),
                ends: session.until.since_start().as_secs_f64(),
                sample: topology.record.sample.as_secs_f64(),
            },
            services: services.clone().map(|service| ServiceOf::of(service, &layout)).collect(),
            edges: services
                .flat_map(|service| service.calls.values())
                .map(|edge| EdgeOf {
                    from: edge.caller.clone(),
                    to: edge.callee.clone(),
                    endpoint: edge.endpoint.clone(),
                })
                .collect(),
            published: published
                .map(|window| Published {
                    system: window.system.clone(),
                    from: seconds(window.from),
                    to: seconds(window.to),
                })
                .collect(),
            steps: scenario.steps.iter().map(StepOf::of).collect(),
            systems: systems(&layout),
            windows: IndexMap::new(),
            milestones: Vec::new(),
            checks: Vec::new(),
            policies: Policies::new(topology),
            events: Events::default(),
            series: Columns::default(),
            latency: Heat::new(&layout),
            summary: None,
        }
    }

    /// Takes up what came together with the closing of sampling intervals.
    pub(crate) fn tick(&mut self, results: &Results, tick: &Tick) {
        self.series.extend(results.series());
        self.latency.add(&tick.latencies);
        self.note(&tick.events);
        for totals in results.systems().filter(|totals| !self.windows.contains_key(&*totals.name)) {
            if let Some(system) = self.systems.iter_mut().find(|system| *system.name == *totals.name) {
                system.windows = totals.windows.iter().map(|one| seconds_of(one.from, one.to)).collect();
            }
        }
    }

    /// Looks for milestones and impact in what there is of the run so far. Checks wait for its end: what has not come yet has not
    /// failed to come.
    pub(crate) fn look(&mut self, session: &Session, series: &Series, now: Moment) {
        // A series that nobody has reported yet is no mistake before the run's end.
        if let Some(Ok(evaluation)) = evaluation(session, series, now) {
            self.judge(&evaluation, session);
        }
    }

    /// The model of a finished run, or of what there is of one that was cut off.
    ///
    /// # Errors
    /// If its folder can't be read, or by this version no more.
    pub(crate) fn of_run(run: &RunFolder) -> Result<Model, Failure> {
        let session = Session::of_run(run)?;
        let name = run.path().file_name().map(|name| name.to_string_lossy().into_owned());
        let mut model = Model::new(&session, name.as_deref().unwrap_or("run"));
        let series = run.series()?;
        model.series.extend(&series);
        model.note(&run.events()?);
        let logs: BTreeMap<_, _> = run.logs()?.into_iter().collect();
        let edges: Vec<_> = logs.keys().cloned().collect();
        let layout = Layout::of(&session.topology);
        model.latency =
            Heat::read(&layout, &edges, |edge| Ok::<_, Failure>(whole(run.intervals(&logs[edge])?)))?;
        let last = series.times().last().copied().unwrap_or_default();
        if let Some(Ok(evaluation)) = evaluation(&session, &series, last) {
            model.conclude(&evaluation, &session);
        }
        if let Some(summary) = run.summary()? {
            model.sum_up(summary, &session.scenario.timeline);
        }
        Ok(model)
    }

    /// The same, with at most so many points in time.
    pub(crate) fn thinned(mut self, rows: usize, intervals: usize) -> Model {
        self.series = self.series.thinned(rows);
        self.latency = self.latency.thinned(intervals);
        self
    }

    /// A finished run as one of many that are compared, with at most so many points in time: systems and services, no
    /// edges. Its events are gone by now; the scenario's steps are known.
    pub(crate) fn of_conclusion(session: &Session, run: &Conclusion, name: &str, rows: usize) -> Model {
        let mut model = Model::new(session, name);
        model.series.extend(run.results.series());
        model.series = model.series.only(|column| !column.contains("->")).thinned(rows);
        model.conclude(&run.evaluation, session);
        model.sum_up(run.summary.clone(), &session.scenario.timeline);
        model
    }

    fn note(&mut self, events: &[Event]) {
        for event in events {
            self.policies.note(event);
            self.events.add(event);
        }
    }

    /// Takes up what an evaluation says of the run so far.
    fn judge(&mut self, evaluation: &Evaluation, session: &Session) {
        self.milestones = milestones(evaluation, session);
        for result in &evaluation.windows {
            let windows: Vec<_> = result.windows.iter().map(|one| seconds_of(one.from, one.to)).collect();
            if let Some(system) = self.systems.iter_mut().find(|system| system.name == result.system) {
                system.windows.clone_from(&windows);
            }
            self.windows.insert(result.system.clone(), windows);
        }
    }

    fn conclude(&mut self, evaluation: &Evaluation, session: &Session) {
        self.judge(evaluation, session);
        let what = |id: &str| {
            let mut checks = session.expectations.iter().flat_map(|expectations| &expectations.checks);
            checks.find(|check| check.id == id).and_then(|check| check.what.clone())
        };
        let checks = evaluation.checks.iter();
        self.checks = checks
            .map(|check| CheckOf {
                id: check.id.clone(),
                what: what(&check.id),
                verdict: check.verdict.to_string(),
                found: check.found.clone(),
            })
            .collect();
    }

    fn sum_up(&mut self, summary: Summary, timeline: &Timeline) {
        let seconds = |date: &str| date.parse().map_or(0.0, |date| seconds_at(timeline, date));
        for system in &mut self.systems {
            if let Some(found) = summary.systems.get(&system.name) {
                system.windows =
                    found.windows.iter().map(|window| (seconds(&window.from), seconds(&window.to))).collect();
            }
        }
        self.summary = Some(summary);
    }
}

/// Milestones and checks, if the scenario has any. Steps count from when they were to begin.
fn evaluation(
    session: &Session,
    series: &Series,
    now: Moment,
) -> Option<Result<Evaluation, eastfall_topology::Problems>> {
    let begun = session.scenario.steps.iter().filter(|step| step.at <= now);
    let steps: BTreeMap<String, Moment> = begun.map(|step| (step.id.clone(), step.at)).collect();
    let expectations = session.expectations.as_ref()?;
    Some(evaluate(expectations, &session.scenario.timeline, series, &steps))
}

fn milestones(evaluation: &Evaluation, session: &Session) -> Vec<MilestoneOf> {
    let timeline = &session.scenario.timeline;
    let milestone = |result: &MilestoneResult| MilestoneOf {
        id: result.id.clone(),
        system: result.system.clone(),
        at: result.at.map(|at| at.since_start().as_secs_f64()),
        published: result.published.map(|date| seconds_at(timeline, date)),
    };
    evaluation.milestones.iter().filter(|result| !result.skipped).map(milestone).collect()
}

/// The lines of a log, those of one interval together, in the order of time.
fn whole(lines: Vec<LoggedInterval>) -> Vec<Whole> {
    let mut intervals: BTreeMap<(Moment, Moment), Vec<_>> = BTreeMap::new();
    for LoggedInterval { from, length, measure, latencies } in lines {
        intervals.entry((from, from + length)).or_default().push((measure, latencies));
    }
    let whole =
        |((from, to), parts): (_, Vec<_>)| Whole { from, to, histograms: parts.into_iter().collect() };
    intervals.into_iter().map(whole).collect()
}

fn systems(layout: &Layout) -> Vec<SystemOf> {
    let system = |(name, edges): (std::sync::Arc<str>, Vec<_>)| SystemOf {
        name: name.to_string(),
        edges: edges.iter().map(|(caller, callee)| format!("{caller}->{callee}")).collect(),
        windows: Vec::new(),
    };
    layout.systems().into_iter().map(system).collect()
}

fn seconds_of(from: Moment, to: Moment) -> (f64, f64) {
    (from.since_start().as_secs_f64(), to.since_start().as_secs_f64())
}

/// A date in seconds of the run; negative before it began.
fn seconds_at(timeline: &Timeline, date: jiff::Timestamp) -> f64 {
    date.duration_since(timeline.date(Moment::START)).as_secs_f64()
}

/// The page's data: one run, or several side by side.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    /// True while it grows.
    pub(crate) live: bool,
    /// The runs.
    pub(crate) runs: &'a [Model],
    /// What `compare` found, if the runs are its variants.
    pub(crate) comparison: Option<&'a crate::compare::Comparison>,
    /// How the fleet's instances stand; live only.
    pub(crate) instances: IndexMap<String, String>,
}
