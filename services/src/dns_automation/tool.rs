//! Kind `dns-tool`: what operators do by hand when the automation can't.
//!
//! It installs the newest plan at an endpoint with a rollback record that points at the tree it has just built, so it
//! needs neither a working Enactor nor a plan that is in use.

use std::sync::Arc;

use eastfall_fabric::Span;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::dns_automation::operators_server::Operators;
use eastfall_proto::dns_automation::{
    GetPlanRequest, InstallRecordTreeRequest, InstallRecordTreeResponse, operators_api, plans_api,
};
use eastfall_proto::error::api_error;
use eastfall_topology::params;
use tonic::{Code, Request, Response, Status};

use super::DOMAIN;
use super::records::{BackOff, Records};
use super::visit::{Manner, Outcome, Visit};

params! {
    /// The operators' tool for DynamoDB's DNS.
    pub struct ToolParams for "dns-tool" {
        /// The Planner; needs `calls` to it.
        planner: String = "dns-planner";
        /// The record store; needs `calls` to it.
        record_store: String = "route53";
        /// How long it holds an endpoint's lock at most (assumption: as the Enactors).
        lock_lease: Span = "30s", range "1s"..="1h";
        /// The negative TTL of zones that it has to make.
        negative_ttl: Span = "15m", range "0s"..="1d";
    }
}

/// The kind `dns-tool`.
pub fn kind() -> Kind {
    Kind { schema: ToolParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let params = world.params::<ToolParams>();
    // It waits for locks as the Enactors do, but a person is waiting for it.
    let back_off = BackOff { base: Span::from_millis(100), max: Span::from_secs(1) };
    let records = Records::new(&world, world.dial(&params.record_store)?, back_off, "back-off");
    let tool = Arc::new(Tool { world: world.clone(), planner: world.dial(&params.planner)?, records });
    world.serve(vec![(&operators_api::API, operators_api::handler(tool))]).await
}

struct Tool {
    world: World,
    planner: Client,
    records: Records,
}

#[async_trait::async_trait]
impl Operators for Tool {
    async fn install_record_tree(
        &self,
        request: Request<InstallRecordTreeRequest>,
    ) -> Result<Response<InstallRecordTreeResponse>, Status> {
        let wanted = request.into_inner().endpoint;
        let plan = self
            .planner
            .call(&plans_api::GET_PLAN, GetPlanRequest::default())
            .await?
            .plan
            .unwrap_or_default();
        let chosen = plan.endpoints.into_iter().filter(|plan| wanted.is_empty() || plan.endpoint == wanted);
        let (params, me) = (self.world.params::<ToolParams>(), &self.world.instance().name);
        let manner = Manner { rollback_to_own: true, ..Manner::default() };
        let mut endpoints = Vec::new();
        let mut records = self.records.clone();
        for endpoint in chosen {
            let name = endpoint.endpoint.clone();
            records.ensure_zone(&name, params.negative_ttl).await?;
            let mut visit = Visit::new(me, plan.generation, endpoint, manner.clone(), params.lock_lease);
            if let Outcome::Stuck(why) = records.perform(&mut visit, |_, _| {}).await {
                return Err(api_error(Code::FailedPrecondition, DOMAIN, "RecordStoreRefused", why));
            }
            let fields = [("endpoint", name.clone()), ("generation", plan.generation.to_string())];
            self.world.record().event("dns.tree-installed", &fields);
            endpoints.push(name);
        }
        if endpoints.is_empty() {
            let why = format!("the newest plan has no endpoint {wanted:?}");
            return Err(api_error(Code::NotFound, DOMAIN, "NoSuchEndpoint", why));
        }
        Ok(Response::new(InstallRecordTreeResponse { generation: plan.generation, endpoints }))
    }
}
