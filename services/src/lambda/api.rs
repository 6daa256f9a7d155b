//! Kind `lambda`: the public API, and the queue of asynchronous invocations.
//!
//! Creating and changing functions writes to DynamoDB. Invocations use the copy in memory ([`crate::catalog`]). An
//! asynchronous one is answered as soon as its event is on disk, and worked off from there: while the fleet has no room
//! for it, it waits, and what waits is the backlog that takes hours to work off.

use std::sync::Arc;

use eastfall_fabric::call::Context;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::dynamodb::Comparator;
use eastfall_proto::error::api_error;
use eastfall_proto::lambda::lambda_server::Lambda;
use eastfall_proto::lambda::*;
use eastfall_topology::{Moment, Span};
use tonic::{Code, Request, Response, Status};

use super::fleet::FleetParams;
use super::{DOMAIN, FUNCTIONS, is_throttle, no_function, outward, service_error, throttled};
use crate::backlog::{Backlog, Effort, Verdict};
use crate::catalog::{Catalog, NAME};
use crate::dynamodb::condition::{is, not_exists};
use crate::dynamodb::value::{self, Item, item, number, string};
use crate::settings::{Settings, callee_of_kind, split};

eastfall_topology::params! {
    /// Lambda's public API and the queue of asynchronous invocations.
    pub struct LambdaParams for "lambda" offers [
        "Invoke", "InvokeAsync", "CreateFunction", "UpdateFunctionCode", "GetFunction"
    ] {
        /// Functions `function-1`... that exist when the run begins in the middle of the region's life (assumption).
        functions_of_before: u32 = 150, range 0..=100000;
        /// How long what is known of a function counts as fresh (assumption: minutes).
        metadata_ttl: Span = "5m", range "1s"..="1d";
        /// Asynchronous invocations that an instance has under way at once (assumption).
        async_concurrency: u32 = 10, range 1..=100000, scaled by load;
        /// Events in an instance's queue above which asynchronous invocations are refused as throttled. `none`: never.
        async_backlog_limit: Option<u64> = "none", range 1..=1000000000, scaled by load;
        /// How old an event may get before it is given up (published default: 6 h).
        event_age: Span = "6h", range "1m"..="6h";
        /// The pause before an event whose run failed is tried again; doubled with each failure (published: 1 s, up to
        /// 5 min).
        first_pause: Span = "1s", range "100ms"..="5m";
        /// The longest such pause.
        longest_pause: Span = "5m", range "1s"..="1h";
        /// The longest pause of the whole queue when the fleet throttles (assumption: a minute).
        longest_throttle_pause: Span = "1m", range "1s"..="1h";
        /// How often the backlog is told (ours).
        say_every: Span = "10s", range "1s"..="1h";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: LambdaParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let front = Arc::new(Front {
        catalog: Catalog::of(&world, FUNCTIONS)?,
        fleet: world.dial(&callee_of_kind(&world, FleetParams::SCHEMA.name)?)?,
        backlog: Backlog::open(&world, "async-events").await?,
        settings: Settings::new(&world),
        world: world.clone(),
    });
    for name in [ACCEPTED, DONE, FAILED_RUNS, GIVEN_UP] {
        world.record().count(name, 0);
    }
    let task = Arc::clone(&front);
    world.spawn(async move {
        let settings = task.settings.get();
        let row = |function| function_row(&format!("function-{function}"), 1);
        let rows = (1..=settings.functions_of_before).map(row).collect();
        task.catalog.prepare(rows, settings.metadata_ttl).await;
    });
    let task = Arc::clone(&front);
    world.spawn(async move {
        let (limit, worker) = (Arc::clone(&task), Arc::clone(&task));
        let effort = move || {
            let settings = limit.settings.get();
            let longest_pause = settings.longest_throttle_pause;
            Effort { at_once: settings.async_concurrency, longest_pause }
        };
        let attempt = move |event| {
            let front = Arc::clone(&worker);
            async move { front.run_event(event).await }
        };
        Arc::clone(&task.backlog).work_off(effort, attempt).await;
    });
    let task = Arc::clone(&front);
    world.spawn(async move { task.keep_saying().await });
    world.serve(vec![(&lambda_api::API, lambda_api::handler(Arc::new(Desk(front))))]).await
}

/// Events accepted, run, whose run failed, and those that got too old.
const ACCEPTED: &str = "async-accepted";
const DONE: &str = "async-done";
const FAILED_RUNS: &str = "async-failed-runs";
const GIVEN_UP: &str = "async-given-up";
/// The attribute that counts changes of a function's code.
const REVISION: &str = "revision";

struct Front {
    world: World,
    settings: Settings<LambdaParams>,
    catalog: Catalog,
    fleet: Client,
    backlog: Arc<Backlog<AsyncEvent>>,
}

fn function_row(name: &str, revision: u64) -> Item {
    item([(NAME, string(name)), (REVISION, number(revision))])
}

fn function(row: &Item) -> Option<Function> {
    let function_name = value::text(row, NAME)?.to_owned();
    Some(Function { function_name, revision: value::parsed(row, REVISION)? })
}

fn invalid(message: &str) -> Status {
    api_error(Code::InvalidArgument, DOMAIN, "InvalidParameterValueException", message)
}

fn conflict(message: String) -> Status {
    api_error(Code::AlreadyExists, DOMAIN, "ResourceConflictException", message)
}

impl Front {
    async fn find(&self, context: &Context, name: &str) -> Result<Function, Status> {
        let ttl = self.settings.get().metadata_ttl;
        let row = self.catalog.get(context, name, ttl).await;
        let row = row.map_err(|status| service_error(status.message()))?.ok_or_else(|| no_function(name))?;
        function(&row).ok_or_else(|| service_error(format!("the metadata of function '{name}' is damaged")))
    }

    async fn create(&self, context: &Context, name: &str) -> Result<Function, Status> {
        if name.is_empty() {
            return Err(invalid("a function needs a name"));
        }
        let (row, ttl) = (function_row(name, 1), self.settings.get().metadata_ttl);
        match self.catalog.put(context, row, Some(not_exists(NAME)), ttl).await {
            Ok(()) => Ok(Function { function_name: name.to_owned(), revision: 1 }),
            Err(status) if status.code() == Code::FailedPrecondition => {
                Err(conflict(format!("function '{name}' exists")))
            }
            Err(status) => Err(service_error(status.message())),
        }
    }

    async fn update(&self, context: &Context, name: &str) -> Result<Function, Status> {
        let row = self.catalog.read(context, name).await;
        let row = row.map_err(|status| service_error(status.message()))?;
        let before = function(&row).ok_or_else(|| no_function(name))?;
        let revision = before.revision + 1;
        let unchanged = is(REVISION, Comparator::Equal, number(before.revision));
        let (row, ttl) = (function_row(name, revision), self.settings.get().metadata_ttl);
        match self.catalog.put(context, row, Some(unchanged), ttl).await {
            Ok(()) => Ok(Function { revision, ..before }),
            Err(status) if status.code() == Code::FailedPrecondition => {
                Err(conflict(format!("function '{name}' is being updated by another request")))
            }
            Err(status) => Err(service_error(status.message())),
        }
    }

    async fn accept(&self, function_name: String) -> Result<(), Status> {
        let waiting = self.backlog.len() as u64;
        if self.settings.get().async_backlog_limit.is_some_and(|limit| waiting >= limit) {
            return Err(throttled(format!("{waiting} asynchronous invocations wait already")));
        }
        let accepted = self.world.now().as_nanos();
        self.backlog.add(vec![AsyncEvent { function_name, accepted, failures: 0 }]).await?;
        self.world.record().count(ACCEPTED, 1);
        Ok(())
    }

    /// One attempt at an event of the queue.
    async fn run_event(&self, event: AsyncEvent) -> Verdict<AsyncEvent> {
        let settings = self.settings.get();
        if self.world.now().since(Moment::from_nanos(event.accepted)) > settings.event_age {
            self.world.record().count(GIVEN_UP, 1);
            return Verdict::Finished;
        }
        let request = RunRequest {
            function_name: event.function_name.clone(),
            class: RunClass::Async as i32,
            items: 0,
        };
        match self.fleet.call(&fleet_api::RUN, request).await {
            Ok(_) => {
                self.world.record().count(DONE, 1);
                Verdict::Finished
            }
            Err(status) if is_throttle(&status) => Verdict::Throttled,
            // The function was deleted meanwhile: there is nothing to run.
            Err(status) if status.code() == Code::NotFound => Verdict::Finished,
            Err(_) => {
                self.world.record().count(FAILED_RUNS, 1);
                let failures = event.failures + 1;
                let pause = settings.first_pause.doubled(failures.saturating_sub(1), settings.longest_pause);
                Verdict::Again(AsyncEvent { failures, ..event }, pause)
            }
        }
    }

    async fn keep_saying(&self) {
        loop {
            let now = self.world.now();
            let age = self.backlog.oldest().map(|event| now.since(Moment::from_nanos(event.accepted)));
            self.world.record().gauge("async-backlog", self.backlog.len() as f64);
            self.world.record().gauge_max("async-age-seconds", age.unwrap_or(Span::ZERO).as_secs_f64());
            self.world.sleep(self.settings.get().say_every).await;
        }
    }
}

struct Desk(Arc<Front>);

#[async_trait::async_trait]
impl Lambda for Desk {
    async fn create_function(
        &self,
        request: Request<CreateFunctionRequest>,
    ) -> Result<Response<CreateFunctionResponse>, Status> {
        let (context, request) = split(request);
        let function = Some(self.0.create(&context, &request.function_name).await?);
        Ok(Response::new(CreateFunctionResponse { function }))
    }

    async fn update_function_code(
        &self,
        request: Request<UpdateFunctionCodeRequest>,
    ) -> Result<Response<UpdateFunctionCodeResponse>, Status> {
        let (context, request) = split(request);
        let function = Some(self.0.update(&context, &request.function_name).await?);
        Ok(Response::new(UpdateFunctionCodeResponse { function }))
    }

    async fn get_function(
        &self,
        request: Request<GetFunctionRequest>,
    ) -> Result<Response<GetFunctionResponse>, Status> {
        let (context, request) = split(request);
        let function = Some(self.0.find(&context, &request.function_name).await?);
        Ok(Response::new(GetFunctionResponse { function }))
    }

    async fn invoke(&self, request: Request<InvokeRequest>) -> Result<Response<InvokeResponse>, Status> {
        let (context, request) = split(request);
        let invocation_type = request.invocation_type();
        let function_name = self.0.find(&context, &request.function_name).await?.function_name;
        match invocation_type {
            InvocationType::Sync => {
                let run = RunRequest { function_name, class: RunClass::Sync as i32, items: 0 };
                let fleet = self.0.fleet.within(&context);
                fleet.call(&fleet_api::RUN, run).await.map_err(outward)?;
                Ok(Response::new(InvokeResponse { status_code: 200 }))
            }
            InvocationType::Async => {
                self.0.accept(function_name).await?;
                Ok(Response::new(InvokeResponse { status_code: 202 }))
            }
        }
    }
}
