//! What a service knows of its customers' resources by name (queues, streams, functions, rules): rows of a table in
//! DynamoDB, kept in memory as the real control planes' data planes keep them.
//!
//! The split it reproduces: **changing** a resource needs DynamoDB and fails without it, **using** one needs only the copy
//! in memory. A copy that can't be refreshed is used as it is (static stability), so a data plane outlives its store;
//! what is asked for the first time meanwhile is out of reach.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::world::{StartError, World};
use eastfall_proto::dynamodb::write_request::Write;
use eastfall_proto::dynamodb::{Condition, Item as ItemMessage, WriteRequest};
use eastfall_topology::{Moment, Span};
use tonic::Status;

use crate::dynamodb::value::{self, Item, item, string};
use crate::tables::Tables;

/// The attribute that names a resource: the table's partition key.
pub const NAME: &str = "name";

/// How long after a refresh that failed the copy is used before the next is tried, so that an outage of the store does
/// not make every request wait for it (assumption).
const REFRESH_AGAIN: Span = Span::from_secs(30);
/// How long before resources of before that could not be written are written again.
const SEED_AGAIN: Span = Span::from_secs(5);
/// Rows of one batch (published).
const BATCH: usize = 25;

/// Resources of one sort.
pub struct Catalog {
    world: World,
    tables: Tables,
    table: &'static str,
    held: Mutex<BTreeMap<String, Held>>,
}

/// A row as it was when it was read.
struct Held {
    row: Item,
    /// It counts as fresh until then.
    fresh_until: Moment,
}

impl Catalog {
    /// The catalog in this table of the one DynamoDB that this world's service calls.
    ///
    /// # Errors
    /// If the service calls none, or several.
    pub fn of(world: &World, table: &'static str) -> Result<Catalog, StartError> {
        let tables = Tables::of(world)?;
        Ok(Catalog { world: world.clone(), tables, table, held: Mutex::default() })
    }

    /// Makes the table, and has resources of before the run's start written and held by this instance, trying again
    /// until that is done. They are written by the service's first instance only.
    pub async fn prepare(&self, rows: Vec<Item>, fresh_for: Span) {
        self.tables.prepare(&self.world, &[&format!("{}({NAME})", self.table)]).await;
        if self.world.instance().index == 0 {
            for batch in rows.chunks(BATCH) {
                while let Err(reason) = self.write(batch).await {
                    let fields = [("table", self.table.to_owned()), ("reason", reason)];
                    self.world.record().event("resources-not-written", &fields);
                    self.world.sleep(SEED_AGAIN).await;
                }
            }
        }
        let fresh_until = self.world.now() + fresh_for;
        let mut held = self.held();
        for row in rows {
            if let Some(name) = value::text(&row, NAME) {
                held.entry(name.to_owned()).or_insert(Held { row, fresh_until });
            }
        }
    }

    async fn write(&self, rows: &[Item]) -> Result<(), String> {
        let put = |row: &Item| {
            let write = Some(Write::Put(ItemMessage { attributes: row.clone() }));
            WriteRequest { table_name: self.table.to_owned(), write }.into()
        };
        match self.tables.write_batch(rows.iter().map(put).collect()).await {
            Ok(left) if left.is_empty() => Ok(()),
            Ok(left) => Err(format!("{} of {} rows were not written", left.len(), rows.len())),
            Err(status) => Err(status.message().to_owned()),
        }
    }

    /// The row of a resource: the copy as long as it is fresh, or when it can't be read anew. Nothing if there is no
    /// such resource.
    ///
    /// # Errors
    /// As DynamoDB answers, if there is no copy either.
    pub async fn get(&self, context: &Context, name: &str, fresh_for: Span) -> Result<Option<Item>, Status> {
        if let Some(copy) = self.held().get(name)
            && self.world.now() < copy.fresh_until
        {
            return Ok(Some(copy.row.clone()));
        }
        match self.tables.within(context).get(self.table, key(name)).await {
            Ok(row) if row.is_empty() => {
                self.held().remove(name);
                Ok(None)
            }
            Ok(row) => {
                self.hold(name, row.clone(), fresh_for);
                Ok(Some(row))
            }
            Err(status) => match self.held().get_mut(name) {
                Some(copy) => {
                    copy.fresh_until = self.world.now() + REFRESH_AGAIN;
                    Ok(Some(copy.row.clone()))
                }
                None => Err(status),
            },
        }
    }

    /// The row as DynamoDB has it now; empty if there is none. For what is about to change it.
    ///
    /// # Errors
    /// As DynamoDB answers.
    pub async fn read(&self, context: &Context, name: &str) -> Result<Item, Status> {
        self.tables.within(context).get(self.table, key(name)).await
    }

    /// Writes a resource, if its row (or its absence) meets a condition.
    ///
    /// # Errors
    /// As DynamoDB answers; `failed-precondition` if the condition does not hold.
    pub async fn put(
        &self,
        context: &Context,
        row: Item,
        condition: Option<Condition>,
        fresh_for: Span,
    ) -> Result<(), Status> {
        let name = value::text(&row, NAME).unwrap_or_default().to_owned();
        let tables = self.tables.within(context);
        match condition {
            Some(condition) => tables.put_if(self.table, row.clone(), condition).await?,
            None => tables.put(self.table, row.clone()).await?,
        }
        self.hold(&name, row, fresh_for);
        Ok(())
    }

    fn hold(&self, name: &str, row: Item, fresh_for: Span) {
        let fresh_until = self.world.now() + fresh_for;
        self.held().insert(name.to_owned(), Held { row, fresh_until });
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(name: &str) -> Item {
    item([(NAME, string(name))])
}
