//! Kind `lambda-fleet`: the workers that functions run on, and who gets a place on them.
//!
//! Each worker is an EC2 instance of the fleet's own, launched through EC2's public API and counted once it runs and the
//! network knows the way to it. So the fleet is as large as EC2 lets it be: an instance that automation terminates
//! because NLB's checks fail is gone at once, and its replacement has to be launched, reached and checked.
//! **The failure it reproduces** is the under-scaled fleet: work of all classes competes for too few slots, and callers
//! who wait are refused in favour of work for which nobody waits, unless operators throttle the latter
//! (`async-share`, `event-source-share`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::disk::Disk;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::lambda::{RunClass, fleet_api};
use eastfall_topology::{Distribution, Span};

use crate::ec2::client::Ec2Client;
use crate::nlb::client::NlbClient;
use crate::settings::{Settings, instance_count};
use crate::tables::Tables;

mod health;
mod run;
mod scaling;
mod workers;

use workers::{Limits, Worker, Workers};

eastfall_topology::params! {
    /// Lambda's internal fleet of workers.
    pub struct FleetParams for "lambda-fleet" {
        /// Functions that a worker runs at once (assumption).
        slots: u32 = 2, range 1..=10000;
        /// Workers there are at least, of all instances together (assumption: enough for the day's peak).
        minimum_workers: u32 = 10, range 1..=1000000, scaled by load;
        /// Workers there are at most.
        maximum_workers: u32 = 20, range 1..=1000000, scaled by load;
        /// Exactly so many workers, whatever the load. `none`: by load.
        fixed_workers: Option<u32> = "none", range 1..=1000000, scaled by load;
        /// The share of slots that should be in use where the number of workers follows the load (textbook: below the
        /// knee of the queueing curve).
        target_share: f64 = 0.7, range 0.05..=1.0;
        /// How often the number of workers is looked at, and those awaited are described (assumption).
        scale_every: Span = "30s", range "1s"..="1h";
        /// How long there must have been too many workers before one is given back (assumption).
        scale_in_after: Span = "15m", range "1s"..="1d";
        /// How long after the run's start the first workers are launched (ours: names and tables have to exist by then).
        start_delay: Span = "1m30s", range "0s"..="1d";
        /// How long a function runs (assumption: seconds, so that a small region has work for several workers).
        duration: Distribution = { distribution = "log-normal", median = "2s", sigma = 0.8 };
        /// How long a function takes for each message or record of an event source (assumption).
        item_duration: Distribution = "5s";
        /// How long a new environment takes (assumption: published measurements lie below a second for most).
        cold_start: Distribution = { distribution = "log-normal", median = "400ms", sigma = 0.5 };
        /// How long an environment is kept that nobody uses (assumption: minutes, as customers observe).
        keep_warm: Span = "10m", range "1s"..="1d";
        /// Idle environments that a worker keeps (assumption).
        environments: u32 = 50, range 1..=100000;
        /// The share of the slots in service that asynchronous invocations may use at a time (the operators' throttle).
        async_share: f64 = 1.0, range 0.0..=1.0;
        /// The share of the slots in service that event sources may use at a time (the operators' throttle).
        event_source_share: f64 = 1.0, range 0.0..=1.0;
        /// The load balancer that workers are registered with, if the fleet calls one.
        load_balancer: String = "lambda-internal";
        /// How often the health of workers is asked of the load balancer (assumption).
        health_every: Span = "30s", range "1s"..="1h";
        /// Workers whose checks failed for so long in all, of the last `unhealthy-within`, are terminated and replaced
        /// (inferred).
        unhealthy_after: Span = "5m", range "0s"..="1d";
        /// The time over which failures add up (inferred: automation that sees alternating results, too).
        unhealthy_within: Span = "10m", range "1s"..="7d";
        /// The automation terminates no worker that serves while fewer than this share of those desired would be left
        /// (textbook: a minimum of healthy capacity).
        minimum_in_service: f64 = 0.5, range 0.0..=1.0;
        /// Whether automation terminates them at all.
        replace_unhealthy: bool = true;
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: FleetParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let disk = world.disk("workers").await?;
    let mut state = State::default();
    for (key, _) in disk.load()? {
        let id = String::from_utf8(key).map_err(|_| "the name of a worker on disk `workers` is not UTF-8")?;
        state.workers.add(id, Worker::launched(false));
    }
    let fleet = Arc::new(Fleet {
        nlb: NlbClient::of(&world)?,
        ec2: Ec2Client::of(&world)?,
        tables: Tables::of(&world)?,
        settings: Settings::new(&world),
        rng: Mutex::new(world.rng("durations")),
        state: Mutex::new(state),
        world: world.clone(),
        disk,
    });
    for name in SERIES {
        world.record().count(name, 0);
    }
    fleet.say();
    let task = Arc::clone(&fleet);
    world.spawn(async move { task.keep_scaled().await });
    if fleet.nlb.is_some() {
        let task = Arc::clone(&fleet);
        world.spawn(async move { task.keep_checking().await });
    }
    world.serve(vec![(&fleet_api::API, fleet_api::handler(Arc::new(run::Desk(fleet))))]).await
}

/// What is counted: runs by class, those refused for want of room or by a throttle, environments made and not made,
/// launches and those refused, workers replaced because their checks failed.
const SERIES: [&str; 11] = [
    "runs-sync",
    "runs-async",
    "runs-event-source",
    "throttled-sync",
    "throttled-async",
    "throttled-event-source",
    COLD_STARTS,
    COLD_STARTS_FAILED,
    LAUNCHES,
    LAUNCHES_FAILED,
    REPLACED,
];
const COLD_STARTS: &str = "cold-starts";
const COLD_STARTS_FAILED: &str = "cold-starts-failed";
const LAUNCHES: &str = "launches";
const LAUNCHES_FAILED: &str = "launches-failed";
const REPLACED: &str = "workers-replaced";

/// The names of a class's series.
fn series(class: RunClass) -> (&'static str, &'static str) {
    match class {
        RunClass::Sync => ("runs-sync", "throttled-sync"),
        RunClass::Async => ("runs-async", "throttled-async"),
        RunClass::EventSource => ("runs-event-source", "throttled-event-source"),
    }
}

struct Fleet {
    world: World,
    settings: Settings<FleetParams>,
    ec2: Ec2Client,
    tables: Tables,
    /// Without one nobody checks the workers.
    nlb: Option<NlbClient>,
    disk: Disk,
    rng: Mutex<Rng>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    workers: Workers,
    /// Runs under way, by class.
    busy: [u32; 3],
    /// Runs refused since the number of workers was last looked at.
    refused: u32,
    desired: u32,
    /// Slots that are wanted, smoothed.
    demand: f64,
}

impl Fleet {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limits(&self) -> Limits {
        let settings = self.settings.get();
        Limits { slots: settings.slots, environments: settings.environments, keep_warm: settings.keep_warm }
    }

    /// This instance's part of a number of workers.
    fn part(&self, workers: u32) -> u32 {
        let instances = instance_count(&self.world, &self.world.instance().service).max(1) as u32;
        workers.div_ceil(instances)
    }

    fn say(&self) {
        let (in_service, launched, desired) = {
            let state = self.state();
            (state.workers.in_service(), state.workers.len(), state.desired)
        };
        let record = self.world.record();
        record.gauge("workers", in_service as f64);
        record.gauge("workers-launched", launched as f64);
        record.gauge("desired", f64::from(desired));
    }
}
