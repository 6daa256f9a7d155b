//! One write of one item: what the four kinds of write have in common, so that single writes, batches and transactions
//! all go the same way.

use eastfall_proto::dynamodb::transact_write_item::Item as Kind;
use eastfall_proto::dynamodb::write_request::Write as BatchKind;
use eastfall_proto::dynamodb::{Condition, ReturnValues, TransactWriteItem, UpdateAction, WriteRequest};
use tonic::Status;

use super::condition;
use super::error::{condition_failed, validation};
use super::key::{RowKey, TableSchema};
use super::update;
use super::value::{self, Item};

/// Largest item in bytes (published: 400 KB).
const ITEM_LIMIT: usize = 400 * 1024;

/// A write that has found its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The table.
    pub table: String,
    /// The item's place in it.
    pub key: RowKey,
    key_attributes: Item,
    condition: Option<Condition>,
    action: Action,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Put(Item),
    Update(Vec<UpdateAction>),
    Delete,
    Check,
}

/// What a write makes of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// It only checked.
    Nothing,
    /// The item is now this.
    Put(Item),
    /// The item is gone.
    Remove,
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
        let (key_attributes, condition, action) = match item.item {
            Some(Kind::Put(put)) => (schema.key_of(&put.item), put.condition, Action::Put(put.item)),
            Some(Kind::Update(update)) => (update.key, update.condition, Action::Update(update.actions)),
            Some(Kind::Delete(delete)) => (delete.key, delete.condition, Action::Delete),
            Some(Kind::Check(check)) => {
                let condition = check.condition.ok_or_else(|| validation("a check needs a condition"))?;
                (check.key, Some(condition), Action::Check)
            }
            None => return Err(validation("a transaction's item says nothing")),
        };
        Ok(Write { table: schema.name().to_owned(), key, key_attributes, condition, action })
    }

    /// A batch's write.
    ///
    /// # Errors
    /// `ValidationException` if the key does not fit the schema.
    pub fn of_batch(schema: &TableSchema, request: WriteRequest) -> Result<Write, Status> {
        let key = batch_key_of(schema, &request)?;
        let (key_attributes, action) = match request.write {
            Some(BatchKind::Put(item)) => (schema.key_of(&item.attributes), Action::Put(item.attributes)),
            Some(BatchKind::Delete(key)) => (key.attributes, Action::Delete),
            None => return Err(validation("a batch's request says nothing")),
        };
        Ok(Write { table: schema.name().to_owned(), key, key_attributes, condition: None, action })
    }

    /// The key, as attributes.
    pub fn key_attributes(&self) -> &Item {
        &self.key_attributes
    }

    /// What it makes of the item that is there.
    ///
    /// # Errors
    /// `ConditionalCheckFailedException` if its condition does not hold, `ValidationException` if condition or update
    /// are malformed or the item becomes too large.
    pub fn effect(&self, schema: &TableSchema, existing: Option<&Item>) -> Result<Effect, Status> {
        if let Some(condition) = &self.condition {
            let nothing = Item::new();
            if !condition::holds(condition, existing.unwrap_or(&nothing))? {
                return Err(condition_failed());
            }
        }
        let item = match &self.action {
            Action::Check => return Ok(Effect::Nothing),
            Action::Delete if existing.is_none() => return Ok(Effect::Nothing),
            Action::Delete => return Ok(Effect::Remove),
            Action::Put(item) => item.clone(),
            Action::Update(actions) => {
                let mut item = existing.unwrap_or(&self.key_attributes).clone();
                update::apply(schema, actions, &mut item)?;
                item
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

/// What a write returns, of the item before and after.
pub fn returned(wanted: ReturnValues, before: Option<&Item>, effect: &Effect) -> Item {
    match (wanted, effect) {
        (ReturnValues::AllOld, _) => before.cloned().unwrap_or_default(),
        (ReturnValues::AllNew, Effect::Put(item)) => item.clone(),
        _ => Item::new(),
    }
}
