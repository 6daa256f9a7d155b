//! Kind `ec2-api`: the public API of EC2.
//!
//! It writes down what it does before it does it, finds a zone with room through DWFM, and tells why when it can't:
//! `InsufficientInstanceCapacity` where no droplet has a lease and room, `RequestLimitExceeded` under the operators'
//! throttle, `InternalError` where something it stands on fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::token_bucket::TokenBucket;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::ec2::ec2_server::Ec2;
use eastfall_proto::ec2::*;
use eastfall_proto::error::{api_error, reason};
use eastfall_topology::RateLimit;
use futures_util::future::join_all;
use rand::RngExt as _;
use tonic::{Code, Request, Response, Status};

use super::droplets::DropletsParams;
use super::dwfm::DwfmParams;
use super::layout::Layout;
use super::store::{Store, is_reachable};
use super::{DOMAIN, INSUFFICIENT_CAPACITY, insufficient_capacity};
use crate::dynamodb::value::{self, Item, item, number, string};
use crate::settings::{Settings, callee_of_kind, instance_count, split};

eastfall_topology::params! {
    /// EC2's public API.
    pub struct ApiParams for "ec2-api" offers ["RunInstances", "DescribeInstances"] {
        /// Launch requests a second that are let in, by all instances together; the others are answered
        /// RequestLimitExceeded. `none`: all (the operators' throttle; off in health).
        launch_rate: Option<f64> = "none", range 0.0001..=1000000.0, scaled by load;
        /// Launch requests that may come together after a pause (assumption).
        launch_burst: u32 = 10, range 1..=1000000, scaled by load;
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: ApiParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let dwfm = callee_of_kind(&world, DwfmParams::SCHEMA.name)?;
    let topology = world.topology();
    let droplets = topology.services[&dwfm]
        .calls
        .keys()
        .find(|callee| topology.services.get(*callee).is_some_and(|s| s.kind == DropletsParams::SCHEMA.name))
        .ok_or_else(|| {
            format!("service {dwfm} calls no service of kind `{}`", DropletsParams::SCHEMA.name)
        })?;
    let hosts = (0..instance_count(&world, &dwfm)).map(|host| world.dial_instance(&dwfm, host));
    let launch_limit = RateLimit { per_second: 1.0, burst: world.params::<ApiParams>().launch_burst };
    let desk = Desk {
        layout: Layout::new(&topology, &dwfm, droplets)?,
        hosts: hosts.collect::<Result<_, _>>()?,
        store: Store::of(&world)?,
        settings: Settings::new(&world),
        rng: Mutex::new(world.rng("instance-ids")),
        throttle: Mutex::new(TokenBucket::full(&launch_limit, world.now())),
        turn: AtomicUsize::new(world.instance().index),
        world: world.clone(),
    };
    for (_, name) in OUTCOMES {
        world.record().count(name, 0);
    }
    world.serve(vec![(&ec2_api::API, ec2_api::handler(Arc::new(desk)))]).await
}

/// How launch requests end, by error name; the series say which answers customers get in which phase.
const OUTCOMES: [(&str, &str); 4] = [
    ("", "launches-ok"),
    (INSUFFICIENT_CAPACITY, "launches-insufficient-capacity"),
    (LIMIT_EXCEEDED, "launches-limit-exceeded"),
    (INTERNAL, "launches-internal-error"),
];
const LIMIT_EXCEEDED: &str = "RequestLimitExceeded";
const INTERNAL: &str = "InternalError";
/// Instances that one request may ask for (ours; the real limit is the account's quota).
const MOST_INSTANCES: u32 = 100;

struct Desk {
    world: World,
    settings: Settings<ApiParams>,
    layout: Layout,
    hosts: Vec<Client>,
    store: Store,
    rng: Mutex<Rng>,
    throttle: Mutex<TokenBucket>,
    /// Whose turn it is among hosts, so that launches spread.
    turn: AtomicUsize,
}

/// Where an instance runs.
struct Place {
    host: usize,
    droplet: u32,
    /// Whether the network knows the way there at once.
    reachable: bool,
}

fn internal(status: &Status) -> Status {
    api_error(Code::Internal, DOMAIN, INTERNAL, status.message())
}

fn invalid(message: String) -> Status {
    api_error(Code::InvalidArgument, DOMAIN, "InvalidParameterValue", message)
}

fn not_found(id: &str) -> Status {
    let message = format!("the instance ID '{id}' does not exist");
    api_error(Code::NotFound, DOMAIN, "InvalidInstanceID.NotFound", message)
}

impl Desk {
    async fn run(&self, context: &Context, request: RunInstancesRequest) -> Result<Vec<Instance>, Status> {
        if !(1..=MOST_INSTANCES).contains(&request.count) {
            return Err(invalid(format!("count {} is not in 1..={MOST_INSTANCES}", request.count)));
        }
        let zone = self.zone(&request.availability_zone)?;
        if !self.admits() {
            let message = "launches are throttled: request limit exceeded";
            return Err(api_error(Code::ResourceExhausted, DOMAIN, LIMIT_EXCEEDED, message));
        }
        let mut ids: Vec<String> = (0..request.count).map(|_| self.new_id()).collect();
        let token = Some(format!("{}/{}", request.owner, request.client_token));
        let token = token.filter(|_| !request.client_token.is_empty());
        if let Some(token) = &token {
            let before = self
                .store
                .take_token(token, &ids, self.world.now())
                .await
                .map_err(|status| internal(&status))?;
            if let Some(before) = before {
                return self.describe(before).await;
            }
        }
        let launched = self.launch_all(context, &request, zone, &mut ids).await;
        if let (Err(_), Some(token)) = (&launched, &token) {
            // If this fails too, the token is used up and its instances are known to be none.
            let _ = self.store.release_token(token).await;
        }
        launched
    }

    /// All or none: what was launched before one could not be is taken off again.
    async fn launch_all(
        &self,
        context: &Context,
        request: &RunInstancesRequest,
        zone: Option<usize>,
        ids: &mut Vec<String>,
    ) -> Result<Vec<Instance>, Status> {
        let mut launched: Vec<(String, Place)> = Vec::with_capacity(ids.len());
        for id in ids.drain(..) {
            match self.launch(context, &id, zone, &request.owner).await {
                Ok(place) => launched.push((id, place)),
                Err(status) => {
                    let undo = launched
                        .iter()
                        .map(|(id, place)| self.remove(context, id, place.host, place.droplet));
                    join_all(undo).await;
                    return Err(status);
                }
            }
        }
        let instance = |(id, place): (String, Place)| self.instance(id, &place, &request.owner);
        Ok(launched.into_iter().map(instance).collect())
    }

    async fn launch(
        &self,
        context: &Context,
        id: &str,
        zone: Option<usize>,
        owner: &str,
    ) -> Result<Place, Status> {
        let pending = item([
            ("instance", string(id)),
            ("owner", string(owner)),
            ("state", number(InstanceState::Pending as i32)),
        ]);
        self.store.put_pending(pending, self.world.now()).await.map_err(|status| internal(&status))?;
        let place = self.place(context, id, zone).await?;
        match self.store.set_running(id, place.host, place.droplet, place.reachable).await {
            Ok(()) => Ok(place),
            Err(status) => {
                // Nobody may run what is not written down.
                let _ = self.remove(context, id, place.host, place.droplet).await;
                Err(internal(&status))
            }
        }
    }

    /// Asks the hosts in turn until one has room.
    async fn place(&self, context: &Context, id: &str, zone: Option<usize>) -> Result<Place, Status> {
        let hosts = zone.map_or(0..self.hosts.len(), |zone| self.layout.hosts_of(zone));
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut failed = None;
        for offset in 0..hosts.len() {
            let host = hosts.start + (turn + offset) % hosts.len();
            let request = PlaceInstanceRequest { instance_id: id.to_owned() };
            match self.hosts[host].within(context).call(&dwfm_api::PLACE_INSTANCE, request).await {
                Ok(PlaceInstanceResponse { droplet, reachable }) => {
                    return Ok(Place { host, droplet, reachable });
                }
                Err(status) if reason(&status).as_deref() == Some(INSUFFICIENT_CAPACITY) => {}
                Err(status) => failed = Some(status),
            }
        }
        match failed {
            Some(status) => Err(internal(&status)),
            None => Err(insufficient_capacity(zone.map_or("the region", |zone| &self.layout.zones[zone]))),
        }
    }

    async fn remove(&self, context: &Context, id: &str, host: usize, droplet: u32) -> Result<bool, Status> {
        let request = RemoveInstanceRequest { instance_id: id.to_owned(), droplet };
        let host = self.hosts.get(host).ok_or_else(|| not_found(id))?;
        host.within(context).call(&dwfm_api::REMOVE_INSTANCE, request).await.map(|answer| answer.applied)
    }

    async fn terminate(&self, context: &Context, id: String) -> Result<Instance, Status> {
        let found = self.store.instance(&id).await.map_err(|status| internal(&status))?;
        let Some(mut instance) = self.read(&found) else { return Err(not_found(&id)) };
        let place = (value::parsed(&found, "host"), value::parsed(&found, "droplet"));
        if let ((Some(host), Some(droplet)), true) = (place, instance.state == InstanceState::Running as i32)
        {
            let shutting_down = InstanceState::ShuttingDown as i32;
            self.store.set_state(&id, shutting_down).await.map_err(|status| internal(&status))?;
            let applied = self.remove(context, &id, host, droplet).await;
            let applied = applied.map_err(|status| internal(&status))?;
            let terminated = InstanceState::Terminated as i32;
            instance.state = if applied { terminated } else { shutting_down };
        }
        Ok(instance)
    }

    async fn modify(&self, context: &Context, id: String) -> Result<bool, Status> {
        let found = self.store.instance(&id).await.map_err(|status| internal(&status))?;
        let Some(instance) = self.read(&found) else { return Err(not_found(&id)) };
        let place = (value::parsed(&found, "host"), value::parsed::<u32>(&found, "droplet"));
        let ((Some(host), Some(droplet)), true) = (place, instance.state == InstanceState::Running as i32)
        else {
            let message = format!("the instance '{id}' is not in the state 'running'");
            return Err(api_error(Code::FailedPrecondition, DOMAIN, "IncorrectInstanceState", message));
        };
        let host: &Client = self.hosts.get::<usize>(host).ok_or_else(|| not_found(&id))?;
        let request = ModifyInstanceRequest { instance_id: id, droplet };
        let answer = host.within(context).call(&dwfm_api::MODIFY_INSTANCE, request).await;
        answer.map(|answer| answer.applied).map_err(|status| internal(&status))
    }

    async fn describe(&self, ids: Vec<String>) -> Result<Vec<Instance>, Status> {
        let found = self.store.instances(&ids).await.map_err(|status| internal(&status))?;
        let mut known: BTreeMap<String, Instance> = found
            .iter()
            .filter_map(|found| self.read(found))
            .map(|instance| (instance.instance_id.clone(), instance))
            .collect();
        ids.into_iter().map(|id| known.remove(&id).ok_or_else(|| not_found(&id))).collect()
    }

    // === Small things ===

    fn admits(&self) -> bool {
        let settings = self.settings.get();
        let Some(rate) = settings.launch_rate else { return true };
        let instances = instance_count(&self.world, &self.world.instance().service).max(1) as f64;
        let limit = RateLimit { per_second: rate / instances, burst: settings.launch_burst };
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.take(&limit, self.world.now())
    }

    fn new_id(&self) -> String {
        let number: u64 = self.rng.lock().unwrap_or_else(PoisonError::into_inner).random();
        format!("i-{number:016x}")
    }

    fn zone(&self, name: &str) -> Result<Option<usize>, Status> {
        if name.is_empty() {
            return Ok(None);
        }
        let position = self.layout.zones.iter().position(|zone| zone == name);
        position.map(Some).ok_or_else(|| {
            invalid(format!("there is no zone '{name}'; there are {}", self.layout.zones.join(", ")))
        })
    }

    fn instance(&self, instance_id: String, place: &Place, owner: &str) -> Instance {
        Instance {
            instance_id,
            availability_zone: self.layout.zones[self.layout.zone_of(place.host)].clone(),
            state: InstanceState::Running as i32,
            owner: owner.to_owned(),
            reachable: place.reachable,
        }
    }

    fn read(&self, found: &Item) -> Option<Instance> {
        let zone = value::parsed::<usize>(found, "host").map(|host| self.layout.zone_of(host));
        Some(Instance {
            instance_id: value::text(found, "instance")?.to_owned(),
            availability_zone: zone.and_then(|zone| self.layout.zones.get(zone).cloned()).unwrap_or_default(),
            state: value::parsed(found, "state")?,
            owner: value::text(found, "owner").unwrap_or_default().to_owned(),
            reachable: is_reachable(found)
                && value::parsed(found, "state") == Some(InstanceState::Running as i32),
        })
    }

    fn count_launch(&self, outcome: &Result<Vec<Instance>, Status>) {
        let name = match outcome {
            Ok(_) => String::new(),
            Err(status) => reason(status).unwrap_or_default(),
        };
        if let Some((_, series)) = OUTCOMES.iter().find(|(reason, _)| *reason == name) {
            self.world.record().count(series, 1);
        }
    }
}

#[async_trait::async_trait]
impl Ec2 for Desk {
    async fn run_instances(
        &self,
        request: Request<RunInstancesRequest>,
    ) -> Result<Response<RunInstancesResponse>, Status> {
        let (context, request) = split(request);
        let outcome = self.run(&context, request).await;
        self.count_launch(&outcome);
        Ok(Response::new(RunInstancesResponse { instances: outcome? }))
    }

    async fn terminate_instances(
        &self,
        request: Request<TerminateInstancesRequest>,
    ) -> Result<Response<TerminateInstancesResponse>, Status> {
        let (context, request) = split(request);
        let mut instances = Vec::with_capacity(request.instance_ids.len());
        for id in request.instance_ids {
            instances.push(self.terminate(&context, id).await?);
        }
        Ok(Response::new(TerminateInstancesResponse { instances }))
    }

    async fn describe_instances(
        &self,
        request: Request<DescribeInstancesRequest>,
    ) -> Result<Response<DescribeInstancesResponse>, Status> {
        let instances = self.describe(request.into_inner().instance_ids).await?;
        Ok(Response::new(DescribeInstancesResponse { instances }))
    }

    async fn modify_instance_network(
        &self,
        request: Request<ModifyInstanceNetworkRequest>,
    ) -> Result<Response<ModifyInstanceNetworkResponse>, Status> {
        let (context, request) = split(request);
        let applied = self.modify(&context, request.instance_id).await?;
        Ok(Response::new(ModifyInstanceNetworkResponse { applied }))
    }
}
