//! Everything one storage node holds: tables and unfinished transactions.
//!
//! A write is planned against the state as it is, made durable, and only then applied: what a reader sees and what a
//! writer is told has survived any `kill -9`. The plan is a list of [`Change`]s, each of which knows its durable form.
//! Nothing here waits or knows the time, so all of it can be tested without a world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eastfall_proto::dynamodb::{PrepareRequest, Record, ReturnValues, TableDescription};
use prost::Message as _;
use tonic::Status;

use super::error;
use super::key::{RowKey, TableSchema};
use super::row::Row;
use super::table::Table;
use super::value::Item;
use super::write::{Effect, Write};

pub mod durable;
mod replication;
mod transaction;

/// The state of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    region: Arc<str>,
    tables: BTreeMap<Arc<str>, Table>,
    transactions: transaction::Ledger,
}

/// One change of the state, as it is made durable and then applied.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// There is a new table.
    Table(TableSchema),
    /// A key of a table holds something else, or nothing.
    Row {
        /// The table.
        table: Arc<str>,
        /// The key.
        key: RowKey,
        /// What it holds now.
        row: Option<Row>,
    },
    /// The stream of a table is one record longer.
    Record {
        /// The table.
        table: Arc<str>,
        /// The record, numbered.
        record: Record,
    },
    /// The stream of a table has lost its oldest record, which had this number.
    Trim {
        /// The table.
        table: Arc<str>,
        /// The number of the record.
        sequence_number: u64,
    },
    /// This node's part in a transaction is prepared, or settled.
    Intent {
        /// The transaction.
        transaction: String,
        /// What was asked for; nothing once it is settled.
        request: Option<PrepareRequest>,
    },
    /// A transaction that this node decides is committed, or forgotten.
    Decision {
        /// The transaction.
        transaction: String,
        /// Its participants and expiry; nothing once it is forgotten.
        request: Option<PrepareRequest>,
    },
}

/// What a write did.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The larger of the item before and after, in bytes as DynamoDB counts them.
    pub bytes: usize,
    /// What was to be returned of the item before or after.
    pub returned: Item,
}

impl Store {
    /// An empty store of a region.
    pub fn new(region: &str) -> Self {
        Store { region: region.into(), tables: BTreeMap::new(), transactions: transaction::Ledger::default() }
    }

    /// The region whose name its writes carry.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// All tables by name.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// The table of this name.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if there is none.
    pub fn table(&self, name: &str) -> Result<&Table, Status> {
        self.tables.get(name).ok_or_else(|| error::table_not_found(name))
    }

    /// Plans a new table.
    ///
    /// # Errors
    /// `ResourceInUseException` if it exists, `ValidationException` if the description is not one of a table.
    pub fn create_table(&self, description: TableDescription) -> Result<Vec<Change>, Status> {
        let schema = TableSchema::try_from(description)?;
        if self.tables.contains_key(schema.name()) {
            return Err(error::table_in_use(schema.name()));
        }
        Ok(vec![Change::Table(schema)])
    }

    /// Plans one write at a moment (nanoseconds of incident time).
    ///
    /// # Errors
    /// `TransactionConflictException` if a transaction holds the item; otherwise as [`Write::effect`].
    pub fn write(
        &self,
        now: u64,
        write: Write,
        wanted: ReturnValues,
    ) -> Result<(Vec<Change>, Written), Status> {
        if self.transactions.holds(&write.table, &write.key) {
            return Err(error::conflict());
        }
        let mut plan = Plan::new(self, now);
        let written = plan.write(&write, wanted)?;
        Ok((plan.changes, written))
    }

    /// Plans several writes, each for itself and no two of the same item. Those of items that a transaction holds come
    /// back.
    ///
    /// # Errors
    /// As [`Write::effect`], if any of them is malformed.
    pub fn write_each(&self, now: u64, writes: Vec<Write>) -> Result<(Vec<Change>, Vec<Write>), Status> {
        let mut plan = Plan::new(self, now);
        let mut held = Vec::new();
        for write in writes {
            if self.transactions.holds(&write.table, &write.key) {
                held.push(write);
            } else {
                plan.write(&write, ReturnValues::None)?;
            }
        }
        Ok((plan.changes, held))
    }

    /// Plans forgetting what streams hold from before a moment, at most so many records at a time.
    pub fn trim(&self, before: u64, at_most: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, table) in &self.tables {
            let mut removals = BTreeSet::new();
            for record in table.stream().written_before(before).take(at_most) {
                let sequence_number = record.sequence_number;
                changes.push(Change::Trim { table: Arc::clone(name), sequence_number });
                // The memory of a removal goes with its record, unless the item was written again since.
                if let Ok(key) = table.schema().row_key(&record.key)
                    && table
                        .row(&key)
                        .is_some_and(|row| !row.holds_item() && row.written_at() == record.written_at)
                    && removals.insert(key.clone())
                {
                    changes.push(Change::Row { table: Arc::clone(name), key, row: None });
                }
            }
        }
        changes
    }

    /// Plans the removal of items whose time to live is over at a moment (nanoseconds), at most so many of a table.
    pub fn expire(&self, now: u64, at_most: usize) -> Vec<Change> {
        let mut plan = Plan::new(self, now);
        for (name, table) in &self.tables {
            let due = table.expired(now).filter(|(key, _)| !self.transactions.holds(name, key));
            for (key, row) in due.take(at_most) {
                let written_at = now.max(row.written_at() + 1);
                let key_attributes = || table.schema().key_of(&row.item().unwrap_or_default());
                plan.row(table, key.clone(), &Item::new(), written_at, &self.region, key_attributes);
            }
        }
        plan.changes
    }

    /// Applies what has been made durable.
    pub fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Table(schema) => {
                    self.tables.insert(schema.shared_name(), Table::new(schema));
                }
                Change::Row { table, key, row } => {
                    if let Some(table) = self.tables.get_mut(&table) {
                        match row {
                            Some(row) => table.put(key, row),
                            None => table.remove(&key),
                        }
                    }
                }
                Change::Record { table, record } => {
                    if let Some(table) = self.tables.get_mut(&table) {
                        table.stream.push(record);
                    }
                }
                Change::Trim { table, .. } => {
                    if let Some(table) = self.tables.get_mut(&table) {
                        table.stream.pop();
                    }
                }
                Change::Intent { transaction, request } => self.set_intent(transaction, request),
                Change::Decision { transaction, request } => {
                    self.transactions.set_decision(transaction, request)
                }
            }
        }
    }
}

/// Changes that are being put together.
struct Plan<'a> {
    store: &'a Store,
    now: u64,
    changes: Vec<Change>,
    /// Records planned so far by table: their numbers follow those of the stream.
    records: BTreeMap<Arc<str>, u64>,
}

impl<'a> Plan<'a> {
    fn new(store: &'a Store, now: u64) -> Self {
        Plan { store, now, changes: Vec::new(), records: BTreeMap::new() }
    }

    /// Plans a write.
    fn write(&mut self, write: &Write, wanted: ReturnValues) -> Result<Written, Status> {
        let table = self.store.table(&write.table)?;
        let existing = table.row(&write.key);
        let effect = write.effect(table.schema(), existing)?;
        let nothing = Item::new();
        let item = match &effect {
            Effect::Nothing => None,
            Effect::Put(item) => Some(item.as_ref()),
            Effect::Remove(_) => Some(&nothing),
        };
        let returned = match wanted {
            ReturnValues::AllOld => existing.and_then(Row::item),
            ReturnValues::AllNew => item.cloned(),
            ReturnValues::None => None,
        };
        let mut bytes = existing.map_or(0, Row::size);
        if let Some(item) = item {
            // Later than what is there, also when both come in the same nanosecond or another region's clock is ahead.
            let written_at = self.now.max(existing.map_or(0, |row| row.written_at() + 1));
            let key_attributes = || match &effect {
                Effect::Remove(key) => (*key).clone(),
                _ => table.schema().key_of(item),
            };
            let region = &self.store.region;
            bytes = bytes.max(self.row(table, write.key.clone(), item, written_at, region, key_attributes));
        }
        Ok(Written { bytes, returned: returned.unwrap_or_default() })
    }

    /// Plans that a key holds an item, or that it was removed if that has no attributes. The key's attributes are asked for
    /// only if the table has a stream, which names them. Says how large the item is, as DynamoDB counts it.
    fn row(
        &mut self,
        table: &Table,
        key: RowKey,
        item: &Item,
        written_at: u64,
        region: &Arc<str>,
        key_attributes: impl FnOnce() -> Item,
    ) -> usize {
        let (schema, name) = (table.schema(), table.schema().shared_name());
        if schema.stream() {
            let planned = self.records.entry(Arc::clone(&name)).or_insert(0);
            let record = Record {
                sequence_number: table.stream().next() + *planned,
                key: key_attributes(),
                new_image: item.clone(),
                written_at,
                region: region.as_ref().to_owned(),
            };
            *planned += 1;
            self.changes.push(Change::Record { table: Arc::clone(&name), record });
        }
        let remembered = schema.stream() || !item.is_empty();
        let row = remembered.then(|| Row::new(schema, item, written_at, region));
        let size = row.as_ref().map_or(0, Row::size);
        self.changes.push(Change::Row { table: name, key, row });
        size
    }
}

#[cfg(test)]
mod tests;
