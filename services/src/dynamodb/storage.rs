//! Kind `dynamodb-storage`: the nodes that hold the items.
//!
//! Items are spread by a hash of table and partition key over a fixed number of partitions, and partitions in turn over
//! the nodes. One copy each: the incident did not touch DynamoDB's storage, and a node that is killed comes back with
//! everything that was acknowledged.

use std::sync::Arc;

use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::dynamodb::storage_server::Storage;
use eastfall_proto::dynamodb::*;
use eastfall_topology::Span;
use tonic::{Request, Response, Status};

use super::node::{Node, Setup};
use super::throttle::Limits;
use crate::settings::Settings;

eastfall_topology::params! {
    /// A storage node of DynamoDB: holds partitions of all tables, durably.
    pub struct StorageParams for "dynamodb-storage" {
        /// Partitions that every table's keys are spread over, in all nodes together (assumption: the real number
        /// follows each table's size). Read at start only: changing it moves items.
        partitions: u32 = 64, range 1..=65536;
        /// Tables that exist from the start, each as `NAME(PARTITION-KEY, SORT-KEY:N) stream`, sort key, type (S, N or
        /// B) and `stream` where wanted. Tables with a stream can be replicated by Global Tables.
        tables: Vec<String> = [];
        /// Read units a second of one partition (published: 3,000).
        partition_reads_per_second: f64 = 3000.0, range 0.001..=1e9, scaled by load;
        /// Write units a second of one partition (published: 1,000).
        partition_writes_per_second: f64 = 1000.0, range 0.001..=1e9, scaled by load;
        /// How long a partition's unused capacity is kept for a burst (published: 300 seconds).
        burst: Span = "5m", range "1s"..="1h";
        /// How long a stream's records are kept (published: 24 hours). Read at start only.
        stream_retention: Span = "1d", range "1m"..="7d";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: StorageParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let settings = Settings::<StorageParams>::new(&world);
    let params = settings.get();
    let limits = move || {
        let params = settings.get();
        let (reads, writes) = (params.partition_reads_per_second, params.partition_writes_per_second);
        Limits { reads, writes, burst: params.burst }
    };
    let setup = Setup {
        region: world.topology().region.name.clone(),
        tables: params.tables.clone(),
        partitions: params.partitions,
        limits: Box::new(limits),
        stream_retention: params.stream_retention,
    };
    let node = Node::open(&world, setup).await?;
    world.serve(vec![(&storage_api::API, storage_api::handler(Arc::new(StorageNode(node))))]).await
}

/// The storage API on a node.
struct StorageNode(Arc<Node>);

/// Every method of the API is the node's method of the same name.
macro_rules! delegate {
    ($($method:ident($request:ident) -> $response:ident;)+) => {
        #[async_trait::async_trait]
        impl Storage for StorageNode {
            $(async fn $method(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                self.0.$method(request.into_inner()).await.map(Response::new)
            })+
        }
    };
}

delegate! {
    create_table(CreateTableRequest) -> CreateTableResponse;
    describe_table(DescribeTableRequest) -> DescribeTableResponse;
    list_tables(ListTablesRequest) -> ListTablesResponse;
    get_item(GetItemRequest) -> GetItemResponse;
    put_item(PutItemRequest) -> PutItemResponse;
    update_item(UpdateItemRequest) -> UpdateItemResponse;
    delete_item(DeleteItemRequest) -> DeleteItemResponse;
    query(QueryRequest) -> QueryResponse;
    batch_write_item(BatchWriteItemRequest) -> BatchWriteItemResponse;
    batch_get_item(BatchGetItemRequest) -> BatchGetItemResponse;
    get_records(GetRecordsRequest) -> GetRecordsResponse;
    apply_records(ApplyRecordsRequest) -> ApplyRecordsResponse;
    prepare(PrepareRequest) -> PrepareResponse;
    decide(DecideRequest) -> DecideResponse;
    resolve(ResolveRequest) -> ResolveResponse;
    finish(FinishRequest) -> FinishResponse;
    forget(ForgetRequest) -> ForgetResponse;
    list_unfinished(ListUnfinishedRequest) -> ListUnfinishedResponse;
}
