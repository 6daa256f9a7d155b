//! Kind `support`: cases of customers, and who may open them.
//!
//! Two things were prepared for a bad day. Cases can be kept in another region: when the store at home can't be reached,
//! the service goes over to the replica. And the check of accounts is bypassed when it fails. In the event the first
//! worked, and the second was never taken: account metadata ([`accounts`]) did not fail, it answered with something that was
//! about no account, and a check that can't tell a bad answer from a bad account keeps everybody out.

use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::error::api_error;
use eastfall_proto::support::support_server::Support;
use eastfall_proto::support::*;
use eastfall_topology::{Moment, Span};
use tonic::{Code, Request, Response, Status};

use crate::dynamodb::replica::ReplicaParams;
use crate::dynamodb::value::{item, string, text};
use crate::settings::{Settings, callee_of_kind, split};
use crate::tables::Tables;

pub mod accounts;
#[cfg(test)]
mod tests;

use accounts::AccountsParams;

eastfall_topology::params! {
    /// Support Center.
    pub struct SupportParams for "support" offers ["CreateCase", "DescribeCases"] {
        /// How long the service stays with the replica before it tries the store at home again (assumption).
        failover_for: Span = "5m", range "1s"..="1d";
        /// Which of the replicas it goes over to, counted from 0.
        replica: u32 = 0, range 0..=100;
        /// True: an answer that is about no account counts as no answer, and the check is bypassed. The repair; as built,
        /// such an answer keeps people out (published).
        bypass_invalid: bool = false;
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: SupportParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// The domain of Support's error names.
const DOMAIN: &str = "support.amazonaws.com";
/// Cases by account: a Global Table.
const CASES: &str = "support-cases";
const SCHEMA: &str = "support-cases(account,case) stream";
/// Cases that a request answers at most (published).
const MOST_CASES: u32 = 100;

async fn start(world: World) -> Result<(), StartError> {
    let replica = world.params::<SupportParams>().replica as usize;
    let replicas = callee_of_kind(&world, ReplicaParams::SCHEMA.name)?;
    let desk = Desk {
        settings: Settings::new(&world),
        home: Tables::of(&world)?,
        replica: Tables::new(world.dial_instance(&replicas, replica)?),
        accounts: world.dial(&callee_of_kind(&world, AccountsParams::SCHEMA.name)?)?,
        home_again_at: Mutex::new(Moment::START),
        world: world.clone(),
    };
    for name in ["checks-bypassed", "kept-out"] {
        world.record().count(name, 0);
    }
    world.record().gauge("failed-over", 0.0);
    for tables in [desk.home.clone(), desk.replica.clone()] {
        let preparing = world.clone();
        world.spawn(async move { tables.prepare(&preparing, &[SCHEMA]).await });
    }
    world.serve(vec![(&support_api::API, support_api::handler(Arc::new(desk)))]).await
}

struct Desk {
    world: World,
    settings: Settings<SupportParams>,
    home: Tables,
    replica: Tables,
    accounts: Client,
    /// Until then the replica is used.
    home_again_at: Mutex<Moment>,
}

fn internal(status: &Status) -> Status {
    api_error(Code::Internal, DOMAIN, "InternalServerError", status.message())
}

impl Desk {
    /// Who asks, and whether they may.
    async fn check(&self, context: &Context, account: &str) -> Result<(), Status> {
        let request = GetAccountRequest { account: account.to_owned() };
        let known = self.accounts.within(context).call(&accounts_api::GET_ACCOUNT, request).await;
        let known = match known {
            // The check is there to keep people out who don't pay, not to be in the way of those who do.
            Err(_) => None,
            Ok(known) if known.account != account => {
                if !self.settings.get().bypass_invalid {
                    self.world.record().count("kept-out", 1);
                    let message = "what is known of the account does not let it in";
                    return Err(api_error(Code::Internal, DOMAIN, "AccessDeniedException", message));
                }
                None
            }
            Ok(known) => Some(known),
        };
        match known {
            None => self.world.record().count("checks-bypassed", 1),
            Some(known) if known.support_plan == "basic" => {
                let message = "a support plan is required";
                return Err(api_error(
                    Code::PermissionDenied,
                    DOMAIN,
                    "SubscriptionRequiredException",
                    message,
                ));
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Does something in the store at home, or in the replica while home can't be reached.
    async fn stored<T, F>(&self, context: &Context, work: impl Fn(Tables) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        if !self.failed_over() {
            match work(self.home.within(context)).await {
                Err(_) => self.fail_over(),
                answered => return answered,
            }
        }
        work(self.replica.within(context)).await.map_err(|status| internal(&status))
    }

    fn failed_over(&self) -> bool {
        let until = *self.home_again_at.lock().unwrap_or_else(PoisonError::into_inner);
        let over = self.world.now() < until;
        self.world.record().gauge("failed-over", f64::from(u8::from(over)));
        over
    }

    fn fail_over(&self) {
        let until = self.world.now() + self.settings.get().failover_for;
        *self.home_again_at.lock().unwrap_or_else(PoisonError::into_inner) = until;
        self.world.record().event("support.failed-over", &[]);
    }
}

#[async_trait::async_trait]
impl Support for Desk {
    async fn create_case(
        &self,
        request: Request<CreateCaseRequest>,
    ) -> Result<Response<CreateCaseResponse>, Status> {
        let (context, request) = split(request);
        let CreateCaseRequest { account, subject, client_token } = request;
        self.check(&context, &account).await?;
        let case_id = format!("case-{client_token}");
        let row =
            item([("account", string(&account)), ("case", string(&case_id)), ("subject", string(&subject))]);
        self.stored(&context, |tables| {
            let row = row.clone();
            async move { tables.put(CASES, row).await }
        })
        .await?;
        Ok(Response::new(CreateCaseResponse { case_id }))
    }

    async fn describe_cases(
        &self,
        request: Request<DescribeCasesRequest>,
    ) -> Result<Response<DescribeCasesResponse>, Status> {
        let (context, request) = split(request);
        self.check(&context, &request.account).await?;
        let account = &request.account;
        let found = self
            .stored(&context, |tables| async move { tables.some_of(CASES, account, MOST_CASES, true).await })
            .await?;
        let case_ids = found.iter().filter_map(|row| text(row, "case")).map(str::to_owned).collect();
        Ok(Response::new(DescribeCasesResponse { case_ids }))
    }
}
