//! The public API: each request goes to the node, or nodes, of its items, with its deadline.

use eastfall_proto::dynamodb::dynamo_db_server::DynamoDb;
use eastfall_proto::shared::Shared;
use tonic::{Request, Response};

use super::*;
use crate::dynamodb::coordinator::transact;
use crate::dynamodb::node::{APPLIED_RECORDS, TRANSACTION_ITEMS, distinct, within};
use crate::dynamodb::value::Item;
use crate::dynamodb::write;
use crate::settings::split;

impl Balancer {
    async fn node_of_item(&self, context: &Context, table: &str, key: &Item) -> Result<u32, Status> {
        let key = self.schema(context, table).await?.row_key(key)?;
        Ok(self.node_of_key(table, &key))
    }

    async fn transact(&self, context: Context, items: Vec<TransactWriteItem>) -> Result<(), Status> {
        within(TRANSACTION_ITEMS, items.len())?;
        let mut places = Vec::new();
        let mut parts: BTreeMap<u32, Vec<(usize, TransactWriteItem)>> = BTreeMap::new();
        for (position, item) in items.into_iter().enumerate() {
            let table = write::table_of(&item)?.to_owned();
            let key = write::key_of(&*self.schema(&context, &table).await?, &item)?;
            parts.entry(self.node_of_key(&table, &key)).or_default().push((position, item));
            places.push((table, key));
        }
        distinct(places.iter().map(|(table, key)| (table.as_str(), key)))?;
        let expires = (self.world.now() + self.settings.get().transaction_timeout).as_nanos();
        let nodes = OnBehalf { balancer: self, context };
        transact(&nodes, &self.transaction_name(), parts, expires).await
    }

    /// Tells all nodes of a new table. What an interrupted attempt left out is made up for by the next.
    async fn create(
        &self,
        context: &Context,
        request: CreateTableRequest,
    ) -> Result<CreateTableResponse, Status> {
        let table = request.table.clone();
        let answers = self.ask_all(context, &storage_api::CREATE_TABLE, request).await;
        let exists = |answer: &Result<_, Status>| {
            answer.as_ref().is_err_and(|status: &Status| status.code() == tonic::Code::AlreadyExists)
        };
        if let Some(refusal) = answers.iter().find(|answer| answer.is_err() && !exists(answer)) {
            return refusal.clone();
        }
        if answers.iter().all(exists) {
            return Err(error::table_in_use(table.as_ref().map_or("", |table| &table.table_name)));
        }
        Ok(CreateTableResponse { table })
    }

    async fn describe(
        &self,
        context: &Context,
        request: DescribeTableRequest,
    ) -> Result<DescribeTableResponse, Status> {
        let mut whole = DescribeTableResponse::default();
        for part in self.ask_all(context, &storage_api::DESCRIBE_TABLE, request).await {
            let part = part?;
            whole.item_count += part.item_count;
            whole.stream_shards += part.stream_shards;
            whole.table = part.table;
        }
        Ok(whole)
    }

    async fn apply(
        &self,
        context: &Context,
        request: ApplyRecordsRequest,
    ) -> Result<ApplyRecordsResponse, Status> {
        within(APPLIED_RECORDS, request.records.len())?;
        let schema = self.schema(context, &request.table_name).await?;
        let mut parts: BTreeMap<u32, Vec<Shared<Record>>> = BTreeMap::new();
        for record in request.records {
            let key = schema.row_key(&record.key)?;
            parts.entry(self.node_of_key(&request.table_name, &key)).or_default().push(record);
        }
        let applies = parts.into_iter().map(|(node, records)| {
            let part = ApplyRecordsRequest { table_name: request.table_name.clone(), records };
            self.ask(context, node, &storage_api::APPLY_RECORDS, part)
        });
        let mut whole = ApplyRecordsResponse::default();
        for part in join_all(applies).await {
            let part = part?;
            whole.applied += part.applied;
            whole.superseded += part.superseded;
        }
        Ok(whole)
    }
}

/// The methods that concern one item: which part of the request names it.
macro_rules! api {
    ([$($method:ident($request:ident.$key:ident) -> $response:ident by $rpc:ident;)+] $($others:tt)+) => {
        #[async_trait::async_trait]
        impl DynamoDb for Balancer {
            $(async fn $method(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                let (context, request) = split(request);
                let node = self.node_of_item(&context, &request.table_name, &request.$key).await?;
                self.ask(&context, node, &storage_api::$rpc, request).await.map(Response::new)
            })+
            $($others)+
        }
    };
}

api! {
    [get_item(GetItemRequest.key) -> GetItemResponse by GET_ITEM;
    put_item(PutItemRequest.item) -> PutItemResponse by PUT_ITEM;
    update_item(UpdateItemRequest.key) -> UpdateItemResponse by UPDATE_ITEM;
    delete_item(DeleteItemRequest.key) -> DeleteItemResponse by DELETE_ITEM;]

        async fn query(&self, request: Request<QueryRequest>) -> Result<Response<QueryResponse>, Status> {
            let (context, request) = split(request);
            let schema = self.schema(&context, &request.table_name).await?;
            let value = request.partition.as_ref().ok_or_else(|| error::validation("a query needs a partition key"))?;
            let node = self.node_of(&request.table_name, &schema.partition_key(value)?);
            self.ask(&context, node, &storage_api::QUERY, request).await.map(Response::new)
        }

        async fn batch_write_item(
            &self,
            request: Request<BatchWriteItemRequest>,
        ) -> Result<Response<BatchWriteItemResponse>, Status> {
            let (context, request) = split(request);
            self.batch_write(&context, request).await.map(Response::new)
        }

        async fn batch_get_item(
            &self,
            request: Request<BatchGetItemRequest>,
        ) -> Result<Response<BatchGetItemResponse>, Status> {
            let (context, request) = split(request);
            self.batch_get(&context, request).await.map(Response::new)
        }

        async fn transact_write_items(
            &self,
            request: Request<TransactWriteItemsRequest>,
        ) -> Result<Response<TransactWriteItemsResponse>, Status> {
            let (context, request) = split(request);
            self.transact(context, request.items).await?;
            Ok(Response::new(TransactWriteItemsResponse {}))
        }

        async fn create_table(
            &self,
            request: Request<CreateTableRequest>,
        ) -> Result<Response<CreateTableResponse>, Status> {
            let (context, request) = split(request);
            self.create(&context, request).await.map(Response::new)
        }

        async fn describe_table(
            &self,
            request: Request<DescribeTableRequest>,
        ) -> Result<Response<DescribeTableResponse>, Status> {
            let (context, request) = split(request);
            self.describe(&context, request).await.map(Response::new)
        }

        async fn list_tables(
            &self,
            request: Request<ListTablesRequest>,
        ) -> Result<Response<ListTablesResponse>, Status> {
            let (context, request) = split(request);
            self.ask(&context, 0, &storage_api::LIST_TABLES, request).await.map(Response::new)
        }

        async fn get_records(
            &self,
            request: Request<GetRecordsRequest>,
        ) -> Result<Response<GetRecordsResponse>, Status> {
            let (context, request) = split(request);
            // A shard is what one node holds.
            self.ask(&context, request.shard, &storage_api::GET_RECORDS, request).await.map(Response::new)
        }

        async fn apply_records(
            &self,
            request: Request<ApplyRecordsRequest>,
        ) -> Result<Response<ApplyRecordsResponse>, Status> {
            let (context, request) = split(request);
            self.apply(&context, request).await.map(Response::new)
        }
}
