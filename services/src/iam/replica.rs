//! Kind `iam-replica`: IAM as another region has it.
//!
//! A copy of everything, kept up to date by following the log of the region that is written in, and good without it: when
//! that region's IAM fails, the copy grows old and answers on. Writes are passed on, so they fail with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::call::Rpc;
use eastfall_fabric::disk::Disk;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::iam::iam_server::Iam;
use eastfall_proto::iam::*;
use eastfall_topology::{Moment, Span};
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::reads::{self, Entities};
use super::{IamParams, full, no_such, unavailable};
use crate::settings::{Settings, callee_of_kind, split};

eastfall_topology::params! {
    /// IAM as another region has it: reads from a copy, writes passed on to the region that is written in.
    pub struct IamReplicaParams for "iam-replica" {
        /// How often changes are asked for (assumption: the real thing says 'eventually consistent', seconds in practice).
        poll_interval: Span = "10s", range "100ms"..="1h";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: IamReplicaParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// Under this key the disk has the number of the last change; entities are under their names, which have a slash.
const POSITION: &[u8] = b"position";

async fn start(world: World) -> Result<(), StartError> {
    let disk = world.disk("copy").await?;
    let mut copy = Copy::default();
    for (key, value) in disk.load()? {
        if key == POSITION {
            copy.position = value.try_into().map(u64::from_be_bytes).unwrap_or_default();
        } else if let (Ok(name), Ok(entity)) = (String::from_utf8(key), Entity::decode(value.as_slice())) {
            copy.entities.insert(name, Arc::new(entity));
        }
    }
    let replica = Arc::new(Replica {
        home: world.dial(&callee_of_kind(&world, IamParams::SCHEMA.name)?)?,
        settings: Settings::new(&world),
        copy: Mutex::new(copy),
        disk,
        world: world.clone(),
    });
    let following = Arc::clone(&replica);
    world.spawn(async move { following.follow().await });
    world.serve(vec![(&iam_api::API, iam_api::handler(replica))]).await
}

#[derive(Default)]
struct Copy {
    entities: BTreeMap<String, Arc<Entity>>,
    /// The number of the last change that is in it.
    position: u64,
}

struct Replica {
    world: World,
    settings: Settings<IamReplicaParams>,
    /// IAM in the region that is written in.
    home: Client,
    disk: Disk,
    copy: Mutex<Copy>,
}

impl Replica {
    async fn follow(&self) {
        let mut caught_up = self.world.now();
        loop {
            match self.catch_up().await {
                Ok(()) => caught_up = self.world.now(),
                Err(_) => self.world.record().count("polls-failed", 1),
            }
            self.tell(caught_up);
            self.world.sleep(self.settings.get().poll_interval).await;
        }
    }

    /// How old the copy may be at most: it has everything up to when it was last caught up.
    fn tell(&self, caught_up: Moment) {
        let lag = self.world.now().since(caught_up);
        self.world.record().gauge_max("lag-seconds", lag.as_secs_f64());
        self.world.record().gauge("entities", self.copy().entities.len() as f64);
    }

    async fn catch_up(&self) -> Result<(), Status> {
        loop {
            let after = self.copy().position;
            let request = ListChangesRequest { after };
            let mut changes = self.home.call(&iam_changes_api::LIST_CHANGES, request).await?.changes;
            // Up to the first gap: what is missing is being written at this moment.
            let unbroken =
                changes.iter().zip(after + 1..).take_while(|(change, next)| change.number == *next);
            changes.truncate(unbroken.count());
            let position = after + changes.len() as u64;
            if changes.is_empty() {
                return Ok(());
            }
            let mut batch = vec![(POSITION.to_vec(), Some(position.to_be_bytes().to_vec()))];
            let entities: Vec<Entity> = changes.into_iter().filter_map(|change| change.entity).collect();
            let written = |entity: &Entity| (entity.name.clone().into_bytes(), Some(entity.encode_to_vec()));
            batch.extend(entities.iter().map(written));
            self.disk.commit(batch).await.map_err(|error| Status::internal(error.to_string()))?;
            let mut copy = self.copy();
            copy.entities.extend(entities.into_iter().map(|entity| (entity.name.clone(), Arc::new(entity))));
            copy.position = position;
        }
    }

    fn copy(&self) -> MutexGuard<'_, Copy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, name: &str) -> Result<Entity, Status> {
        let copy = self.copy();
        match copy.entities.get(name) {
            Some(entity) => Ok(Entity::clone(entity)),
            None if copy.position == 0 => Err(unavailable(&Status::unavailable("there is no copy yet"))),
            None => Err(no_such(name)),
        }
    }

    /// Passes a write on to the region that is written in.
    async fn pass_on<Req, Resp>(
        &self,
        rpc: &Rpc<Req, Resp>,
        request: Request<Req>,
    ) -> Result<Response<Resp>, Status>
    where
        Req: Send + Sync + 'static,
        Resp: Clone + Send + Sync + 'static,
    {
        let (context, request) = split(request);
        self.home.within(&context).call(rpc, request).await.map(Response::new)
    }
}

#[async_trait::async_trait]
impl Entities for Replica {
    async fn entity(&self, name: &str) -> Result<Entity, Status> {
        self.held(name)
    }
}

#[async_trait::async_trait]
impl Iam for Replica {
    async fn create_user(
        &self,
        request: Request<CreateUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        self.pass_on(&iam_api::CREATE_USER, request).await
    }

    async fn create_role(
        &self,
        request: Request<CreateRoleRequest>,
    ) -> Result<Response<CreateRoleResponse>, Status> {
        self.pass_on(&iam_api::CREATE_ROLE, request).await
    }

    async fn add_user_to_group(
        &self,
        request: Request<AddUserToGroupRequest>,
    ) -> Result<Response<AddUserToGroupResponse>, Status> {
        self.pass_on(&iam_api::ADD_USER_TO_GROUP, request).await
    }

    async fn put_user_policy(
        &self,
        request: Request<PutUserPolicyRequest>,
    ) -> Result<Response<PutUserPolicyResponse>, Status> {
        self.pass_on(&iam_api::PUT_USER_POLICY, request).await
    }

    async fn put_role_policy(
        &self,
        request: Request<PutRolePolicyRequest>,
    ) -> Result<Response<PutRolePolicyResponse>, Status> {
        self.pass_on(&iam_api::PUT_ROLE_POLICY, request).await
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        let user = self.held(&full("user", &request.into_inner().user_name)?)?;
        Ok(Response::new(reads::user_of(user)))
    }

    async fn get_role(&self, request: Request<GetRoleRequest>) -> Result<Response<GetRoleResponse>, Status> {
        let role = self.held(&full("role", &request.into_inner().role_name)?)?;
        Ok(Response::new(reads::role_of(role)))
    }

    async fn list_groups_for_user(
        &self,
        request: Request<ListGroupsForUserRequest>,
    ) -> Result<Response<ListGroupsForUserResponse>, Status> {
        let user = self.held(&full("user", &request.into_inner().user_name)?)?;
        Ok(Response::new(ListGroupsForUserResponse { group_names: user.groups }))
    }

    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        reads::authorize(self, &request.into_inner()).await.map(Response::new)
    }

    async fn authenticate_user(
        &self,
        request: Request<AuthenticateUserRequest>,
    ) -> Result<Response<AuthenticateUserResponse>, Status> {
        reads::authenticate(self, &request.into_inner()).await.map(Response::new)
    }
}
