//! The queue in the whole lab: the shipped scenario, as `eastfall run` runs it.

use std::path::Path;

use clap::Parser as _;
use eastfall::cli::{Cli, Command};
use eastfall::run_folder::Mode;
use eastfall::session::Session;
use eastfall::simulate::{Options, simulate};

use super::CUSTOMERS;

/// Requests a second of the scenario's topology, and its mean service time in seconds.
const RATE: f64 = 8000.0;
const SERVICE: f64 = 100e-6;

/// By sampling interval: the service times spent by customers who left in it, and how many they were.
pub fn run(seed: u64) -> Vec<(f64, f64)> {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/mm1.toml");
    let (seed, until) = (seed.to_string(), format!("+{}ms", (f64::from(CUSTOMERS) / RATE * 1e3) as u64));
    let scenario = scenario.to_str().expect("a path in UTF-8");
    let line = ["eastfall", "run", scenario, "--seed", &seed, "--until", &until];
    let Command::Run(arguments) = Cli::parse_from(line).command else { unreachable!("the line says run") };
    let session =
        Session::load(&arguments.scenario, Mode::Sim, None).unwrap_or_else(|failure| panic!("{failure}"));
    let run = simulate(&session, Options::default()).unwrap_or_else(|failure| panic!("{failure}"));
    let series = run.results.series();
    let values = |name| series.values(name).unwrap_or_else(|| panic!("there is no series {name}"));
    let spent = values("station.server.time_s").iter().map(|seconds| seconds / SERVICE);
    spent.zip(values("station.server.served").iter().copied()).collect()
}
