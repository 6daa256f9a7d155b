//! Kind `dynamodb-replica`: DynamoDB of another region, as far as Global Tables need it.
//!
//! One node that serves the public API itself, without balancers: the other regions were well, so how they are built
//! inside changes nothing. An instance is named after its region (`instances = ["us-west-2", "eu-west-1"]`).

use std::sync::Arc;

use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::dynamodb::dynamo_db_server::DynamoDb;
use eastfall_proto::dynamodb::*;
use eastfall_topology::Span;
use tonic::{Request, Response, Status};

use super::error;
use super::node::{self, Node, Setup};
use super::throttle::Limits;

eastfall_topology::params! {
    /// DynamoDB of another region: the tables that Global Tables replicate there.
    pub struct ReplicaParams for "dynamodb-replica" {
        /// Tables that exist from the start beside those that are replicated, written as for `dynamodb-storage`.
        tables: Vec<String> = [];
        /// How long its streams are kept (published: 24 hours). Read at start only.
        stream_retention: Span = "1d", range "1m"..="7d";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: ReplicaParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// The region that an instance stands for: its name without that of its service.
pub fn region_of(service: &str, instance: &str) -> String {
    let suffix = instance.strip_prefix(service).and_then(|rest| rest.strip_prefix('-'));
    suffix.unwrap_or(instance).to_owned()
}

async fn start(world: World) -> Result<(), StartError> {
    let params: ReplicaParams = world.params();
    let instance = world.instance();
    let unlimited = Limits { reads: f64::MAX, writes: f64::MAX, burst: Span::from_secs(1) };
    let setup = Setup {
        region: region_of(&instance.service, &instance.name),
        tables: params.tables,
        partitions: 1,
        limits: Box::new(move || unlimited),
        stream_retention: params.stream_retention,
    };
    let node = Node::open(&world, setup).await?;
    world
        .serve(vec![(
            &dynamo_db_api::API,
            dynamo_db_api::handler(Arc::new(Replica { node, world: world.clone() })),
        )])
        .await
}

/// The public API on a single node.
struct Replica {
    node: Arc<Node>,
    world: World,
}

impl Replica {
    async fn transact(
        &self,
        request: TransactWriteItemsRequest,
    ) -> Result<TransactWriteItemsResponse, Status> {
        node::within(node::TRANSACTION_ITEMS, request.items.len())?;
        let prepare = PrepareRequest {
            // Nobody needs its name: the only participant commits at once.
            transaction: String::new(),
            items: request.items,
            participants: vec![0],
            expires: (self.world.now() + Span::from_secs(1)).as_nanos(),
        };
        let reasons = self.node.prepare(prepare).await?.reasons;
        match reasons.iter().all(String::is_empty) {
            true => Ok(TransactWriteItemsResponse {}),
            false => Err(error::cancelled(&reasons)),
        }
    }
}

macro_rules! delegate {
    ($($method:ident($request:ident) -> $response:ident;)+) => {
        #[async_trait::async_trait]
        impl DynamoDb for Replica {
            $(async fn $method(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                self.node.$method(request.into_inner()).await.map(Response::new)
            })+

            async fn transact_write_items(
                &self,
                request: Request<TransactWriteItemsRequest>,
            ) -> Result<Response<TransactWriteItemsResponse>, Status> {
                self.transact(request.into_inner()).await.map(Response::new)
            }
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
}
