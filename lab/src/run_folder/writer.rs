//! Writes a run folder while the run goes on.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::record::{Results, Tick};

use super::logs::LogWriter;
use super::{Description, EVENTS, HISTOGRAMS, RUN, RunFolderError, SERIES, SUMMARY, events, replace, table};
use crate::summary::Summary;

/// Writes a run folder.
pub struct RunWriter {
    path: PathBuf,
    timeline: Timeline,
    events: File,
    series: SeriesWriter,
    logs: LogWriter,
}

impl RunWriter {
    /// Makes a folder and says in it what is run.
    ///
    /// # Errors
    /// If there is a run in it already, or the system refuses.
    pub fn create(path: &Path, description: &Description) -> Result<Self, RunFolderError> {
        let run = path.join(RUN);
        if run.exists() {
            return Err(RunFolderError::Taken(path.to_owned()));
        }
        let malformed = |error: &dyn std::fmt::Display| RunFolderError::malformed(&run, None, error);
        let timeline = description.timeline().map_err(|error| malformed(&error))?;
        let histograms = path.join(HISTOGRAMS);
        fs::create_dir_all(&histograms).map_err(RunFolderError::io(&histograms))?;
        replace(&run, &toml::to_string(description).map_err(|error| malformed(&error))?)?;
        let create = |name: &str| File::create(path.join(name)).map_err(RunFolderError::io(&path.join(name)));
        Ok(RunWriter {
            path: path.to_owned(),
            events: create(EVENTS)?,
            series: SeriesWriter {
                path: path.join(SERIES),
                file: create(SERIES)?,
                columns: 0,
                rows: 0,
                due: 0,
            },
            logs: LogWriter::new(histograms, &timeline),
            timeline,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds what came together with the closing of sampling intervals.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn tick(&mut self, results: &Results, tick: Tick) -> Result<(), RunFolderError> {
        let path = self.path.join(EVENTS);
        let mut lines = String::new();
        for event in tick.events {
            let line = events::write(event, &self.timeline);
            lines += &line.map_err(|error| RunFolderError::malformed(&path, None, error))?;
        }
        self.events.write_all(lines.as_bytes()).map_err(RunFolderError::io(&path))?;
        self.series.tick(results, &self.timeline)?;
        self.logs.add(&tick.latencies)
    }

    /// Adds the summary and completes the folder, after the tick of [`Results::finish`] was added.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn finish(mut self, results: &Results, summary: &Summary) -> Result<(), RunFolderError> {
        self.logs.flush()?;
        self.series.finish(results, &self.timeline)?;
        let path = self.path.join(SUMMARY);
        let text = serde_json::to_string_pretty(summary);
        replace(&path, &(text.map_err(|error| RunFolderError::malformed(&path, None, error))? + "\n"))
    }
}

impl Drop for RunWriter {
    /// A run that is given up keeps what there is of it.
    fn drop(&mut self) {
        if let Err(error) = self.logs.flush() {
            tracing::warn!(%error, "histograms of the last intervals are lost");
        }
    }
}

/// Appends rows as they come. The columns are those of the heading; when new series have come since, the file is
/// written anew as soon as its rows have doubled, and at the end. So it is written over about twice in all, and a run
/// that was cut off misses only series that first came in the latter half of it.
struct SeriesWriter {
    path: PathBuf,
    file: File,
    /// Series in the heading, and rows in the file.
    columns: usize,
    rows: usize,
    /// Writing anew is due from so many rows on.
    due: usize,
}

impl SeriesWriter {
    fn tick(&mut self, results: &Results, timeline: &Timeline) -> Result<(), RunFolderError> {
        let series = results.series();
        let rows = series.times().len();
        if series.names().len() > self.columns && rows >= self.due {
            return self.rewrite(results, timeline);
        }
        let text = table::rows(series, self.columns, self.rows..rows, timeline);
        self.rows = rows;
        self.file.write_all(text.as_bytes()).map_err(RunFolderError::io(&self.path))
    }

    fn finish(&mut self, results: &Results, timeline: &Timeline) -> Result<(), RunFolderError> {
        let series = results.series();
        let complete = (series.names().len(), series.times().len()) == (self.columns, self.rows);
        if complete && !series.amended() { Ok(()) } else { self.rewrite(results, timeline) }
    }

    fn rewrite(&mut self, results: &Results, timeline: &Timeline) -> Result<(), RunFolderError> {
        let series = results.series();
        (self.columns, self.rows) = (series.names().len(), series.times().len());
        self.due = self.rows * 2;
        let text =
            table::heading(series, self.columns) + &table::rows(series, self.columns, 0..self.rows, timeline);
        replace(&self.path, &text)?;
        let opened = File::options().append(true).open(&self.path);
        self.file = opened.map_err(RunFolderError::io(&self.path))?;
        Ok(())
    }
}
