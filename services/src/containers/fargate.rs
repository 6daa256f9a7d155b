//! Kind `fargate`: a pool of warm instances, one for each task to come.
//!
//! A task runs on an instance that nobody had before it and nobody gets after it (published: single use, single tenant).
//! Launching one takes time, so some are kept ready. The pool hides launches that are slow; launches that fail it hides
//! for as long as it lasts, and then every start fails until launches work again and the pool has been filled.
//! An instance that the network knows no way to is of no use to a task: it waits until it is reachable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::containers::fargate_server::Fargate;
use eastfall_proto::containers::*;
use eastfall_topology::{Moment, Span};
use futures_util::future::join_all;
use rand::RngExt as _;
use tonic::{Request, Response, Status};

use super::{DOMAIN, no_capacity, server_error};
use crate::dynamodb::value::{Item, item, number, parsed, string, text};
use crate::ec2::client::Ec2Client;
use crate::settings::{Settings, instance_count, split};
use crate::tables::Tables;

mod pool;

use pool::{Pool, Used};

eastfall_topology::params! {
    /// Fargate's instances for tasks.
    pub struct FargateParams for "fargate" {
        /// Warm instances, of all hosts together (assumption: the starts of some five minutes; the real pool's size is not
        /// published). With none, a start waits for nothing and fails.
        pool: u32 = 20, range 0..=100000, scaled by load;
        /// How often a host looks after its pool: ends what has ended, launches what is missing, asks whether what was
        /// launched is reachable (assumption).
        every: Span = "15s", range "1s"..="1h";
        /// Launches that a host makes at most in a round (assumption: enough for a day's peak several times over).
        launches_at_once: u32 = 2, range 1..=1000, scaled by load;
        /// How long a host waits after a round whose launches failed; doubled with each further one, with jitter
        /// (inferred: the provider's own clients back off from the throttle).
        back_off: Span = "30s", range "1s"..="1h";
        /// The longest such wait (inferred: with the throttle off at 13:00 and EC2 normal at 13:50, containers were
        /// normal at 14:20).
        longest_back_off: Span = "10m", range "1s"..="1d";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: FargateParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// Instances by host: what for, and until when.
const INSTANCES: &str = "fargate-instances";

async fn start(world: World) -> Result<(), StartError> {
    let host = Arc::new(Host {
        own: world.instance().index.to_string(),
        tables: Tables::of(&world)?,
        ec2: Ec2Client::of(&world)?,
        settings: Settings::new(&world),
        pool: Mutex::default(),
        luck: Mutex::new(world.rng("back-off")),
        world: world.clone(),
    });
    for name in ["starts-ok", "starts-refused", "launches-failed"] {
        world.record().count(name, 0);
    }
    world.spawn(Arc::clone(&host).look_after());
    world.serve(vec![(&fargate_api::API, fargate_api::handler(host))]).await
}

struct Host {
    world: World,
    own: String,
    settings: Settings<FargateParams>,
    tables: Tables,
    ec2: Ec2Client,
    pool: Mutex<Pool>,
    luck: Mutex<Rng>,
}

impl Host {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // === What requests do ===

    async fn acquire(&self, context: &Context, request: AcquireInstanceRequest) -> Result<String, Status> {
        let AcquireInstanceRequest { task_id, until } = request;
        let Some(instance) = self.pool().take(&task_id) else {
            self.world.record().count("starts-refused", 1);
            return Err(no_capacity());
        };
        let used = Used { instance: instance.clone(), until: (until > 0).then(|| Moment::from_nanos(until)) };
        // Nobody may run on what is not written down: it would be given away again after a restart.
        let written = self.tables.within(context).put(INSTANCES, self.used_item(&task_id, &used)).await;
        match written {
            Ok(()) => {
                self.world.record().count("starts-ok", 1);
                self.pool().used.insert(task_id, used);
                Ok(instance)
            }
            Err(status) => {
                self.pool().warm.push_front(instance);
                Err(server_error(DOMAIN, &status))
            }
        }
    }

    async fn release(&self, context: &Context, task: &str) -> Result<(), Status> {
        let Some(mut used) = self.pool().used.get(task).cloned() else { return Ok(()) };
        used.until = Some(self.world.now());
        let written = self.tables.within(context).put(INSTANCES, self.used_item(task, &used)).await;
        written.map_err(|status| server_error(DOMAIN, &status))?;
        self.pool().used.insert(task.to_owned(), used);
        Ok(())
    }

    // === What is done round by round ===

    async fn look_after(self: Arc<Self>) {
        self.tables.prepare(&self.world, &["fargate-instances(host,instance)"]).await;
        while let Err(status) = self.remember().await {
            let reason = status.message().to_owned();
            self.world.record().event("pool-not-known", &[("reason", reason)]);
            self.world.sleep(self.settings.get().every).await;
        }
        let (mut failures, mut launch_from) = (0, Moment::START);
        loop {
            self.end_what_has_ended().await;
            self.ask_who_is_reachable().await;
            if self.world.now() >= launch_from {
                failures = if self.refill().await { 0 } else { failures + 1 };
                launch_from = self.world.now() + self.wait_after(failures);
            }
            self.pool().record(self.world.record());
            self.world.sleep(self.settings.get().every).await;
        }
    }

    /// What a host that was restarted had before.
    async fn remember(&self) -> Result<(), Status> {
        let found = self.tables.all_of(INSTANCES, &self.own).await?;
        let mut pool = self.pool();
        for row in &found {
            let Some(instance) = text(row, "instance").map(str::to_owned) else { continue };
            match text(row, "task") {
                Some(task) => {
                    let until = parsed(row, "until").map(Moment::from_nanos);
                    pool.used.insert(task.to_owned(), Used { instance, until });
                }
                None => pool.coming.push(instance),
            }
        }
        Ok(())
    }

    async fn end_what_has_ended(&self) {
        let ended = self.pool().ended(self.world.now());
        let ends = ended.iter().map(|(task, instance)| self.end(task, instance));
        join_all(ends).await;
    }

    async fn end(&self, task: &str, instance: &str) {
        // What fails is tried again in the next round.
        if self.ec2.terminate(instance).await.is_ok()
            && self.tables.delete(INSTANCES, self.row_key(instance)).await.is_ok()
        {
            self.pool().used.remove(task);
        }
    }

    async fn ask_who_is_reachable(&self) {
        let coming = self.pool().coming.clone();
        if coming.is_empty() {
            return;
        }
        if let Ok(found) = self.ec2.describe(coming).await {
            let mut pool = self.pool();
            for instance in found.into_iter().filter(|instance| instance.reachable) {
                pool.arrived(instance.instance_id);
            }
        }
    }

    /// Launches what is missing, as far as a round goes; false if one of the launches failed.
    async fn refill(&self) -> bool {
        let settings = self.settings.get();
        let hosts = instance_count(&self.world, &self.world.instance().service);
        let share = (settings.pool as usize).div_ceil(hosts.max(1));
        let missing = self.pool().missing(share).min(settings.launches_at_once as usize);
        let now = self.world.now().as_nanos();
        let launches = (0..missing).map(|number| self.launch(format!("{}/{now}/{number}", self.own)));
        let failed = join_all(launches).await.into_iter().filter(Result::is_err).count();
        self.world.record().count("launches-failed", failed as u64);
        failed == 0
    }

    async fn launch(&self, token: String) -> Result<(), Status> {
        let launched = self.ec2.launch(None, &token).await?;
        let id = launched.instance_id;
        if let Err(status) = self.tables.put(INSTANCES, self.row_key(&id)).await {
            // It would be nobody's after a restart.
            let _ = self.ec2.terminate(&id).await;
            return Err(status);
        }
        let mut pool = self.pool();
        pool.coming.push(id.clone());
        if launched.reachable {
            pool.arrived(id);
        }
        Ok(())
    }

    fn wait_after(&self, failures: u32) -> Span {
        if failures == 0 {
            return Span::ZERO;
        }
        let settings = self.settings.get();
        let longest = settings.longest_back_off.max(settings.back_off);
        let wait = settings.back_off.doubled(failures - 1, longest);
        let mut luck = self.luck.lock().unwrap_or_else(PoisonError::into_inner);
        wait.mul_f64(0.5 + luck.random::<f64>() / 2.0)
    }

    // === Rows ===

    fn row_key(&self, instance: &str) -> Item {
        item([("host", string(&self.own)), ("instance", string(instance))])
    }

    fn used_item(&self, task: &str, used: &Used) -> Item {
        let mut row = self.row_key(&used.instance);
        row.insert("task".to_owned(), string(task));
        if let Some(until) = used.until {
            row.insert("until".to_owned(), number(until.as_nanos()));
        }
        row
    }
}

#[async_trait::async_trait]
impl Fargate for Host {
    async fn acquire_instance(
        &self,
        request: Request<AcquireInstanceRequest>,
    ) -> Result<Response<AcquireInstanceResponse>, Status> {
        let (context, request) = split(request);
        let instance_id = self.acquire(&context, request).await?;
        Ok(Response::new(AcquireInstanceResponse { instance_id }))
    }

    async fn release_instance(
        &self,
        request: Request<ReleaseInstanceRequest>,
    ) -> Result<Response<ReleaseInstanceResponse>, Status> {
        let (context, request) = split(request);
        self.release(&context, &request.task_id).await?;
        Ok(Response::new(ReleaseInstanceResponse {}))
    }
}
