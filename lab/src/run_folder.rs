//! A run as a folder: everything it showed, and everything needed to repeat it.
//!
//! | file | what |
//! |---|---|
//! | `run.toml` | what was run: files in full, seed, settings, command line |
//! | `events.jsonl` | every event, an object a line, as they came |
//! | `series.csv` | every series, a row a sampling interval |
//! | `histograms/CALLER_CALLEE.hlog` | the latencies of an edge, as HdrHistogram's interval log |
//! | `summary.json` | the object that `--json` prints; only a run that came to its end has one |
//! | `report.html` | all of it to look at, in one file ([`crate::page`]) |
//!
//! The first four grow while the run goes on, so one that was cut off can still be read up to its last flush: events and
//! rows to the sample, histograms to 64 KiB an edge. In virtual time the same seed gives the same bytes, except for the
//! wall time and memory in `summary.json`, which the report repeats.

mod description;
mod events;
pub(crate) mod logs;
mod reader;
mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

pub use description::{Description, File, Mode};
pub use logs::LoggedInterval;
pub use reader::RunFolder;
pub use writer::RunWriter;

const RUN: &str = "run.toml";
const EVENTS: &str = "events.jsonl";
const SERIES: &str = "series.csv";
const SUMMARY: &str = "summary.json";
const HISTOGRAMS: &str = "histograms";

/// Why a run folder can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RunFolderError {
    /// There is a run in it already.
    #[error("{}: holds a run already; name another folder with --out, or remove this one", .0.display())]
    Taken(PathBuf),
    /// There is no run in it.
    #[error("{}: is no run folder, it has no {RUN}; name the folder that `eastfall run` or `up` wrote", .0.display())]
    NoRun(PathBuf),
    /// The system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}{}: {what}; the file was changed or is from another version", path.display(), line.map(|n| format!(":{n}")).unwrap_or_default())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1, if it is one.
        line: Option<usize>,
        /// What is wrong.
        what: String,
    },
}

impl RunFolderError {
    /// Names the file in an error of the system's.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> RunFolderError {
        let path = path.to_owned();
        move |error| RunFolderError::Io { path, error }
    }

    fn malformed(path: &Path, line: impl Into<Option<usize>>, what: impl ToString) -> RunFolderError {
        RunFolderError::Malformed { path: path.to_owned(), line: line.into(), what: what.to_string() }
    }
}

/// Replaces a file as a whole: whoever reads it sees the old one or the new one.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), RunFolderError> {
    let new = path.with_extension("new");
    std::fs::write(&new, text).map_err(RunFolderError::io(&new))?;
    std::fs::rename(&new, path).map_err(RunFolderError::io(path))
}

/// A file's complete lines: what comes after the last line break was cut off while it was written.
fn complete_lines(text: &str) -> &str {
    text.rfind('\n').map_or("", |end| &text[..=end])
}
