//! Kind `dns-planner`: watches the balancers and publishes a numbered plan for the whole region every so often.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::Span;
use eastfall_fabric::disk::Disk;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::dns_automation::plans_server::Plans;
use eastfall_proto::dns_automation::{
    DeletePlanRequest, DeletePlanResponse, GetPlanRequest, GetPlanResponse, ListPlansRequest,
    ListPlansResponse, Plan, plans_api,
};
use eastfall_proto::dynamodb::{ListTablesRequest, dynamo_db_api};
use eastfall_proto::error::api_error;
use eastfall_topology::params;
use futures_util::future::join_all;
use indexmap::IndexMap;
use prost::Message as _;
use rand::RngExt as _;
use tonic::{Code, Request, Response, Status};

use super::DOMAIN;
use super::plan::{Endpoint, Healthy, make};

params! {
    /// The Planner of DynamoDB's DNS.
    pub struct PlannerParams for "dns-planner" {
        /// The service whose balancers stand behind the endpoints; needs `calls` to it. Each of its addresses is one.
        balancers: String = "dynamodb";
        /// How often a plan is published (inferred: plan 110 and plan 145 are about eight minutes apart).
        plan_interval: Span = "13s", range "1s"..="1h";
        /// Number of the first plan. With 55, a run that begins 20 minutes before 23:48 has plan 110 at 23:40 and plan 145
        /// at 23:48, as published.
        first_plan: u64 = 55, range 1..=1000000000;
        /// A balancer that has not answered by then is left out of the plan (assumption).
        probe_timeout: Span = "2s", range "10ms"..="1m";
        /// The public regional endpoint: all balancers. It is last in every plan and so in every pass: who is slow with the
        /// others comes to it late (inferred).
        regional: String = "dynamodb.us-east-1.amazonaws.com";
        /// Dual-stack endpoints: A and AAAA records.
        dual_stack: Vec<String> = ["dynamodb.us-east-1.api.aws"];
        /// FIPS endpoints.
        fips: Vec<String> = ["dynamodb-fips.us-east-1.amazonaws.com"];
        /// Account-based endpoints (one stands for all; the real ones are one a customer).
        account_based: Vec<String> = ["111122223333.ddb.us-east-1.amazonaws.com"];
        /// Cell-based endpoints (inferred name).
        cell_based: Vec<String> = ["cell-1.ddb.us-east-1.amazonaws.com"];
        /// Share of the balancers behind the endpoints of a kind, 0 to 1 (assumption).
        shares: IndexMap<String, f64> = { dual-stack = 1.0, fips = 0.25, account-based = 0.5, cell-based = 0.25 };
        /// Capacities of the balancers by size, relative; the sizes alternate over the addresses. Published: capacities
        /// are mixed; which, is an assumption.
        sizes: IndexMap<String, f64> = { standard = 1.0, large = 2.0 };
    }
}

impl PlannerParams {
    /// The endpoints, the regional one last.
    fn endpoints(&self) -> Vec<Endpoint> {
        let share = |kind: &str| self.shares.get(kind).copied().unwrap_or(1.0);
        let regional = Endpoint { name: self.regional.clone(), dual_stack: false, share: 1.0 };
        let kinds = [
            ("dual-stack", &self.dual_stack),
            ("fips", &self.fips),
            ("account-based", &self.account_based),
            ("cell-based", &self.cell_based),
        ];
        let others = kinds.into_iter().flat_map(|(kind, names)| {
            names.iter().map(move |name| Endpoint {
                name: name.clone(),
                dual_stack: kind == "dual-stack",
                share: share(kind),
            })
        });
        others.chain(std::iter::once(regional)).collect()
    }
}

/// The kind `dns-planner`.
pub fn kind() -> Kind {
    Kind { schema: PlannerParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let planner = Arc::new(Planner::open(world.clone()).await?);
    world.serve(vec![(&plans_api::API, plans_api::handler(Arc::clone(&planner)))]).await?;
    world.clone().spawn(async move {
        loop {
            if let Err(error) = planner.publish().await {
                world.record().event("dns.plan-failed", &[("reason", error.to_string())]);
            }
            // Without any plan there are no names: at start the balancers may still be coming up.
            let any = !planner.plans().is_empty();
            world
                .sleep(if any { world.params::<PlannerParams>().plan_interval } else { FIRST_PLAN_RETRY })
                .await;
        }
    });
    Ok(())
}

/// Pause before trying again to make the very first plan (ours).
const FIRST_PLAN_RETRY: Span = Span::from_secs(1);

/// The plans, durable, and how new ones come about.
struct Planner {
    world: World,
    disk: Disk,
    plans: Mutex<BTreeMap<u64, Plan>>,
    names: Mutex<Rng>,
}

impl Planner {
    async fn open(world: World) -> Result<Self, StartError> {
        let disk = world.disk("plans").await?;
        let plans = disk.load()?.into_iter().map(|(_, plan)| Plan::decode(plan.as_slice()));
        let plans = plans.map(|plan| plan.map(|plan| (plan.generation, plan))).collect::<Result<_, _>>();
        let plans = Mutex::new(plans.map_err(|error| format!("a plan on the disk can't be read: {error}"))?);
        // A new stream each time, so that a Planner that was killed does not use names again.
        let names = Mutex::new(world.rng(&format!("names of plans since {}", world.now().as_nanos())));
        Ok(Planner { world, disk, plans, names })
    }

    fn plans(&self) -> MutexGuard<'_, BTreeMap<u64, Plan>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the balancers and publishes the next plan. If none of them is healthy there is no new plan: the last one
    /// is better than an empty one (inferred).
    async fn publish(&self) -> Result<(), StartError> {
        let params = self.world.params::<PlannerParams>();
        let healthy = self.healthy(&params).await?;
        if healthy.is_empty() {
            return Err(format!("no address of {} answers", params.balancers).into());
        }
        let generation = self.plans().last_key_value().map_or(params.first_plan, |(newest, _)| newest + 1);
        let plan = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            make(generation, &params.endpoints(), &healthy, &mut || uuid(&mut names))
        };
        self.disk.commit(vec![(generation.to_be_bytes().to_vec(), Some(plan.encode_to_vec()))]).await?;
        self.plans().insert(generation, plan);
        self.world.record().gauge("generation", generation as f64);
        Ok(())
    }

    /// The balancers that answer, with their capacities.
    async fn healthy(&self, params: &PlannerParams) -> Result<Vec<Healthy>, StartError> {
        let directory = &self.world.region().directory;
        let instances = directory.instances_of(&params.balancers);
        let clients: Vec<_> = (0..instances.len())
            .map(|index| self.world.dial_instance(&params.balancers, index))
            .collect::<Result<_, _>>()?;
        let probes = clients.iter().map(|client| async {
            let probe = client.call(&dynamo_db_api::LIST_TABLES, ListTablesRequest::default());
            // Any answer will do, also a refusal.
            match self.world.clock().timeout(params.probe_timeout, probe).await {
                Ok(Ok(_)) => true,
                Ok(Err(status)) => !matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded),
                Err(_) => false,
            }
        });
        let answers = join_all(probes).await;
        let addresses = instances.iter().zip(answers).flat_map(|(instance, answers)| {
            directory.of_instance(instance).iter().map(move |address| (*address, answers))
        });
        let sizes: Vec<f64> = params.sizes.values().copied().collect();
        let sized = |(number, (address, answers)): (usize, (Ipv4Addr, bool))| {
            let capacity = sizes.get(number % sizes.len().max(1)).copied().unwrap_or(1.0);
            answers.then_some(Healthy { address, capacity })
        };
        Ok(addresses.enumerate().filter_map(sized).collect())
    }
}

#[async_trait::async_trait]
impl Plans for Planner {
    async fn get_plan(&self, request: Request<GetPlanRequest>) -> Result<Response<GetPlanResponse>, Status> {
        let generation = request.into_inner().generation;
        let plans = self.plans();
        let plan = if generation == 0 { plans.values().next_back() } else { plans.get(&generation) };
        match plan.cloned() {
            plan @ Some(_) => Ok(Response::new(GetPlanResponse { plan })),
            None => {
                Err(api_error(Code::NotFound, DOMAIN, "NoSuchPlan", format!("there is no plan {generation}")))
            }
        }
    }

    async fn list_plans(&self, _: Request<ListPlansRequest>) -> Result<Response<ListPlansResponse>, Status> {
        let generations = self.plans().keys().copied().collect();
        Ok(Response::new(ListPlansResponse { generations }))
    }

    async fn delete_plan(
        &self,
        request: Request<DeletePlanRequest>,
    ) -> Result<Response<DeletePlanResponse>, Status> {
        let generation = request.into_inner().generation;
        if self.plans().last_key_value().is_some_and(|(newest, _)| *newest == generation) {
            let why = format!("plan {generation} is the newest one");
            return Err(api_error(Code::FailedPrecondition, DOMAIN, "PlanInUse", why));
        }
        let key = generation.to_be_bytes().to_vec();
        self.disk.commit(vec![(key, None)]).await.map_err(|error| Status::internal(error.to_string()))?;
        self.plans().remove(&generation);
        Ok(Response::new(DeletePlanResponse {}))
    }
}

/// A random UUID (version 4).
fn uuid(rng: &mut Rng) -> String {
    let bits = rng.random::<u128>() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
