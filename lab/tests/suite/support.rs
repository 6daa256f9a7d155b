//! Runs a command line's scenario within this process, and keeps what it recorded.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use eastfall::cli::{Cli, Command};
use eastfall::run_folder::{Mode, RunFolder, RunWriter};
use eastfall::session::Session;
use eastfall::simulate::{Options, simulate};
use eastfall::summary::Summary;
use eastfall_fabric::record::{Event, Series};
use eastfall_topology::time::Moment;

/// The name that lost its addresses.
pub(crate) const REGIONAL: &str = "dynamodb.us-east-1.amazonaws.com";

/// A file of the repository, by its path from the root.
pub(crate) fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).join(path)
}

/// The shipped scenario.
pub(crate) fn incident() -> PathBuf {
    shipped("scenarios/2025-10-20.toml")
}

/// A folder that goes away with the value.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"))
}

/// What a run recorded, read back from its folder.
pub(crate) struct Ran {
    command: String,
    pub(crate) summary: Summary,
    pub(crate) failed_checks: Vec<String>,
    pub(crate) events: Vec<Event>,
    pub(crate) series: Series,
}

/// `eastfall run scenarios/2025-10-20.toml OPTIONS`
pub(crate) fn run(options: &str) -> Ran {
    run_file(&incident(), options)
}

/// `eastfall run SCENARIO OPTIONS`
pub(crate) fn run_file(scenario: &Path, options: &str) -> Ran {
    let folder = scratch();
    run_into(folder.path(), scenario, options)
}

/// `eastfall run SCENARIO OPTIONS --out FOLDER`
pub(crate) fn run_into(folder: &Path, scenario: &Path, options: &str) -> Ran {
    let command = format!("eastfall run {} {options}", scenario.display());
    let try_run = || -> Result<Ran, Box<dyn std::error::Error>> {
        let Command::Run(arguments) = Cli::try_parse_from(command.split_whitespace())?.command else {
            return Err("it is no `run`".into());
        };
        let session = Session::load(&arguments.scenario, Mode::Sim, None)?;
        let writer = RunWriter::create(folder, &session.description)?;
        let options = Options { codec: arguments.codec, writer: Some(writer), ..Options::default() };
        let conclusion = simulate(&session, options)?;
        let written = RunFolder::open(folder)?;
        Ok(Ran {
            command: command.clone(),
            failed_checks: conclusion.failed_checks(),
            summary: conclusion.summary,
            events: written.events()?,
            series: written.series()?,
        })
    };
    try_run().unwrap_or_else(|error| panic!("{command}: {error}"))
}

impl Ran {
    /// When a milestone came: RFC 3339, which sorts as text since every time has the incident's offset.
    pub(crate) fn milestone(&self, id: &str) -> Option<&str> {
        let milestone = self.summary.milestones.iter().find(|milestone| milestone.id == id);
        milestone.unwrap_or_else(|| panic!("{}: nobody looks for {id}", self.command)).at.as_deref()
    }

    /// [`Ran::milestone`] of one that must have come between two times.
    pub(crate) fn came_between(&self, id: &str, from: &str, to: &str) {
        let at = self.milestone(id);
        let came = at.is_some_and(|at| (from..to).contains(&at));
        assert!(came, "{}: {id} at {at:?}, expected from {from} to {to}", self.command);
    }

    /// When something happened to the regional name's addresses, after a moment.
    pub(crate) fn regional(&self, kind: &str, after: Moment) -> Option<Moment> {
        let mut events = self.events.iter().filter(|event| event.kind == kind && event.at > after);
        events
            .find(|event| event.fields.get("endpoint").is_some_and(|name| name == REGIONAL))
            .map(|event| event.at)
    }

    /// When the regional name lost its last address; nobody resolves it before it has its first.
    pub(crate) fn emptied(&self) -> Option<Moment> {
        self.regional("dns.endpoint-empty", Moment::START)
    }

    /// The share of an edge's requests that were answered, over the samples from one moment to another.
    pub(crate) fn answered(&self, edge: &str, from: Moment, to: Moment) -> f64 {
        let sum = |what: &str| self.sum(&format!("{edge}.{what}"), from, to);
        let requests = sum("requests");
        assert!(requests > 0.0, "{}: {edge} had no requests from {from:?} to {to:?}", self.command);
        sum("ok") / requests
    }

    /// A series, sample by sample.
    pub(crate) fn samples(&self, name: &str) -> impl DoubleEndedIterator<Item = (Moment, f64)> {
        let values = self.series.values(name);
        let values = values.unwrap_or_else(|| panic!("{}: there is no series {name}", self.command));
        self.series.times().iter().copied().zip(values.iter().copied())
    }

    /// The sum of a series' samples from one moment to another.
    pub(crate) fn sum(&self, name: &str, from: Moment, to: Moment) -> f64 {
        self.samples(name).filter(|(at, _)| (from..to).contains(at)).map(|(_, value)| value).sum()
    }

    /// The last sample of a series up to a moment.
    pub(crate) fn at(&self, name: &str, moment: Moment) -> f64 {
        let last = self.samples(name).rev().find(|(at, value)| *at <= moment && value.is_finite());
        last.unwrap_or_else(|| panic!("{name} has no sample up to {moment:?}")).1
    }

    /// How to see it again.
    pub(crate) fn command(&self) -> &str {
        &self.command
    }
}

/// Minutes since the run began.
pub(crate) fn minutes(moment: Moment) -> f64 {
    moment.since_start().as_secs_f64() / 60.0
}
