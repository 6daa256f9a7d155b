//! Kind `eks`: node groups of Kubernetes clusters, whose nodes are instances of EC2.
//!
//! A node counts when it has joined its cluster, and it joins when the network knows the way to it: an instance that
//! launches and can't be reached is given up after a while and launched anew, as load that helps nobody.

use std::sync::Arc;

use eastfall_fabric::call::Context;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::containers::eks_server::Eks;
use eastfall_proto::containers::*;
use eastfall_proto::error::api_error;
use eastfall_topology::Span;
use tonic::{Code, Request, Response, Status};

use super::ecs::MOST_MEMBERS;
use super::{invalid, server_error};
use crate::ec2::client::Ec2Client;
use crate::groups::{Group, Groups, Members, Pace};
use crate::settings::{Settings, split};

eastfall_topology::params! {
    /// EKS's API for node groups, and what keeps them at their size.
    pub struct EksParams for "eks" offers ["CreateNodegroup", "UpdateNodegroupConfig", "DescribeNodegroup"] {
        /// How often node groups are compared with what they shall be (assumption).
        every: Span = "30s", range "1s"..="1h";
        /// Nodes that an instance of EKS launches or terminates in a round at most (assumption).
        changes_at_once: u32 = 2, range 1..=10000, scaled by load;
        /// How long a launched node may take to join before it is given up (published for the real one: 15 minutes; less
        /// here, since a round waits for it).
        join_within: Span = "5m", range "1s"..="1h";
        /// How often it is asked whether the node can be reached (assumption).
        join_check: Span = "20s", range "1s"..="1h";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: EksParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// The domain of EKS's error names.
const DOMAIN: &str = "eks.amazonaws.com";

async fn start(world: World) -> Result<(), StartError> {
    let settings = Arc::new(Settings::<EksParams>::new(&world));
    let groups = Arc::new(Groups::of(&world, "eks")?);
    let nodes = Nodes { world: world.clone(), ec2: Ec2Client::of(&world)?, settings: Arc::clone(&settings) };
    let keeper = Arc::clone(&groups);
    world.spawn(async move {
        let pace = || {
            let settings = settings.get();
            Pace { every: settings.every, at_once: settings.changes_at_once }
        };
        keeper.keep(&nodes, pace).await;
    });
    world.serve(vec![(&eks_api::API, eks_api::handler(Arc::new(Desk { groups })))]).await
}

/// Nodes on EC2.
struct Nodes {
    world: World,
    ec2: Ec2Client,
    settings: Arc<Settings<EksParams>>,
}

#[async_trait::async_trait]
impl Members for Nodes {
    async fn start(&self, wish: &str) -> Result<String, Status> {
        let launched = self.ec2.launch(None, wish).await?;
        let id = launched.instance_id;
        let end = self.world.now() + self.settings.get().join_within;
        let mut reachable = launched.reachable;
        while !reachable && self.world.now() < end {
            self.world.sleep(self.settings.get().join_check).await;
            let found = self.ec2.describe(vec![id.clone()]).await;
            reachable = found.is_ok_and(|found| found.iter().any(|instance| instance.reachable));
        }
        if !reachable {
            self.world.record().event("NodeCreationFailure", &[("instance", id.clone())]);
            self.ec2.terminate(&id).await?;
            return Err(Status::unavailable(format!("instance {id} failed to join the cluster")));
        }
        Ok(id)
    }

    async fn stop(&self, member: &str) -> Result<(), Status> {
        self.ec2.terminate(member).await
    }
}

struct Desk {
    groups: Arc<Groups>,
}

fn described(group: Group) -> DescribeNodegroupResponse {
    let active = group.desired == group.members;
    let status = if active { NodegroupStatus::Active } else { NodegroupStatus::Updating };
    DescribeNodegroupResponse {
        nodegroup: group.name,
        status: status as i32,
        desired_size: group.desired,
        nodes: group.members,
    }
}

impl Desk {
    async fn find(&self, context: &Context, name: &str) -> Result<Option<Group>, Status> {
        self.groups.find(context, name).await.map_err(|status| server_error(DOMAIN, &status))
    }

    async fn existing(&self, context: &Context, name: &str) -> Result<Group, Status> {
        self.find(context, name).await?.ok_or_else(|| {
            let message = format!("no node group found for name: {name}");
            api_error(Code::NotFound, DOMAIN, "ResourceNotFoundException", message)
        })
    }

    async fn wish(
        &self,
        context: &Context,
        name: &str,
        desired: u32,
    ) -> Result<Response<DescribeNodegroupResponse>, Status> {
        if name.is_empty() || desired > MOST_MEMBERS {
            return Err(invalid(DOMAIN, "a node group needs a name, and at most 5000 nodes"));
        }
        let wished = self.groups.wish(context, name, desired).await;
        wished.map_err(|status| server_error(DOMAIN, &status))?;
        Ok(Response::new(described(self.existing(context, name).await?)))
    }
}

#[async_trait::async_trait]
impl Eks for Desk {
    async fn create_nodegroup(
        &self,
        request: Request<CreateNodegroupRequest>,
    ) -> Result<Response<DescribeNodegroupResponse>, Status> {
        let (context, request) = split(request);
        if self.find(&context, &request.nodegroup).await?.is_some() {
            let message = format!("node group {} exists already", request.nodegroup);
            return Err(api_error(Code::AlreadyExists, DOMAIN, "ResourceInUseException", message));
        }
        self.wish(&context, &request.nodegroup, request.desired_size).await
    }

    async fn update_nodegroup_config(
        &self,
        request: Request<UpdateNodegroupConfigRequest>,
    ) -> Result<Response<DescribeNodegroupResponse>, Status> {
        let (context, request) = split(request);
        self.existing(&context, &request.nodegroup).await?;
        self.wish(&context, &request.nodegroup, request.desired_size).await
    }

    async fn describe_nodegroup(
        &self,
        request: Request<DescribeNodegroupRequest>,
    ) -> Result<Response<DescribeNodegroupResponse>, Status> {
        let (context, request) = split(request);
        Ok(Response::new(described(self.existing(&context, &request.nodegroup).await?)))
    }
}
