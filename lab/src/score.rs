//! What runs showed beside what was published: every milestone and both ends of every impact window, with the error in
//! minutes, and how large the errors are on the whole.
//!
//! Inputs are shown and not scored: they are where they are because somebody put them there. An outcome that a run did not
//! show is counted as missing and not left out of sight, since leaving out what went wrong is how a model gets good marks.
//! Several runs (seeds) are scored together: one near a threshold proves nothing.

mod matching;
mod page;
mod rows;
mod sources;
mod svg;
#[cfg(test)]
mod tests;
mod text;

use eastfall_chaos::expect::Window;
use eastfall_topology::time::Span;
use serde::Serialize;

use crate::cli;
use crate::compare::folder::variant_folder;
use crate::failure::Failure;
use crate::run_folder::replace;

pub use page::fidelity_page;
pub use sources::{Group, Scored, groups};
pub use svg::swimlanes;

/// What `eastfall score` found.
#[derive(Clone, Debug)]
pub struct Report {
    /// A score a group of runs.
    pub scores: Vec<Score>,
    /// What is out of the bounds that were asked for.
    pub beyond: Vec<String>,
}

/// Scores what a command line names, and writes the files that it asks for.
///
/// # Errors
/// If runs can't be read or scored, or a file can't be written.
pub fn report(arguments: &cli::Score) -> Result<Report, Failure> {
    let minutes = |span: Span| span.as_secs_f64() / 60.0;
    let matching = Matching { join_min: minutes(arguments.join), reach_min: minutes(arguments.reach) };
    let groups = groups(&arguments.runs)?;
    if groups.len() > 1 && (arguments.svg.is_some() || arguments.page.is_some()) {
        return Err(Failure(
            "--svg and --page are of one variant, and there are several; use --out".to_owned(),
        ));
    }
    let mut report = Report { scores: Vec::new(), beyond: Vec::new() };
    for (number, group) in groups.iter().enumerate() {
        let score = Score::of(group, matching)?;
        if let Some(file) = &arguments.svg {
            replace(file, &swimlanes(&score))?;
        }
        if let Some(file) = &arguments.page {
            replace(file, &fidelity_page(group, &score)?)?;
        }
        if let Some(out) = &arguments.out {
            let out = if groups.len() > 1 { variant_folder(out, number, &group.name) } else { out.clone() };
            std::fs::create_dir_all(&out).map_err(|error| Failure::file(&out, error))?;
            let file = out.join("score.json");
            let json = serde_json::to_string_pretty(&score).map_err(|error| Failure::file(&file, error))?;
            replace(&file, &(json + "\n"))?;
            replace(&out.join("score.svg"), &swimlanes(&score))?;
            replace(&out.join("fidelity.md"), &fidelity_page(group, &score)?)?;
        }
        if let Some(bounds) = arguments.within {
            report.beyond.extend(score.beyond(bounds));
        }
        report.scores.push(score);
    }
    Ok(report)
}

/// How a run's windows are matched with the published ones; see the module `matching`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Matching {
    /// Windows of the run nearer than so many minutes are one.
    pub join_min: f64,
    /// A published window that nothing overlaps takes the nearest window left over within so many minutes.
    pub reach_min: f64,
}

impl Default for Matching {
    /// Fifteen minutes: three times what closes a window. Two hours: less than lies between two windows of one system that
    /// are published apart.
    fn default() -> Self {
        Matching { join_min: 15.0, reach_min: 120.0 }
    }
}

/// How near one run, or several of the same, came to what was published.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    /// The scenario's id.
    pub scenario: String,
    /// The runs' common name: a variant of a comparison. Empty for runs that were named one by one.
    pub variant: String,
    /// The runs, in the order of every `runs` below.
    pub runs: Vec<RunName>,
    /// Errors of all outcomes: milestones, and both ends of every window.
    pub all: Errors,
    /// Those of the milestones.
    pub milestones_only: Errors,
    /// Those of the windows' ends.
    pub windows_only: Errors,
    /// Every published milestone, inputs too.
    pub milestones: Vec<MilestoneRow>,
    /// Every window that is published with a time.
    pub windows: Vec<WindowRow>,
    /// Systems that are named in the publication, but without times.
    pub without_times: Vec<UntimedRow>,
    /// Windows of the runs that nothing published matches.
    pub unmatched: Vec<UnmatchedRow>,
    /// How windows were matched.
    pub matching: Matching,
}

/// One of the runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunName {
    /// Its folder or file.
    pub name: String,
    /// Its seed.
    pub seed: u64,
}

/// One published milestone.
#[derive(Clone, Debug, Serialize)]
pub struct MilestoneRow {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub system: String,
    /// `trigger` and `action` are inputs, `outcome` is what is scored.
    pub kind: String,
    /// Its time, here and there.
    pub time: Point,
}

/// One published window.
#[derive(Clone, Debug, Serialize)]
pub struct WindowRow {
    /// Whose customers were hit.
    pub system: String,
    /// Which of the system's published windows, from 1.
    pub number: usize,
    /// What they met; for people.
    pub what: Option<String>,
    /// Its start, if that is published.
    pub from: Option<Point>,
    /// Its end.
    pub to: Option<Point>,
}

/// A published time, and when the same thing was in each of the runs.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// RFC 3339, in the incident's own offset.
    pub published: String,
    /// The same in minutes after the incident's start.
    pub published_min: f64,
    /// One a run. Of an input there is no error.
    pub runs: Vec<Seen>,
    /// The median of the absolute errors, in minutes; null if no run showed it.
    pub median_error_min: Option<f64>,
    /// The largest of them.
    pub worst_error_min: Option<f64>,
}

/// What one run showed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// When, in RFC 3339; null if not.
    pub at: Option<String>,
    /// The same in minutes after the incident's start.
    pub at_min: Option<f64>,
    /// Minutes later than published; negative is earlier.
    pub error_min: Option<f64>,
    /// Why there is no error.
    pub why: Option<Why>,
}

/// Why something has no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It is an input.
    Input,
    /// The run could have shown it and did not: counted as missing.
    NotSeen,
    /// The run's expectations do not look for it, or it has no such system.
    NotLookedFor,
    /// The run ended before its time and had not shown it by then.
    RunEnded,
}

/// A system that is named without times, and what the runs showed of it.
#[derive(Clone, Debug, Serialize)]
pub struct UntimedRow {
    /// Whose customers were hit.
    pub system: String,
    /// What is said of it; for people.
    pub what: Option<String>,
    /// Windows, by run; null if the run has no such system.
    pub runs: Vec<Option<Vec<Stretch>>>,
}

/// Windows that nothing published matches.
#[derive(Clone, Debug, Serialize)]
pub struct UnmatchedRow {
    /// Whose customers were hit.
    pub system: String,
    /// Windows, by run.
    pub runs: Vec<Vec<Stretch>>,
}

/// From and to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stretch {
    /// RFC 3339, in the incident's own offset.
    pub from: String,
    /// The same.
    pub to: String,
    /// Minutes after the incident's start.
    pub from_min: f64,
    /// The same.
    pub to_min: f64,
}

/// How large errors are on the whole, over all outcomes and runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Errors {
    /// How many outcomes are published.
    pub published: usize,
    /// How many of them at least one run could have shown: it looks for them, and did not end before.
    pub looked_for: usize,
    /// How often one was shown, of the runs that could have.
    pub seen: usize,
    /// How often not.
    pub missing: usize,
    /// The outcomes that a run should have shown and did not, with how many runs.
    pub missing_ids: Vec<String>,
    /// The median of the absolute errors, in minutes.
    pub median_min: Option<f64>,
    /// The largest of them.
    pub worst_min: Option<f64>,
    /// Which one that is.
    pub worst_id: Option<String>,
}

/// What a score must keep within.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// For the median of the absolute errors, in minutes.
    pub median_min: f64,
    /// For the largest of them.
    pub worst_min: f64,
}

impl std::str::FromStr for Bounds {
    type Err = String;

    fn from_str(text: &str) -> Result<Bounds, String> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|minutes| *minutes >= 0.0);
        text.split_once(',')
            .and_then(|(median, worst)| {
                Some(Bounds { median_min: number(median)?, worst_min: number(worst)? })
            })
            .ok_or_else(|| format!("`{text}` is no pair of minutes; write MEDIAN,WORST, such as 10,45"))
    }
}

impl Score {
    /// Scores runs of one scenario, and of one variant of it.
    ///
    /// # Errors
    /// If a run's files can't be understood, or nothing is published to score it against.
    pub fn of(group: &Group, matching: Matching) -> Result<Score, Failure> {
        rows::score(group, matching)
    }

    /// What of it is out of bounds; nothing if all is well. What is missing is always out.
    pub fn beyond(&self, bounds: Bounds) -> Vec<String> {
        let mut beyond = Vec::new();
        let mut held = |what: &str, found: Option<f64>, bound: f64| match found {
            Some(found) if found <= bound => {}
            Some(found) => {
                beyond.push(format!("{what} error is {found:.1} min, at most {bound} are allowed"))
            }
            None => beyond.push(format!("there is no {what} error: no outcome was shown")),
        };
        held("the median", self.all.median_min, bounds.median_min);
        held("the worst", self.all.worst_min, bounds.worst_min);
        beyond.extend(self.all.missing_ids.iter().map(|id| format!("not shown: {id}")));
        beyond
    }

    /// Every scored time with its name: milestones by id, ends of windows as `SYSTEM opens` and `SYSTEM closes`,
    /// from the second on as `SYSTEM #2 opens`.
    pub fn outcomes(&self) -> impl Iterator<Item = (String, &Point)> {
        let milestones = self.milestones.iter().filter(|row| row.kind == "outcome");
        let milestones = milestones.map(|row| (row.id.clone(), &row.time));
        milestones.chain(self.window_ends())
    }

    fn window_ends(&self) -> impl Iterator<Item = (String, &Point)> {
        self.windows.iter().flat_map(|row| {
            let name = row.name();
            let from = row.from.iter().map(|point| (format!("{name} opens"), point)).collect::<Vec<_>>();
            let to = row.to.iter().filter(|point| !point.is_input());
            from.into_iter().chain(to.map(move |point| (format!("{name} closes"), point)))
        })
    }
}

impl Point {
    /// It is where it is because somebody put it there.
    fn is_input(&self) -> bool {
        self.runs.iter().all(|seen| seen.why == Some(Why::Input))
    }
}

impl WindowRow {
    /// The system; with its number from the second window on.
    pub fn name(&self) -> String {
        Window::name(&self.system, self.number)
    }
}

impl Errors {
    /// Sums up outcomes.
    fn of<'a>(outcomes: impl Iterator<Item = (String, &'a Point)>) -> Errors {
        let mut errors = Errors::default();
        let mut sizes: Vec<f64> = Vec::new();
        for (id, point) in outcomes {
            errors.published += 1;
            let missing = point.runs.iter().filter(|seen| seen.why == Some(Why::NotSeen)).count();
            let found: Vec<f64> = point.runs.iter().filter_map(|seen| seen.error_min).map(f64::abs).collect();
            errors.looked_for += usize::from(missing + found.len() > 0);
            errors.seen += found.len();
            errors.missing += missing;
            let worst = found.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if errors.worst_min.is_none_or(|before| worst > before) && !found.is_empty() {
                (errors.worst_min, errors.worst_id) = (Some(worst), Some(id.clone()));
            }
            sizes.extend(found);
            match (missing, point.runs.len()) {
                (0, _) => {}
                (_, 1) => errors.missing_ids.push(id),
                (_, runs) => errors.missing_ids.push(format!("{id} ({missing} of {runs} runs)")),
            }
        }
        errors.median_min = median(&mut sizes);
        errors
    }
}

/// The median of numbers; between two middle ones their mean.
fn median(numbers: &mut [f64]) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match &*numbers {
        [] => None,
        sorted if sorted.len() % 2 == 1 => Some(sorted[middle]),
        sorted => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}
