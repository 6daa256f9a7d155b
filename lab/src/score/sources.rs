//! Where runs to score come from: run folders, and folders of comparisons.

use std::fs;
use std::path::{Path, PathBuf};

use eastfall_chaos::expect::Window;
use eastfall_chaos::reference::{Fact, FactKind, Reference};
use eastfall_topology::time::Span;
use serde::Deserialize;

use crate::compare::folder::{COMPARE, variant_folder};
use crate::failure::Failure;
use crate::run_folder::{Description, RunFolder};
use crate::session::Files;
use crate::summary::Summary;

/// A finished run, as far as scoring needs it.
#[derive(Clone, Debug)]
pub struct Scored {
    /// Its folder or file.
    pub name: String,
    /// What was run.
    pub description: Description,
    /// What came of it.
    pub summary: Summary,
}

/// Runs that are scored together: seeds of one variant.
#[derive(Clone, Debug)]
pub struct Group {
    /// The variant; empty for runs that were named one by one.
    pub name: String,
    /// The runs.
    pub runs: Vec<Scored>,
}

/// The runs of folders: those of run folders together, and each variant of a comparison for itself.
///
/// # Errors
/// If a folder holds neither, a run was cut off, or runs of different scenarios are to be scored together.
pub fn groups(folders: &[PathBuf]) -> Result<Vec<Group>, Failure> {
    let mut runs = Vec::new();
    let mut groups = Vec::new();
    for folder in folders {
        if folder.join(COMPARE).exists() {
            groups.extend(comparison(folder)?);
        } else {
            runs.push(run(folder)?);
        }
    }
    if let Some(first) = runs.first() {
        let published = |run: &Scored| run.description.reference.as_ref().map(|file| file.text.clone());
        let same = |run: &Scored| {
            run.summary.scenario == first.summary.scenario && published(run) == published(first)
        };
        if let Some(other) = runs.iter().find(|run| !same(run)) {
            return Err(Failure(format!(
                "{} and {} are runs of different scenarios; score them one by one",
                first.name, other.name
            )));
        }
        groups.insert(0, Group { name: String::new(), runs });
    }
    Ok(groups)
}

fn run(folder: &Path) -> Result<Scored, Failure> {
    let run = RunFolder::open(folder)?;
    let cut_off =
        || Failure(format!("{}: the run was cut off before its summary; run it again", folder.display()));
    let summary = run.summary()?.ok_or_else(cut_off)?;
    Ok(Scored { name: folder.display().to_string(), description: run.description().clone(), summary })
}

/// What of `compare.toml` is needed.
#[derive(Deserialize)]
struct Compared {
    variant: Vec<Named>,
    run: Description,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    settings: Vec<String>,
}

fn comparison(folder: &Path) -> Result<Vec<Group>, Failure> {
    let file = folder.join(COMPARE);
    let text = fs::read_to_string(&file).map_err(|error| Failure::file(&file, error))?;
    let compared: Compared = toml::from_str(&text).map_err(|error| Failure::file(&file, error.message()))?;
    let mut groups = Vec::new();
    for (number, Named { name, settings }) in compared.variant.into_iter().enumerate() {
        let mut description = compared.run.clone();
        description.settings.extend(settings);
        let runs = summaries(&variant_folder(folder, number, &name))?
            .into_iter()
            .map(|(path, summary)| Scored {
                name: path.display().to_string(),
                description: Description { seed: summary.seed, ..description.clone() },
                summary,
            })
            .collect::<Vec<_>>();
        if runs.is_empty() {
            return Err(Failure(format!(
                "{}: variant `{name}` has no summaries of its runs; the comparison was interrupted or is of another version, \
                 make it again",
                folder.display()
            )));
        }
        groups.push(Group { name, runs });
    }
    Ok(groups)
}

/// The summaries in a variant's folder, by seed.
fn summaries(folder: &Path) -> Result<Vec<(PathBuf, Summary)>, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::file(folder, error))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Failure::file(folder, error))?.path();
        let is_summary = path.extension().is_some_and(|ending| ending == "json")
            && path.file_stem().is_some_and(|name| name.to_string_lossy().starts_with("seed-"));
        if is_summary {
            let text = fs::read_to_string(&path).map_err(|error| Failure::file(&path, error))?;
            let summary: Summary =
                serde_json::from_str(&text).map_err(|error| Failure::file(&path, error))?;
            found.push((path, summary));
        }
    }
    found.sort_by_key(|(_, summary)| summary.seed);
    Ok(found)
}

/// What is published of an incident: in the file of facts, and beside it in the expectations.
pub(super) struct Published {
    pub(super) facts: Vec<Fact>,
    pub(super) windows: Vec<Window>,
    /// How long a system must do well for its window to close.
    pub(super) quiet: Span,
}

impl Published {
    pub(super) fn of(run: &Scored) -> Result<Published, Failure> {
        let files =
            Files::of(&run.description).map_err(|Failure(why)| Failure(format!("{}: {why}", run.name)))?;
        let quiet = files.topology.record.window_quiet;
        let Files { expectations, reference, .. } = files;
        let mut facts = reference.as_ref().map(|reference| reference.facts.clone()).unwrap_or_default();
        let expectations = expectations.unwrap_or_default();
        let known =
            |id: &str| reference.as_ref().and_then(|reference: &Reference| reference.fact(id)).is_some();
        for milestone in expectations.milestones.iter().filter(|milestone| !known(&milestone.id)) {
            facts.extend(milestone.published.map(|at| Fact {
                id: milestone.id.clone(),
                system: milestone.system.clone(),
                kind: FactKind::Outcome,
                at,
                what: milestone.id.clone(),
                source: String::new(),
            }));
        }
        Ok(Published { facts, windows: expectations.windows, quiet })
    }
}
