//! The tasks of environments, on Fargate.

use eastfall_fabric::call::Context;
use eastfall_fabric::world::{StartError, World};
use tonic::Status;

use crate::containers::client::FargateClient;
use crate::groups::Members;

/// Tasks on Fargate. A member's name holds the host that gave its instance, so nothing else is to be kept of it.
pub(super) struct Workers {
    fargate: FargateClient,
}

impl Workers {
    pub(super) fn of(world: &World) -> Result<Workers, StartError> {
        Ok(Workers { fargate: FargateClient::of(world)? })
    }
}

#[async_trait::async_trait]
impl Members for Workers {
    async fn start(&self, wish: &str) -> Result<String, Status> {
        let task = format!("mwaa/{wish}");
        let placement = self.fargate.acquire(&Context::default(), &task, None).await?;
        Ok(format!("{}@{task}", placement.host))
    }

    async fn stop(&self, member: &str) -> Result<(), Status> {
        let (host, task) = member.split_once('@').unwrap_or(("0", member));
        self.fargate.release(&Context::default(), task, host.parse().unwrap_or(0)).await
    }
}
