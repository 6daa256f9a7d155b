//! `events.jsonl`: an event a line, with the date for people and the time of the run for programs.

use std::path::Path;
use std::sync::Arc;

use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::record::Event;
use eastfall_topology::time::{Moment, Span};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::RunFolderError;
use crate::summary::written;

#[derive(Serialize, Deserialize)]
struct Line {
    /// The date, in RFC 3339.
    at: String,
    /// Seconds since the start of the run; exact to the nanosecond for a hundred days.
    run_s: f64,
    system: Arc<str>,
    service: Arc<str>,
    instance: Arc<str>,
    kind: String,
    fields: IndexMap<String, String>,
}

/// An event as a line, line break included.
pub(super) fn write(event: Event, timeline: &Timeline) -> Result<String, serde_json::Error> {
    let Event { at, system, service, instance, kind, fields } = event;
    let (date, run_s) = (written(timeline, at), at.since_start().as_secs_f64());
    let line = Line { at: date, run_s, system, service, instance, kind, fields };
    Ok(serde_json::to_string(&line)? + "\n")
}

/// The events of a file's text.
pub(super) fn read(path: &Path, text: &str) -> Result<Vec<Event>, RunFolderError> {
    let event = |(index, line): (usize, &str)| {
        let Line { run_s, system, service, instance, kind, fields, .. } =
            serde_json::from_str(line).map_err(|error| RunFolderError::malformed(path, index + 1, error))?;
        let at = Moment::START + Span::from_secs_f64(run_s);
        Ok(Event { at, system, service, instance, kind, fields })
    };
    super::complete_lines(text).lines().enumerate().map(event).collect()
}
