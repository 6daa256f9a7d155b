//! Fargate as those of the provider's own services use it that run tasks.

use eastfall_fabric::call::Context;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{StartError, World};
use eastfall_proto::containers::*;
use eastfall_proto::error::reason;
use eastfall_topology::Moment;
use tonic::Status;

use super::fargate::FargateParams;
use super::{NO_CAPACITY, no_capacity};
use crate::groups::host_of;
use crate::settings::{callee_of_kind, instance_count};

/// Fargate's hosts. Cheap enough to make once a service.
pub(crate) struct FargateClient {
    hosts: Vec<Client>,
}

/// What a task runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// The instance of EC2.
    pub(crate) instance: String,
    /// The host of Fargate that gave it.
    pub(crate) host: usize,
}

impl FargateClient {
    /// The one Fargate that this world's service calls.
    ///
    /// # Errors
    /// If the service calls none, or several.
    pub(crate) fn of(world: &World) -> Result<FargateClient, StartError> {
        let service = callee_of_kind(world, FargateParams::SCHEMA.name)?;
        let hosts = (0..instance_count(world, &service)).map(|host| world.dial_instance(&service, host));
        Ok(FargateClient { hosts: hosts.collect::<Result<_, _>>()? })
    }

    /// An instance for a task, from the host that is the task's or any other that has one.
    ///
    /// # Errors
    /// 'Capacity is unavailable at this time' if no host has one; else as the last host failed.
    pub(crate) async fn acquire(
        &self,
        context: &Context,
        task: &str,
        until: Option<Moment>,
    ) -> Result<Placement, Status> {
        let first = host_of(task, self.hosts.len());
        let mut failed = None;
        for offset in 0..self.hosts.len() {
            let host = (first + offset) % self.hosts.len();
            let request =
                AcquireInstanceRequest { task_id: task.to_owned(), until: until.map_or(0, Moment::as_nanos) };
            match self.hosts[host].within(context).call(&fargate_api::ACQUIRE_INSTANCE, request).await {
                Ok(answer) => return Ok(Placement { instance: answer.instance_id, host }),
                Err(status) if reason(&status).as_deref() == Some(NO_CAPACITY) => {}
                Err(status) => failed = Some(status),
            }
        }
        Err(failed.unwrap_or_else(no_capacity))
    }

    /// Gives the instance of a task back; it is terminated.
    ///
    /// # Errors
    /// As the host fails.
    pub(crate) async fn release(&self, context: &Context, task: &str, host: usize) -> Result<(), Status> {
        let Some(client) = self.hosts.get(host) else { return Ok(()) };
        let request = ReleaseInstanceRequest { task_id: task.to_owned() };
        client.within(context).call(&fargate_api::RELEASE_INSTANCE, request).await.map(drop)
    }
}
