//! What if: a scenario without a step, without its operators, or with a step at another time.

use std::fmt;
use std::str::FromStr;

use eastfall_topology::Problems;

use super::{Act, Scenario, Step, StepKind};
use crate::reader::Origin;
use crate::timeline::{Shift, ShiftError};

/// The changes of a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// `--without STEP-ID`: leave out a step or a group.
    pub without: Vec<String>,
    /// `--without-operators`: leave out every action.
    pub without_operators: bool,
    /// `--shift STEP-ID=+1h`: move a step or a group.
    pub shifts: Vec<ShiftOf>,
}

/// A step or a group, and where it moves: `ec2.throttle-and-restart=-100m`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShiftOf {
    /// The step's or the group's id.
    pub id: String,
    /// How far it moves.
    pub shift: Shift,
}

/// Why a text says no move of a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShiftOfError {
    /// There is no `=`.
    #[error("`{0}` moves nothing; write STEP-ID=+1h or STEP-ID=-100m")]
    NoShift(String),
    /// What follows is no move in time.
    #[error(transparent)]
    BadShift(#[from] ShiftError),
}

impl Scenario {
    /// This scenario with changes; left-out steps go first, so moving one of them is an error.
    ///
    /// # Errors
    /// An id that no step has (with the nearest), and a move to before the run or after its end.
    pub fn edit(&self, edits: &Edits) -> Result<Scenario, Problems> {
        let mut problems = Vec::new();
        let mut edited = self.clone();
        let origin = |place: String| Origin { place, key: String::new() };
        for id in &edits.without {
            if !self.steps.iter().any(|step| step.is(id)) {
                problems.push(origin(format!("--without {id}")).unknown(
                    "step or group",
                    id,
                    ids(&self.steps),
                ));
            }
            edited.steps.retain(|step| !step.is(id));
        }
        if edits.without_operators {
            edited.steps.retain(|step| step.kind != StepKind::Action);
        }
        for ShiftOf { id, shift } in &edits.shifts {
            let origin = origin(format!("--shift {id}={shift}"));
            if !edited.steps.iter().any(|step| step.is(id)) {
                problems.push(origin.unknown("step or group", id, ids(&edited.steps)));
            }
            for step in edited.steps.iter_mut().filter(|step| step.is(id)) {
                if !move_step(step, *shift) || step.at > self.ends {
                    problems.push(origin.problem(
                        format!("`{}` would happen outside the run", step.id),
                        "move it less far, or change the scenario's `lead` or `ends`",
                    ));
                }
            }
        }
        edited.steps.sort_by_key(|step| step.at);
        if problems.is_empty() { Ok(edited) } else { Err(Problems(problems)) }
    }
}

/// Moves a step with its end; whether it still lies within the run.
fn move_step(step: &mut Step, shift: Shift) -> bool {
    let end = match &mut step.act {
        Act::Fault { until: Some(until), .. } => shift.move_moment(*until).map(|moved| *until = moved),
        _ => Some(()),
    };
    let start = shift.move_moment(step.at).map(|moved| step.at = moved);
    start.and(end).is_some()
}

/// Every id that means a step: steps and groups.
fn ids(steps: &[Step]) -> Vec<&str> {
    let mut ids: Vec<&str> = steps
        .iter()
        .flat_map(|step| {
            let groups = step.id.match_indices('.').map(|(at, _)| &step.id[..at]);
            groups.chain([step.id.as_str()])
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl FromStr for ShiftOf {
    type Err = ShiftOfError;

    fn from_str(text: &str) -> Result<ShiftOf, ShiftOfError> {
        let (id, shift) = text.split_once('=').ok_or_else(|| ShiftOfError::NoShift(text.to_owned()))?;
        Ok(ShiftOf { id: id.trim().to_owned(), shift: shift.parse()? })
    }
}

impl fmt::Display for ShiftOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.id, self.shift)
    }
}
