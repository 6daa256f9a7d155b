//! Kind `sts`: temporary credentials for those whom a role trusts.
//!
//! What roles trust is IAM's, read from its table (in other regions from IAM's copy there) and held for minutes. What was
//! signed needs nobody: tokens go on being good, and can be told to be, while STS itself can hand out no new ones. **The
//! failure it reproduces:** without DynamoDB it can't decide any more once its copies are too old, and whoever lives on
//! credentials that end, ends with them.

use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::network::client::Client;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::error::api_error;
use eastfall_proto::iam::{GetRoleRequest, GetUserRequest, PolicyDocument, iam_api};
use eastfall_proto::sts::sts_server::Sts;
use eastfall_proto::sts::*;
use eastfall_topology::Span;
use rand::RngExt as _;
use tonic::{Code, Request, Response, Status};

use crate::copies::{Copies, Limits};
use crate::home;
use crate::iam::policy::{Decision, Question, decide};
use crate::iam::replica::IamReplicaParams;
use crate::iam::store::{ENTITIES, ENTITY_KEY, entity_of};
use crate::pauses::Lengths;
use crate::seal::Key;
use crate::seal::common::CommonKey;
use crate::settings::Settings;

#[cfg(test)]
mod tests;

eastfall_topology::params! {
    /// The Security Token Service of a region.
    pub struct StsParams for "sts" offers ["AssumeRole", "AssumeRoleWithSaml", "GetSessionToken", "GetCallerIdentity"] {
        /// In another region: it decides from the copy of IAM there. Read at start only.
        elsewhere: bool = false;
        /// How often copies in use are read anew (assumption).
        refresh: Span = "1m", range "1s"..="1d";
        /// A copy that is older than this serves no longer. Inferred: errors began three minutes after the store's name was
        /// gone.
        keep: Span = "3m", range "1s"..="30d";
        /// How long the store is left alone after it was out of reach; doubles each time (assumption).
        store_pause: Span = "5s", range "100ms"..="1h";
        /// The longest such pause. Inferred: STS was well four minutes after the mitigation.
        store_pause_max: Span = "5m", range "1s"..="1d";
    }
}

impl StsParams {
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
    Kind { schema: StsParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let elsewhere = world.params::<StsParams>().elsewhere;
    let tables = home::tables(&world, elsewhere)?;
    let policies = match elsewhere {
        true => Policies::Replica(home::dial(&world, &[IamReplicaParams::SCHEMA.name], true)?),
        false => {
            let settings = Settings::<StsParams>::new(&world);
            let limits = move || settings.get().limits();
            Policies::Copies(Copies::new(&world, tables.clone(), ENTITIES, ENTITY_KEY, limits))
        }
    };
    let desk = Desk {
        policies,
        key: CommonKey::of(&world, &tables),
        rng: Mutex::new(world.rng("credentials")),
        world: world.clone(),
    };
    world.serve(vec![(&sts_api::API, sts_api::handler(Arc::new(desk)))]).await
}

/// The domain of STS's error names.
const DOMAIN: &str = "sts.amazonaws.com";
/// How long a role's credentials last by default (published).
const ROLE_DEFAULT: u32 = 3_600;
/// The longest that a role's may last (published: 12 hours).
const ROLE_LONGEST: u32 = 43_200;
/// How long a user's session lasts by default (published).
const SESSION_DEFAULT: u32 = 43_200;
/// The longest that it may last (published: 36 hours).
const SESSION_LONGEST: u32 = 129_600;
/// The shortest that either may last (published).
const SHORTEST: u32 = 900;

/// Where it is read what roles trust and which users there are.
enum Policies {
    Copies(Arc<Copies>),
    Replica(Client),
}

struct Desk {
    world: World,
    policies: Policies,
    /// What is signed with.
    key: CommonKey,
    rng: Mutex<Rng>,
}

fn unavailable(message: &str) -> Status {
    api_error(Code::Unavailable, DOMAIN, "ServiceUnavailable", message)
}

fn no_such(name: &str) -> Status {
    api_error(Code::NotFound, DOMAIN, "NoSuchEntity", format!("there is no {name}"))
}

fn refused(reason: &str, message: impl AsRef<str>) -> Status {
    api_error(Code::PermissionDenied, DOMAIN, reason, message)
}

impl Desk {
    fn key(&self) -> Result<Key, Status> {
        self.key.get().ok_or_else(|| unavailable("there is no key to sign with yet"))
    }

    /// What a role trusts.
    async fn trust_of(&self, role: &str) -> Result<PolicyDocument, Status> {
        match &self.policies {
            Policies::Copies(copies) => {
                let name = format!("role/{role}");
                let found = copies.get(&name).await;
                let item = found.map_err(|status| unavailable(status.message()))?;
                Ok(entity_of(&item).ok_or_else(|| no_such(&name))?.trust.unwrap_or_default())
            }
            Policies::Replica(iam) => {
                let request = GetRoleRequest { role_name: role.to_owned() };
                let role = iam.call(&iam_api::GET_ROLE, request).await.map_err(|status| from_iam(&status))?;
                Ok(role.assume_role_policy_document.unwrap_or_default())
            }
        }
    }

    /// Says whether there is such a user.
    async fn know_user(&self, principal: &str) -> Result<(), Status> {
        let user = principal.strip_prefix("user/").ok_or_else(|| no_such(principal))?;
        match &self.policies {
            Policies::Copies(copies) => {
                let found = copies.get(principal).await;
                let item = found.map_err(|status| unavailable(status.message()))?;
                entity_of(&item).map(drop).ok_or_else(|| no_such(principal))
            }
            Policies::Replica(iam) => {
                let request = GetUserRequest { user_name: user.to_owned() };
                let found = iam.call(&iam_api::GET_USER, request).await;
                found.map(drop).map_err(|status| from_iam(&status))
            }
        }
    }

    /// Credentials of a role, if it trusts who asks.
    async fn assume(
        &self,
        principal: &str,
        action: &str,
        role: &str,
        session: &str,
        duration: u32,
    ) -> Result<(Credentials, String), Status> {
        let duration = within(duration, ROLE_DEFAULT, ROLE_LONGEST)?;
        if session.is_empty() || session.contains(['~', ' ', '/']) {
            return Err(invalid("a session needs a name without spaces, slashes and tildes".to_owned()));
        }
        let trust = self.trust_of(role).await?;
        let resource = format!("role/{role}");
        if decide([&trust], &Question { principal, action, resource: &resource }) != Decision::Allowed {
            let message = format!("{principal} is not authorized to perform {action} on {resource}");
            return Err(refused("AccessDenied", message));
        }
        let name = format!("{resource}/{session}");
        Ok((self.sign(&name, duration)?, name))
    }

    /// Credentials that are somebody's for so many seconds.
    fn sign(&self, whose: &str, seconds: u32) -> Result<Credentials, Status> {
        let expiration = (self.world.now() + Span::from_secs(u64::from(seconds))).as_nanos();
        let session_token = self.key()?.seal(&format!("{expiration} {whose}"));
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Credentials {
            access_key_id: format!("ASIA{:016X}", rng.random::<u64>()),
            secret_access_key: format!("{:032x}", rng.random::<u128>()),
            session_token,
            expiration,
        })
    }

    /// Whose token it is.
    fn read(&self, token: &str) -> Result<String, Status> {
        let key = self.key()?;
        let bad = || refused("InvalidClientTokenId", "the security token was not signed here");
        let (expiration, whose) = key.open(token).and_then(|text| text.split_once(' ')).ok_or_else(bad)?;
        let expiration: u64 = expiration.parse().map_err(|_| bad())?;
        match self.world.now().as_nanos() < expiration {
            true => Ok(whose.to_owned()),
            false => Err(refused("ExpiredToken", "the security token included in the request is expired")),
        }
    }
}

fn invalid(message: String) -> Status {
    api_error(Code::InvalidArgument, DOMAIN, "ValidationError", message)
}

fn within(seconds: u32, default: u32, longest: u32) -> Result<u32, Status> {
    match seconds {
        0 => Ok(default),
        _ if (SHORTEST..=longest).contains(&seconds) => Ok(seconds),
        _ => Err(invalid(format!("a duration of {seconds} s is not in {SHORTEST}..={longest}"))),
    }
}

/// What IAM's answer is to our caller: its knowledge is ours, its failure too.
fn from_iam(status: &Status) -> Status {
    match status.code() {
        Code::NotFound => api_error(Code::NotFound, DOMAIN, "NoSuchEntity", status.message()),
        Code::InvalidArgument => invalid(status.message().to_owned()),
        _ => unavailable(status.message()),
    }
}

#[async_trait::async_trait]
impl Sts for Desk {
    async fn assume_role(
        &self,
        request: Request<AssumeRoleRequest>,
    ) -> Result<Response<AssumeRoleResponse>, Status> {
        let AssumeRoleRequest { principal, role, role_session_name, duration_seconds } = request.into_inner();
        let assumed =
            self.assume(&principal, "sts:AssumeRole", &role, &role_session_name, duration_seconds).await;
        let (credentials, assumed_role_user) = assumed?;
        Ok(Response::new(AssumeRoleResponse { credentials: Some(credentials), assumed_role_user }))
    }

    async fn assume_role_with_saml(
        &self,
        request: Request<AssumeRoleWithSamlRequest>,
    ) -> Result<Response<AssumeRoleWithSamlResponse>, Status> {
        let AssumeRoleWithSamlRequest { role, issuer, subject, duration_seconds } = request.into_inner();
        if issuer.is_empty() || subject.is_empty() {
            return Err(refused("InvalidIdentityToken", "the assertion names no issuer or no subject"));
        }
        let principal = format!("saml/{issuer}");
        let assumed =
            self.assume(&principal, "sts:AssumeRoleWithSAML", &role, &subject, duration_seconds).await;
        let (credentials, assumed_role_user) = assumed?;
        Ok(Response::new(AssumeRoleWithSamlResponse { credentials: Some(credentials), assumed_role_user }))
    }

    async fn get_session_token(
        &self,
        request: Request<GetSessionTokenRequest>,
    ) -> Result<Response<GetSessionTokenResponse>, Status> {
        let GetSessionTokenRequest { principal, duration_seconds } = request.into_inner();
        let duration = within(duration_seconds, SESSION_DEFAULT, SESSION_LONGEST)?;
        self.know_user(&principal).await?;
        let credentials = Some(self.sign(&principal, duration)?);
        Ok(Response::new(GetSessionTokenResponse { credentials }))
    }

    async fn get_caller_identity(
        &self,
        request: Request<GetCallerIdentityRequest>,
    ) -> Result<Response<GetCallerIdentityResponse>, Status> {
        let GetCallerIdentityRequest { principal, session_token } = request.into_inner();
        let arn = if session_token.is_empty() {
            self.know_user(&principal).await?;
            principal
        } else {
            self.read(&session_token)?
        };
        Ok(Response::new(GetCallerIdentityResponse { arn }))
    }
}
