//! Reads a run folder back, also one of a run that was cut off.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::record::{EdgeKey, Event, Histograms, Series};
use indexmap::IndexMap;

use super::logs::{self, LoggedInterval};
use super::{Description, EVENTS, HISTOGRAMS, RUN, RunFolderError, SERIES, SUMMARY, events, table};
use crate::summary::Summary;

/// A run that was written to a folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    description: Description,
    timeline: Timeline,
}

impl RunFolder {
    /// Opens a folder.
    ///
    /// # Errors
    /// If it holds no run, or one that can't be read.
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        let run = path.join(RUN);
        let text = match fs::read_to_string(&run) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RunFolderError::NoRun(path.to_owned()));
            }
            text => text.map_err(RunFolderError::io(&run))?,
        };
        let description: Description =
            toml::from_str(&text).map_err(|error| RunFolderError::malformed(&run, None, error.message()))?;
        let timeline =
            description.timeline().map_err(|error| RunFolderError::malformed(&run, None, error))?;
        Ok(RunFolder { path: path.to_owned(), description, timeline })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was run.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// How its moments and dates go together.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Every event.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn events(&self) -> Result<Vec<Event>, RunFolderError> {
        let path = self.path.join(EVENTS);
        events::read(&path, &read(&path)?)
    }

    /// Every series.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn series(&self) -> Result<Series, RunFolderError> {
        table::read(&self.path.join(SERIES), &self.series_text()?)
    }

    /// The file that the series are in.
    pub(crate) fn series_text(&self) -> Result<String, RunFolderError> {
        read(&self.path.join(SERIES))
    }

    /// The summary; nothing if the run did not come to its end.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn summary(&self) -> Result<Option<Summary>, RunFolderError> {
        let path = self.path.join(SUMMARY);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => serde_json::from_str(&text.map_err(RunFolderError::io(&path))?)
                .map_err(|error| RunFolderError::malformed(&path, error.line(), error)),
        }
    }

    /// The edges that have latencies, with their logs, by name.
    ///
    /// # Errors
    /// If the folder can't be read.
    pub fn logs(&self) -> Result<Vec<(EdgeKey, PathBuf)>, RunFolderError> {
        let folder = self.path.join(HISTOGRAMS);
        let entries = fs::read_dir(&folder).map_err(RunFolderError::io(&folder))?;
        let paths: Result<Vec<PathBuf>, io::Error> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut paths = paths.map_err(RunFolderError::io(&folder))?;
        paths.sort();
        Ok(paths.into_iter().filter_map(|path| Some((logs::edge_of(&path)?, path))).collect())
    }

    /// The intervals of one log, in the order of the file.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn intervals(&self, log: &Path) -> Result<Vec<LoggedInterval>, RunFolderError> {
        logs::read(log, &read(log)?)
    }

    /// The latencies of every edge over the whole run.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn edges(&self) -> Result<IndexMap<String, Histograms>, RunFolderError> {
        let edge = |((caller, callee), path): (EdgeKey, PathBuf)| {
            Ok((format!("{caller}->{callee}"), logs::whole(self.intervals(&path)?)))
        };
        self.logs()?.into_iter().map(edge).collect()
    }

    /// The latencies that each system's customers saw over the whole run.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn systems(&self) -> Result<IndexMap<String, Histograms>, RunFolderError> {
        let edges = self.edges()?;
        let merged = |names: &Vec<String>| {
            let mut all = Histograms::default();
            names.iter().filter_map(|name| edges.get(name)).for_each(|histograms| all.merge(histograms));
            all
        };
        Ok(self.description.systems.iter().map(|(system, names)| (system.clone(), merged(names))).collect())
    }
}

fn read(path: &Path) -> Result<String, RunFolderError> {
    fs::read_to_string(path).map_err(RunFolderError::io(path))
}
