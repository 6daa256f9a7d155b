//! Kind `network-manager`: carries network state to the network devices of a zone.
//!
//! What changes on a droplet (an instance started, stopped, with other interfaces) is of no effect before the devices on
//! the way know it. Every change goes to each of several `paths`, each a device with a queue and workers of its own, so an
//! instance is known on some paths before it is known on all. **The failure it reproduces**: the longer the line, the more
//! each change costs, so a pile of changes that is released at once takes far longer to work off than it took to make; and
//! all that time packets to new instances arrive or are lost depending on the path they take, which health checks see as
//! results that alternate.
//!
//! The service's `workers` and `service-time` are those of one path, for one change, with nothing in line.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::capacity::line::Line;
use eastfall_fabric::disk::Disk;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::network::server::Serving;
use eastfall_fabric::token_bucket::TokenBucket;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::network_manager::{NetworkChange, network_manager_api};
use eastfall_topology::{Capacity, Moment, RateLimit, Span, Topology};
use prost::Message as _;
use tokio::sync::Notify;

use crate::ec2::droplets::DropletsParams;
use crate::settings::{Settings, callee_of_kind};
use crate::tables::Tables;

mod handlers;
mod ledger;
mod paths;
mod reports;
#[cfg(test)]
mod tests;

use ledger::{Ledger, News};

eastfall_topology::params! {
    /// The Network Manager of a zone.
    pub struct NetworkManagerParams for "network-manager" {
        /// Network devices that must learn each change: packets to an instance take one of so many paths (assumption).
        paths: u32 = 4, range 1..=64;
        /// How unequal the paths are: the quickest needs `1 - spread` of the service time, the slowest `1 + spread`
        /// (inferred: devices are of several generations. Without it an instance would be known on all paths at nearly
        /// the same moment, and no check of it would alternate).
        spread: f64 = 0.5, range 0.0..=0.99;
        /// Open changes of the zone at which one costs twice as much as with none, and so on in proportion (inferred: the
        /// longer the queue, the slower; only the fact is published).
        knee: f64 = 250.0, range 0.001..=1000000000.0, scaled by load;
        /// How long what was brought onto paths is collected before the zone's agents are told, 25 instances at once
        /// (ours).
        flush: Span = "500ms", range "1ms"..="1m";
        /// The operators' cut of the load: new changes are accepted at this share of what the paths can do with nothing
        /// in line; the others stay with DWFM until later. `none`: all are accepted.
        admission: Option<f64> = "none", range 0.0..=1000.0;
        /// Tell a path the newest state of an instance, and skip the changes between: what operators can do to speed
        /// recovery up (inferred from 'further steps'; off as built).
        coalesce: bool = false;
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: NetworkManagerParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// On disk, before a host's name: the number of the next change that it will hand over. Changes themselves lie under
/// their numbers, eight bytes each.
const HOST: &[u8] = b"host/";
/// How often the series are told.
const SAY: Span = Span::from_secs(10);
/// What is counted: changes accepted, refused by the cut, brought onto one path, known everywhere.
const SERIES: [&str; 4] = ["changes-accepted", "changes-refused", "changes-on-path", "changes-propagated"];

async fn start(world: World) -> Result<(), StartError> {
    let own = world.instance().clone();
    let capacity = world.service(|service| service.capacity.clone()).flatten().ok_or_else(|| {
        format!(
            "service {} has no workers; give it `workers` and `service-time`, those of one path",
            own.service
        )
    })?;
    let settings = Settings::<NetworkManagerParams>::new(&world);
    let count = settings.get().paths;
    let line = |path| {
        let rng = world.rng(&format!("path-{path}"));
        Path { line: Line::new(rng, capacity.clone(), world.record().server()), busy: 0 }
    };
    let disk = world.disk("changes").await?;
    let mut state = State {
        ledger: Ledger::default(),
        handed: BTreeMap::new(),
        paths: (0..count).map(line).collect(),
        topology: world.topology(),
        admission: TokenBucket::full(&RateLimit { per_second: 1.0, burst: 1 }, world.now()),
        learnt: VecDeque::new(),
        reports: VecDeque::new(),
        slowest: None,
    };
    let damaged = || StartError(format!("a change on the disk of {} is damaged", own.name));
    for (key, value) in disk.load()? {
        if let Some(host) = key.strip_prefix(HOST) {
            let host = String::from_utf8(host.to_vec()).map_err(|_| damaged())?;
            state.handed.insert(host, u64::from_be_bytes(value.try_into().map_err(|_| damaged())?));
        } else {
            let number = u64::from_be_bytes(key.try_into().map_err(|_| damaged())?);
            state.take_in(number, &NetworkChange::decode(&*value).map_err(|_| damaged())?, world.now());
        }
    }
    let agents = world.dial_instance(&callee_of_kind(&world, DropletsParams::SCHEMA.name)?, own.index)?;
    let manager = Arc::new(Manager {
        tables: Tables::of(&world)?,
        state: Mutex::new(state),
        learnt: Notify::new(),
        reports: Notify::new(),
        world: world.clone(),
        settings,
        agents,
        disk,
    });
    for name in SERIES {
        world.record().count(name, 0);
    }
    manager.dispatch_all(world.now());
    let task = Arc::clone(&manager);
    world.spawn(async move { task.keep_telling_agents().await });
    let task = Arc::clone(&manager);
    world.spawn(async move { task.keep_reporting().await });
    let task = Arc::clone(&manager);
    world.spawn(async move { task.keep_saying().await });
    let serving = Serving { own_queue: true, ..Serving::default() };
    let desk = handlers::Desk(manager);
    world
        .serve_with(vec![(&network_manager_api::API, network_manager_api::handler(Arc::new(desk)))], serving)
        .await
}

/// The Network Manager of a zone.
struct Manager {
    world: World,
    settings: Settings<NetworkManagerParams>,
    /// The agents of the zone.
    agents: Client,
    /// Where it says of an instance that it can be reached.
    tables: Tables,
    disk: Disk,
    state: Mutex<State>,
    /// Some path has learnt something.
    learnt: Notify,
    /// Some instance can be reached.
    reports: Notify,
}

/// A network device on the way to the instances.
struct Path {
    /// Numbers of changes.
    line: Line<u64>,
    busy: u32,
}

struct State {
    ledger: Ledger,
    /// The number of the next change that each host will hand over.
    handed: BTreeMap<String, u64>,
    paths: Vec<Path>,
    /// The topology that the lines' capacity is from.
    topology: Arc<Topology>,
    admission: TokenBucket,
    /// What paths have learnt and the agents have still to be told.
    learnt: VecDeque<(u32, News)>,
    /// Started instances that every path knows, by the number of the change.
    reports: VecDeque<(u64, Arc<str>)>,
    /// The age of the slowest change that was closed since the series were told last.
    slowest: Option<Span>,
}

impl State {
    /// Opens a change and puts it into every path's line.
    fn take_in(&mut self, number: u64, change: &NetworkChange, now: Moment) {
        self.ledger.add(number, change, self.paths.len() as u32);
        for path in &mut self.paths {
            path.line.join_anyway(now, None, number);
        }
    }

    /// What one path can do a second with nothing in line.
    fn rate(&self) -> f64 {
        let rate = |capacity: &Capacity| {
            f64::from(capacity.workers) / capacity.service_time.mean().as_secs_f64().max(1e-9)
        };
        self.paths.first().map_or(0.0, |path| rate(path.line.capacity()))
    }
}

impl Manager {
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let topology = self.world.topology();
        if !Arc::ptr_eq(&topology, &state.topology) {
            let own = topology.services.get(&self.world.instance().service);
            if let Some(capacity) = own.and_then(|own| own.capacity.clone()) {
                state.paths.iter_mut().for_each(|path| path.line.set_capacity(capacity.clone()));
            }
            state.topology = topology;
        }
        state
    }

    async fn keep_saying(&self) {
        loop {
            {
                let mut state = self.state();
                let record = self.world.record();
                record.gauge("backlog", state.ledger.len() as f64);
                record.gauge("reports-waiting", state.reports.len() as f64);
                let oldest = state.ledger.oldest().map(|made| self.world.now().since(made));
                let age = state.slowest.take().or(oldest).unwrap_or(Span::ZERO);
                record.gauge_max("propagation-seconds", age.as_secs_f64());
            }
            self.world.sleep(SAY).await;
        }
    }
}
