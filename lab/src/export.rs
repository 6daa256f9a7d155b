//! A run's histograms and series in the formats of other programs.
//!
//! | format | files |
//! |---|---|
//! | `hlog` | HdrHistogram's interval logs, one an edge: as in the run folder |
//! | `hgrm` | HdrHistogram's percentile tables over the whole run, one an edge or system and measure, in milliseconds |
//! | `csv` | `series.csv` and `percentiles.csv` |
//! | `json` | `series.json`, `percentiles.json` and, if the run came to its end, `summary.json` |

mod hgrm;
mod percentiles;

use std::fs;
use std::path::{Path, PathBuf};

use eastfall_fabric::record::Series;
use indexmap::IndexMap;

use crate::run_folder::{RunFolder, RunFolderError, replace};

pub use hgrm::percentile_table;
pub use percentiles::Percentiles;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// HdrHistogram interval logs.
    Hlog,
    /// HdrHistogram percentile tables.
    Hgrm,
    /// Comma-separated values.
    Csv,
    /// JSON.
    Json,
}

/// Writes a run in another format to a folder, and says which files it wrote.
///
/// # Errors
/// If the run can't be read or the folder not be written to.
pub fn export(run: &RunFolder, format: Format, out: &Path) -> Result<Vec<PathBuf>, RunFolderError> {
    fs::create_dir_all(out).map_err(RunFolderError::io(out))?;
    let mut written = Vec::new();
    let mut write = |name: &str, text: &str| {
        let path = out.join(name);
        replace(&path, text)?;
        written.push(path);
        Ok::<(), RunFolderError>(())
    };
    match format {
        Format::Hlog => {
            for (_, log) in run.logs()? {
                let text = fs::read_to_string(&log).map_err(RunFolderError::io(&log))?;
                write(&log.file_name().unwrap_or_default().to_string_lossy(), &text)?;
            }
        }
        Format::Hgrm => {
            let edges =
                run.edges()?.into_iter().map(|(name, histograms)| (name.replace("->", "_"), histograms));
            let systems =
                run.systems()?.into_iter().map(|(name, histograms)| (format!("system.{name}"), histograms));
            for (name, histograms) in edges.chain(systems) {
                for (measure, latencies) in histograms.iter() {
                    write(
                        &format!("{name}.{}.hgrm", measure.name()),
                        &percentile_table(latencies.histogram()),
                    )?;
                }
            }
        }
        Format::Csv => {
            write("series.csv", &run.series_text()?)?;
            write("percentiles.csv", &Percentiles::of(run)?.to_csv())?;
        }
        Format::Json => {
            write("series.json", &json(&series(&run.series()?))?)?;
            write("percentiles.json", &json(&Percentiles::of(run)?)?)?;
            if let Some(summary) = run.summary()? {
                write("summary.json", &json(&summary)?)?;
            }
        }
    }
    Ok(written)
}

/// Series by name, with the seconds since the start of the run as the first. What has no value is null.
fn series(series: &Series) -> IndexMap<&str, Vec<Option<f64>>> {
    let times = series.times().iter().map(|time| Some(time.since_start().as_secs_f64())).collect();
    let known = |values: &[f64]| values.iter().map(|&value| value.is_finite().then_some(value)).collect();
    let columns = series.iter().map(|(name, values)| (name, known(values)));
    std::iter::once(("run_s", times)).chain(columns).collect()
}

fn json(value: &impl serde::Serialize) -> Result<String, RunFolderError> {
    serde_json::to_string(value).map(|text| text + "\n").map_err(|error| RunFolderError::Malformed {
        path: PathBuf::new(),
        line: None,
        what: error.to_string(),
    })
}

#[cfg(test)]
mod tests;
