//! `eastfall sweep`: each free parameter of the model a little lower and a little higher, one at a time, and what moves.
//!
//! A calibrated model shows its calibration, until somebody asks how much hangs on each number. Parameters are data
//! (`NAME.calibration.toml`): the value that ships, the outcomes that it was chosen by or what it was taken from instead, and
//! the range within which it would be as plausible. That the listed value is the one that ships is checked, and that fewer
//! are tuned than outcomes are published.
//!
//! The runs are those of `eastfall compare`: the same seeds for every value, differences taken seed by seed, and a difference
//! that the seeds don't support is called noise.

mod parameters;
mod report;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;
use std::sync::atomic::AtomicBool;

use indexmap::IndexMap;
use serde::Serialize;

use crate::cli;
use crate::compare::{self, Verdict};
use crate::failure::Failure;
use parameters::Moved;

/// A share of a value: `10%` or `0.1`, above 0 and below 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let number = match text.trim().strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
            None => text.trim().parse::<f64>(),
        };
        let share = number.ok().filter(|share| *share > 0.0 && *share < 1.0);
        share.map(Share).ok_or_else(|| format!("`{text}` is no share; write 10% or 0.1, above 0 and below 1"))
    }
}

/// What a command line asks to be swept: checked, and ready to run.
#[derive(Debug)]
pub struct Plan {
    parameters: Vec<Moved>,
    /// How many parameters the file has, how many of them are tuned, and how many outcomes are published.
    counts: [usize; 3],
    compare: compare::Plan,
}

/// What moves with what.
#[derive(Clone, Debug, Serialize)]
pub struct Sweep {
    /// The scenario's id.
    pub scenario: String,
    /// Every value ran with this seed and those after it.
    pub first_seed: u64,
    /// How many.
    pub seeds: u32,
    /// False if it was cut off.
    pub complete: bool,
    /// How often at least an interval encloses the truth; null if there are too few seeds to tell noise apart.
    pub level: Option<f64>,
    /// Parameters of the model that were listed.
    pub parameters_listed: usize,
    /// How many of them are tuned to outcomes.
    pub parameters_tuned: usize,
    /// Published outcomes.
    pub outcomes_published: usize,
    /// A row a parameter.
    pub parameters: Vec<Row>,
}

/// One parameter, moved both ways.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its path in the topology.
    pub path: String,
    /// The value that ships.
    pub value: String,
    /// Outcomes that it was chosen by; empty if it was not tuned.
    pub meets: Vec<String>,
    /// What it was taken from, if it was not tuned.
    pub from: Option<String>,
    /// The lower value, and by which share of the shipped one it is lower (negative).
    pub down: (String, f64),
    /// The higher one.
    pub up: (String, f64),
    /// Milestones by id, and `SYSTEM closes`: the end of the system's last impact window.
    pub moves: IndexMap<String, Move>,
}

/// How one outcome moves with one parameter, in minutes. A null is never, or what can't be said for it.
#[derive(Clone, Debug, Serialize)]
pub struct Move {
    /// With the shipped value: minutes after the incident's start, median over the seeds.
    pub shipped_min: Option<f64>,
    /// The share of seeds in which it never came: with the lower value, the shipped one, the higher one.
    pub never: [f64; 3],
    /// By how much it is later with the lower value, median of the differences seed by seed.
    pub down_min: Option<f64>,
    /// What the seeds say to that.
    pub down_verdict: Verdict,
    /// The same with the higher value.
    pub up_min: Option<f64>,
    /// What the seeds say to that.
    pub up_verdict: Verdict,
    /// Minutes later for each 10 % more, on the line between both ends.
    pub per_ten_percent_min: Option<f64>,
}

impl Plan {
    /// Reads and checks everything that a command line names, and every value before the first run.
    ///
    /// # Errors
    /// Everything that is wrong with any of it.
    pub fn load(arguments: &cli::Sweep) -> Result<Plan, Failure> {
        let (parameters, counts) = parameters::load(arguments)?;
        // Names of variants have no `=` and no `:`, and neither has a path.
        let row = |path: &str, which: &str, value: &str| format!("{path} {which}: {path}={value}");
        let moved = parameters
            .iter()
            .flat_map(|moved| [row(&moved.path, "down", &moved.down.0), row(&moved.path, "up", &moved.up.0)]);
        let compare = cli::Compare {
            scenario: arguments.scenario.clone(),
            vary: Vec::new(),
            variant: std::iter::once("as shipped:".to_owned()).chain(moved).collect(),
            seeds: arguments.seeds,
            keep_runs: false,
            json: false,
        };
        // Nothing is written for a list.
        let compare = if arguments.list { without_folder(compare) } else { compare };
        Ok(Plan { parameters, counts, compare: compare::Plan::load(&compare)? })
    }

    /// How many runs there will be.
    pub fn runs(&self) -> u64 {
        self.compare.runs()
    }

    /// How many parameters stand against how many outcomes, in one sentence.
    pub fn balance(&self) -> String {
        let [listed, tuned, outcomes] = self.counts;
        format!("{listed} parameters are listed, {tuned} of them tuned; {outcomes} outcomes are published")
    }

    /// Runs everything, on all cores; see [`compare::Plan::run`].
    ///
    /// # Errors
    /// If a run fails or the folder can't be written.
    pub fn run(self, stop: &AtomicBool, progress: &(dyn Fn(u64) + Sync)) -> Result<Sweep, Failure> {
        let Plan { parameters, counts, compare } = self;
        let comparison = compare.run(stop, progress)?;
        Ok(Sweep::of(&parameters, counts, &comparison))
    }
}

fn without_folder(mut compare: cli::Compare) -> cli::Compare {
    compare.scenario.out = None;
    compare
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for moved in &self.parameters {
            writeln!(f, "{} = {}: {}", moved.path, moved.value, moved.ground())?;
            writeln!(
                f,
                "    to {} ({:+.0} %) and {} ({:+.0} %)",
                moved.down.0,
                moved.down.1 * 100.0,
                moved.up.0,
                moved.up.1 * 100.0
            )?;
            if let Some(why) = &moved.why {
                writeln!(f, "    {why}")?;
            }
        }
        Ok(())
    }
}
