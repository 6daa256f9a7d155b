//! An M/M/1 queue at a load of 0.8: customers a second of processor time, on our engine, in the whole lab, and on nexosim.
//!
//! All have a source that draws the time to the next arrival, a queue, and one server that draws the time of each service,
//! and note down how long each customer was there: 1 / (1 - 0.8) = 5 service times on average, which is checked. Each is
//! written as its own guide would have it: a task a customer here, events between models there.
//!
//! Our engine and nexosim draw from the same streams of random numbers, and both count in nanoseconds, so they must agree
//! on every single customer. The whole lab is `eastfall run scenarios/mm1.toml`, without writing a folder: there, each
//! customer is an RPC with a connection, a policy stack and histograms at both ends.

mod lab;
mod nexosim;
mod ours;

use std::time::Duration;

use cpu_time::ProcessTime;
use eastfall_topology::{Distribution, Span};

const CUSTOMERS: u32 = 500_000;
/// What a customer takes on average, in seconds.
const SERVICE: f64 = 1.0;
/// The load.
const LOAD: f64 = 0.8;

/// Batches that a run is cut into to see how much its mean varies.
const BATCHES: usize = 30;

/// Measures all of it once.
pub fn measure(seed: u64) {
    let (engine, engine_took) = timed(|| ours::run(seed));
    let (models, models_took) = timed(|| nexosim::run(seed));
    assert_eq!(engine.len(), CUSTOMERS as usize, "every customer leaves");
    assert!(engine == models, "with the same luck, a customer is there as long on nexosim as on our engine");
    let each = |times: &[u64]| times.iter().map(|&nanos| (nanos as f64 * 1e-9 / SERVICE, 1.0)).collect();
    say("eastfall, engine and queue", f64::from(CUSTOMERS), engine_took, each(&engine));
    say("nexosim", f64::from(CUSTOMERS), models_took, each(&models));
    let (lab, lab_took) = timed(|| lab::run(seed));
    let customers = lab.iter().map(|(_, served)| served).sum();
    say("eastfall, the whole lab", customers, lab_took, lab);
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = ProcessTime::now();
    let result = work();
    (result, began.elapsed())
}

/// Prints customers a second, and the mean time of one with its standard error. `times` are sums of service times spent and
/// numbers of customers who spent them. Neighbours have much in common, so the error is that of the means of long batches.
fn say(who: &str, customers: f64, took: Duration, times: Vec<(f64, f64)>) {
    let mean_of = |times: &[(f64, f64)]| {
        let (spent, count) = times.iter().fold((0.0, 0.0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
        spent / count
    };
    let mean = mean_of(&times);
    let batches: Vec<f64> = times.chunks_exact(times.len() / BATCHES).map(mean_of).collect();
    let count = batches.len() as f64;
    let variance = batches.iter().map(|batch| (batch - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let error = (variance / count).sqrt();
    println!("queue\t{who}\t{:.0}\t{mean:.6}\t{error:.6}", customers / took.as_secs_f64());
}

fn between_arrivals() -> Distribution {
    Distribution::Exponential { mean: Span::from_secs_f64(SERVICE / LOAD) }
}

fn service_time() -> Distribution {
    Distribution::Exponential { mean: Span::from_secs_f64(SERVICE) }
}
