//! A service's own tables in DynamoDB, as it uses them: the handful of requests that metadata, policies, locks and
//! leases are made of.
//!
//! Ordinary tables behind the ordinary public name: when the name resolves to nothing, a service is as cut off from its
//! own state as any customer.

use eastfall_fabric::call::Context;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{StartError, World};
use eastfall_proto::dynamodb::*;
use eastfall_proto::shared::Shared;
use eastfall_topology::Span;
use tonic::{Code, Status};

use crate::dynamodb::balancer::BalancerParams;
use crate::dynamodb::key::TableSchema;
use crate::dynamodb::value::{Item, string};
use crate::settings::callee_of_kind;

use dynamo_db_api as api;

/// How long before a table that could not be made is tried again.
const TRY_AGAIN: Span = Span::from_secs(5);

/// Tables through one client of DynamoDB. Cheap to clone.
#[derive(Clone)]
pub struct Tables {
    client: Client,
}

impl Tables {
    /// Tables through a client.
    pub fn new(client: Client) -> Tables {
        Tables { client }
    }

    /// Tables in the one DynamoDB that this world's service calls.
    ///
    /// # Errors
    /// If the service calls none, or several.
    pub fn of(world: &World) -> Result<Tables, StartError> {
        Ok(Tables::new(world.dial(&callee_of_kind(world, BalancerParams::SCHEMA.name)?)?))
    }

    /// These tables on behalf of a request: what is asked of them inherits its deadline.
    #[must_use]
    pub fn within(&self, context: &Context) -> Tables {
        Tables { client: self.client.within(context) }
    }

    /// Makes the tables that don't exist, trying again until that is done. Schemas as in `tables` of the storage nodes:
    /// `NAME(PARTITION)` or `NAME(PARTITION,SORT)`.
    pub async fn prepare(&self, world: &World, schemas: &[&str]) {
        for schema in schemas {
            while let Err(error) = self.prepare_table(schema).await {
                let fields = [("table", (*schema).to_owned()), ("reason", error.message().to_owned())];
                world.record().event("table-not-ready", &fields);
                world.sleep(TRY_AGAIN).await;
            }
        }
    }

    async fn prepare_table(&self, schema: &str) -> Result<(), Status> {
        let schema: TableSchema = schema.parse().map_err(Status::internal)?;
        let request = CreateTableRequest { table: Some(TableDescription::from(&schema)) };
        match self.client.call(&api::CREATE_TABLE, request).await {
            Err(status) if status.code() != Code::AlreadyExists => Err(status),
            _ => Ok(()),
        }
    }

    /// The item with this key as it is now (a consistent read); empty if there is none.
    ///
    /// # Errors
    /// As DynamoDB answers, as for all that follow.
    pub async fn get(&self, table: &str, key: Item) -> Result<Item, Status> {
        let request = GetItemRequest { table_name: table.to_owned(), key, consistent_read: true };
        Ok(self.client.call(&api::GET_ITEM, request).await?.item)
    }

    /// The items with these keys as they are now, up to 100 (published); those that are not there are left out.
    ///
    /// # Errors
    /// See [`Tables::get`]; `resource-exhausted` if some could not be read.
    pub async fn get_batch(&self, table: &str, keys: Vec<Item>) -> Result<Vec<Item>, Status> {
        let key = |key: Item| TableKey { table_name: table.to_owned(), key };
        let request =
            BatchGetItemRequest { keys: keys.into_iter().map(key).collect(), consistent_read: true };
        let answer = self.client.call(&api::BATCH_GET_ITEM, request).await?;
        if !answer.unprocessed_keys.is_empty() {
            let count = answer.unprocessed_keys.len();
            return Err(Status::resource_exhausted(format!("{count} items of {table} could not be read")));
        }
        Ok(answer.items.into_iter().map(|item| item.item).collect())
    }

    /// Writes an item whole, over one of the same key.
    ///
    /// # Errors
    /// See [`Tables::get`].
    pub async fn put(&self, table: &str, item: Item) -> Result<(), Status> {
        self.put_request(table, item, None).await
    }

    /// Writes an item if the one of the same key (or its absence) meets a condition.
    ///
    /// # Errors
    /// See [`Tables::get`]; `failed-precondition` if the condition does not hold.
    pub async fn put_if(&self, table: &str, item: Item, condition: Condition) -> Result<(), Status> {
        self.put_request(table, item, Some(condition)).await
    }

    async fn put_request(&self, table: &str, item: Item, condition: Option<Condition>) -> Result<(), Status> {
        let request =
            PutItemRequest { table_name: table.to_owned(), item, condition, ..PutItemRequest::default() };
        self.client.call(&api::PUT_ITEM, request).await.map(drop)
    }

    /// Changes attributes of the item with this key; makes it if there is none.
    ///
    /// # Errors
    /// See [`Tables::get`].
    pub async fn update(&self, table: &str, key: Item, actions: Vec<UpdateAction>) -> Result<(), Status> {
        let request =
            UpdateItemRequest { table_name: table.to_owned(), key, actions, ..UpdateItemRequest::default() };
        self.client.call(&api::UPDATE_ITEM, request).await.map(drop)
    }

    /// The same, if the item (or its absence) meets a condition.
    ///
    /// # Errors
    /// See [`Tables::get`]; `failed-precondition` if the condition does not hold.
    pub async fn update_if(
        &self,
        table: &str,
        key: Item,
        actions: Vec<UpdateAction>,
        condition: Condition,
    ) -> Result<(), Status> {
        let (table_name, condition) = (table.to_owned(), Some(condition));
        let request =
            UpdateItemRequest { table_name, key, actions, condition, ..UpdateItemRequest::default() };
        self.client.call(&api::UPDATE_ITEM, request).await.map(drop)
    }

    /// Deletes the item with this key, if there is one.
    ///
    /// # Errors
    /// See [`Tables::get`].
    pub async fn delete(&self, table: &str, key: Item) -> Result<(), Status> {
        let request = DeleteItemRequest { table_name: table.to_owned(), key, ..DeleteItemRequest::default() };
        self.client.call(&api::DELETE_ITEM, request).await.map(drop)
    }

    /// Puts and deletes up to 25 items (published), and says which requests could not be carried out.
    ///
    /// # Errors
    /// See [`Tables::get`].
    pub async fn write_batch(
        &self,
        requests: Vec<Shared<WriteRequest>>,
    ) -> Result<Vec<Shared<WriteRequest>>, Status> {
        let request = BatchWriteItemRequest { requests };
        Ok(self.client.call(&api::BATCH_WRITE_ITEM, request).await?.unprocessed_items)
    }

    /// Puts items, all or none: each if the one of the same key (or its absence) meets its condition.
    ///
    /// # Errors
    /// See [`Tables::get`]; `failed-precondition` or `aborted` if a condition does not hold or somebody else writes there.
    pub async fn put_all(&self, puts: Vec<(&str, Item, Condition)>) -> Result<(), Status> {
        let put = |(table, item, condition): (&str, Item, Condition)| {
            let (table_name, condition) = (table.to_owned(), Some(condition));
            let put = PutItemRequest { table_name, item, condition, ..PutItemRequest::default() };
            TransactWriteItem { item: Some(transact_write_item::Item::Put(put)) }
        };
        let request = TransactWriteItemsRequest { items: puts.into_iter().map(put).collect() };
        self.client.call(&api::TRANSACT_WRITE_ITEMS, request).await.map(drop)
    }

    /// One page of a query.
    ///
    /// # Errors
    /// See [`Tables::get`].
    pub async fn page(&self, query: QueryRequest) -> Result<Vec<Item>, Status> {
        let page = self.client.call(&api::QUERY, query).await?;
        Ok(page.items.into_iter().map(|item| item.attributes).collect())
    }

    /// Every item of a partition, page by page, in the order of the sort key.
    ///
    /// # Errors
    /// See [`Tables::get`].
    pub async fn all_of(&self, table: &str, partition: &str) -> Result<Vec<Item>, Status> {
        let (mut items, mut start) = (Vec::new(), Item::new());
        loop {
            let request = QueryRequest {
                table_name: table.to_owned(),
                partition: Some(string(partition)),
                exclusive_start_key: start,
                consistent_read: true,
                ..QueryRequest::default()
            };
            let page = self.client.call(&api::QUERY, request).await?;
            items.extend(page.items.into_iter().map(|item| item.attributes));
            start = page.last_evaluated_key;
            if start.is_empty() {
                return Ok(items);
            }
        }
    }

    /// The first (or last) items of a partition, in the order of the sort key: as many as a page holds at most.
    ///
    /// # Errors
    /// See [`Tables::get`].
    pub async fn some_of(
        &self,
        table: &str,
        partition: &str,
        limit: u32,
        descending: bool,
    ) -> Result<Vec<Item>, Status> {
        let request = QueryRequest {
            table_name: table.to_owned(),
            partition: Some(string(partition)),
            limit,
            descending,
            consistent_read: true,
            ..QueryRequest::default()
        };
        self.page(request).await
    }
}
