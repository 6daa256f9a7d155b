//! One write of one item: what the four kinds of write have in common, so that single writes, batches and transactions
//! all go the same way.

use std::borrow::Cow;
use std::sync::Arc;

use eastfall_proto::dynamodb::transact_write_item::Item as Kind;
use eastfall_proto::dynamodb::write_request::Write as BatchKind;
use eastfall_proto::dynamodb::{Condition, TransactWriteItem, UpdateAction, WriteRequest};
use eastfall_proto::shared::Shared;
use tonic::Status;

use super::condition;
use super::error::{condition_failed, validation};
use super::key::{RowKey, TableSchema};
use super::row::Row;
use super::update;
use super::value::{self, Item};

/// Largest item in bytes (published: 400 KB).
const ITEM_LIMIT: usize = 400 * 1024;

/// A write that has found its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The table.
    pub table: Arc<str>,
    /// The item's place in it.
    pub key: RowKey,
    condition: Option<Condition>,
    action: Action,
}

/// What is to be done; where the item itself does not say so, with the key as attributes.
#[derive(Clone, Debug, PartialEq)]
enum Action {
    Put(Item),
    Update(Item, Vec<UpdateAction>),
    Delete(Item),
    /// A put or delete of a batch, which is handed on and not copied.
    Batch(Shared<WriteRequest>),
    Check,
}

/// What a write makes of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<'a> {
    /// It only checked.
    Nothing,
    /// The item is now this.
    Put(Cow<'a, Item>),
    /// The item with this key is gone.
    Remove(&'a Item),
}

/// The name of the table that a write is about.
///
/// # Errors
/// `ValidationException` if it is no write at all.
pub fn table_of(item: &TransactWriteItem) -> Result<&str, Status> {
    match &item.item {
        Some(Kind::Put(put)) => Ok(&put.table_name),
        Some(Kind::Update(update)) => Ok(&update.table_name),
        Some(Kind::Delete(delete)) => Ok(&delete.table_name),
        Some(Kind::Check(check)) => Ok(&check.table_name),
        None => Err(validation("a transaction's item says nothing")),
    }
}

/// The place of the item that a write is about.
///
/// # Errors
/// `ValidationException` if the key does not fit the schema.
pub fn key_of(schema: &TableSchema, item: &TransactWriteItem) -> Result<RowKey, Status> {
    match &item.item {
        Some(Kind::Put(put)) => schema.row_key(&put.item),
        Some(Kind::Update(update)) => schema.exact_key(&update.key),
        Some(Kind::Delete(delete)) => schema.exact_key(&delete.key),
        Some(Kind::Check(check)) => schema.exact_key(&check.key),
        None => Err(validation("a transaction's item says nothing")),
    }
}

/// The place of the item that a batch's write is about.
///
/// # Errors
/// `ValidationException` if the key does not fit the schema.
pub fn batch_key_of(schema: &TableSchema, request: &WriteRequest) -> Result<RowKey, Status> {
    match &request.write {
        Some(BatchKind::Put(item)) => schema.row_key(&item.attributes),
        Some(BatchKind::Delete(key)) => schema.exact_key(&key.attributes),
        None => Err(validation("a batch's request says nothing")),
    }
}

impl Write {
    /// Finds the place of a write.
    ///
    /// # Errors
    /// `ValidationException` if the key does not fit the schema, or the item is too large.
    pub fn new(schema: &TableSchema, item: TransactWriteItem) -> Result<Write, Status> {
        let key = key_of(schema, &item)?;
        let (condition, action) = match item.item {
            Some(Kind::Put(put)) => (put.condition, Action::Put(put.item)),
            Some(Kind::Update(update)) => (update.condition, Action::Update(update.key, update.actions)),
            Some(Kind::Delete(delete)) => (delete.condition, Action::Delete(delete.key)),
            Some(Kind::Check(check)) => {
                let condition = check.condition.ok_or_else(|| validation("a check needs a condition"))?;
                (Some(condition), Action::Check)
            }
            None => return Err(validation("a transaction's item says nothing")),
        };
        Ok(Write { table: schema.shared_name(), key, condition, action })
    }

    /// A batch's write.
    ///
    /// # Errors
    /// `ValidationException` if the key does not fit the schema.
    pub fn of_batch(schema: &TableSchema, request: Shared<WriteRequest>) -> Result<Write, Status> {
        let key = batch_key_of(schema, &request)?;
        Ok(Write { table: schema.shared_name(), key, condition: None, action: Action::Batch(request) })
    }

    /// The request that a batch's write was made of; nothing if it was made otherwise.
    pub fn into_batch(self) -> Option<Shared<WriteRequest>> {
        match self.action {
            Action::Batch(request) => Some(request),
            Action::Put(_) | Action::Update(..) | Action::Delete(_) | Action::Check => None,
        }
    }

    /// The size of the item that it puts, in bytes as DynamoDB counts them.
    pub fn put_size(&self) -> usize {
        match &self.action {
            Action::Put(item) => value::size(item),
            Action::Batch(request) => match &request.write {
                Some(BatchKind::Put(item)) => value::size(&item.attributes),
                Some(BatchKind::Delete(_)) | None => 0,
            },
            Action::Update(..) | Action::Delete(_) | Action::Check => 0,
        }
    }

    /// What it makes of the item that is there.
    ///
    /// # Errors
    /// `ConditionalCheckFailedException` if its condition does not hold, `ValidationException` if condition or update
    /// are malformed or the item becomes too large.
    pub fn effect(&self, schema: &TableSchema, existing: Option<&Row>) -> Result<Effect<'_>, Status> {
        let existing = existing.filter(|row| row.holds_item());
        let looks = self.condition.is_some() || matches!(self.action, Action::Update(..));
        let before = existing.filter(|_| looks).and_then(Row::item);
        if let Some(condition) = &self.condition {
            let nothing = Item::new();
            if !condition::holds(condition, before.as_ref().unwrap_or(&nothing))? {
                return Err(condition_failed());
            }
        }
        let delete = |key| if existing.is_some() { Effect::Remove(key) } else { Effect::Nothing };
        let item = match &self.action {
            Action::Check => return Ok(Effect::Nothing),
            Action::Delete(key) => return Ok(delete(key)),
            Action::Batch(request) => match &request.write {
                Some(BatchKind::Put(item)) => Cow::Borrowed(&item.attributes),
                Some(BatchKind::Delete(key)) => return Ok(delete(&key.attributes)),
                None => return Ok(Effect::Nothing),
            },
            Action::Put(item) => Cow::Borrowed(item),
            Action::Update(key, actions) => {
                let mut item = before.unwrap_or_else(|| key.clone());
                update::apply(schema, actions, &mut item)?;
                Cow::Owned(item)
            }
        };
        if let Some((name, _)) = item.iter().find(|(_, value)| value.value.is_none()) {
            return Err(validation(format!("attribute `{name}` has no value")));
        }
        match value::size(&item) {
            size if size > ITEM_LIMIT => {
                Err(validation(format!("the item is {size} bytes; the limit is {ITEM_LIMIT}")))
            }
            _ => Ok(Effect::Put(item)),
        }
    }
}
