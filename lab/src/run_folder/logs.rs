//! `histograms/*.hlog`: HdrHistogram's interval logs, one an edge, a line for each interval and measure.
//!
//! The crate writes the lines. It writes neither the format's version nor the legend, without which other readers
//! refuse a log: both are added here, and `scripts/check-histograms` reads the result with an independent program.
//! An edge is `CALLER_CALLEE`: names of services have no underscore, and not every system takes a `>` in a file's name.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::record::{DeflateSerializer, EdgeKey, Histograms, Interval, Latencies, Measure};
use eastfall_topology::time::{Moment, Span};
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use indexmap::IndexMap;
use rayon::prelude::*;

use super::{RunFolderError, complete_lines};

/// Lines are kept until there are so many bytes of them, rather than a file open for every edge.
const KEPT: usize = 64 * 1024;

const VERSION: &str = "[Histogram log format version 1.3]";
const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// One line of a log.
#[derive(Clone, Debug)]
pub struct LoggedInterval {
    /// The start of the interval.
    pub from: Moment,
    /// Its length.
    pub length: Span,
    /// What was measured.
    pub measure: Measure,
    /// The latencies.
    pub latencies: Latencies,
}

/// Writes the logs of a run.
pub(crate) struct LogWriter {
    folder: PathBuf,
    run_starts: SystemTime,
    /// Lines to write, for every edge that has a log.
    kept: IndexMap<EdgeKey, Vec<u8>>,
}

impl LogWriter {
    pub(crate) fn new(folder: PathBuf, timeline: &Timeline) -> Self {
        let run_starts = timeline.date(Moment::START).into();
        LogWriter { folder, run_starts, kept: IndexMap::new() }
    }

    /// Adds intervals of edges. Deflating takes most of the time that writing a run does, so all cores take part.
    pub(crate) fn add(&mut self, intervals: &[Interval]) -> Result<(), RunFolderError> {
        let lines: Vec<Result<Vec<u8>, String>> = intervals.par_iter().map(lines_of).collect();
        for (interval, lines) in intervals.iter().zip(lines) {
            let key = (interval.caller.clone(), interval.callee.clone());
            let path = self.path(&key);
            let failed = |error| RunFolderError::Io { path: path.clone(), error };
            if !self.kept.contains_key(&key) {
                let heading = heading(&key, self.run_starts).map_err(&failed)?;
                self.kept.insert(key.clone(), heading);
            }
            let kept = self.kept.entry(key.clone()).or_default();
            kept.extend(lines.map_err(|error| failed(std::io::Error::other(error)))?);
            if kept.len() > KEPT {
                self.flush_edge(&key)?;
            }
        }
        Ok(())
    }

    /// Writes out all that is kept.
    pub(crate) fn flush(&mut self) -> Result<(), RunFolderError> {
        let keys: Vec<EdgeKey> = self.kept.keys().cloned().collect();
        keys.iter().try_for_each(|key| self.flush_edge(key))
    }

    fn flush_edge(&mut self, key: &EdgeKey) -> Result<(), RunFolderError> {
        let path = self.path(key);
        let Some(lines) = self.kept.get_mut(key) else { return Ok(()) };
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(lines)).map_err(RunFolderError::io(&path))?;
        lines.clear();
        Ok(())
    }

    fn path(&self, (caller, callee): &EdgeKey) -> PathBuf {
        self.folder.join(format!("{caller}_{callee}.hlog"))
    }
}

/// A log's first lines.
fn heading((caller, callee): &EdgeKey, run_starts: SystemTime) -> Result<Vec<u8>, std::io::Error> {
    let mut lines = Vec::new();
    IntervalLogWriterBuilder::new()
        .add_comment(VERSION)
        .add_comment(&format!("[Edge: {caller}->{callee}; values in microseconds]"))
        .with_start_time(run_starts)
        .with_base_time(run_starts)
        .begin_log_with(&mut lines, &mut DeflateSerializer)?;
    lines.extend_from_slice(LEGEND.as_bytes());
    Ok(lines)
}

/// The lines of an interval, one a measure.
fn lines_of(interval: &Interval) -> Result<Vec<u8>, String> {
    let (mut lines, mut serializer) = (Vec::new(), DeflateSerializer);
    let mut log = IntervalLogWriterBuilder::new()
        .begin_log_with(&mut lines, &mut serializer)
        .map_err(|error| error.to_string())?;
    let from = Duration::from_nanos(interval.from.as_nanos());
    let length = Duration::from_nanos(interval.to.since(interval.from).as_nanos());
    for (measure, latencies) in interval.histograms.iter() {
        log.write_histogram(latencies.histogram(), from, length, Tag::new(measure.name()))
            .map_err(|error| error.to_string())?;
    }
    Ok(lines)
}

/// The edge that a log is of, by the name of its file.
pub(super) fn edge_of(path: &Path) -> Option<EdgeKey> {
    let name = path.file_name()?.to_str()?.strip_suffix(".hlog")?;
    let (caller, callee) = name.split_once('_')?;
    Some((caller.into(), callee.into()))
}

/// The intervals of a log's text.
pub(super) fn read(path: &Path, text: &str) -> Result<Vec<LoggedInterval>, RunFolderError> {
    let malformed = |what: String| RunFolderError::malformed(path, None, what);
    let mut intervals = Vec::new();
    for entry in IntervalLogIterator::new(complete_lines(text).as_bytes()) {
        let entry = entry.map_err(|error| malformed(format!("not an interval log: {error:?}")))?;
        let LogEntry::Interval(interval) = entry else { continue };
        let name = interval.tag().map(|tag| tag.as_str()).unwrap_or_default();
        let measure =
            Measure::named(name).ok_or_else(|| malformed(format!("`{name}` is no measure of ours")))?;
        let latencies = Latencies::decode(interval.encoded_histogram());
        let span = |duration: Duration| Span::from_secs_f64(duration.as_secs_f64());
        intervals.push(LoggedInterval {
            from: Moment::START + span(interval.start_timestamp()),
            length: span(interval.duration()),
            measure,
            latencies: latencies.map_err(|error| malformed(error.to_string()))?,
        });
    }
    Ok(intervals)
}

/// All intervals together.
pub(super) fn whole(intervals: Vec<LoggedInterval>) -> Histograms {
    intervals.into_iter().map(|interval| (interval.measure, interval.latencies)).collect()
}
