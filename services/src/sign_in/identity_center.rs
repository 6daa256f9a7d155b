//! Kind `identity-center`: one sign-in for all accounts of an organisation.
//!
//! It has a home region, where its directory and its assignments are; that of an organisation homed elsewhere stands on
//! nothing of ours.

use std::sync::Arc;

use eastfall_fabric::call::Context;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::sign_in::identity_center_server::IdentityCenter;
use eastfall_proto::sign_in::*;
use eastfall_proto::sts::{AssumeRoleWithSamlRequest, sts_api};
use eastfall_topology::Span;
use tonic::{Request, Response, Status};

use super::directory::{self, Directory};
use super::{account, passed_on, token};
use crate::copies::Limits;
use crate::home;
use crate::iam::seed::{SAML_PROVIDER, user};
use crate::pauses::Lengths;
use crate::settings::{Settings, split};
use crate::sts::StsParams;

eastfall_topology::params! {
    /// Identity Center in its home region.
    pub struct IdentityCenterParams for "identity-center" offers ["CreateSession", "ListAccounts", "GetRoleCredentials"] {
        /// Its home is another region. Read at start only.
        elsewhere: bool = false;
        /// Users in its directory (assumption). Read at start only.
        users: u64 = 200, range 1..=100000;
        /// How often copies in use are read anew (assumption).
        refresh: Span = "1m", range "1s"..="1d";
        /// A copy that is older than this serves no longer (inferred, as for IAM).
        keep: Span = "3m", range "1s"..="30d";
        /// How long the store is left alone after it was out of reach; doubles each time (assumption).
        store_pause: Span = "5s", range "100ms"..="1h";
        /// The longest such pause (inferred, as for sign-in).
        store_pause_max: Span = "10m", range "1s"..="1d";
    }
}

impl IdentityCenterParams {
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
    Kind { schema: IdentityCenterParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// The table of users.
const USERS: &str = "identity-center-users";
/// Accounts that a user may enter (assumption: a few).
const ACCOUNTS_EACH: u64 = 3;

async fn start(world: World) -> Result<(), StartError> {
    let settings = Settings::<IdentityCenterParams>::new(&world);
    let IdentityCenterParams { elsewhere, users, .. } = *settings.get();
    let tables = home::tables(&world, elsewhere)?;
    let desk = Desk {
        sts: home::dial(&world, &[StsParams::SCHEMA.name], elsewhere)?,
        directory: Directory::new(&world, &tables, USERS, move || settings.get().limits()),
    };
    let accounts = |number| (number..number + ACCOUNTS_EACH).map(account).collect();
    let users = (1..=users).map(|number| (user(number), accounts(number))).collect();
    directory::prepare(&world, tables, USERS, users, elsewhere);
    world.serve(vec![(&identity_center_api::API, identity_center_api::handler(Arc::new(desk)))]).await
}

struct Desk {
    sts: Client,
    directory: Directory,
}

impl Desk {
    /// The centre vouches for its users as any provider of assertions does.
    async fn credentials(&self, context: &Context, user: String, role: String) -> Result<String, Status> {
        let issuer = SAML_PROVIDER.to_owned();
        let request = AssumeRoleWithSamlRequest { role, issuer, subject: user, duration_seconds: 0 };
        let answer = self.sts.within(context).call(&sts_api::ASSUME_ROLE_WITH_SAML, request).await;
        token(answer.map_err(|status| passed_on(&status))?.credentials)
    }
}

#[async_trait::async_trait]
impl IdentityCenter for Desk {
    async fn create_session(
        &self,
        request: Request<CreateSessionRequest>,
    ) -> Result<Response<CreateSessionResponse>, Status> {
        let CreateSessionRequest { user, password } = request.into_inner();
        let session = self.directory.sign_in(&user, &password).await?;
        Ok(Response::new(CreateSessionResponse { session }))
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        let user = self.directory.whose(&request.into_inner().session)?;
        let accounts = self.directory.accounts(&user).await?;
        Ok(Response::new(ListAccountsResponse { accounts }))
    }

    async fn get_role_credentials(
        &self,
        request: Request<GetRoleCredentialsRequest>,
    ) -> Result<Response<GetRoleCredentialsResponse>, Status> {
        let (context, GetRoleCredentialsRequest { session, role }) = split(request);
        let user = self.directory.whose(&session)?;
        let session_token = self.credentials(&context, user, role).await?;
        Ok(Response::new(GetRoleCredentialsResponse { session_token }))
    }
}
