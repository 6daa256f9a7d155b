//! What a run is expected to show: milestones and checks as predicates over its series, as data.
//!
//! Because outcomes must emerge, nobody may write them into a service; because they must be seen, somebody has to say
//! how to recognise them. That is said here, beside the scenario and away from the code: `first time after
//! dns.restored that leases.held / droplets.count >= 99.9% for 1m`. A user's own scenario gets its milestones the same way.

mod evaluate;
mod expression;
mod language;
mod read;
mod score;
mod series;

use eastfall_fabric::{Moment, Span};
use jiff::Timestamp;

pub use expression::{Condition, Expression, Function, Operator, When, Which};
pub use language::SyntaxError;
pub use score::{CheckResult, Evaluation, MilestoneResult, Period, Verdict, WindowResult, evaluate};
pub use series::SeriesSource;

use crate::reader::{Located, Origin};

/// A checked expectations file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expectations {
    /// Moments to look for, in the order of the file.
    pub milestones: Vec<Milestone>,
    /// What must hold, in the order of the file.
    pub checks: Vec<Check>,
    /// Published impact, to score a run's windows against.
    pub windows: Vec<Window>,
    /// How a system's windows are recognised, where it isn't by its customers' errors.
    pub window_rules: Vec<WindowRule>,
}

/// A moment to look for in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Milestone {
    /// Unique; also among the scenario's steps.
    pub id: String,
    /// Whose it is.
    pub system: String,
    /// How it is recognised.
    pub(crate) when: Located<When>,
    /// When it really was, if that is published.
    pub published: Option<Timestamp>,
}

/// Something that must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Unique among the checks.
    pub id: String,
    /// Why it must, or what it shows; for people.
    pub what: Option<String>,
    /// The published fact that it bears out, where that is not the milestone it is about.
    pub about: Option<String>,
    pub(crate) rule: Rule,
}

/// The rule of a check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rule {
    /// A milestone comes, and within these moments, both included.
    Between { milestone: String, from: Moment, to: Moment },
    /// A milestone does not come.
    Absent { milestone: String },
    /// A condition holds at no time, or at all times, from one moment to another.
    Holds { always: bool, condition: Located<Condition>, from: Moment, to: Moment },
}

/// A period in which a system's customers were hit, as published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Whose customers.
    pub system: String,
    /// Its start; absent where none is published.
    pub from: Option<Timestamp>,
    /// Its end.
    pub to: Option<Timestamp>,
    /// What its customers met; for people.
    pub what: Option<String>,
}

impl Window {
    /// What the ends of a system's window, counted from 1, are called among outcomes: the system, from the second window on
    /// with its number, and which end.
    pub fn name(system: &str, number: usize) -> String {
        if number > 1 { format!("{system} #{number}") } else { system.to_owned() }
    }
}

/// How the impact windows of one system are recognised: by a condition of its own instead of its customers' errors.
///
/// A published window may end with something else than the last error (automation that is switched on again), and a
/// system may have no customers of its own to ask.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRule {
    /// Whose windows.
    pub system: String,
    pub(crate) when: Located<Condition>,
}

impl Milestone {
    /// How it is recognised.
    pub fn when(&self) -> &When {
        &self.when.value
    }

    /// A milestone made in code; files make them with [`Expectations::read`].
    pub fn new(id: &str, system: &str, when: When, published: Option<Timestamp>) -> Milestone {
        let when = Located { value: when, origin: Origin::default() };
        Milestone { id: id.to_owned(), system: system.to_owned(), when, published }
    }
}

impl Check {
    /// The published fact that it bears out: what it says itself, or the milestone that it is about.
    pub fn fact(&self) -> Option<&str> {
        let milestone = match &self.rule {
            Rule::Between { milestone, .. } | Rule::Absent { milestone } => Some(milestone.as_str()),
            Rule::Holds { .. } => None,
        };
        self.about.as_deref().or(milestone)
    }
}

impl WindowRule {
    /// What holds in a window.
    pub fn when(&self) -> &Condition {
        &self.when.value
    }

    /// A rule made in code; files make them with [`Expectations::read`].
    pub fn new(system: &str, when: Condition) -> WindowRule {
        WindowRule { system: system.to_owned(), when: Located { value: when, origin: Origin::default() } }
    }
}

impl Condition {
    /// How long it must hold, if that was said.
    pub fn lasting(&self) -> Span {
        self.lasting.unwrap_or(Span::ZERO)
    }
}

#[cfg(test)]
use evaluate::tests as evaluation_tests;
