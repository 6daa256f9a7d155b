//! Kind `application`: a customer's own application in one or several places, to ask what its design buys.
//!
//! An instance of the service is a place: a region, a cell within one, or another cloud. Each has a store beside it and a
//! group of machines that grows and shrinks with the load. Places in the home region launch their machines through EC2
//! and reach their store by DynamoDB's public name, so they fall with either; places elsewhere have a replica of the
//! store, and machines that come when they are wished for. What a place can do in a second is what its machines can do:
//! requests beyond are turned away. So spare capacity is paid for by the hour, and is worth something exactly when
//! machines can't be launched.
//!
//! | kind | file |
//! |---|---|
//! | `application` | here, and [`machines`] |
//! | `application-customers`, its users | [`customers`] |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::service::service_server::Service;
use eastfall_proto::service::{PerformRequest, PerformResponse, service_api};
use eastfall_topology::Span;
use tonic::{Request, Response, Status};

use crate::dynamodb::replica::{ReplicaParams, region_of};
use crate::dynamodb::value::{item, string};
use crate::settings::{Settings, callee_of_kind, split};
use crate::tables::Tables;

pub mod customers;
mod machines;
#[cfg(test)]
mod tests;

use machines::Machines;

eastfall_topology::params! {
    /// An application in one or several places.
    pub struct ApplicationParams for "application" {
        /// Places that begin so (`us-east-1`, `us-east-1-cell-2`) are in the home region: EC2 and DynamoDB's public name.
        home: String = "us-east-1";
        /// Requests a second that a machine does (assumption). More are turned away.
        per_machine: f64 = 0.25, range 0.001..=1000000.0, scaled by load;
        /// The share of what its machines can do that a place aims at (assumption: common targets are 50 to 70 %).
        target: f64 = 0.7, range 0.01..=1.0;
        /// How many times as many machines as the load needs: 1 is what automatic scaling asks for, 2 twice that.
        headroom: f64 = 1.0, range 0.1..=1000.0;
        /// Machines that a place keeps at least.
        least: u32 = 2, range 1..=1000000;
        /// Zones that machines are launched in by turns; none: wherever there is room. Home only.
        zones: Vec<String> = [];
        /// How often the number of machines is looked at (assumption).
        every: Span = "30s", range "1s"..="1h";
        /// Over how long the load is measured (assumption).
        measured_over: Span = "5m", range "10s"..="1h";
        /// How long the load must have been low before machines are given up (assumption: an hour is cautious; the common
        /// default of minutes gives machines up in an outage and then can't launch them).
        smaller_after: Span = "1h", range "0s"..="1d";
        /// Machines launched at once at most.
        launches_at_once: u32 = 8, range 1..=1000;
        /// How long a machine needs from its launch until it serves (assumption).
        boot_time: Span = "2m", range "0s"..="1h";
        /// The table that requests read and write.
        table: String = "customer-data";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: ApplicationParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let settings = Arc::new(Settings::<ApplicationParams>::new(&world));
    let instance = world.instance();
    let name = region_of(&instance.service, &instance.name);
    let at_home = name.starts_with(&settings.get().home);
    let store = match at_home {
        true => Tables::of(&world)?,
        false => Tables::new(world.dial_instance(
            &callee_of_kind(&world, ReplicaParams::SCHEMA.name)?,
            replica_of(&world, &name)?,
        )?),
    };
    let machines = Arc::new(Machines::new(&world, Arc::clone(&settings), at_home)?);
    for name in ["turned-away", "store-failed", "launches-failed"] {
        world.record().count(name, 0);
    }
    world.spawn(Arc::clone(&machines).follow_the_load());
    let place = Place {
        world: world.clone(),
        settings,
        store,
        machines,
        requests: AtomicU64::new(instance.index as u64),
    };
    world.serve(vec![(&service_api::API, service_api::handler(Arc::new(place)))]).await
}

/// Which of the replicas is beside a place.
fn replica_of(world: &World, place: &str) -> Result<usize, StartError> {
    let service = callee_of_kind(world, ReplicaParams::SCHEMA.name)?;
    let topology = world.topology();
    let names = topology.services.get(&service).map(|service| service.instances.clone()).unwrap_or_default();
    let beside = names.iter().position(|name| place.starts_with(&region_of(&service, name)));
    beside.ok_or_else(|| {
        StartError(format!(
            "no instance of {service} is beside the place {place}; name a place after its region, as {service} does"
        ))
    })
}

struct Place {
    world: World,
    settings: Arc<Settings<ApplicationParams>>,
    store: Tables,
    machines: Arc<Machines>,
    requests: AtomicU64,
}

/// Rows that requests read and write, and one in how many writes (assumptions).
const ROWS: u64 = 1000;
const ONE_WRITES_IN: u64 = 5;

#[async_trait::async_trait]
impl Service for Place {
    async fn perform(&self, request: Request<PerformRequest>) -> Result<Response<PerformResponse>, Status> {
        let (context, _) = split(request);
        if !self.machines.admit() {
            self.world.record().count("turned-away", 1);
            return Err(Status::resource_exhausted("all machines are busy"));
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let row = item([("id", string(format!("row-{}", number % ROWS)))]);
        let (store, table) = (self.store.within(&context), self.settings.get().table.clone());
        let done = match number % ONE_WRITES_IN {
            0 => store.put(&table, row).await,
            _ => store.get(&table, row).await.map(drop),
        };
        done.map_err(|status| {
            self.world.record().count("store-failed", 1);
            Status::unavailable(format!("the store failed: {}", status.message()))
        })?;
        Ok(Response::new(PerformResponse::default()))
    }
}
