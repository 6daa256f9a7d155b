//! What both IAM and its replicas answer, each from what it holds.

use eastfall_proto::iam::*;
use futures_util::future::try_join_all;
use tonic::Status;

use super::policy::{Decision, Question, decide};
use super::{authentication_failed, no_such};
use crate::seal::password_hash;

/// Where entities are read.
#[async_trait::async_trait]
pub(super) trait Entities: Send + Sync {
    /// An entity, good enough for a decision.
    async fn entity(&self, name: &str) -> Result<Entity, Status>;
}

pub(super) fn role_of(role: Entity) -> GetRoleResponse {
    let policy_names = role.policies.into_keys().collect();
    GetRoleResponse { assume_role_policy_document: role.trust, policy_names }
}

pub(super) fn user_of(user: Entity) -> GetUserResponse {
    GetUserResponse { policy_names: user.policies.into_keys().collect() }
}

/// A decision about a principal, by its own policies and its groups'.
pub(super) async fn authorize(
    entities: &impl Entities,
    request: &AuthorizeRequest,
) -> Result<AuthorizeResponse, Status> {
    let AuthorizeRequest { principal, action, resource } = request;
    let own = entities.entity(principal).await?;
    let groups: Vec<String> = own.groups.iter().map(|group| format!("group/{group}")).collect();
    // All of them or no decision: one that is not there might have denied it.
    let groups = try_join_all(groups.iter().map(|group| entities.entity(group))).await?;
    let documents = std::iter::once(&own).chain(&groups).flat_map(|entity| entity.policies.values());
    let decision = decide(documents, &Question { principal, action, resource });
    Ok(AuthorizeResponse {
        allowed: decision == Decision::Allowed,
        explicitly_denied: decision == Decision::Denied,
    })
}

/// Whether the password is the user's. Who does not exist has no password.
pub(super) async fn authenticate(
    entities: &impl Entities,
    request: &AuthenticateUserRequest,
) -> Result<AuthenticateUserResponse, Status> {
    let AuthenticateUserRequest { user_name, password } = request;
    let name = format!("user/{user_name}");
    let user = match entities.entity(&name).await {
        Ok(user) => user,
        Err(status) if status.code() == no_such(&name).code() => return Err(authentication_failed()),
        Err(status) => return Err(status),
    };
    match user.password_hash == password_hash(user_name, password) {
        true => Ok(AuthenticateUserResponse {}),
        false => Err(authentication_failed()),
    }
}
