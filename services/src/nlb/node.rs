//! Kind `nlb`: the nodes of a zone.
//!
//! One process stands for a zone's nodes, which can take so many new connections a second and refuse the others. A
//! connection goes to one of the targets that the health checks let serve. Nodes know of these only what they last heard, and go on with it when the subsystem is silent. What
//! they can't know is whether a packet arrives: a target that passes its checks on three paths of four loses a quarter of
//! its connections.
//!
//! The provider's own services stand behind nodes too: connections to their names are forwarded as they are
//! ([`forward`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::network::server::Serving as Service;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::token_bucket::TokenBucket;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::ec2::{DeliverRequest, Packet, droplets_api};
use eastfall_proto::error::api_error;
use eastfall_proto::nlb::nlb_node_server::NlbNode;
use eastfall_proto::nlb::*;
use eastfall_topology::{RateLimit, Span};
use rand::RngExt as _;
use tonic::{Code, Request, Response, Status};

use super::health::HealthParams;
use super::{DOMAIN, balancers};
use crate::ec2::droplets::DropletsParams;
use crate::settings::{Settings, callee_of_kind, instance_count, split};

mod forward;

use forward::Forwarding;

eastfall_topology::params! {
    /// The nodes of NLB: one instance a zone, with the droplets' zones in the same order.
    pub struct NodeParams for "nlb" offers ["Connect"] {
        /// The provider's own services behind nodes: "NAME=SERVICE", a name in DNS and the service that connections to it
        /// go to. Each takes one of a node's `addresses` after the first. Read at start only.
        forwards: Vec<String> = [];
        /// New connections a second that the nodes of a zone can take for each load balancer; what is above is refused.
        /// `none`: any number (assumption).
        connection_rate: Option<f64> = "none", range 0.00001..=1000000000.0, scaled by load;
        /// For how long capacity that was not used is saved up (ours: evens out what comes at random).
        saved: Span = "1m", range "1s"..="1h";
        /// How often a node asks who serves (assumption).
        poll: Span = "5s", range "100ms"..="10m";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: NodeParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let own = world.instance().clone();
    let topology = world.topology();
    let health = callee_of_kind(&world, HealthParams::SCHEMA.name)?;
    let droplets = callee_of_kind(&world, DropletsParams::SCHEMA.name)?;
    let settings = Settings::<NodeParams>::new(&world);
    let customers = HealthParams::from(&topology.services[&health].params).load_balancers;
    let balancers = balancers(&topology, &customers, &settings.get())?;
    let forwards: Vec<_> = balancers.iter().filter(|balancer| balancer.service.is_some()).collect();
    let addresses = world.addresses();
    if addresses.len() <= forwards.len() {
        return Err(StartError(format!(
            "service {} forwards to {} services and has {} addresses; give it `addresses = {}`",
            own.service,
            forwards.len(),
            addresses.len(),
            forwards.len() + 1
        )));
    }
    let zones = instance_count(&world, &droplets);
    let node = Arc::new(Node {
        health: world.dial(&health)?,
        agents: (0..zones).map(|zone| world.dial_instance(&droplets, zone)).collect::<Result<_, _>>()?,
        known: Mutex::new(Known {
            version: 0,
            serving: BTreeMap::new(),
            rng: world.rng("choices"),
            places: BTreeMap::new(),
        }),
        zone: own.index as u32,
        world: world.clone(),
        settings,
    });
    for name in SERIES {
        world.record().count(name, 0);
    }
    let task = Arc::clone(&node);
    world.spawn(async move { task.keep_asking().await });
    for balancer in forwards {
        let forwarding = Forwarding::new(&node, &balancer.name);
        world.forward(&[addresses[balancer.address]], Arc::new(forwarding)).await?;
    }
    let apis = vec![(&nlb_node_api::API, nlb_node_api::handler(Arc::new(Desk(node))))];
    world.serve_on(&addresses[..1], apis, Service::default()).await
}

/// What is counted: connections made, those lost on the way to the target, those without a target that serves,
/// connections forwarded to services, and those refused for want of capacity.
const SERIES: [&str; 5] = [CONNECTED, LOST, WITHOUT_TARGET, FORWARDED, REFUSED];
const CONNECTED: &str = "connections";
const LOST: &str = "connections-lost";
const WITHOUT_TARGET: &str = "connections-without-target";
const FORWARDED: &str = "connections-forwarded";
const REFUSED: &str = "connections-refused";
/// Connections that may always come together after a pause (ours: a region that --load has made very small has bursts
/// too).
const FEWEST_SAVED: u32 = 5;

/// The nodes of a zone.
struct Node {
    world: World,
    settings: Settings<NodeParams>,
    zone: u32,
    health: Client,
    /// The way to the targets, by zone.
    agents: Vec<Client>,
    known: Mutex<Known>,
}

/// What the nodes were last told.
struct Known {
    version: u64,
    serving: BTreeMap<String, Vec<ServingTarget>>,
    rng: Rng,
    /// Capacity by load balancer.
    places: BTreeMap<String, TokenBucket>,
}

/// Why a connection is refused that there is no capacity for.
const NO_PLACE: &str = "the load balancer's nodes in the zone have no capacity left for connections";

impl Node {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keep_asking(&self) {
        loop {
            let request = ListServingRequest { zone: self.zone, version: self.known().version };
            // Without an answer, what is known stays.
            if let Ok(answer) = self.health.call(&nlb_api::LIST_SERVING, request).await
                && answer.changed
            {
                let entry = |serving: Serving| (serving.load_balancer, serving.targets);
                let mut known = self.known();
                known.version = answer.version;
                known.serving = answer.load_balancers.into_iter().map(entry).collect();
            }
            self.world.sleep(self.settings.get().poll).await;
        }
    }

    /// Whether there is capacity for one more connection through a load balancer.
    fn has_place(&self, balancer: &str) -> bool {
        let settings = self.settings.get();
        let Some(per_second) = settings.connection_rate else { return true };
        let burst = (per_second * settings.saved.as_secs_f64()).ceil() as u32;
        let limit = RateLimit { per_second, burst: burst.max(FEWEST_SAVED) };
        let now = self.world.now();
        let has_place = {
            let places = &mut self.known().places;
            places
                .entry(balancer.to_owned())
                .or_insert_with(|| TokenBucket::full(&limit, now))
                .take(&limit, now)
        };
        self.world.record().count(REFUSED, u64::from(!has_place));
        has_place
    }

    /// One of the targets that serve.
    fn choose(&self, balancer: &str) -> Result<ServingTarget, Status> {
        let chosen = self.choose_among(balancer);
        self.world.record().count(WITHOUT_TARGET, u64::from(chosen.is_err()));
        chosen
    }

    fn choose_among(&self, balancer: &str) -> Result<ServingTarget, Status> {
        let mut known = self.known();
        let Known { version, serving, rng, .. } = &mut *known;
        let Some(targets) = serving.get(balancer) else {
            if *version == 0 {
                return Err(Status::unavailable("the node does not know yet who serves"));
            }
            let message = format!("there is no load balancer '{balancer}'");
            return Err(api_error(Code::NotFound, DOMAIN, "LoadBalancerNotFound", message));
        };
        if targets.is_empty() {
            return Err(Status::unavailable(format!("load balancer {balancer} has no target that serves")));
        }
        Ok(targets[rng.random_range(0..targets.len())].clone())
    }

    async fn connect(&self, context: &Context, balancer: &str) -> Result<String, Status> {
        let record = self.world.record();
        if !self.has_place(balancer) {
            return Err(Status::unavailable(NO_PLACE));
        }
        let target = self.choose(balancer)?;
        let lost = || Status::unavailable(format!("the connection to {} timed out", target.instance_id));
        let agents = self.agents.get(target.zone as usize).ok_or_else(lost)?.within(context);
        let packet = Packet { instance_id: target.instance_id.clone(), path: self.known().rng.random() };
        let sent = agents.call(&droplets_api::DELIVER, DeliverRequest { packets: vec![packet] }).await;
        if sent.is_ok_and(|answer| answer.answered == [true]) {
            record.count(CONNECTED, 1);
            return Ok(target.instance_id);
        }
        record.count(LOST, 1);
        Err(lost())
    }
}

/// The nodes as those who connect through them see them.
struct Desk(Arc<Node>);

#[async_trait::async_trait]
impl NlbNode for Desk {
    async fn connect(&self, request: Request<ConnectRequest>) -> Result<Response<ConnectResponse>, Status> {
        let (context, request) = split(request);
        let instance_id = self.0.connect(&context, &request.load_balancer).await?;
        Ok(Response::new(ConnectResponse { instance_id }))
    }

    async fn check_node(&self, _: Request<CheckNodeRequest>) -> Result<Response<CheckNodeResponse>, Status> {
        Ok(Response::new(CheckNodeResponse {}))
    }
}
