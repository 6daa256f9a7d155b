//! Kind `redshift`: the front end of a region, for queries and for changes of clusters.
//!
//! Every query reads its cluster's metadata and writes to it. A query with IAM credentials needs its user's groups first:
//! **the defect** is that these are asked of IAM in the one region that is written in, from every region, although each has
//! a copy at home. Users of the databases themselves ask nobody.

use std::sync::Arc;

use eastfall_fabric::call::Context;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::dynamodb::Comparator;
use eastfall_proto::error::{api_error, reason};
use eastfall_proto::iam::{ListGroupsForUserRequest, iam_api};
use eastfall_proto::redshift::execute_statement_request::Credentials;
use eastfall_proto::redshift::redshift_server::Redshift;
use eastfall_proto::redshift::*;
use eastfall_topology::{Span, words};
use tonic::{Code, Request, Response, Status};

use super::clusters::ClustersParams;
use super::{
    AVAILABLE, CLUSTER_KEY, CLUSTER_UNAVAILABLE, CLUSTERS, DOMAIN, MODIFYING, cluster_name, cluster_of,
    dependency,
};
use crate::dynamodb::condition::is;
use crate::dynamodb::update::{increase, set};
use crate::dynamodb::value::{self, Item, item, string};
use crate::home;
use crate::iam::IamParams;
use crate::iam::replica::IamReplicaParams;
use crate::settings::{Settings, split};
use crate::tables::Tables;

words! {
    /// Whose IAM resolves the groups of a query's user.
    pub enum ResolveGroups {
        /// That of the one region that is written in: the defect.
        UsEast1 = "us-east-1",
        /// The region's own copy: the repair.
        OwnRegion = "own-region",
    }
}

eastfall_topology::params! {
    /// Redshift's front end in a region.
    pub struct FrontParams for "redshift" offers ["ExecuteStatement", "ModifyCluster", "DescribeClusters"] {
        /// In another region, whose clusters are sound and not looked into. Read at start only.
        elsewhere: bool = false;
        /// Clusters of another region (assumption); in this one they are those of the service that is called for them. Read
        /// at start only.
        clusters: u32 = 20, range 1..=100000;
        /// Whose IAM resolves the groups of a query's user (published: the API of us-east-1, from every region).
        resolve_groups_in: ResolveGroups = "us-east-1";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: FrontParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// How long before metadata that could not be written at the start is tried again.
const TRY_AGAIN: Span = Span::from_secs(5);

async fn start(world: World) -> Result<(), StartError> {
    let settings = Settings::<FrontParams>::new(&world);
    let FrontParams { elsewhere, clusters, .. } = *settings.get();
    let home_iam = home::dial(&world, &[IamParams::SCHEMA.name], false)?;
    let (own_iam, nodes, clusters) = match elsewhere {
        true => (home::dial(&world, &[IamReplicaParams::SCHEMA.name], true)?, None, clusters),
        false => {
            let nodes = home::dial(&world, &[ClustersParams::SCHEMA.name], false)?;
            (home_iam.clone(), Some(nodes), super::clusters::count(&world)?)
        }
    };
    let tables = home::tables(&world, elsewhere)?;
    let desk = Arc::new(Desk { tables, home_iam, own_iam, nodes, clusters, settings });
    if elsewhere {
        let (preparing, world) = (Arc::clone(&desk), world.clone());
        world.clone().spawn(async move { preparing.prepare(&world).await });
    }
    world.serve(vec![(&redshift_api::API, redshift_api::handler(desk))]).await
}

struct Desk {
    settings: Settings<FrontParams>,
    tables: Tables,
    /// IAM of the one region that is written in.
    home_iam: Client,
    /// IAM of this region.
    own_iam: Client,
    /// The clusters; none where they are not looked into.
    nodes: Option<Client>,
    clusters: u32,
}

fn not_found(cluster: &str) -> Status {
    api_error(Code::NotFound, DOMAIN, "ClusterNotFound", format!("cluster {cluster} is not known"))
}

fn invalid_state(cluster: &str, state: &str) -> Status {
    let message = format!("cluster {cluster} is {state}");
    api_error(Code::FailedPrecondition, DOMAIN, "InvalidClusterState", message)
}

fn key(cluster: &str) -> Item {
    item([(CLUSTER_KEY, string(cluster))])
}

impl Desk {
    /// Another region's clusters are available, all the time.
    async fn prepare(&self, world: &World) {
        self.tables.prepare(world, &[&format!("{CLUSTERS}({CLUSTER_KEY})")]).await;
        for number in 0..self.clusters as usize {
            let cluster = [(CLUSTER_KEY, string(cluster_name(number))), ("state", string(AVAILABLE))];
            let cluster = item(cluster);
            while self.tables.put(CLUSTERS, cluster.clone()).await.is_err() {
                world.sleep(TRY_AGAIN).await;
            }
        }
    }

    /// The groups that an IAM user's rights come from.
    async fn groups(&self, context: &Context, user: String) -> Result<Vec<String>, Status> {
        let iam = match self.settings.get().resolve_groups_in {
            ResolveGroups::UsEast1 => &self.home_iam,
            ResolveGroups::OwnRegion => &self.own_iam,
        };
        let request = ListGroupsForUserRequest { user_name: user };
        let answer = iam.within(context).call(&iam_api::LIST_GROUPS_FOR_USER, request).await;
        match answer {
            Ok(answer) => Ok(answer.group_names),
            Err(status) if status.code() == Code::NotFound => Err(api_error(
                Code::PermissionDenied,
                DOMAIN,
                "UnauthorizedOperation",
                "there is no such user",
            )),
            Err(status) => Err(dependency("the groups of the user can't be resolved", &status)),
        }
    }

    /// The state that a cluster's metadata say it is in.
    async fn state(&self, cluster: &str) -> Result<String, Status> {
        let found = self.tables.get(CLUSTERS, key(cluster)).await;
        let found = found.map_err(|status| dependency("the cluster's metadata can't be read", &status))?;
        value::text(&found, "state").map(str::to_owned).ok_or_else(|| not_found(cluster))
    }

    async fn execute(
        &self,
        context: &Context,
        request: ExecuteStatementRequest,
    ) -> Result<Vec<String>, Status> {
        let groups = match request.credentials {
            Some(Credentials::IamUser(user)) => self.groups(context, user).await?,
            Some(Credentials::DatabaseUser(_)) | None => Vec::new(),
        };
        let cluster = cluster_name(cluster_of(request.database, self.clusters));
        match self.state(&cluster).await?.as_str() {
            AVAILABLE => {}
            state => return Err(invalid_state(&cluster, state)),
        }
        let written = self.tables.update(CLUSTERS, key(&cluster), vec![increase("statements", 1)]).await;
        written.map_err(|status| dependency("the statement can't be written down", &status))?;
        if let Some(nodes) = &self.nodes {
            let query = QueryRequest { database: request.database };
            let run = nodes.within(context).call(&redshift_clusters_api::QUERY, query).await;
            run.map_err(|status| match reason(&status).as_deref() {
                // The metadata lag behind the cluster by as much as it takes to write them.
                Some(CLUSTER_UNAVAILABLE) => invalid_state(&cluster, MODIFYING),
                _ => dependency("the cluster can't be reached", &status),
            })?;
        }
        Ok(groups)
    }

    async fn modify(&self, request: ModifyClusterRequest) -> Result<(), Status> {
        let cluster = cluster_name(cluster_of(request.database, self.clusters));
        let state = self.state(&cluster).await?;
        if state != AVAILABLE {
            return Err(invalid_state(&cluster, &state));
        }
        let changed = vec![set("maintenance-window", string(&request.maintenance_window))];
        let available = is("state", Comparator::Equal, string(AVAILABLE));
        match self.tables.update_if(CLUSTERS, key(&cluster), changed, available).await {
            Ok(()) => Ok(()),
            Err(status) if status.code() == Code::FailedPrecondition => {
                Err(invalid_state(&cluster, "being modified"))
            }
            Err(status) => Err(dependency("the change can't be written down", &status)),
        }
    }
}

#[async_trait::async_trait]
impl Redshift for Desk {
    async fn execute_statement(
        &self,
        request: Request<ExecuteStatementRequest>,
    ) -> Result<Response<ExecuteStatementResponse>, Status> {
        let (context, request) = split(request);
        let groups = self.execute(&context, request).await?;
        Ok(Response::new(ExecuteStatementResponse { groups }))
    }

    async fn modify_cluster(
        &self,
        request: Request<ModifyClusterRequest>,
    ) -> Result<Response<ModifyClusterResponse>, Status> {
        self.modify(request.into_inner()).await?;
        Ok(Response::new(ModifyClusterResponse {}))
    }

    async fn describe_clusters(
        &self,
        request: Request<DescribeClustersRequest>,
    ) -> Result<Response<DescribeClustersResponse>, Status> {
        let cluster = cluster_name(cluster_of(request.into_inner().database, self.clusters));
        let cluster_status = self.state(&cluster).await?;
        Ok(Response::new(DescribeClustersResponse { cluster, cluster_status }))
    }
}

#[cfg(test)]
mod tests;
