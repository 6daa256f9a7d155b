//! Kind `ecs`: tasks, and services that keep a number of them running.
//!
//! A task that somebody asks for starts or fails at once. A service's wish is written down and answered; its tasks
//! follow when there are instances for them, so with starts failing scaling is late without an error to be seen.

use std::sync::Arc;

use eastfall_fabric::call::Context;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::containers::ecs_server::Ecs;
use eastfall_proto::containers::*;
use eastfall_proto::error::{api_error, reason};
use eastfall_topology::{Moment, Span};
use tonic::{Code, Request, Response, Status};

use super::client::FargateClient;
use super::{DOMAIN, NO_CAPACITY, invalid, server_error};
use crate::dynamodb::update::set;
use crate::dynamodb::value::{Item, item, number, parsed, string, text};
use crate::groups::{Group, Groups, Members, Pace};
use crate::settings::{Settings, split};
use crate::tables::Tables;

eastfall_topology::params! {
    /// ECS's API, and the scheduler of its services.
    pub struct EcsParams for "ecs" offers ["RunTask", "UpdateService", "DescribeServices"] {
        /// How often the scheduler compares its services with what they shall be (assumption).
        every: Span = "15s", range "1s"..="1h";
        /// Tasks that an instance's scheduler starts or stops in a round at most (published for the real one, as a rate:
        /// 500 a minute and service on Fargate; in proportion to this region).
        changes_at_once: u32 = 4, range 1..=10000, scaled by load;
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: EcsParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// Tasks by id.
const TASKS: &str = "ecs-tasks";
/// Tasks that one request may ask for (published).
const MOST_TASKS: usize = 100;
/// Members of a group at most (ours; the real quota is 5,000 tasks a service).
pub(super) const MOST_MEMBERS: u32 = 5000;

async fn start(world: World) -> Result<(), StartError> {
    let tasks = Arc::new(Tasks {
        world: world.clone(),
        tables: Tables::of(&world)?,
        fargate: FargateClient::of(&world)?,
    });
    let settings = Settings::<EcsParams>::new(&world);
    let services = Arc::new(Groups::of(&world, "ecs")?);
    for name in ["tasks-started", "tasks-without-capacity", "tasks-failed"] {
        world.record().count(name, 0);
    }
    let (keeper, members) = (Arc::clone(&services), Arc::clone(&tasks));
    world.spawn(async move {
        members.tables.prepare(&members.world, &["ecs-tasks(task)"]).await;
        let pace = || {
            let settings = settings.get();
            Pace { every: settings.every, at_once: settings.changes_at_once }
        };
        keeper.keep(&*members, pace).await;
    });
    world.serve(vec![(&ecs_api::API, ecs_api::handler(Arc::new(Desk { tasks, services })))]).await
}

struct Desk {
    tasks: Arc<Tasks>,
    services: Arc<Groups>,
}

/// Tasks on Fargate, and what is written of them.
struct Tasks {
    world: World,
    tables: Tables,
    fargate: FargateClient,
}

impl Tasks {
    async fn start(&self, context: &Context, id: &str, run_for: Option<Span>) -> Result<Task, Status> {
        let until = run_for.map(|span| self.world.now() + span);
        let placed = self.place(context, id, until).await;
        let what = match &placed {
            Ok(_) => "tasks-started",
            Err(status) if reason(status).as_deref() == Some(NO_CAPACITY) => "tasks-without-capacity",
            Err(_) => "tasks-failed",
        };
        self.world.record().count(what, 1);
        placed
    }

    async fn place(&self, context: &Context, id: &str, until: Option<Moment>) -> Result<Task, Status> {
        let placement = self.fargate.acquire(context, id, until).await.map_err(|status| {
            let is_capacity = reason(&status).as_deref() == Some(NO_CAPACITY);
            if is_capacity { status } else { server_error(DOMAIN, &status) }
        })?;
        let mut row = item([
            ("task", string(id)),
            ("instance", string(&placement.instance)),
            ("host", number(placement.host)),
        ]);
        if let Some(until) = until {
            row.insert("until".to_owned(), number(until.as_nanos()));
        }
        if let Err(status) = self.tables.within(context).put(TASKS, row).await {
            // Nobody could stop what nobody can find; if this fails too, it ends when its containers exit.
            let _ = self.fargate.release(&Context::default(), id, placement.host).await;
            return Err(server_error(DOMAIN, &status));
        }
        let last_status = TaskStatus::Running as i32;
        Ok(Task { task_id: id.to_owned(), last_status, instance_id: placement.instance })
    }

    async fn stop(&self, context: &Context, id: &str) -> Result<Task, Status> {
        let tables = self.tables.within(context);
        let row = tables.get(TASKS, key(id)).await.map_err(|status| server_error(DOMAIN, &status))?;
        let Some(mut task) = self.read(&row) else {
            let message = format!("there is no task {id}");
            return Err(api_error(Code::NotFound, DOMAIN, "ResourceNotFoundException", message));
        };
        if task.last_status == TaskStatus::Running as i32 {
            let host = parsed(&row, "host").unwrap_or(0);
            self.fargate.release(context, id, host).await?;
            let ended = vec![set("until", number(self.world.now().as_nanos()))];
            let written = tables.update(TASKS, key(id), ended).await;
            written.map_err(|status| server_error(DOMAIN, &status))?;
            task.last_status = TaskStatus::Stopped as i32;
        }
        Ok(task)
    }

    async fn find(&self, context: &Context, id: &str) -> Result<Option<Task>, Status> {
        let row = self.tables.within(context).get(TASKS, key(id)).await;
        Ok(self.read(&row.map_err(|status| server_error(DOMAIN, &status))?))
    }

    fn read(&self, row: &Item) -> Option<Task> {
        let ended = parsed::<u64>(row, "until").is_some_and(|until| until <= self.world.now().as_nanos());
        let last_status = if ended { TaskStatus::Stopped } else { TaskStatus::Running } as i32;
        let instance_id = text(row, "instance")?.to_owned();
        Some(Task { task_id: text(row, "task")?.to_owned(), last_status, instance_id })
    }
}

fn key(task: &str) -> Item {
    item([("task", string(task))])
}

#[async_trait::async_trait]
impl Members for Tasks {
    async fn start(&self, wish: &str) -> Result<String, Status> {
        Tasks::start(self, &Context::default(), wish, None).await.map(|task| task.task_id)
    }

    async fn stop(&self, member: &str) -> Result<(), Status> {
        match Tasks::stop(self, &Context::default(), member).await {
            // Somebody else has stopped it and it is forgotten: that is what was wished for.
            Err(status) if status.code() == Code::NotFound => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

fn described(group: Group) -> DescribeServicesResponse {
    DescribeServicesResponse {
        service: group.name,
        desired_count: group.desired,
        running_count: group.members,
    }
}

#[async_trait::async_trait]
impl Ecs for Desk {
    async fn run_task(&self, request: Request<RunTaskRequest>) -> Result<Response<RunTaskResponse>, Status> {
        let (context, request) = split(request);
        if request.client_token.is_empty() {
            return Err(invalid(DOMAIN, "a task needs a client token"));
        }
        let id = format!("{}/{}", request.family, request.client_token);
        let run_for = (request.run_seconds > 0).then(|| Span::from_secs(u64::from(request.run_seconds)));
        let task = self.tasks.start(&context, &id, run_for).await?;
        Ok(Response::new(RunTaskResponse { task: Some(task) }))
    }

    async fn stop_task(
        &self,
        request: Request<StopTaskRequest>,
    ) -> Result<Response<StopTaskResponse>, Status> {
        let (context, request) = split(request);
        let task = self.tasks.stop(&context, &request.task_id).await?;
        Ok(Response::new(StopTaskResponse { task: Some(task) }))
    }

    async fn describe_tasks(
        &self,
        request: Request<DescribeTasksRequest>,
    ) -> Result<Response<DescribeTasksResponse>, Status> {
        let (context, request) = split(request);
        if request.task_ids.len() > MOST_TASKS {
            return Err(invalid(DOMAIN, "more than 100 tasks"));
        }
        let mut tasks = Vec::with_capacity(request.task_ids.len());
        for id in &request.task_ids {
            tasks.extend(self.tasks.find(&context, id).await?);
        }
        Ok(Response::new(DescribeTasksResponse { tasks }))
    }

    async fn update_service(
        &self,
        request: Request<UpdateServiceRequest>,
    ) -> Result<Response<DescribeServicesResponse>, Status> {
        let (context, request) = split(request);
        let UpdateServiceRequest { service, desired_count } = request;
        if service.is_empty() || desired_count > MOST_MEMBERS {
            return Err(invalid(DOMAIN, "a service needs a name, and at most 5000 tasks"));
        }
        let wished = self.services.wish(&context, &service, desired_count).await;
        wished.map_err(|status| server_error(DOMAIN, &status))?;
        self.describe(&context, &service).await
    }

    async fn describe_services(
        &self,
        request: Request<DescribeServicesRequest>,
    ) -> Result<Response<DescribeServicesResponse>, Status> {
        let (context, request) = split(request);
        self.describe(&context, &request.service).await
    }
}

impl Desk {
    async fn describe(
        &self,
        context: &Context,
        service: &str,
    ) -> Result<Response<DescribeServicesResponse>, Status> {
        let found = self.services.find(context, service).await;
        match found.map_err(|status| server_error(DOMAIN, &status))? {
            Some(group) => Ok(Response::new(described(group))),
            None => {
                let message = format!("there is no service {service}");
                Err(api_error(Code::NotFound, DOMAIN, "ServiceNotFoundException", message))
            }
        }
    }
}
