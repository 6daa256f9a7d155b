//! The command line: a contract that tests and users' scripts lean on.
//!
//! Results go to standard output, progress and logs to standard error. Exit status: [`exit::DONE`], [`exit::FAILED`],
//! [`exit::USAGE`], [`exit::INTERRUPTED`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use eastfall_topology::time::Span;

use crate::export::Format;
use crate::score::Bounds;
use crate::sweep::Share;

/// Exit statuses of the program.
pub mod exit {
    /// Done as asked.
    pub const DONE: u8 = 0;
    /// The run ended, but did not show what its expectations demand.
    pub const FAILED: u8 = 1;
    /// Bad usage, file or topology; or something on this machine stands in the way.
    pub const USAGE: u8 = 2;
    /// A comparison was cut off by Ctrl-C; what had ended by then is summed up. As shells count: 128 and the signal.
    pub const INTERRUPTED: u8 = 130;
}

/// A chaos lab for cascading failures.
#[derive(Debug, Parser)]
#[command(name = "eastfall", version, about, long_about = None, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Launch the live fleet: real processes, sockets and DNS.
    Up(Up),
    /// Run a scenario in virtual time.
    Run(Run),
    /// Run a scenario under several settings and many seeds, and show what differs.
    Compare(Compare),
    /// Show the outcomes of one or several runs beside the published ones.
    Score(Score),
    /// Tell the story of a run: what failed first, what it took down, what let it rise again.
    Explain(Explain),
    /// Move each free parameter of the model a little, and show what moves with it.
    Sweep(Sweep),
    /// Show finished runs on the page: one as a replay, several side by side.
    View(View),
    /// Write a run's histograms and series in another format.
    Export(Export),
    /// Change a setting of the running fleet.
    Set(Set),
    /// Inject a fault into the running fleet.
    Inject(Inject),
    /// Show the running fleet.
    Status(Status),
    /// Watch the running fleet in a terminal.
    Watch(Watch),
    /// Check a topology file, or draw its graph.
    Topology(TopologyCommand),
    /// Be one instance of a fleet (started by `up`).
    #[command(hide = true)]
    Serve(Serve),
}

/// Which scenario, under which settings.
#[derive(Clone, Debug, Args)]
pub struct Scenario {
    /// The scenario file.
    #[arg(value_name = "SCENARIO", default_value = "scenarios/2025-10-20.toml")]
    pub scenario: PathBuf,
    /// The topology file, instead of the one that the scenario names.
    #[arg(long, value_name = "FILE")]
    pub topology: Option<PathBuf>,
    /// Seed of all randomness.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Set a value of the topology, such as service.dwfm.calls.dynamodb.retry.backoff=exponential.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub settings: Vec<String>,
    /// Multiply arrivals, populations and capacities together. Default: 1 in virtual time; live, what fits the machine.
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub load: Option<f64>,
    /// Leave out all that operators did.
    #[arg(long)]
    pub without_operators: bool,
    /// Leave out a step, or a group of steps.
    #[arg(long, value_name = "STEP-ID")]
    pub without: Vec<String>,
    /// Move a step, or a group of steps, such as dns.restored=-1h.
    #[arg(long, value_name = "STEP-ID=+1h", allow_hyphen_values = true)]
    pub shift: Vec<String>,
    /// End the run here: 02:25, 2025-10-20T02:25 or +2h37m after the incident's start.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Where the run folder is made; default: runs/SCENARIO-TIME.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `eastfall up`
#[derive(Debug, Args)]
pub struct Up {
    /// Which scenario, under which settings.
    #[command(flatten)]
    pub scenario: Scenario,
    /// How many times faster than the wall the incident's time runs.
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    pub speed: f64,
    /// Where Prometheus may scrape the fleet. Default: 127.0.0.1:9464, or a free port if that is taken.
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<std::net::SocketAddr>,
    /// The share of traces that are sent to OTEL_EXPORTER_OTLP_ENDPOINT, 0 to 1. Default: OTEL_TRACES_SAMPLER_ARG, or 0.01.
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub trace_ratio: Option<f64>,
    /// Plain progress, a line now and then: for scripts and continuous integration.
    #[arg(long)]
    pub headless: bool,
    /// Print the run's summary as one JSON object at the end.
    #[arg(long)]
    pub json: bool,
}

/// `eastfall run`
#[derive(Debug, Args)]
pub struct Run {
    /// Which scenario, under which settings.
    #[command(flatten)]
    pub scenario: Scenario,
    /// Print the run's summary as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Send every call through the generated client, the wire format and the generated server.
    #[arg(long)]
    pub codec: bool,
}

/// `eastfall compare`
#[derive(Clone, Debug, Args)]
pub struct Compare {
    /// Which scenario, under which settings. The seed is the first of those that every variant runs with; --out names the
    /// comparison's folder, which is not made without it.
    #[command(flatten)]
    pub scenario: Scenario,
    /// Values of the topology to compare, such as service.dwfm.calls.dynamodb.retry.jitter=none,full. Several make every
    /// combination.
    #[arg(long, value_name = "PATH=V1,V2")]
    pub vary: Vec<String>,
    /// A row by name, and all that it sets: "no retries: PATH=VALUE PATH=VALUE". The first row is what the others are held
    /// against; "as built:" sets nothing. With --vary, every combination of both.
    #[arg(long, value_name = "NAME: PATH=VALUE...")]
    pub variant: Vec<String>,
    /// How many seeds each variant runs with. From six on there are intervals; twenty are a good number.
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub seeds: u32,
    /// Keep the run folder of every run, within --out.
    #[arg(long, requires = "out")]
    pub keep_runs: bool,
    /// Print the comparison as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `eastfall score`
#[derive(Debug, Args)]
pub struct Score {
    /// Run folders, scored together; or folders of comparisons, each variant for itself.
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// Print one JSON object; of several variants, a list of them.
    #[arg(long)]
    pub json: bool,
    /// Draw a lane a system: what is published above, what the runs showed below.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Write the fidelity page, in Markdown: what is published, sentence by sentence, and what the runs showed of it.
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// Write score.json, score.svg and fidelity.md to this folder; with several variants, to a folder each.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Exit with status 1 if the median or the worst absolute error is larger (in minutes), or an outcome is missing.
    #[arg(long, value_name = "MEDIAN,WORST")]
    pub within: Option<Bounds>,
    /// Impact windows of a run nearer than this are one.
    #[arg(long, value_name = "SPAN", default_value = "15m")]
    pub join: Span,
    /// A published window that no window of the run overlaps takes the nearest one left over within this.
    #[arg(long, value_name = "SPAN", default_value = "2h")]
    pub reach: Span,
}

/// `eastfall explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// The run folder.
    pub run: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `eastfall sweep`
#[derive(Clone, Debug, Args)]
pub struct Sweep {
    /// Which scenario, under which settings. The seed is the first of those that every value runs with; --out names the
    /// folder of the runs' numbers, which is not made without it.
    #[command(flatten)]
    pub scenario: Scenario,
    /// The file of free parameters; default: the scenario's name with `.calibration.toml`.
    #[arg(long, value_name = "FILE")]
    pub parameters: Option<PathBuf>,
    /// Only this parameter, or with a value one that is not in the file: the value that it has now.
    #[arg(long = "path", value_name = "PATH[=VALUE]")]
    pub paths: Vec<String>,
    /// How far to move each, down and up, as a share of its value.
    #[arg(long, value_name = "PERCENT", default_value = "10%")]
    pub by: Share,
    /// Move each to both ends of its range instead.
    #[arg(long, conflicts_with = "by")]
    pub to_range: bool,
    /// How many seeds each value runs with. From six on it is said what is more than noise.
    #[arg(long, value_name = "K", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub seeds: u32,
    /// List and check the parameters, and run nothing.
    #[arg(long)]
    pub list: bool,
    /// Write the table as CSV.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// The port of the page, unless somebody else has it.
pub const PAGE_PORT: u16 = 7480;

/// `eastfall view`
#[derive(Debug, Args)]
pub struct View {
    /// The run folders.
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// The port on 127.0.0.1; 0 takes any that is free.
    #[arg(long, value_name = "N", default_value_t = PAGE_PORT)]
    pub port: u16,
    /// Write one file that needs no server, instead of serving the page.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `eastfall export`
#[derive(Debug, Args)]
pub struct Export {
    /// The run folder.
    pub run: PathBuf,
    /// What to write.
    #[arg(long, value_enum)]
    pub format: Format,
    /// Where to write it.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Which of the running fleets.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// The run folder of the fleet; needed only if several are up.
    #[arg(long, value_name = "RUN")]
    pub fleet: Option<PathBuf>,
}

/// `eastfall set`
#[derive(Debug, Args)]
pub struct Set {
    /// What to set, such as service.customers-web.calls.dynamodb.retry.attempts=1.
    #[arg(value_name = "PATH=VALUE")]
    pub setting: String,
    /// Which of the running fleets.
    #[command(flatten)]
    pub which: Which,
}

/// `eastfall inject`
#[derive(Debug, Args)]
pub struct Inject {
    /// The fault in words, such as 'latency 15s on dns-enactor-c->route53 for 5m'; `stop` ends all faults.
    #[arg(value_name = "FAULT", num_args = 1..)]
    pub fault: Vec<String>,
    /// Which of the running fleets.
    #[command(flatten)]
    pub which: Which,
}

/// `eastfall status`
#[derive(Debug, Args)]
pub struct Status {
    /// Which of the running fleets.
    #[command(flatten)]
    pub which: Which,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `eastfall watch`
#[derive(Debug, Args)]
pub struct Watch {
    /// Which of the running fleets.
    #[command(flatten)]
    pub which: Which,
}

/// `eastfall topology`
#[derive(Debug, Args)]
pub struct TopologyCommand {
    /// What to do with it.
    #[command(subcommand)]
    pub what: TopologyWhat,
}

/// What to do with a topology.
#[derive(Debug, Subcommand)]
pub enum TopologyWhat {
    /// Check a file and print all that is wrong with it.
    Check(TopologyFile),
    /// Make a topology of a service graph of Istio's isotope.
    Import(Import),
    /// Print the graph.
    Graph {
        /// Which topology.
        #[command(flatten)]
        file: TopologyFile,
        /// In Graphviz's language.
        #[arg(long)]
        dot: bool,
    },
}

/// `eastfall topology import`
#[derive(Debug, Args)]
pub struct Import {
    /// The service graph: a `service-graph.yaml` of isotope's.
    pub file: PathBuf,
    /// Where the topology is written; default: standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Requests a second that customers send to each entry point; the graph does not say.
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    pub rate: f64,
}

/// Which topology.
#[derive(Debug, Args)]
pub struct TopologyFile {
    /// The topology file.
    #[arg(value_name = "FILE", default_value = "topology.toml")]
    pub file: PathBuf,
    /// Set a value before checking.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub settings: Vec<String>,
}

/// `eastfall serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// The instance to be.
    #[arg(long)]
    pub instance: String,
    /// The fleet's description, written by `up` into the run folder.
    #[arg(long, value_name = "FILE")]
    pub fleet: PathBuf,
}
