//! Logs: a line an event on standard error, which in an instance of a fleet is a file of its own in the run folder
//! (`logs/INSTANCE.log`).
//!
//! Every line of a live fleet has two times, the wall's and the incident's: the first to hold it against other programs'
//! logs, the second to hold it against the run's results. `EASTFALL_LOG` says how much is logged (`error`, `warn`, `info`,
//! `debug`, `trace`; default `warn`), `EASTFALL_LOG_FORMAT` how: `text` or `json`. Both reach the instances.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::OnceLock;

use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::clock::Clock;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use crate::failure::Failure;

const LEVEL: &str = "EASTFALL_LOG";
const FORMAT: &str = "EASTFALL_LOG_FORMAT";

/// Whose log this is, and its incident's time. A process has one at most.
static OWNER: OnceLock<Owner> = OnceLock::new();

struct Owner {
    clock: Clock,
    timeline: Timeline,
    instance: String,
}

/// Starts logging as the environment says.
///
/// # Errors
/// If it says what is not known.
pub fn start() -> Result<(), Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let level = match variable(LEVEL) {
        None => Level::WARN,
        Some(text) => text.parse().map_err(|_| {
            Failure(format!("{LEVEL}={text}: is no level; write error, warn, info, debug or trace"))
        })?,
    };
    let style = match variable(FORMAT).as_deref() {
        None | Some("text") => {
            Style::Text { colour: std::io::stderr().is_terminal() && variable("NO_COLOR").is_none() }
        }
        Some("json") => Style::Json,
        Some(other) => return Err(Failure(format!("{FORMAT}={other}: is no format; write text or json"))),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).event_format(Lines(style));
    let ours = Targets::new().with_default(level);
    tracing_subscriber::registry().with(lines.with_filter(ours)).init();
    Ok(())
}

/// From here on lines have the incident's time, and say whose they are.
pub fn begin(clock: Clock, timeline: Timeline, instance: &str) {
    let _first_stays = OWNER.set(Owner { clock, timeline, instance: instance.to_owned() });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Text { colour: bool },
    Json,
}

/// Writes events as lines.
struct Lines(Style);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let owner = OWNER.get().map(|owner| {
            let now = owner.clock.now();
            let incident = owner.timeline.written(owner.timeline.date(now));
            (owner.instance.as_str(), incident, now.since_start().as_secs_f64())
        });
        let line = Line {
            at: jiff::Timestamp::now().to_string(),
            level: *event.metadata().level(),
            target: event.metadata().target(),
            owner,
            fields: fields.0,
        };
        writeln!(writer, "{}", line.write(self.0))
    }
}

/// One event.
struct Line<'a> {
    at: String,
    level: Level,
    target: &'a str,
    /// Instance, incident's date, seconds since the run began.
    owner: Option<(&'a str, String, f64)>,
    /// With the message among them.
    fields: Map<String, Value>,
}

/// The field that tracing keeps an event's message in.
const MESSAGE: &str = "message";

impl Line<'_> {
    fn write(mut self, style: Style) -> String {
        match style {
            Style::Json => {
                let mut all = Map::new();
                all.insert("timestamp".to_owned(), self.at.into());
                all.insert("level".to_owned(), self.level.as_str().into());
                if let Some((instance, incident, run_s)) = self.owner {
                    all.insert("incident".to_owned(), incident.into());
                    all.insert("run_s".to_owned(), run_s.into());
                    all.insert("instance".to_owned(), instance.into());
                }
                all.insert("target".to_owned(), self.target.into());
                // A field of an event's own that has one of these names gives way.
                for (name, value) in self.fields {
                    all.entry(name).or_insert(value);
                }
                Value::Object(all).to_string()
            }
            Style::Text { colour } => {
                let message = self.fields.remove(MESSAGE);
                let message = message.as_ref().and_then(Value::as_str).unwrap_or_default();
                let level = match (colour, self.level) {
                    (true, Level::ERROR) => "\x1b[31mERROR\x1b[0m".to_owned(),
                    (true, Level::WARN) => "\x1b[33m WARN\x1b[0m".to_owned(),
                    (_, level) => format!("{level:>5}"),
                };
                let mut line = format!("{} {level}", self.at);
                if let Some((instance, incident, _)) = self.owner {
                    line += &format!(" incident={incident} instance={instance}");
                }
                line += &format!(" {}: {}", self.target, in_one_line(message));
                for (name, value) in self.fields {
                    let value = match value {
                        Value::String(text) if text.contains([' ', '"', '\n', '=']) => format!("{text:?}"),
                        Value::String(text) => text,
                        other => other.to_string(),
                    };
                    line += &format!(" {name}={value}");
                }
                line
            }
        }
    }
}

/// A line break in a message would begin what looks like an event of its own.
fn in_one_line(text: &str) -> String {
    text.replace('\n', "\\n")
}

/// Fields of an event as JSON has them.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string().into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(owned: bool) -> Line<'static> {
        let fields = [
            (MESSAGE, Value::from("the server\nstopped")),
            ("error", "no \"way\"".into()),
            ("tries", 3.into()),
        ];
        Line {
            at: "2026-11-21T15:00:00Z".to_owned(),
            level: Level::WARN,
            target: "eastfall",
            owner: owned.then(|| ("dwfm-1", "2025-10-20T00:10:00-07:00".to_owned(), 2_520.5)),
            fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }

    #[test]
    fn a_line_of_json_has_both_times_and_whose_it_is() {
        let written = line(true).write(Style::Json);
        assert!(!written.contains('\n'), "one line: {written}");
        let read: Value = serde_json::from_str(&written).unwrap();
        for (name, value) in [
            ("timestamp", Value::from("2026-11-21T15:00:00Z")),
            ("level", "WARN".into()),
            ("incident", "2025-10-20T00:10:00-07:00".into()),
            ("run_s", 2_520.5.into()),
            ("instance", "dwfm-1".into()),
            (MESSAGE, "the server\nstopped".into()),
            ("tries", 3.into()),
        ] {
            assert_eq!(read[name], value, "{name} in {written}");
        }
    }

    #[test]
    fn a_line_of_text_is_one_line_and_quotes_what_has_blanks() {
        let written = line(true).write(Style::Text { colour: false });
        assert_eq!(
            written,
            "2026-11-21T15:00:00Z  WARN incident=2025-10-20T00:10:00-07:00 instance=dwfm-1 eastfall: \
             the server\\nstopped error=\"no \\\"way\\\"\" tries=3"
        );
        let before = line(false).write(Style::Text { colour: false });
        assert!(!before.contains("incident="), "before time begins there is none: {before}");
    }
}
