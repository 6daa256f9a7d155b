//! An experiment: the command line of a run, carried out within this process.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use eastfall::cli::{Cli, Command};
use eastfall::run_folder::Mode;
use eastfall::session::Session;
use eastfall::simulate::{Options, simulate};
use eastfall::summary::Summary;
use eastfall_fabric::record::{EdgeTotals, Results, ServerTotals};
use eastfall_topology::time::{Moment, Span};

use crate::statistics::Estimate;

/// A file of the repository, by its path from the root.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).join(path)
}

/// `eastfall run SCENARIO OPTIONS`, to be.
pub(crate) struct Experiment(Vec<String>);

impl Experiment {
    /// A scenario of the repository, by its path from the root.
    pub(crate) fn shipped(scenario: &str) -> Self {
        Experiment(vec!["eastfall".to_owned(), "run".to_owned(), file(scenario).display().to_string()])
    }

    /// A scenario of this folder.
    pub(crate) fn of(scenario: &str) -> Self {
        Experiment::shipped(&format!("lab/tests/physics/{scenario}"))
    }

    /// A topology of this folder, in which nothing happens.
    pub(crate) fn on(topology: &str) -> Self {
        let topology = file(&format!("lab/tests/physics/{topology}"));
        Experiment::of("quiet.scenario.toml").option("--topology", topology.display())
    }

    /// Another option with its value.
    pub(crate) fn option(mut self, name: &str, value: impl Display) -> Self {
        self.0.extend([name.to_owned(), value.to_string()]);
        self
    }

    /// `--set PATH=VALUE`
    pub(crate) fn set(self, path: &str, value: impl Display) -> Self {
        self.option("--set", format!("{path}={value}"))
    }

    /// `--seed SEED`
    pub(crate) fn seed(self, seed: u64) -> Self {
        self.option("--seed", seed)
    }

    /// Ends so long after the scenario's start.
    pub(crate) fn lasting(self, span: Span) -> Self {
        self.option("--until", format!("+{}us", span.as_micros()))
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ran {
        let quoted = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
        let command = self.0.iter().map(quoted).collect::<Vec<_>>().join(" ");
        let try_run = || -> Result<Ran, Box<dyn std::error::Error>> {
            let Command::Run(arguments) = Cli::try_parse_from(&self.0)?.command else {
                return Err("it is no `run`".into());
            };
            let session = Session::load(&arguments.scenario, Mode::Sim, None)?;
            let conclusion = simulate(&session, Options::default())?;
            let failed_checks = conclusion.failed_checks();
            let (results, summary) = (conclusion.results, conclusion.summary);
            Ok(Ran { command: command.clone(), results, summary, failed_checks })
        };
        try_run().unwrap_or_else(|error| panic!("{command}: {error}"))
    }
}

/// What a run recorded.
pub(crate) struct Ran {
    pub(crate) command: String,
    pub(crate) results: Results,
    pub(crate) summary: Summary,
    pub(crate) failed_checks: Vec<String>,
}

impl Ran {
    /// The totals of an edge, `caller->callee`.
    pub(crate) fn edge(&self, name: &str) -> &EdgeTotals {
        let edge = self.results.edges().find(|edge| edge.name() == name);
        edge.unwrap_or_else(|| panic!("{}: there is no edge {name}", self.command))
    }

    /// The totals of a service as its servers saw it.
    pub(crate) fn server(&self, service: &str) -> ServerTotals {
        self.results.server(service)
    }

    /// A series' samples, each with the end of its interval.
    pub(crate) fn samples(&self, name: &str) -> impl Iterator<Item = (Moment, f64)> {
        let series = self.results.series();
        let values = series.values(name);
        let values = values.unwrap_or_else(|| panic!("{}: there is no series {name}", self.command));
        series.times().iter().copied().zip(values.iter().copied())
    }

    /// The sum of a series' samples from one time of the run to another.
    pub(crate) fn sum(&self, name: &str, from: Span, to: Span) -> f64 {
        let within = |at: Moment| at.since_start() > from && at.since_start() <= to;
        self.samples(name).filter(|(at, _)| within(*at)).map(|(_, value)| value).sum()
    }

    /// The last sample of a series up to a time of the run.
    pub(crate) fn at(&self, name: &str, time: Span) -> f64 {
        let until = self.samples(name).take_while(|(at, _)| at.since_start() <= time);
        until.map(|(_, value)| value).last().unwrap_or(f64::NAN)
    }

    /// The ratio of two counts over all of the run but its first twentieth (the warm-up), with its standard error.
    pub(crate) fn ratio(&self, above: &str, below: &str) -> Estimate {
        let warm_up = self.results.length() / 20;
        let counts = |name| self.samples(name).filter(|(at, _)| at.since_start() > warm_up).map(|(_, v)| v);
        Estimate::ratio(&counts(above).zip(counts(below)).collect::<Vec<_>>())
    }

    /// Little's law on a queue: its mean length is what requests came to it by time, times what they waited. The length
    /// was told by the queue as it changed, the waits by the requests as they got their workers.
    pub(crate) fn obeys_littles_law(&self, service: &str) {
        let ServerTotals { wait, queue, waited, .. } = self.server(service);
        let time = self.results.length().as_secs_f64();
        let (length, rate) = (queue.as_secs_f64() / time, waited as f64 / time);
        let mean_wait = wait.as_secs_f64() / waited as f64;
        let off = length / (rate * mean_wait) - 1.0;
        let command = &self.command;
        assert!(waited > 0 && off.abs() < 0.01, "{command}: {service}: L = {length}, {rate} x {mean_wait}");
    }
}
