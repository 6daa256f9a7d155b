//! Milestones and checks of a finished run.

use std::collections::BTreeMap;

use eastfall_fabric::{Moment, Span};
use eastfall_topology::nearest;
use eastfall_topology::{Problem, Problems};
use jiff::Timestamp;

use super::expression::Expression;
use super::series::{SeriesSource, has_system_of};
use super::{Check, Expectations, Rule, evaluate as evaluation};
use crate::reader::{Located, Origin};
use crate::timeline::Timeline;

/// What a run showed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// In the order of the file.
    pub milestones: Vec<MilestoneResult>,
    /// In the order of the file.
    pub checks: Vec<CheckResult>,
    /// Of the systems that have a rule of their own for them, in the order of the file.
    pub windows: Vec<WindowResult>,
}

/// When a system's window was open, by its own rule. A system that the run does not have has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowResult {
    /// Whose.
    pub system: String,
    /// In order, as far apart as the condition has them.
    pub windows: Vec<Period>,
}

/// From one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its start.
    pub from: Moment,
    /// Its end.
    pub to: Moment,
}

/// When a milestone came.
#[derive(Clone, Debug, PartialEq)]
pub struct MilestoneResult {
    /// The milestone.
    pub id: String,
    /// Whose it is.
    pub system: String,
    /// When it came, if it did.
    pub at: Option<Moment>,
    /// When it really was, if that is published.
    pub published: Option<Timestamp>,
    /// Minutes later than published; negative is earlier.
    pub error_min: Option<f64>,
    /// The run has no such system, so there was nothing to see.
    pub skipped: bool,
}

/// How a check came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// The check.
    pub id: String,
    /// How it came out.
    pub verdict: Verdict,
    /// One sentence for people: what was found.
    pub found: String,
}

eastfall_topology::words! {
    /// How a check came out.
    pub enum Verdict {
        /// It holds.
        Passed = "passed",
        /// It doesn't.
        Failed = "failed",
        /// The run can't say: it has no such system, or ended too early.
        Skipped = "skipped",
    }
}

impl Evaluation {
    /// Whether no check failed.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.verdict != Verdict::Failed)
    }
}

/// Finds the milestones of a run and makes the checks. `steps` says when the scenario's steps began in this run.
///
/// # Errors
/// A series that the run doesn't have although it has the system, with the nearest there is: a predicate that looks at
/// nothing must not pass for one that saw nothing.
pub fn evaluate(
    expectations: &Expectations,
    timeline: &Timeline,
    run: &dyn SeriesSource,
    steps: &BTreeMap<String, Moment>,
) -> Result<Evaluation, Problems> {
    let mut problems = Vec::new();
    let mut known = steps.clone();
    let mut milestones: Vec<Option<MilestoneResult>> = expectations.milestones.iter().map(|_| None).collect();
    // A milestone can come after another one further down in the file: go round until all are found. The file's check
    // has made sure that none waits for itself.
    while milestones.iter().any(Option::is_none) {
        let mut progress = false;
        for (result, milestone) in milestones.iter_mut().zip(&expectations.milestones) {
            let when = milestone.when();
            let waits = when.after.as_ref().is_some_and(|id| pending(expectations, &known, id));
            if result.is_some() || waits {
                continue;
            }
            progress = true;
            let skipped =
                !check_series(&when.condition.expression, &milestone.when.origin, run, &mut problems);
            let at = if skipped { None } else { evaluation::find(when, run, &known) };
            // What never came is known too: as a moment that nothing comes after.
            known.insert(milestone.id.clone(), at.unwrap_or(Moment::MAX));
            let error_min = at
                .zip(milestone.published)
                .map(|(at, published)| timeline.date(at).duration_since(published).as_secs_f64() / 60.0);
            *result = Some(MilestoneResult {
                id: milestone.id.clone(),
                system: milestone.system.clone(),
                at,
                published: milestone.published,
                error_min,
                skipped,
            });
        }
        if !progress {
            break;
        }
    }
    let milestones: Vec<MilestoneResult> = milestones.into_iter().flatten().collect();
    let checker = Checker { timeline, run, milestones: &milestones };
    let checks = expectations.checks.iter().map(|check| checker.check(check, &mut problems)).collect();
    let windows = windows(expectations, run, &mut problems);
    if problems.is_empty() { Ok(Evaluation { milestones, checks, windows }) } else { Err(Problems(problems)) }
}

/// The windows of systems with a rule of their own. A sample tells of the interval before it, so that is where they begin.
fn windows(
    expectations: &Expectations,
    run: &dyn SeriesSource,
    problems: &mut Vec<Problem>,
) -> Vec<WindowResult> {
    let times = run.times();
    let began = |sample: usize| sample.checked_sub(1).map_or(Moment::START, |before| times[before]);
    let mut results = Vec::new();
    for rule in &expectations.window_rules {
        let condition = &rule.when.value;
        if check_series(&condition.expression, &rule.when.origin, run, problems) {
            let periods = evaluation::periods(condition, run, Moment::START, Moment::MAX);
            let periods =
                periods.into_iter().map(|(first, last)| Period { from: began(first), to: times[last] });
            results.push(WindowResult { system: rule.system.clone(), windows: periods.collect() });
        }
    }
    results
}

/// Whether a milestone is still to be looked for.
fn pending(expectations: &Expectations, known: &BTreeMap<String, Moment>, id: &str) -> bool {
    expectations.milestones.iter().any(|milestone| milestone.id == id) && !known.contains_key(id)
}

/// Whether the run has every series; notes those it should have.
fn check_series(
    expression: &Expression,
    origin: &Origin,
    run: &dyn SeriesSource,
    problems: &mut Vec<Problem>,
) -> bool {
    let missing: Vec<&str> =
        expression.series().into_iter().filter(|name| run.values(name).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    let names = run.names();
    for name in &missing {
        if has_system_of(&names, name) {
            let message = format!("the run has no series `{name}`");
            let problem = origin.problem(message, "name a series as series.csv has it");
            problems.push(Problem { nearest: nearest(name, names.iter().copied()), ..problem });
        }
    }
    false
}

struct Checker<'a> {
    timeline: &'a Timeline,
    run: &'a dyn SeriesSource,
    milestones: &'a [MilestoneResult],
}

impl Checker<'_> {
    fn check(&self, check: &Check, problems: &mut Vec<Problem>) -> CheckResult {
        let (verdict, found) = match &check.rule {
            Rule::Between { milestone, from, to } => self.between(milestone, *from, *to),
            Rule::Absent { milestone } => match self.milestone(milestone) {
                Some(result) if result.skipped => skipped(milestone),
                Some(MilestoneResult { at: Some(at), .. }) => {
                    (Verdict::Failed, format!("{milestone} came at {}", self.written(*at)))
                }
                _ => (Verdict::Passed, format!("{milestone} did not come")),
            },
            Rule::Holds { always, condition, from, to } => {
                let Located { value: condition, origin } = condition;
                if check_series(&condition.expression, origin, self.run, problems) {
                    self.holds(*always, condition, *from, *to)
                } else {
                    (Verdict::Skipped, "the run has no such system".to_owned())
                }
            }
        };
        CheckResult { id: check.id.clone(), verdict, found }
    }

    fn milestone(&self, id: &str) -> Option<&MilestoneResult> {
        self.milestones.iter().find(|result| result.id == id)
    }

    fn written(&self, moment: Moment) -> String {
        self.timeline.written(self.timeline.date(moment))
    }

    fn between(&self, id: &str, from: Moment, to: Moment) -> (Verdict, String) {
        let within = format!("from {} to {}", self.written(from), self.written(to));
        let ended = self.run.times().last().copied().unwrap_or(Moment::START);
        match self.milestone(id) {
            Some(result) if result.skipped => skipped(id),
            Some(MilestoneResult { at: Some(at), .. }) => {
                let verdict = if (from..=to).contains(at) { Verdict::Passed } else { Verdict::Failed };
                (verdict, format!("{id} came at {}, expected {within}", self.written(*at)))
            }
            _ if ended < to => (
                Verdict::Skipped,
                format!("the run ended at {}, {id} is expected {within}", self.written(ended)),
            ),
            _ => (Verdict::Failed, format!("{id} did not come, expected {within}")),
        }
    }

    fn holds(
        &self,
        always: bool,
        condition: &super::Condition,
        from: Moment,
        to: Moment,
    ) -> (Verdict, String) {
        // `always x` is `never not x`; how long something must last only makes sense for what must not last so long.
        let unwanted = if always {
            let expression = Expression::Not(Box::new(condition.expression.clone()));
            super::Condition { expression, lasting: condition.lasting }
        } else {
            condition.clone()
        };
        let times = self.run.times();
        let period = evaluation::periods(&unwanted, self.run, from, to).first().copied();
        match period {
            None if times.iter().any(|time| (from..=to).contains(time)) => (
                Verdict::Passed,
                if always { "it held all along".to_owned() } else { "it never held".to_owned() },
            ),
            None => (Verdict::Skipped, "the run has no sample of that time".to_owned()),
            Some((first, last)) => {
                let lasted = times[last].since(times[first]);
                let what = if always { "it did not hold" } else { "it held" };
                let from = self.written(times[first]);
                (
                    Verdict::Failed,
                    if lasted == Span::ZERO {
                        format!("{what} at {from}")
                    } else {
                        format!("{what} from {from} for {lasted}")
                    },
                )
            }
        }
    }
}

fn skipped(id: &str) -> (Verdict, String) {
    (Verdict::Skipped, format!("the run has no system that {id} could show in"))
}

#[cfg(test)]
mod tests;
