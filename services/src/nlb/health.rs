//! Kind `nlb-health`: NLB's control API and its health-check subsystem, one for the region.
//!
//! It checks every target and node from checkers of the target's zone, tells the nodes who serves, and keeps the load
//! balancers' names in DNS. One process sees all zones, since whether a zone may leave DNS is a question about the others;
//! the checkers of the zones are independent of each other. What is registered lies on its own disk, not in DynamoDB: a
//! load balancer must go on when the database is away.
//!
//! The service's `workers` and `service-time` are the checkers of one zone, and what a check that is answered takes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::disk::Disk;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::network::server::Serving as Service;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::nlb::{Serving, nlb_api};
use eastfall_topology::{Distribution, Moment, Span};
use rand::RngExt as _;
use tokio::sync::Notify;

use super::node::NodeParams;
use super::{Balancer, balancers, zone_name};
use crate::ec2::client::Ec2Client;
use crate::ec2::droplets::DropletsParams;
use crate::route53::Route53Params;
use crate::settings::{Settings, callee_of_kind};

mod checkers;
mod evaluate;
mod failover;
mod handlers;
mod names;
mod rounds;
mod target;

use checkers::Checkers;
use target::Verdict;

eastfall_topology::params! {
    /// NLB's control API and health checks.
    pub struct HealthParams for "nlb-health" {
        /// Customers' load balancers by name; NAME.elb.REGION.amazonaws.com leads to their nodes. Read at start only.
        load_balancers: Vec<String> = [];
        /// How often a target or node is checked (published default: 30 s).
        check_interval: Span = "30s", range "1s"..="1h";
        /// How long a checker waits for an answer (published default for TCP: 10 s).
        check_timeout: Span = "10s", range "100ms"..="10m";
        /// Good checks in a row that make a target healthy (published default: 5).
        healthy_threshold: u32 = 5, range 1..=100;
        /// Failed checks in a row that make it unhealthy (published default: 2).
        unhealthy_threshold: u32 = 2, range 1..=100;
        /// What a change of a verdict costs a checker: the target is looked at again, the verdict written down and told
        /// (inferred: flapping loads the subsystem, published).
        change_time: Distribution = "2s";
        /// A target whose last good check is older than this counts as failing (inferred: four checks that did not come).
        stale_after: Span = "2m", range "1s"..="1d";
        /// Automatic zone failover. Off: all zones are in DNS, and every target that answered its last check serves.
        failover: bool = true;
        /// Share of a zone's targets that fail at which it leaves DNS (assumption).
        failover_threshold: f64 = 0.5, range 0.0..=1.0;
        /// By how much the share must be below the threshold before the zone comes back (assumption).
        hysteresis: f64 = 0.1, range 0.0..=1.0;
        /// And once that has held for so long (assumption: what alternates must not be let back in at once).
        return_after: Span = "0s", range "0s"..="1h";
        /// The largest share of all zones of all load balancers that may be out of DNS at once. `none`: no limit
        /// (as built; the remedy that the summary announces).
        velocity_limit: Option<f64> = "none", range 0.0..=1.0;
        /// Share of a load balancer's targets that fail at which all of them serve, in all zones (published: when all
        /// fail). `none`: never.
        fail_open: Option<f64> = 1.0, range 0.0..=1.0;
        /// Nodes may send connections to targets of other zones (published: off unless the owner turns it on).
        cross_zone: bool = false;
        /// How often verdicts are added up and zones decided on (assumption).
        evaluate: Span = "10s", range "100ms"..="1h";
        /// How long resolvers believe an answer, in seconds (published: 60).
        ttl: u32 = 60, range 0..=86400;
        /// How often checks that are due are made, together (ours; how long each takes is exact all the same).
        round: Span = "1s", range "10ms"..="1m";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: HealthParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// What is counted: checks made, those without an answer, verdicts that changed, zones that left DNS, withdrawals that
/// the velocity limit kept back.
const SERIES: [&str; 5] =
    ["health-checks", "health-checks-failed", "verdicts-changed", "zones-withdrawn", "withdrawals-limited"];

async fn start(world: World) -> Result<(), StartError> {
    let topology = world.topology();
    let own = world.instance().clone();
    let nodes = callee_of_kind(&world, NodeParams::SCHEMA.name)?;
    let droplets = callee_of_kind(&world, DropletsParams::SCHEMA.name)?;
    let settings = Settings::<HealthParams>::new(&world);
    let balancers = balancers(
        &topology,
        &settings.get().load_balancers,
        &NodeParams::from(&topology.services[&nodes].params),
    )?;
    let node_names = topology.services[&nodes].instances.clone();
    let zones: Vec<String> = node_names.iter().map(|instance| zone_name(&nodes, instance)).collect();
    let by_zone = |service: &str| -> Result<Vec<Client>, StartError> {
        (0..zones.len()).map(|zone| Ok(world.dial_instance(service, zone)?)).collect()
    };
    let disk = world.disk("targets").await?;
    let mut state = State {
        members: BTreeMap::new(),
        numbers: BTreeMap::new(),
        next: 0,
        checkers: zones.iter().map(|_| Checkers::new()).collect(),
        out: balancers.iter().map(|_| vec![false; zones.len()]).collect(),
        well_since: balancers.iter().map(|_| vec![None; zones.len()]).collect(),
        serving: zones.iter().map(|_| Told::default()).collect(),
        rng: world.rng("checks"),
    };
    let interval = settings.get().check_interval;
    let now = world.now();
    // What is the provider's own was there before the run.
    for zone in 0..zones.len() {
        state.add(Member { what: What::Node, zone, verdict: Verdict::known(true, now) }, now, interval);
    }
    for (balancer, service) in
        balancers.iter().enumerate().filter_map(|(n, b)| Some((n, b.service.as_ref()?)))
    {
        for (position, instance) in topology.services[service].instances.iter().enumerate() {
            let Some(&address) = world.region().directory.of_instance(instance).first() else { continue };
            let what = What::Service { balancer, instance: instance.as_str().into(), address };
            let named = zones.iter().position(|zone| *zone == zone_name(service, instance));
            let zone = named.unwrap_or(position % zones.len().max(1));
            state.add(Member { what, zone, verdict: Verdict::known(true, now) }, now, interval);
        }
    }
    for (key, value) in disk.load()? {
        if let Some((what, zone, verdict)) = handlers::read(&balancers, &key, &value, now)
            && zone < zones.len()
        {
            state.add(Member { what, zone, verdict }, now, interval);
        }
    }
    // At the address where they serve: the others lead on to somebody else.
    let directory = &world.region().directory;
    let node = |name: &String| {
        let address = directory.of_instance(name).first();
        let address = address.ok_or_else(|| StartError(format!("{name} has no address")))?;
        Ok(world.dial_address(&nodes, *address)?)
    };
    let health = Arc::new(Health {
        nodes: node_names.iter().map(node).collect::<Result<_, StartError>>()?,
        agents: by_zone(&droplets)?,
        records: world.dial(&callee_of_kind(&world, Route53Params::SCHEMA.name)?)?,
        ec2: Ec2Client::of(&world)?,
        state: Mutex::new(state),
        names_changed: Notify::new(),
        world: world.clone(),
        service: own.service,
        settings,
        balancers,
        node_names,
        zones,
        disk,
    });
    health.capacity().ok_or_else(|| {
        format!(
            "service {} has no workers; give it `workers` and `service-time`, the checkers of one zone",
            health.service
        )
    })?;
    for name in SERIES {
        world.record().count(name, 0);
    }
    for zone in 0..health.zones.len() {
        let task = Arc::clone(&health);
        world.spawn(async move { task.keep_checking(zone).await });
    }
    let task = Arc::clone(&health);
    world.spawn(async move { task.keep_evaluating().await });
    let task = Arc::clone(&health);
    world.spawn(async move { task.keep_names().await });
    let serving = Service { own_queue: true, ..Service::default() };
    let desk = handlers::Desk(health);
    world.serve_with(vec![(&nlb_api::API, nlb_api::handler(Arc::new(desk)))], serving).await
}

/// The health-check subsystem.
struct Health {
    world: World,
    settings: Settings<HealthParams>,
    /// Its own service's name.
    service: String,
    balancers: Vec<Balancer>,
    /// The nodes' instances, one a zone.
    node_names: Vec<String>,
    /// The names of the zones.
    zones: Vec<String>,
    nodes: Vec<Client>,
    /// The way to the targets, by zone.
    agents: Vec<Client>,
    records: Client,
    ec2: Ec2Client,
    disk: Disk,
    state: Mutex<State>,
    names_changed: Notify,
}

struct State {
    /// Everything that is checked, by number.
    members: BTreeMap<u64, Member>,
    /// The numbers of targets by load balancer and name.
    numbers: BTreeMap<(usize, Arc<str>), u64>,
    next: u64,
    /// By zone.
    checkers: Vec<Checkers>,
    /// Which zones of which load balancer are out of DNS.
    out: Vec<Vec<bool>>,
    /// Since when they would not have to be.
    well_since: Vec<Vec<Option<Moment>>>,
    /// By zone: what its nodes are to know.
    serving: Vec<Told>,
    rng: Rng,
}

/// What the nodes of a zone are to know.
#[derive(Default)]
struct Told {
    /// Counts changes; 0 before anything was worked out.
    version: u64,
    /// The numbers of those who serve.
    members: Vec<u64>,
    serving: Vec<Serving>,
}

/// Something that is checked.
struct Member {
    what: What,
    zone: usize,
    verdict: Verdict,
}

#[derive(Clone)]
enum What {
    /// A customer's target, an EC2 instance.
    Instance { balancer: usize, instance: Arc<str> },
    /// An instance of one of the provider's own services.
    Service { balancer: usize, instance: Arc<str>, address: Ipv4Addr },
    /// The nodes of the zone.
    Node,
}

impl What {
    /// Load balancer and name; none for a node.
    fn target(&self) -> Option<(usize, &Arc<str>)> {
        match self {
            What::Instance { balancer, instance } | What::Service { balancer, instance, .. } => {
                Some((*balancer, instance))
            }
            What::Node => None,
        }
    }
}

impl State {
    /// Takes up something to check, first within an interval.
    fn add(&mut self, member: Member, now: Moment, interval: Span) {
        let number = self.next;
        self.next += 1;
        if let Some((balancer, name)) = member.what.target() {
            self.numbers.insert((balancer, Arc::clone(name)), number);
        }
        let first = now + interval.mul_f64(self.rng.random());
        self.checkers[member.zone].schedule(first, number);
        self.members.insert(number, member);
    }

    /// No longer checks a target; false if it was not there.
    fn remove(&mut self, balancer: usize, name: &str) -> bool {
        let number = self.numbers.remove(&(balancer, name.into()));
        number.is_some_and(|number| self.members.remove(&number).is_some())
    }
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The checkers of one zone, and what an answered check takes.
    fn capacity(&self) -> Option<(u32, Distribution)> {
        let topology = self.world.topology();
        let capacity = topology.services.get(&self.service)?.capacity.as_ref()?;
        Some((capacity.workers, capacity.service_time))
    }
}
