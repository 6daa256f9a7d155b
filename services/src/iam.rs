//! Kinds `iam` and `iam-replica`: users, groups, roles, and who may do what.
//!
//! Everything is written in one region and kept in its DynamoDB; other regions decide from copies of their own
//! ([`replica`]). **The failure it reproduces:** when that DynamoDB's name is gone, nobody in the world can change an
//! identity, decisions in the region last as long as its copies, and whoever elsewhere asks the region itself, instead
//! of the copy at home, fails with it.
//!
//! | file | |
//! |---|---|
//! | [`policy`] | the rules: what statements say to a question |
//! | `store` | entities and the log of changes in DynamoDB |
//! | `seed` | who is there before the run |
//! | `reads` | what both kinds answer from what they hold |
//! | [`replica`] | the other regions |

use std::sync::Arc;

use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::error::api_error;
use eastfall_proto::iam::iam_changes_server::IamChanges;
use eastfall_proto::iam::iam_server::Iam;
use eastfall_proto::iam::*;
use eastfall_topology::Span;
use tonic::{Code, Request, Response, Status};

use crate::copies::Limits;
use crate::pauses::Lengths;
use crate::seal::password_hash;

pub mod policy;
mod reads;
pub mod replica;
pub(crate) mod seed;
pub(crate) mod store;
#[cfg(test)]
mod tests;

use reads::Entities;
use store::Store;

eastfall_topology::params! {
    /// IAM in the region that is written in.
    pub struct IamParams for "iam" offers ["Authorize", "GetUser", "GetRole", "ListGroupsForUser", "CreateUser", "CreateRole"] {
        /// How often copies in use are read anew (assumption).
        refresh: Span = "1m", range "1s"..="1d";
        /// A copy that is older than this serves no longer. Inferred: sign-in failed three minutes after the store's name
        /// was gone.
        keep: Span = "3m", range "1s"..="30d";
        /// How long the store is left alone after it was out of reach; doubles each time (assumption).
        store_pause: Span = "5s", range "100ms"..="1h";
        /// The longest such pause. Inferred: what asks IAM at once (Redshift's groups) was well five minutes after the
        /// mitigation.
        store_pause_max: Span = "5m", range "1s"..="1d";
        /// Users that there are before the run (assumption). Read at start only.
        users: u64 = 200, range 1..=100000;
        /// Roles that there are before the run (assumption). Read at start only.
        roles: u64 = 50, range 1..=100000;
    }
}

impl IamParams {
    fn limits(&self) -> Limits {
        Limits {
            refresh: self.refresh,
            keep: self.keep,
            pauses: Lengths { first: self.store_pause, longest: self.store_pause_max, jitter: 0.5 },
        }
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: IamParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let desk = Arc::new(Desk { store: Store::of(&world)? });
    let preparing = Arc::clone(&desk);
    world.spawn(async move { preparing.store.prepare().await });
    let handlers = vec![
        (&iam_api::API, iam_api::handler(Arc::clone(&desk))),
        (&iam_changes_api::API, iam_changes_api::handler(desk)),
    ];
    world.serve(handlers).await
}

// === Errors ===

/// The domain of IAM's error names.
const DOMAIN: &str = "iam.amazonaws.com";

fn unavailable(status: &Status) -> Status {
    api_error(Code::Unavailable, DOMAIN, "ServiceFailure", status.message())
}

fn no_such(name: &str) -> Status {
    api_error(Code::NotFound, DOMAIN, "NoSuchEntity", format!("there is no {name}"))
}

fn conflict(name: &str) -> Status {
    let message = format!("others changed {name} or its neighbours at the same time; try again");
    api_error(Code::FailedPrecondition, DOMAIN, "ConcurrentModification", message)
}

fn authentication_failed() -> Status {
    api_error(Code::Unauthenticated, DOMAIN, "AuthFailure", "the user or the password is wrong")
}

fn invalid(message: &str) -> Status {
    api_error(Code::InvalidArgument, DOMAIN, "ValidationError", message)
}

/// The full name of an entity.
fn full(kind: &str, name: &str) -> Result<String, Status> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter);
    match !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        true => Ok(format!("{kind}/{name}")),
        false => Err(invalid("a name is 1 to 64 letters, digits and _+=,.@-")),
    }
}

// === The API ===

struct Desk {
    store: Store,
}

#[async_trait::async_trait]
impl Entities for Desk {
    async fn entity(&self, name: &str) -> Result<Entity, Status> {
        self.store.entity(name).await
    }
}

impl Desk {
    async fn create(&self, name: String, entity: Entity) -> Result<(), Status> {
        let create = |before: Option<Entity>| match before {
            None => Ok(entity.clone()),
            Some(_) => {
                Err(api_error(Code::AlreadyExists, DOMAIN, "EntityAlreadyExists", format!("{name} exists")))
            }
        };
        self.store.change(&name, create).await
    }

    async fn edit(&self, name: &str, edit: impl Fn(&mut Entity) + Send + Sync) -> Result<(), Status> {
        let edit = |before: Option<Entity>| {
            let mut entity = before.ok_or_else(|| no_such(name))?;
            edit(&mut entity);
            Ok(entity)
        };
        self.store.change(name, edit).await
    }

    async fn put_policy(
        &self,
        name: &str,
        policy: &str,
        document: Option<PolicyDocument>,
    ) -> Result<(), Status> {
        let document = document.ok_or_else(|| invalid("a policy needs a document"))?;
        let put = |entity: &mut Entity| {
            entity.policies.insert(policy.to_owned(), document.clone());
        };
        self.edit(name, put).await
    }

    async fn now(&self, name: &str) -> Result<Entity, Status> {
        self.store.entity_now(name).await?.ok_or_else(|| no_such(name))
    }
}

#[async_trait::async_trait]
impl Iam for Desk {
    async fn create_user(
        &self,
        request: Request<CreateUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        let CreateUserRequest { user_name, password } = request.into_inner();
        let password_hash = password_hash(&user_name, &password);
        let user = Entity { password_hash, ..Entity::default() };
        self.create(full("user", &user_name)?, user).await?;
        Ok(Response::new(CreateUserResponse {}))
    }

    async fn create_role(
        &self,
        request: Request<CreateRoleRequest>,
    ) -> Result<Response<CreateRoleResponse>, Status> {
        let CreateRoleRequest { role_name, assume_role_policy_document } = request.into_inner();
        let trust = assume_role_policy_document.ok_or_else(|| invalid("a role needs a trust policy"))?;
        let role = Entity { trust: Some(trust), ..Entity::default() };
        self.create(full("role", &role_name)?, role).await?;
        Ok(Response::new(CreateRoleResponse {}))
    }

    async fn add_user_to_group(
        &self,
        request: Request<AddUserToGroupRequest>,
    ) -> Result<Response<AddUserToGroupResponse>, Status> {
        let AddUserToGroupRequest { user_name, group_name } = request.into_inner();
        self.now(&full("group", &group_name)?).await?;
        let add = |user: &mut Entity| {
            if !user.groups.contains(&group_name) {
                user.groups.push(group_name.clone());
            }
        };
        self.edit(&full("user", &user_name)?, add).await?;
        Ok(Response::new(AddUserToGroupResponse {}))
    }

    async fn put_user_policy(
        &self,
        request: Request<PutUserPolicyRequest>,
    ) -> Result<Response<PutUserPolicyResponse>, Status> {
        let PutUserPolicyRequest { user_name, policy_name, policy_document } = request.into_inner();
        self.put_policy(&full("user", &user_name)?, &policy_name, policy_document).await?;
        Ok(Response::new(PutUserPolicyResponse {}))
    }

    async fn put_role_policy(
        &self,
        request: Request<PutRolePolicyRequest>,
    ) -> Result<Response<PutRolePolicyResponse>, Status> {
        let PutRolePolicyRequest { role_name, policy_name, policy_document } = request.into_inner();
        self.put_policy(&full("role", &role_name)?, &policy_name, policy_document).await?;
        Ok(Response::new(PutRolePolicyResponse {}))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        let user = self.now(&full("user", &request.into_inner().user_name)?).await?;
        Ok(Response::new(reads::user_of(user)))
    }

    async fn get_role(&self, request: Request<GetRoleRequest>) -> Result<Response<GetRoleResponse>, Status> {
        let role = self.now(&full("role", &request.into_inner().role_name)?).await?;
        Ok(Response::new(reads::role_of(role)))
    }

    async fn list_groups_for_user(
        &self,
        request: Request<ListGroupsForUserRequest>,
    ) -> Result<Response<ListGroupsForUserResponse>, Status> {
        let user = self.now(&full("user", &request.into_inner().user_name)?).await?;
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

#[async_trait::async_trait]
impl IamChanges for Desk {
    async fn list_changes(
        &self,
        request: Request<ListChangesRequest>,
    ) -> Result<Response<ListChangesResponse>, Status> {
        let changes = self.store.changes_after(request.into_inner().after).await?;
        Ok(Response::new(ListChangesResponse { changes }))
    }
}
