//! `report.html`: the page with a run's data in it, in one file that can be mailed and opened from disk.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::assets::in_one_file;
use super::model::{Document, Model};
use crate::compare::Comparison;
use crate::failure::Failure;
use crate::run_folder::{RunFolder, RunFolderError, replace};

/// Its name in the folder of a run or a comparison.
pub const REPORT: &str = "report.html";

/// Points in time of a report's series; a screen has fewer. 28 hours are a point in half a minute so.
const ROWS: usize = 3_600;

/// Columns of its heat map.
const INTERVALS: usize = 400;

/// Points in time of each variant of a comparison.
pub(crate) const ROWS_OF_VARIANT: usize = 400;

/// Writes the report of a finished run into its folder.
///
/// # Errors
/// If the folder can't be read or written.
pub fn write(folder: &Path) -> Result<PathBuf, Failure> {
    let file = folder.join(REPORT);
    let model = Model::of_run(&RunFolder::open(folder)?)?;
    write_models(&file, vec![model], None)?;
    Ok(file)
}

/// Writes several runs into one report.
pub(crate) fn write_models(
    file: &Path,
    models: Vec<Model>,
    comparison: Option<&Comparison>,
) -> Result<(), Failure> {
    let models: Vec<Model> = models.into_iter().map(|model| model.thinned(ROWS, INTERVALS)).collect();
    let document = Document { live: false, runs: &models, comparison, instances: Default::default() };
    Ok(replace(file, &in_one_file(&packed(&document)?)).map_err(|error: RunFolderError| error)?)
}

fn packed(document: &Document<'_>) -> Result<Vec<u8>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure(format!("the report can't be packed: {error}"));
    let json = serde_json::to_vec(document).map_err(|error| failed(&error))?;
    let mut out = GzEncoder::new(Vec::new(), Compression::new(7));
    out.write_all(&json).map_err(|error| failed(&error))?;
    out.finish().map_err(|error| failed(&error))
}
