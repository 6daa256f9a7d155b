//! Kind `dwfm`: a host of the Droplet Workflow Manager, in charge of the droplets of its zone.
//!
//! It renews leases with periodic state checks and establishes those that were lost; both are work for the same workers
//! and wait in one queue. **The failure it reproduces** is congestive collapse: an attempt that has waited longer than
//! its asker does is worked on all the same, its result is void, and the asker has queued a new one. Once the queue is
//! longer than workers can serve within an attempt's time-out, all work is void and stays so, although everything that
//! the work needs is sound again (PHYSICS, the lease law).
//!
//! The service's `workers`, `service-time` (of one establishment), `queue` and `slowdown` are the workers' and their
//! queue's: what waits is a few bytes, for it waits for hours.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use eastfall_fabric::capacity::line::{Line, Ticket};
use eastfall_fabric::network::client::Client;
use eastfall_fabric::network::server::Serving;
use eastfall_fabric::record::ServerRecorder;
use eastfall_fabric::world::{Kind, Sampled, StartError, World};
use eastfall_proto::ec2::dwfm_api;
use eastfall_topology::{Capacity, Distribution, Moment, Span, Topology};
use foldhash::fast::FixedState;
use indexmap::IndexMap;
use tokio::sync::oneshot;
use tonic::Status;

use super::droplets::DropletsParams;
use super::layout::{Layout, Local};
use super::store::Store;
use crate::settings::{Settings, callee_of_kind};

mod admission;
mod book;
mod changes;
mod checks;
mod handlers;
mod network;
mod workers;

use admission::Admission;
use book::Book;
use handlers::Desk;
use network::Network;
use workers::Work;

eastfall_topology::params! {
    /// A host of EC2's Droplet Workflow Manager.
    pub struct DwfmParams for "dwfm" {
        /// How often a droplet's state is checked and its lease renewed (published: 'every few minutes'; 3m is ours).
        check_period: Span = "3m", range "1s"..="1d";
        /// How long a lease lasts (inferred: a few checks).
        lease: Span = "10m", range "1s"..="30d";
        /// What the check of one droplet costs a worker. Inferred: checks take about a tenth of the capacity in
        /// health; with it and `service-time` an establishment costs about two hundred checks (docs/model/ec2.md).
        check_time: Distribution = "86ms";
        /// The operators' throttle: attempts are admitted at this share of what the workers can establish, and all others
        /// are refused at once. `none`: all are admitted.
        admission: Option<f64> = "none", range 0.0001..=1000.0;
        /// Who is refused by the throttle is told when its turn is, but to wait no longer than this (assumption: so that a
        /// throttle that is taken off is noticed in time).
        admission_wait: Span = "15m", range "1s"..="1d";
        /// How often a host writes its sign of life to the store; while it can't, it says that it is not ready and refuses
        /// attempts at once (inferred: without the store no lease can be established).
        heartbeat: Span = "10s", range "100ms"..="1h";
        /// How long a host collects changes on droplets before it hands them to Network Manager, and how long it waits
        /// when some were not accepted (assumption).
        hand_over: Span = "1s", range "10ms"..="1h";
        /// Whether the network is told anew what is on a droplet that gets a lease after it was without one (inferred:
        /// published is that a large backlog of network state stood when the leases were back, which what customers had
        /// changed meanwhile does not explain at this region's rates). No effect without a Network Manager.
        announce: bool = true;
        /// How long after the run's start the host turns to its store (ours: names and tables have to exist by then).
        start_delay: Span = "1m", range "0s"..="1d";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: DwfmParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let own = world.instance().clone();
    let capacity = world.service(|service| service.capacity.clone()).flatten().ok_or_else(|| {
        format!(
            "service {} has no workers; give it `workers` and `service-time`, the time of one establishment",
            own.service
        )
    })?;
    let droplets = callee_of_kind(&world, DropletsParams::SCHEMA.name)?;
    let layout = Layout::new(&world.topology(), &own.service, &droplets)?;
    let settings = Settings::<DwfmParams>::new(&world);
    let now = world.now();
    // A run begins in the middle of the fleet's life, with every lease in place. A host that comes back knows what its
    // store knows.
    let disk = world.disk("host").await?;
    let first = disk.load()?.is_empty();
    let mut book = Book::new(layout.owned_by(own.index));
    if first {
        disk.commit(vec![(b"in-service".to_vec(), Some(Vec::new()))]).await?;
        book.extend_all(now + settings.get().lease);
    }
    let state = State {
        line: Line::new(world.rng("work-times"), capacity, world.record().server()),
        topology: world.topology(),
        busy: 0,
        askers: IndexMap::default(),
        book,
        admission: Admission::new(now),
        store_answers: false,
    };
    let network = Network::of(&world, layout.zone_of(own.index)).await?;
    let host = Arc::new(Host {
        network,
        store: Store::of(&world)?,
        agents: world.dial_instance(&droplets, layout.zone_of(own.index))?,
        state: Mutex::new(state),
        droplets: droplets.into(),
        recorder: world.record().server(),
        name: own.name,
        number: own.index,
        world: world.clone(),
        settings,
        layout,
    });
    for name in SERIES {
        world.record().count(name, 0);
    }
    let sampled: Weak<Host> = Arc::downgrade(&host);
    world.sample_also(sampled);
    let task = Arc::clone(&host);
    world.spawn(async move { task.keep_checking().await });
    let task = Arc::clone(&host);
    world.spawn(async move { task.network.keep_handing_over(&task.settings).await });
    let serving = Serving { own_queue: true, ..Serving::default() };
    world.serve_with(vec![(&dwfm_api::API, dwfm_api::handler(Arc::new(Desk(host))))], serving).await
}

/// What is counted: attempts that came, those turned away (throttle, full queue, store out of reach), leases
/// established, work whose asker had given up, checks of droplets and those that failed.
const SERIES: [&str; 9] =
    [ATTEMPTS, THROTTLED, QUEUE_FULL, STORE_FAILED, ESTABLISHED, VOID, SHED, CHECKS, CHECKS_FAILED];
const ATTEMPTS: &str = "lease-attempts";
const THROTTLED: &str = "lease-attempts-throttled";
const QUEUE_FULL: &str = "lease-attempts-refused-by-queue";
const STORE_FAILED: &str = "lease-attempts-without-store";
const ESTABLISHED: &str = "leases-established";
const VOID: &str = "leases-void";
const SHED: &str = "lease-attempts-shed";
const CHECKS: &str = "checks";
const CHECKS_FAILED: &str = "checks-failed";

/// One host.
struct Host {
    world: World,
    settings: Settings<DwfmParams>,
    layout: Layout,
    /// Its own name: the partition key of what it writes down.
    name: String,
    /// Its place among all hosts.
    number: usize,
    store: Store,
    /// The agents of its zone.
    agents: Client,
    /// The way of changes to its zone's Network Manager.
    network: Network,
    /// The service they belong to.
    droplets: Arc<str>,
    recorder: ServerRecorder,
    state: Mutex<State>,
}

struct State {
    line: Line<Work>,
    /// The topology that the line's capacity is from.
    topology: Arc<Topology>,
    busy: u32,
    /// Who waits for the end of an attempt; those who gave up are gone from here while their attempt is still in line.
    askers: IndexMap<Ticket, oneshot::Sender<Result<Moment, Status>>, FixedState>,
    book: Book,
    admission: Admission,
    /// Whether the last sign of life reached the store.
    store_answers: bool,
}

impl Host {
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.world.region().is_in_force(&state.topology) {
            let topology = self.world.topology();
            if let Some(capacity) =
                topology.services.get(&self.world.instance().service).and_then(|own| own.capacity.clone())
            {
                state.line.set_capacity(capacity);
            }
            state.topology = topology;
        }
        state
    }

    fn lease_end(&self) -> Moment {
        self.world.now() + self.settings.get().lease
    }

    fn droplet(&self, local: Local) -> u32 {
        self.layout.droplet(self.number, local)
    }

    /// The number with this host of a droplet that somebody asks about.
    fn local(&self, droplet: u32) -> Result<Local, Status> {
        self.layout.local(self.number, droplet).ok_or_else(|| {
            Status::invalid_argument(format!("{} is not in charge of droplet {droplet}", self.name))
        })
    }
}

impl Sampled for Host {
    fn say(&self) {
        let state = self.state();
        let record = self.world.record();
        record.gauge("queue", state.line.len() as f64);
        record.gauge("establishing-capacity", establishing_rate(state.line.capacity()));
        record.gauge("changes-pending", state.book.changes() as f64);
    }
}

/// Leases a second that the workers can establish when they do nothing else.
fn establishing_rate(capacity: &Capacity) -> f64 {
    f64::from(capacity.workers) / capacity.service_time.mean().as_secs_f64().max(1e-9)
}
