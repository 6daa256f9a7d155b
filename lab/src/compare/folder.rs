//! A comparison as a folder.
//!
//! | file | what |
//! |---|---|
//! | `compare.toml` | everything to repeat it: files in full, variants, seeds; and whether it came to its end |
//! | `runs.csv` | a row a run: variant, seed, and every number of it; `inf` is never |
//! | `table.csv` | a row a variant and number: median, interval, share that never came, difference from the baseline |
//! | `summary.json` | the object that `--json` prints |
//! | `report.html` | the table, and curves of the first seed of each variant, in one file |
//! | `N-VARIANT/CALLER_CALLEE.hlog` | latencies of an edge, all seeds together, as one interval |
//! | `N-VARIANT/system.NAME.MEASURE.hgrm` | percentile tables of what a system's customers saw, all seeds together |
//! | `N-VARIANT/seed-SEED.json` | the summary of one run, as `eastfall run --json` prints it: what `eastfall score` reads |
//! | `N-VARIANT/seed-SEED/` | with `--keep-runs`, the run's own folder |
//!
//! `runs.csv` grows as runs end (in that order; by variant and seed once all have), the rest is written at the end, also
//! of a comparison that was interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::record::{EdgeKey, Histograms, Interval};
use eastfall_topology::time::Moment;
use serde::Serialize;

use super::outcome::{Merged, Outcome};
use super::summary::{Comparison, Difference, Estimate, VariantSummary, Verdict};
use super::variants::Variant;
use crate::cli;
use crate::export::percentile_table;
use crate::failure::Failure;
use crate::page::report::REPORT;
use crate::run_folder::logs::LogWriter;
use crate::run_folder::{Description, RunFolderError, replace};
use crate::summary::Summary;

pub(crate) const COMPARE: &str = "compare.toml";
const RUNS: &str = "runs.csv";

/// Where a comparison goes.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    asked: Asked,
    rows: Mutex<Rows>,
}

/// `runs.csv` as it grows.
#[derive(Debug)]
struct Rows {
    file: File,
    /// The columns, once the first run has ended.
    columns: Option<Vec<String>>,
}

/// `compare.toml`
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Asked {
    complete: bool,
    first_seed: String,
    seeds: u32,
    keep_runs: bool,
    variant: Vec<Row>,
    /// The run of the first variant and seed, with all files; the others differ in `settings` and `seed`.
    run: Description,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    name: String,
    settings: Vec<String>,
}

impl Folder {
    /// Makes the folder and says in it what is compared.
    pub(super) fn create(
        path: &Path,
        arguments: &cli::Compare,
        variants: &[Variant],
    ) -> Result<Folder, Failure> {
        if path.join(COMPARE).exists() {
            return Err(Failure(format!(
                "{}: holds a comparison already; name another folder with --out, or remove this one",
                path.display()
            )));
        }
        fs::create_dir_all(path).map_err(RunFolderError::io(path))?;
        let row = |variant: &Variant| Row { name: variant.name.clone(), settings: variant.settings.clone() };
        let asked = Asked {
            complete: false,
            first_seed: arguments.scenario.seed.to_string(),
            seeds: arguments.seeds,
            keep_runs: arguments.keep_runs,
            variant: variants.iter().map(row).collect(),
            run: Description {
                settings: arguments.scenario.settings.clone(),
                ..variants[0].session.description.clone()
            },
        };
        let runs = path.join(RUNS);
        let file = File::create(&runs).map_err(RunFolderError::io(&runs))?;
        let folder = Folder { path: path.to_owned(), asked, rows: Mutex::new(Rows { file, columns: None }) };
        folder.describe(false)?;
        Ok(folder)
    }

    fn describe(&self, complete: bool) -> Result<(), Failure> {
        let asked = Asked { complete, ..self.asked.clone() };
        let text = toml::to_string(&asked).map_err(|error| Failure::file(&self.path.join(COMPARE), error))?;
        Ok(replace(&self.path.join(COMPARE), &text)?)
    }

    /// Where the comparison's report goes.
    pub(super) fn report(&self) -> PathBuf {
        self.path.join(REPORT)
    }

    /// The folder of one run.
    pub(super) fn run(&self, number: usize, variant: &str, seed: u64) -> PathBuf {
        self.variant(number, variant).join(format!("seed-{seed}"))
    }

    fn variant(&self, number: usize, name: &str) -> PathBuf {
        variant_folder(&self.path, number, name)
    }

    /// Keeps the summary of a run that has ended.
    pub(super) fn keep(
        &self,
        number: usize,
        variant: &str,
        seed: u64,
        summary: &Summary,
    ) -> Result<(), Failure> {
        let folder = self.variant(number, variant);
        fs::create_dir_all(&folder).map_err(RunFolderError::io(&folder))?;
        let path = folder.join(format!("seed-{seed}.json"));
        let json = serde_json::to_string_pretty(summary).map_err(|error| Failure::file(&path, error))?;
        Ok(replace(&path, &(json + "\n"))?)
    }

    /// Adds a run that has ended.
    pub(super) fn append(&self, variant: &str, seed: u64, outcome: &Outcome) -> Result<(), Failure> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let columns = match &rows.columns {
            Some(columns) => columns.clone(),
            None => {
                let columns: Vec<String> = outcome.row().map(|(name, _)| name).collect();
                text += &heading(&columns);
                rows.columns = Some(columns.clone());
                columns
            }
        };
        text += &row(&columns, variant, seed, outcome);
        let path = self.path.join(RUNS);
        Ok(rows.file.write_all(text.as_bytes()).map_err(RunFolderError::io(&path))?)
    }

    /// Writes all the rest.
    pub(super) fn finish(
        &self,
        variants: &[Variant],
        merged: &[Merged],
        comparison: &Comparison,
    ) -> Result<(), Failure> {
        replace(&self.path.join(RUNS), &runs(variants, merged))?;
        replace(&self.path.join("table.csv"), &table(comparison))?;
        let path = self.path.join("summary.json");
        let json = serde_json::to_string_pretty(comparison).map_err(|error| Failure::file(&path, error))?;
        replace(&path, &(json + "\n"))?;
        for (number, (variant, merged)) in variants.iter().zip(merged).enumerate() {
            histograms(&self.variant(number, &variant.name), variant, merged)?;
        }
        self.describe(comparison.complete)
    }
}

/// Where the runs of a variant are; `number` counts from 0.
pub(crate) fn variant_folder(comparison: &Path, number: usize, name: &str) -> PathBuf {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let slug: String = name.chars().map(plain).take(48).collect();
    let words: Vec<&str> = slug.split('-').filter(|word| !word.is_empty()).collect();
    comparison.join(format!("{}-{}", number + 1, words.join("-")))
}

/// `runs.csv`, by variant and seed. A number that only some variants have is empty in the others.
fn runs(variants: &[Variant], merged: &[Merged]) -> String {
    let mut known = BTreeSet::new();
    let outcomes = || merged.iter().flat_map(|merged| merged.outcomes.values());
    let columns: Vec<String> = outcomes()
        .flat_map(Outcome::row)
        .map(|(name, _)| name)
        .filter(|name| known.insert(name.clone()))
        .collect();
    let mut text = heading(&columns);
    for (variant, merged) in variants.iter().zip(merged) {
        for (seed, outcome) in &merged.outcomes {
            text += &row(&columns, &variant.name, *seed, outcome);
        }
    }
    text
}

fn heading(columns: &[String]) -> String {
    let names: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    format!("variant,seed,{}\n", names.join(","))
}

fn row(columns: &[String], variant: &str, seed: u64, outcome: &Outcome) -> String {
    let values: BTreeMap<String, f64> = outcome.row().collect();
    let mut text = format!("{},{seed}", quoted(variant));
    for column in columns {
        // Writing to a String does not fail.
        let _ = match values.get(column) {
            Some(value) => write!(text, ",{value}"),
            None => write!(text, ","),
        };
    }
    text + "\n"
}

/// `table.csv`: what can't be said is empty, `inf` is never.
fn table(comparison: &Comparison) -> String {
    let mut text =
        "variant,number,median,low,high,never,difference,difference_low,difference_high,verdict\n".to_owned();
    let cell = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for variant in &comparison.variants {
        for (number, Estimate { median, low, high, never, difference }) in numbers(variant) {
            let verdict = difference.as_ref().map_or("", |difference| match difference.verdict {
                Verdict::Less => "less",
                Verdict::More => "more",
                Verdict::WithinNoise => "within-noise",
                Verdict::TooFewSeeds => "too-few-seeds",
            });
            let of = |pick: fn(&Difference) -> Option<f64>| cell(difference.as_ref().and_then(pick));
            let cells = [
                quoted(&variant.name),
                quoted(&number),
                cell(Some(*median)),
                cell(*low),
                cell(*high),
                never.to_string(),
                of(|difference| Some(difference.median)),
                of(|difference| difference.low),
                of(|difference| difference.high),
                verdict.to_owned(),
            ];
            text += &(cells.join(",") + "\n");
        }
    }
    text
}

/// Every number of a variant by the name it has in `runs.csv`.
fn numbers(variant: &VariantSummary) -> impl Iterator<Item = (String, &Estimate)> {
    let milestones = variant.milestones.iter().map(|(id, estimate)| (format!("milestone.{id}"), estimate));
    let whole = [("customers", &variant.customers), ("region", &variant.region)];
    let whole = whole.into_iter().map(|(name, numbers)| (name.to_owned(), numbers));
    let systems = variant.systems.iter().map(|(name, numbers)| (format!("system.{name}"), numbers));
    let edges = variant.edges.iter().map(|(name, numbers)| (name.clone(), numbers));
    let parts = whole.chain(systems).chain(edges);
    milestones.chain(parts.flat_map(|(of, numbers)| {
        numbers.iter().map(move |(name, estimate)| (format!("{of}.{name}"), estimate)).collect::<Vec<_>>()
    }))
}

fn histograms(folder: &Path, variant: &Variant, merged: &Merged) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(RunFolderError::io(folder))?;
    let session = &variant.session;
    let interval = |((caller, callee), histograms): (&EdgeKey, &Histograms)| Interval {
        caller: Arc::clone(caller),
        callee: Arc::clone(callee),
        from: Moment::START,
        to: session.until,
        histograms: Box::new(histograms.clone()),
    };
    let intervals: Vec<Interval> = merged.edges.iter().map(interval).collect();
    let mut logs = LogWriter::new(folder.to_owned(), &session.scenario.timeline);
    logs.add(&intervals)?;
    logs.flush()?;
    for (system, histograms) in merged.systems() {
        for (measure, latencies) in histograms.iter() {
            let path = folder.join(format!("system.{system}.{}.hgrm", measure.name()));
            replace(&path, &percentile_table(latencies.histogram()))?;
        }
    }
    Ok(())
}

/// A cell, in quotes if it needs them.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}
