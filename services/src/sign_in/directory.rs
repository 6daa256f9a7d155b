//! A directory of users in DynamoDB, apart from IAM: who they are, which accounts they may enter, and sessions for them.
//!
//! Sessions are sealed texts: to make one, the directory must be readable (or a copy of the user at hand); to tell whose
//! one is needs nobody.

use std::sync::Arc;

use eastfall_fabric::world::World;
use eastfall_proto::dynamodb::write_request::Write;
use eastfall_proto::dynamodb::{Item as ItemMessage, WriteRequest};
use eastfall_topology::Span;
use tonic::{Code, Status};

use super::{DOMAIN, authentication_failed, unavailable};
use crate::copies::{Copies, Limits};
use crate::dynamodb::value::{self, Item, item, number, string};
use crate::iam::seed::first_password;
use crate::seal::common::CommonKey;
use crate::seal::password_hash;
use crate::tables::Tables;

/// The key of every directory's table.
const KEY: &str = "user";
/// How long a session lasts (published: 8 hours is Identity Center's default; for the console it is 12).
const SESSION: Span = Span::from_mins(8 * 60);
/// Users that one batch writes (published: 25 items).
const BATCH: usize = 25;
/// How long before a directory that could not be written is tried again.
const TRY_AGAIN: Span = Span::from_secs(5);

/// A directory as an instance has it.
pub(super) struct Directory {
    world: World,
    users: Arc<Copies>,
    key: CommonKey,
}

/// A user who is there before the run, and the accounts it may enter.
pub(super) type User = (String, Vec<String>);

/// Has the table of a directory made and, by the first instance, filled.
///
/// `elsewhere`: each instance is alone in its region, and fills its own.
pub(super) fn prepare(world: &World, tables: Tables, table: &'static str, users: Vec<User>, elsewhere: bool) {
    let preparing = world.clone();
    world.spawn(async move {
        tables.prepare(&preparing, &[&format!("{table}({KEY})")]).await;
        if preparing.instance().index != 0 && !elsewhere {
            return;
        }
        while let Err(error) = fill(&tables, table, &users).await {
            let fields = [("table", table.to_owned()), ("reason", error.message().to_owned())];
            preparing.record().event("table-not-ready", &fields);
            preparing.sleep(TRY_AGAIN).await;
        }
    });
}

async fn fill(tables: &Tables, table: &str, users: &[User]) -> Result<(), Status> {
    for several in users.chunks(BATCH) {
        let put = |(name, accounts): &User| {
            let user = item([
                (KEY, string(name)),
                ("password", number(password_hash(name, &first_password(name)))),
                ("accounts", string(accounts.join(" "))),
            ]);
            let write = Some(Write::Put(ItemMessage { attributes: user }));
            WriteRequest { table_name: table.to_owned(), write }.into()
        };
        let mut requests: Vec<_> = several.iter().map(put).collect();
        while !requests.is_empty() {
            requests = tables.write_batch(requests).await?;
        }
    }
    Ok(())
}

impl Directory {
    /// The directory in this table.
    pub(super) fn new(
        world: &World,
        tables: &Tables,
        table: &'static str,
        limits: impl Fn() -> Limits + Send + Sync + 'static,
    ) -> Directory {
        let users = Copies::new(world, tables.clone(), table, KEY, limits);
        Directory { world: world.clone(), users, key: CommonKey::of(world, tables) }
    }

    /// A session for a user who knows the password.
    ///
    /// # Errors
    /// `AuthenticationFailed` or `ServiceUnavailable`.
    pub(super) async fn sign_in(&self, user: &str, password: &str) -> Result<String, Status> {
        let found = self.user(user).await?;
        if value::parsed(&found, "password") != Some(password_hash(user, password)) {
            return Err(authentication_failed());
        }
        let key = self.key.get().ok_or_else(|| unavailable("there is no key to seal sessions with yet"))?;
        Ok(key.seal(&format!("{} {user}", (self.world.now() + SESSION).as_nanos())))
    }

    /// Whose session it is.
    ///
    /// # Errors
    /// `UnauthorizedException` if it has ended or never was.
    pub(super) fn whose(&self, session: &str) -> Result<String, Status> {
        let key = self.key.get().ok_or_else(|| unavailable("there is no key to read sessions with yet"))?;
        let read = || {
            let (until, user) = key.open(session)?.split_once(' ')?;
            let until: u64 = until.parse().ok()?;
            (self.world.now().as_nanos() < until).then(|| user.to_owned())
        };
        read().ok_or_else(|| {
            let message = "the session has ended or never was";
            eastfall_proto::error::api_error(Code::Unauthenticated, DOMAIN, "UnauthorizedException", message)
        })
    }

    /// The accounts that a user may enter.
    ///
    /// # Errors
    /// `ServiceUnavailable`.
    pub(super) async fn accounts(&self, user: &str) -> Result<Vec<String>, Status> {
        let found = self.user(user).await?;
        let accounts = value::text(&found, "accounts").unwrap_or_default();
        Ok(accounts.split_whitespace().map(str::to_owned).collect())
    }

    async fn user(&self, user: &str) -> Result<Arc<Item>, Status> {
        if user.is_empty() {
            return Err(authentication_failed());
        }
        self.users.get(user).await.map_err(|status| unavailable(status.message()))
    }
}
