//! Kind `dns-enactor`: takes the newest plan and makes it so, endpoint by endpoint, pass after pass.
//!
//! Three of them, one an availability zone, do the same work and don't talk to each other: any of them may die. Each
//! pass: take the newest plan, check **once** that it is not older than what is applied, visit every endpoint
//! ([`super::visit`]), wait until the changes have reached every name server, and only then delete what is too old
//! ([`super::sweep`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use eastfall_fabric::Span;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::dns_automation::{
    DeletePlanRequest, EndpointPlan, GetPlanRequest, ListPlansRequest, Plan, plans_api,
};
use eastfall_topology::params;
use futures_util::future::join_all;
use rand::RngExt as _;
use tonic::Status;

use super::names::{Applied, control_text, list_control};
use super::records::{BackOff, Records};
use super::step::Blocked;
use super::sweep::Sweep;
use super::visit::{Manner, Outcome, Visit};
use crate::settings::Settings;

params! {
    /// An Enactor of DynamoDB's DNS.
    pub struct EnactorParams for "dns-enactor" {
        /// The Planner; needs `calls` to it.
        planner: String = "dns-planner";
        /// The record store; needs `calls` to it. An attempt's time-out should be longer than any delay it is to survive.
        record_store: String = "route53";
        /// How often the Planner is asked for a newer plan, and the record store whether changes are in sync
        /// (assumption).
        poll: Span = "1s", range "10ms"..="1m";
        /// How long a lock is its holder's at most; then others may take it (inferred: a dead holder must not block for
        /// ever). Longer than any healthy visit.
        lock_lease: Span = "30s", range "1s"..="1h";
        /// Pause after losing the lock once (assumption); twice as long each time in a row.
        back_off_base: Span = "250ms", range "1ms"..="10m";
        /// Longest pause (assumption): short, so that whoever was delayed has the lock seconds after the delay ends.
        back_off_max: Span = "2s", range "1ms"..="1h";
        /// Pause after a pass that could not be completed (assumption).
        retry_delay: Span = "5s", range "10ms"..="1h";
        /// Longest pause after passes that the record store refuses, each twice as long as the one before (assumption:
        /// who is stuck asks again, but not as if it were new).
        retry_delay_max: Span = "1m", range "10ms"..="1h";
        /// Generations kept for rollback; older ones are deleted after a pass. Published: 'many generations older';
        /// 10 (inferred) is two minutes, which no healthy Enactor falls behind, and a third of what the delayed one did.
        keep_generations: u64 = 10, range 1..=1000000;
        /// How long the absence of an address may be believed: the zones' SOA. Published: clients recovered up to
        /// 15 minutes after the record did.
        negative_ttl: Span = "15m", range "0s"..="1d";
        /// Repair: the record store refuses to move the root to a plan older than one it has been moved to before.
        compare_and_set_generation: bool = false;
        /// Repair: look under the lock, at every endpoint, whether the plan is still new.
        check_staleness_per_endpoint: bool = false;
        /// Repair: the cleaner never deletes a plan that the root or the rollback record points at.
        cleaner_spares_referenced: bool = false;
        /// Repair: install a plan although there is no current one to roll back to.
        tolerate_missing_plan: bool = false;
        /// The automation is off: no endpoint is visited and nothing is deleted.
        frozen: bool = false;
    }
}

impl EnactorParams {
    fn manner(&self) -> Manner {
        Manner {
            compare_and_set_generation: self.compare_and_set_generation,
            check_staleness: self.check_staleness_per_endpoint,
            tolerate_missing_plan: self.tolerate_missing_plan,
            rollback_to_own: false,
        }
    }
}

/// The kind `dns-enactor`.
pub fn kind() -> Kind {
    Kind { schema: EnactorParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let settings = Settings::<EnactorParams>::new(&world);
    let params = settings.get();
    let back_off = BackOff { base: params.back_off_base, max: params.back_off_max };
    let records = Records::new(&world, world.dial(&params.record_store)?, back_off, "back-off");
    let planner = world.dial(&params.planner)?;
    let enactor = Enactor {
        world: world.clone(),
        settings,
        records,
        planner,
        done: 0,
        zones: BTreeSet::new(),
        stuck: BTreeSet::new(),
    };
    world.spawn(enactor.run());
    Ok(())
}

struct Enactor {
    world: World,
    settings: Settings<EnactorParams>,
    records: Records,
    planner: Client,
    /// The last plan that it brought to its end.
    done: u64,
    /// Zones that are known to exist.
    zones: BTreeSet<String>,
    /// Endpoints that it can't handle now.
    stuck: BTreeSet<String>,
}

/// How a pass ended.
enum Pass {
    /// Everything is as the plan says.
    Complete,
    /// There was nothing to do.
    Idle,
    /// It broke off.
    Broken,
}

impl Enactor {
    async fn run(mut self) {
        // Instances don't start in the same instant.
        let first = self.world.rng("start").random_range(0.0..1.0);
        self.world.sleep(Span::from_secs(10).mul_f64(first)).await;
        let mut broken = 0;
        loop {
            let pass = self.pass().await;
            let params = self.params();
            broken = if matches!(pass, Ok(Pass::Broken)) { broken + 1 } else { 0 };
            match pass {
                Ok(Pass::Complete) => {}
                Ok(Pass::Idle) => self.world.sleep(params.poll).await,
                Ok(Pass::Broken) => {
                    let longest = params.retry_delay_max.max(params.retry_delay);
                    self.world.sleep(params.retry_delay.doubled(broken - 1, longest)).await;
                }
                Err(_) => self.world.sleep(params.retry_delay).await,
            }
        }
    }

    fn params(&self) -> Arc<EnactorParams> {
        self.settings.get()
    }

    /// One pass with the newest plan.
    async fn pass(&mut self) -> Result<Pass, Status> {
        if self.params().frozen {
            return Ok(Pass::Idle);
        }
        let plan = self
            .planner
            .call(&plans_api::GET_PLAN, GetPlanRequest::default())
            .await?
            .plan
            .unwrap_or_default();
        if plan.generation <= self.done || self.is_stale(&plan).await? {
            return Ok(Pass::Idle);
        }
        for endpoint in &plan.endpoints {
            // Asked anew before each: freezing takes effect within a pass.
            if self.params().frozen || !self.visit(plan.generation, endpoint).await? {
                return Ok(Pass::Broken);
            }
        }
        self.records.in_sync(self.params().poll).await;
        self.clean(&plan).await;
        self.done = plan.generation;
        Ok(Pass::Complete)
    }

    /// The check at the start of a pass, and nowhere else as built. An equal plan is not stale: to apply it again does no
    /// harm, and whoever began it may be dead.
    async fn is_stale(&mut self, plan: &Plan) -> Result<bool, Status> {
        let Some(first) = plan.endpoints.first() else { return Ok(true) };
        for endpoint in &plan.endpoints {
            if !self.zones.contains(&endpoint.endpoint) {
                self.records.ensure_zone(&endpoint.endpoint, self.params().negative_ttl).await?;
                self.zones.insert(endpoint.endpoint.clone());
            }
        }
        let records = self.records.list(list_control(&first.endpoint)).await?;
        let applied = control_text(&records, &first.endpoint, "applied").and_then(Applied::parse);
        Ok(applied.is_some_and(|applied| applied.generation > plan.generation))
    }

    /// Brings one endpoint to the plan. False if the record store refuses what it takes.
    async fn visit(&mut self, generation: u64, endpoint: &EndpointPlan) -> Result<bool, Status> {
        let params = self.params();
        let (world, me) = (self.world.clone(), self.world.instance().name.clone());
        let name = &endpoint.endpoint;
        let mut visit = Visit::new(&me, generation, endpoint.clone(), params.manner(), params.lock_lease);
        let outcome = self
            .records
            .perform(&mut visit, |visit, why| {
                say_lag(&world, generation, visit);
                if why == Blocked::Lost {
                    world.record().count("locks-lost", 1);
                    let fields = [("endpoint", name.clone()), ("generation", generation.to_string())];
                    world.record().event("dns.lock-lost", &fields);
                }
            })
            .await;
        say_lag(&world, generation, &visit);
        let sound = match outcome {
            Outcome::Applied => {
                if visit.seen().is_none_or(|seen| seen.generation != generation) {
                    self.say("dns.plan-applied", name, &[("generation", generation.to_string())]);
                }
                true
            }
            Outcome::Overtaken => {
                self.say("dns.plan-overtaken", name, &[("generation", generation.to_string())]);
                true
            }
            Outcome::Stuck(why) => {
                if self.stuck.insert(name.clone()) {
                    self.say("dns.stuck", name, &[("generation", generation.to_string()), ("reason", why)]);
                }
                false
            }
        };
        if sound {
            self.stuck.remove(name);
        }
        self.world.record().gauge("stuck", self.stuck.len() as f64);
        Ok(sound)
    }

    /// Deletes what is many generations older than the plan just applied: its trees in every zone, and the plans.
    async fn clean(&mut self, plan: &Plan) {
        let params = self.params();
        let below = plan.generation.saturating_sub(params.keep_generations);
        let me = self.world.instance().name.clone();
        let sweeps = plan.endpoints.iter().map(|endpoint| {
            let mut records = self.records.clone();
            let mut sweep = Sweep::new(&me, &endpoint.endpoint, below, params.cleaner_spares_referenced);
            async move { (&endpoint.endpoint, records.perform(&mut sweep, |_, _| {}).await) }
        });
        for (endpoint, deleted) in join_all(sweeps).await {
            for generation in deleted {
                self.say("dns.plan-deleted", endpoint, &[("generation", generation.to_string())]);
            }
        }
        // What can't be deleted now, the next pass will.
        let plans = self.planner.call(&plans_api::LIST_PLANS, ListPlansRequest {}).await;
        for generation in plans.map(|plans| plans.generations).unwrap_or_default() {
            if generation < below {
                let _ = self.planner.call(&plans_api::DELETE_PLAN, DeletePlanRequest { generation }).await;
            }
        }
    }

    fn say(&self, kind: &str, endpoint: &str, fields: &[(&str, String)]) {
        let who = [("endpoint", endpoint.to_owned()), ("enactor", self.world.instance().name.clone())];
        self.world.record().event(kind, &[&who, fields].concat());
    }
}

/// Says by how many generations what is being installed is older than what was in use.
fn say_lag(world: &World, generation: u64, visit: &Visit) {
    let newest = visit.seen().map_or(generation, |seen| seen.generation);
    world.record().gauge_max("generation-lag", newest.saturating_sub(generation) as f64);
}
