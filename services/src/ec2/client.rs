//! EC2 as those of the provider's own services use it that run on instances.

use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{StartError, World};
use eastfall_proto::ec2::*;
use tonic::{Code, Status};

use super::api::ApiParams;
use crate::settings::callee_of_kind;

/// EC2's public API for one owner of instances. Cheap to clone.
#[derive(Clone)]
pub struct Ec2Client {
    client: Client,
    owner: String,
}

impl Ec2Client {
    /// The one EC2 API that this world's service calls; its instances belong to the service.
    ///
    /// # Errors
    /// If the service calls none, or several.
    pub fn of(world: &World) -> Result<Ec2Client, StartError> {
        let client = world.dial(&callee_of_kind(world, ApiParams::SCHEMA.name)?)?;
        Ok(Ec2Client { client, owner: world.instance().service.clone() })
    }

    /// Launches one instance, in a zone or (`None`) wherever there is room. A token, new for each wish, keeps retries
    /// beneath from launching twice.
    ///
    /// # Errors
    /// As EC2 answers: InsufficientInstanceCapacity, RequestLimitExceeded, InternalError.
    pub async fn launch(&self, zone: Option<&str>, token: &str) -> Result<Instance, Status> {
        let request = RunInstancesRequest {
            count: 1,
            availability_zone: zone.unwrap_or_default().to_owned(),
            owner: self.owner.clone(),
            client_token: token.to_owned(),
        };
        let answer = self.client.call(&ec2_api::RUN_INSTANCES, request).await?;
        answer.instances.into_iter().next().ok_or_else(|| Status::internal("EC2 answered with no instance"))
    }

    /// Has an instance terminated, now or when its droplet has a lease again. One that nobody knows any more has been.
    ///
    /// # Errors
    /// As EC2 answers.
    pub async fn terminate(&self, id: &str) -> Result<(), Status> {
        let request = TerminateInstancesRequest { instance_ids: vec![id.to_owned()] };
        match self.client.call(&ec2_api::TERMINATE_INSTANCES, request).await {
            Err(status) if status.code() != Code::NotFound => Err(status),
            _ => Ok(()),
        }
    }

    /// What is known of instances: their state, and whether the network knows the way to them.
    ///
    /// # Errors
    /// As EC2 answers.
    pub async fn describe(&self, ids: Vec<String>) -> Result<Vec<Instance>, Status> {
        let request = DescribeInstancesRequest { instance_ids: ids };
        Ok(self.client.call(&ec2_api::DESCRIBE_INSTANCES, request).await?.instances)
    }
}
