//! Kind `account-metadata`: what is known of accounts, for services that ask before they serve.
//!
//! It keeps what it has read for a while, and reads from DynamoDB what it does not know. When that fails it answers all the
//! same, as built: an answer about nobody, which is worse than an error, because who asks takes it for one about the
//! account (published: it 'began providing responses that prevented legitimate users from accessing').

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::support::accounts_server::Accounts;
use eastfall_proto::support::*;
use eastfall_topology::{Moment, Span, words};
use tonic::{Request, Response, Status};

use crate::dynamodb::value::{item, string, text};
use crate::settings::{Settings, split};
use crate::tables::Tables;

words! {
    /// What is answered when nothing can be read.
    pub enum OnFailure {
        /// An answer about no account.
        Invalid = "invalid",
        /// An error.
        Error = "error",
    }
}

eastfall_topology::params! {
    /// What is known of accounts.
    pub struct AccountsParams for "account-metadata" {
        /// How long what was read is believed (assumption).
        fresh_for: Span = "5m", range "0s"..="1d";
        /// What is answered when nothing can be read (published: invalid answers; `error` is the repair).
        on_failure: OnFailure = "invalid";
        /// The support plan of accounts that nothing is written about (assumption: who opens cases pays for it).
        plan: String = "business";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: AccountsParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// Accounts by name.
const ACCOUNTS: &str = "accounts";

async fn start(world: World) -> Result<(), StartError> {
    let tables = Tables::of(&world)?;
    let (preparing, prepared) = (world.clone(), tables.clone());
    world.spawn(async move { prepared.prepare(&preparing, &["accounts(account)"]).await });
    world.record().count("invalid-answers", 0);
    let desk =
        Desk { settings: Settings::new(&world), tables, known: Mutex::default(), world: world.clone() };
    world.serve(vec![(&accounts_api::API, accounts_api::handler(Arc::new(desk)))]).await
}

struct Desk {
    world: World,
    settings: Settings<AccountsParams>,
    tables: Tables,
    /// Plans by account, and when they were read.
    known: Mutex<BTreeMap<String, (Moment, String)>>,
}

impl Desk {
    async fn plan(&self, context: &Context, account: &str) -> Result<String, Status> {
        let (now, settings) = (self.world.now(), self.settings.get());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(account).cloned();
        if let Some((_, plan)) = known.filter(|(read, _)| now < *read + settings.fresh_for) {
            return Ok(plan);
        }
        let row = self.tables.within(context).get(ACCOUNTS, item([("account", string(account))])).await?;
        let plan = text(&row, "plan").unwrap_or(&settings.plan).to_owned();
        let read = (self.world.now(), plan.clone());
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(account.to_owned(), read);
        Ok(plan)
    }
}

#[async_trait::async_trait]
impl Accounts for Desk {
    async fn get_account(
        &self,
        request: Request<GetAccountRequest>,
    ) -> Result<Response<GetAccountResponse>, Status> {
        let (context, request) = split(request);
        match self.plan(&context, &request.account).await {
            Ok(support_plan) => {
                Ok(Response::new(GetAccountResponse { account: request.account, support_plan }))
            }
            Err(status) if self.settings.get().on_failure == OnFailure::Error => Err(status),
            Err(_) => {
                self.world.record().count("invalid-answers", 1);
                Ok(Response::new(GetAccountResponse::default()))
            }
        }
    }
}
