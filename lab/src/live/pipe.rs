//! What the supervisor and an instance say to each other.

use std::path::{Path, PathBuf};

use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::fleet::Command;
use eastfall_fabric::record::Report;
use eastfall_topology::time::Span;
use eastfall_topology::{KindSchema, Problems, Setting, Source, Topology};
use serde::{Deserialize, Serialize};

/// From the supervisor to an instance.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToInstance {
    /// Time begins (or began) at this instant of the wall clock, in nanoseconds of the Unix epoch.
    Begin { origin: u64 },
    /// Do this, and say when it is in force.
    Command { number: u64, command: Command },
}

/// From an instance to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromInstance {
    /// The program is loaded and waits for time to begin.
    Loaded,
    /// The instance serves.
    Started,
    /// The instance could not start.
    Failed {
        reason: String,
    },
    /// The command of this number is in force, or why it is not.
    Done {
        number: u64,
        result: Result<(), String>,
    },
    Report(Report),
}

/// What every instance of a fleet needs to know; a file in the run folder.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FleetFile {
    pub(crate) topology_file: String,
    pub(crate) topology: String,
    pub(crate) settings: Vec<String>,
    pub(crate) load: f64,
    pub(crate) seed: u64,
    pub(crate) speed: f64,
    /// Local time of day at the start of the run, in nanoseconds since midnight.
    pub(crate) starts_at: u64,
    /// When the incident began, RFC 3339 in its own offset, and how long before that the run does, in nanoseconds.
    pub(crate) incident: (String, u64),
    pub(crate) network: u8,
    pub(crate) run: PathBuf,
    /// Where spans go, if anywhere. What is sent along with them may be a key, and stays in the environment.
    #[serde(default)]
    pub(crate) traces: Option<Traces>,
}

/// Where an instance's spans go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Traces {
    pub(crate) endpoint: String,
    /// The share of traces that are kept, 0..=1.
    pub(crate) ratio: f64,
}

impl FleetFile {
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
    }

    pub(crate) fn write(&self, file: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
    }

    pub(crate) fn load_topology(&self, kinds: &[KindSchema]) -> Result<Topology, Problems> {
        let settings: Vec<Setting> =
            self.settings.iter().filter_map(|setting| setting.parse().ok()).collect();
        let source = Source { file: &self.topology_file, text: &self.topology };
        Topology::load(source, &settings, kinds, self.load)
    }

    /// Dates of the incident.
    pub(crate) fn timeline(&self) -> Result<Timeline, String> {
        let (starts, lead) = &self.incident;
        Timeline::new(starts, Span::from_nanos(*lead)).map_err(|error| error.to_string())
    }

    pub(crate) fn starts_at(&self) -> Span {
        Span::from_nanos(self.starts_at)
    }
}
