//! Kinds `sign-in` and `identity-center`: the doors to the console.
//!
//! Users of IAM need IAM and STS to sign in, federated ones STS alone, and the owners of accounts (root users) a directory
//! of sign-in's own. **The failure it reproduces:** the global sign-in page is served from one region. When that region's
//! DynamoDB is gone, root and federated users of *other* regions can't come in through it either, although everything in
//! their own region is sound; who uses the regional door there does not notice.

use std::sync::Arc;

use eastfall_fabric::call::Context;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::error::api_error;
use eastfall_proto::iam::{AuthenticateUserRequest, iam_api};
use eastfall_proto::sign_in::sign_in_server::SignIn;
use eastfall_proto::sign_in::*;
use eastfall_proto::sts::{AssumeRoleWithSamlRequest, Credentials, GetSessionTokenRequest, sts_api};
use eastfall_topology::Span;
use tonic::{Code, Request, Response, Status};

use crate::copies::Limits;
use crate::home;
use crate::iam::IamParams;
use crate::iam::replica::IamReplicaParams;
use crate::pauses::Lengths;
use crate::settings::{Settings, split};
use crate::sts::StsParams;

mod directory;
pub mod identity_center;
#[cfg(test)]
mod tests;

use directory::Directory;

eastfall_topology::params! {
    /// The console's sign-in in a region.
    pub struct SignInParams for "sign-in" offers ["ConsoleSignIn", "RootSignIn", "FederatedSignIn"] {
        /// In another region: it uses IAM's copy, STS and the tables there. Read at start only.
        elsewhere: bool = false;
        /// Accounts, each with a root user (assumption). Read at start only.
        accounts: u64 = 100, range 1..=100000;
        /// How often copies in use are read anew (assumption).
        refresh: Span = "1m", range "1s"..="1d";
        /// A copy that is older than this serves no longer (inferred, as for IAM).
        keep: Span = "3m", range "1s"..="30d";
        /// How long the store is left alone after it was out of reach; doubles each time (assumption).
        store_pause: Span = "5s", range "100ms"..="1h";
        /// The longest such pause. Inferred: sign-in was well ten minutes after the mitigation.
        store_pause_max: Span = "10m", range "1s"..="1d";
    }
}

impl SignInParams {
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
    Kind { schema: SignInParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let settings = Settings::<SignInParams>::new(&world);
    let SignInParams { elsewhere, accounts, .. } = *settings.get();
    let iam = if elsewhere { IamReplicaParams::SCHEMA.name } else { IamParams::SCHEMA.name };
    let tables = home::tables(&world, elsewhere)?;
    let desk = Desk {
        iam: home::dial(&world, &[iam], elsewhere)?,
        sts: home::dial(&world, &[StsParams::SCHEMA.name], elsewhere)?,
        roots: Directory::new(&world, &tables, ROOTS, move || settings.get().limits()),
    };
    let owners = (1..=accounts).map(|number| (account(number), Vec::new())).collect();
    directory::prepare(&world, tables, ROOTS, owners, elsewhere);
    world.serve(vec![(&sign_in_api::API, sign_in_api::handler(Arc::new(desk)))]).await
}

/// The table of root users, by account.
const ROOTS: &str = "sign-in-roots";
/// The domain of the error names.
const DOMAIN: &str = "signin.amazonaws.com";

/// The name of an account by number.
pub(crate) fn account(number: u64) -> String {
    format!("account-{number}")
}

fn unavailable(message: &str) -> Status {
    api_error(Code::Unavailable, DOMAIN, "ServiceUnavailable", message)
}

fn authentication_failed() -> Status {
    api_error(Code::Unauthenticated, DOMAIN, "AuthenticationFailed", "the user or the password is wrong")
}

/// What somebody hears of what we asked others on their behalf: a refusal is theirs, anything else our failure.
fn passed_on(status: &Status) -> Status {
    match status.code() {
        Code::Unauthenticated | Code::NotFound => authentication_failed(),
        Code::PermissionDenied => api_error(Code::PermissionDenied, DOMAIN, "AccessDenied", status.message()),
        _ => unavailable(status.message()),
    }
}

fn token(credentials: Option<Credentials>) -> Result<String, Status> {
    credentials.map(|made| made.session_token).ok_or_else(|| unavailable("STS answered without credentials"))
}

struct Desk {
    iam: Client,
    sts: Client,
    roots: Directory,
}

impl Desk {
    async fn console(&self, context: &Context, request: ConsoleSignInRequest) -> Result<String, Status> {
        let ConsoleSignInRequest { user_name, password } = request;
        let principal = format!("user/{user_name}");
        let question = AuthenticateUserRequest { user_name, password };
        let iam = self.iam.within(context);
        iam.call(&iam_api::AUTHENTICATE_USER, question).await.map_err(|status| passed_on(&status))?;
        let request = GetSessionTokenRequest { principal, duration_seconds: 0 };
        let answer = self.sts.within(context).call(&sts_api::GET_SESSION_TOKEN, request).await;
        token(answer.map_err(|status| passed_on(&status))?.credentials)
    }

    async fn federated(&self, context: &Context, request: FederatedSignInRequest) -> Result<String, Status> {
        let FederatedSignInRequest { issuer, subject, role } = request;
        let request = AssumeRoleWithSamlRequest { role, issuer, subject, duration_seconds: 0 };
        let answer = self.sts.within(context).call(&sts_api::ASSUME_ROLE_WITH_SAML, request).await;
        token(answer.map_err(|status| passed_on(&status))?.credentials)
    }
}

#[async_trait::async_trait]
impl SignIn for Desk {
    async fn console_sign_in(
        &self,
        request: Request<ConsoleSignInRequest>,
    ) -> Result<Response<ConsoleSignInResponse>, Status> {
        let (context, request) = split(request);
        let session_token = self.console(&context, request).await?;
        Ok(Response::new(ConsoleSignInResponse { session_token }))
    }

    async fn root_sign_in(
        &self,
        request: Request<RootSignInRequest>,
    ) -> Result<Response<RootSignInResponse>, Status> {
        let RootSignInRequest { account, password } = request.into_inner();
        let session_token = self.roots.sign_in(&account, &password).await?;
        Ok(Response::new(RootSignInResponse { session_token }))
    }

    async fn federated_sign_in(
        &self,
        request: Request<FederatedSignInRequest>,
    ) -> Result<Response<FederatedSignInResponse>, Status> {
        let (context, request) = split(request);
        let session_token = self.federated(&context, request).await?;
        Ok(Response::new(FederatedSignInResponse { session_token }))
    }
}
