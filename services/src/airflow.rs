//! Kind `mwaa`: Managed Airflow. Environments whose schedulers and workers are tasks on Fargate.
//!
//! An environment is a group of tasks: the first is its scheduler, the others are its workers, and how many of these it
//! shall have follows what waits. Runs of workflows are queued in DynamoDB; a run takes a place at a worker for a while.
//! Without DynamoDB nothing can be queued. With DynamoDB but without new tasks, everything is accepted and waits: no
//! error, only workflows that are late.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::distribution::draw;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::airflow::airflow_server::Airflow;
use eastfall_proto::airflow::*;
use eastfall_proto::error::api_error;
use eastfall_topology::{Distribution, Moment, Span};
use rand::RngExt as _;
use tonic::{Code, Request, Response, Status};

use crate::dynamodb::value::{Item, item, number, parsed, string, text};
use crate::groups::{Groups, Pace, host_of};
use crate::settings::{Settings, instance_count, split};
use crate::tables::Tables;

mod scheduler;
#[cfg(test)]
mod tests;
mod workers;

use workers::Workers;

eastfall_topology::params! {
    /// Managed Airflow.
    pub struct AirflowParams for "mwaa" offers ["CreateEnvironment", "GetEnvironment", "TriggerDag"] {
        /// How often schedulers look at what waits, show a sign of life and scale (assumption).
        every: Span = "30s", range "1s"..="1h";
        /// Runs that a worker does at once (published for a small environment: 5).
        runs_a_worker: u32 = 5, range 1..=1000;
        /// Workers that an environment may have (published: 10, unless one asks for more).
        most_workers: u32 = 10, range 1..=1000;
        /// How long a run takes a worker (assumption).
        run_time: Distribution = { distribution = "exponential", mean = "5m" };
        /// Tasks started or stopped at most in a round, for all environments of an instance (assumption).
        changes_at_once: u32 = 2, range 1..=10000, scaled by load;
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: AirflowParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// The domain of Managed Airflow's error names.
const DOMAIN: &str = "airflow.amazonaws.com";
/// Environments by keeper.
const ENVIRONMENTS: &str = "mwaa-environments";
/// Runs that have not ended, by environment, in the order in which they came.
const RUNS: &str = "mwaa-runs";
const SCHEMAS: [&str; 3] =
    ["mwaa-environments(keeper,environment)", "mwaa-runs(environment,run)", "mwaa-heartbeats(keeper)"];

async fn start(world: World) -> Result<(), StartError> {
    let service = Arc::new(Service {
        settings: Settings::new(&world),
        tables: Tables::of(&world)?,
        groups: Groups::of(&world, "mwaa")?,
        under_way: Mutex::default(),
        luck: Mutex::new(world.rng("runs")),
        world: world.clone(),
    });
    for name in ["runs-ended", "heartbeats-failed"] {
        world.record().count(name, 0);
    }
    let workers = Workers::of(&world)?;
    let keeper = Arc::clone(&service);
    world.spawn(async move {
        let pace = || {
            let settings = keeper.settings.get();
            Pace { every: settings.every, at_once: settings.changes_at_once }
        };
        keeper.groups.keep(&workers, pace).await;
    });
    world.spawn(Arc::clone(&service).schedule());
    world.serve(vec![(&airflow_api::API, airflow_api::handler(service))]).await
}

struct Service {
    world: World,
    settings: Settings<AirflowParams>,
    tables: Tables,
    groups: Groups,
    /// When runs that workers have end, by environment and run.
    under_way: Mutex<BTreeMap<String, BTreeMap<String, Moment>>>,
    luck: Mutex<Rng>,
}

fn internal(status: &Status) -> Status {
    api_error(Code::Internal, DOMAIN, "InternalServerException", status.message())
}

fn not_found(environment: &str) -> Status {
    let message = format!("there is no environment {environment}");
    api_error(Code::NotFound, DOMAIN, "ResourceNotFoundException", message)
}

impl Service {
    fn environment(&self, name: &str) -> Item {
        let keepers = instance_count(&self.world, &self.world.instance().service);
        item([("keeper", string(host_of(name, keepers).to_string())), ("environment", string(name))])
    }

    async fn describe(&self, context: &Context, name: &str) -> Result<GetEnvironmentResponse, Status> {
        let found = self.groups.find(context, name).await.map_err(|status| internal(&status))?;
        let group = found.ok_or_else(|| not_found(name))?;
        let status = match group.members {
            0 => EnvironmentStatus::Creating,
            members if members == group.desired => EnvironmentStatus::Available,
            _ => EnvironmentStatus::Updating,
        };
        let workers = group.members.saturating_sub(1);
        Ok(GetEnvironmentResponse { name: name.to_owned(), status: status as i32, workers })
    }
}

#[async_trait::async_trait]
impl Airflow for Service {
    async fn create_environment(
        &self,
        request: Request<CreateEnvironmentRequest>,
    ) -> Result<Response<GetEnvironmentResponse>, Status> {
        let (context, request) = split(request);
        let CreateEnvironmentRequest { name, min_workers } = request;
        if name.is_empty() || min_workers > self.settings.get().most_workers {
            let message = "an environment needs a name, and no more workers than it may have";
            return Err(api_error(Code::InvalidArgument, DOMAIN, "ValidationException", message));
        }
        // The scheduler is a task too.
        self.groups.wish(&context, &name, 1 + min_workers).await.map_err(|status| internal(&status))?;
        let mut row = self.environment(&name);
        row.insert("least".to_owned(), number(min_workers));
        let written = self.tables.within(&context).put(ENVIRONMENTS, row).await;
        written.map_err(|status| internal(&status))?;
        self.describe(&context, &name).await.map(Response::new)
    }

    async fn get_environment(
        &self,
        request: Request<GetEnvironmentRequest>,
    ) -> Result<Response<GetEnvironmentResponse>, Status> {
        let (context, request) = split(request);
        self.describe(&context, &request.name).await.map(Response::new)
    }

    async fn trigger_dag(
        &self,
        request: Request<TriggerDagRequest>,
    ) -> Result<Response<TriggerDagResponse>, Status> {
        let (context, request) = split(request);
        let tables = self.tables.within(&context);
        let known = tables.get(ENVIRONMENTS, self.environment(&request.environment)).await;
        if known.map_err(|status| internal(&status))?.is_empty() {
            return Err(not_found(&request.environment));
        }
        let number = self.luck.lock().unwrap_or_else(PoisonError::into_inner).random::<u32>();
        // Begins with the time, so that runs wait in order.
        let run_id = format!("{:016x}-{number:08x}", self.world.now().as_nanos());
        let row = item([
            ("environment", string(&request.environment)),
            ("run", string(&run_id)),
            ("dag", string(&request.dag)),
        ]);
        tables.put(RUNS, row).await.map_err(|status| internal(&status))?;
        Ok(Response::new(TriggerDagResponse { run_id }))
    }
}
