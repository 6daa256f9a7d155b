//! `run.toml`: what was run, so that it can be run again.

use eastfall_chaos::timeline::{TimeError, Timeline};
use eastfall_fabric::record::Layout;
use eastfall_topology::Source;
use eastfall_topology::time::Span;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// What was run. Files are here in full: a folder outlives the version of the repository it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Description {
    /// The program's version.
    pub version: String,
    /// The command line.
    pub command: Vec<String>,
    /// In virtual time or live.
    pub mode: Mode,
    /// How many times faster than the wall; live only.
    pub speed: Option<f64>,
    /// The seed of all randomness. As text, since TOML's numbers end at 2^63.
    #[serde(with = "text")]
    pub seed: u64,
    /// The factor of `--load`.
    pub load: f64,
    /// Changes to the topology, `PATH=VALUE`, in order.
    pub settings: Vec<String>,
    /// True if all operators' steps were left out.
    pub without_operators: bool,
    /// Steps that were left out.
    pub without: Vec<String>,
    /// Steps that were moved, `STEP-ID=+1h`.
    pub shift: Vec<String>,
    /// Where the run was told to end, if before the scenario does.
    pub until: Option<String>,
    /// The incident's start, in RFC 3339.
    pub starts: String,
    /// How long before that the run begins.
    #[serde(with = "text")]
    pub lead: Span,
    /// The edges whose requests count for a system, by system.
    pub systems: IndexMap<String, Vec<String>>,
    /// The scenario.
    pub scenario: File,
    /// What it was expected to show.
    pub expectations: Option<File>,
    /// The published facts that the expectations name.
    #[serde(default)]
    pub reference: Option<File>,
    /// The topology.
    pub topology: File,
}

/// A file as it was when the run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct File {
    /// Its name, as it was given.
    pub file: String,
    /// Its text.
    pub text: String,
}

impl File {
    /// The file as a reader takes it.
    pub fn source(&self) -> Source<'_> {
        Source { file: &self.file, text: &self.text }
    }
}

/// How a run's time went by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// In virtual time.
    Sim,
    /// On the wall, times a speed.
    Live,
}

impl Description {
    /// How the run's moments and dates go together.
    ///
    /// # Errors
    /// If `starts` is no date with an offset.
    pub fn timeline(&self) -> Result<Timeline, TimeError> {
        Timeline::new(&self.starts, self.lead)
    }

    /// The [`Description::systems`] of a layout.
    pub fn systems_of(layout: &Layout) -> IndexMap<String, Vec<String>> {
        let names =
            |edges: Vec<_>| edges.iter().map(|(caller, callee)| format!("{caller}->{callee}")).collect();
        layout.systems().into_iter().map(|(system, edges)| (system.to_string(), names(edges))).collect()
    }
}

/// Values as their text.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
