//! NLB as those of the provider's own services use it whose instances stand behind a load balancer.

use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{StartError, World};
use eastfall_proto::nlb::*;
use tonic::Status;

use super::health::HealthParams;
use crate::settings::callee_of_kind_if_any;

/// NLB's control API. Cheap to clone.
#[derive(Clone)]
pub struct NlbClient {
    client: Client,
}

impl NlbClient {
    /// NLB's control API through a client of it.
    pub fn new(client: Client) -> NlbClient {
        NlbClient { client }
    }

    /// The one control API that this world's service calls, if it calls one.
    ///
    /// # Errors
    /// If it calls several.
    pub fn of(world: &World) -> Result<Option<NlbClient>, StartError> {
        let Some(health) = callee_of_kind_if_any(world, HealthParams::SCHEMA.name)? else { return Ok(None) };
        Ok(Some(NlbClient::new(world.dial(&health)?)))
    }

    /// Brings instances into service behind a load balancer; they get connections once their checks have passed.
    ///
    /// # Errors
    /// As NLB answers: LoadBalancerNotFound, InvalidTarget.
    pub async fn register(&self, load_balancer: &str, instance_ids: Vec<String>) -> Result<(), Status> {
        let request = RegisterTargetsRequest { load_balancer: load_balancer.to_owned(), instance_ids };
        self.client.call(&nlb_api::REGISTER_TARGETS, request).await.map(drop)
    }

    /// Takes instances out of service.
    ///
    /// # Errors
    /// As NLB answers: LoadBalancerNotFound.
    pub async fn deregister(&self, load_balancer: &str, instance_ids: Vec<String>) -> Result<(), Status> {
        let request = DeregisterTargetsRequest { load_balancer: load_balancer.to_owned(), instance_ids };
        self.client.call(&nlb_api::DEREGISTER_TARGETS, request).await.map(drop)
    }

    /// What the checks last found of a load balancer's targets.
    ///
    /// # Errors
    /// As NLB answers: LoadBalancerNotFound.
    pub async fn health(&self, load_balancer: &str) -> Result<Vec<TargetHealth>, Status> {
        let request = DescribeTargetHealthRequest { load_balancer: load_balancer.to_owned() };
        Ok(self.client.call(&nlb_api::DESCRIBE_TARGET_HEALTH, request).await?.targets)
    }
}
