//! Kind `dynamodb`: the load balancers that take requests in and know where each item lies.
//!
//! They keep nothing: an instance that is killed loses no more than the requests under way. One instance stands for as
//! many balancers as it has addresses, since what DNS weighs and takes out are addresses.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::call::{Context, Rpc};
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::dynamodb::*;
use eastfall_topology::Span;
use foldhash::fast::FixedState;
use futures_util::future::join_all;
use indexmap::IndexMap;
use tonic::Status;

use super::coordinator::{Participants, recover};
use super::error;
use super::key::{RowKey, TableSchema, partition_number};
use super::storage::StorageParams;
use crate::settings::{Settings, callee_of_kind, instance_count};

mod api;
mod batch;

eastfall_topology::params! {
    /// DynamoDB's load balancers: the public API.
    pub struct BalancerParams for "dynamodb"
        offers [
            "GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "BatchWriteItem", "BatchGetItem",
            "TransactWriteItems",
        ]
    {
        /// A transaction over several nodes that is not decided by then is cancelled (assumption). Longer holds items
        /// longer after a balancer was killed; shorter cancels transactions when nodes are slow.
        transaction_timeout: Span = "5s", range "100ms"..="10m";
        /// How often the region's balancers look for transactions that a killed one left behind; they take turns
        /// (assumption).
        recovery_interval: Span = "10s", range "1s"..="1h";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: BalancerParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let balancer = Arc::new(Balancer::new(&world)?);
    keep_recovering(&world, Arc::clone(&balancer));
    world.serve(vec![(&dynamo_db_api::API, dynamo_db_api::handler(balancer))]).await
}

/// One instance's way to the storage nodes.
struct Balancer {
    world: World,
    settings: Settings<BalancerParams>,
    nodes: Vec<Client>,
    partitions: u32,
    /// Tables never change once they exist, so what was learned about one stays true.
    schemas: Mutex<IndexMap<String, Arc<TableSchema>, FixedState>>,
    transactions: AtomicU64,
    started: u64,
}

impl Balancer {
    fn new(world: &World) -> Result<Balancer, StartError> {
        let storage = callee_of_kind(world, StorageParams::SCHEMA.name)?;
        let nodes = (0..instance_count(world, &storage)).map(|index| world.dial_instance(&storage, index));
        let topology = world.topology();
        let params = topology.services.get(&storage).map(|service| StorageParams::from(&service.params));
        Ok(Balancer {
            world: world.clone(),
            settings: Settings::new(world),
            nodes: nodes.collect::<Result<_, _>>()?,
            partitions: params.map_or(1, |params| params.partitions),
            schemas: Mutex::default(),
            transactions: AtomicU64::new(0),
            started: world.now().as_nanos(),
        })
    }

    // === Where things lie ===

    fn node_of(&self, table: &str, partition_key: &[u8]) -> u32 {
        partition_number(table, partition_key, self.partitions) % self.nodes.len() as u32
    }

    fn node_of_key(&self, table: &str, key: &RowKey) -> u32 {
        self.node_of(table, &key.partition)
    }

    async fn schema(&self, context: &Context, table: &str) -> Result<Arc<TableSchema>, Status> {
        if let Some(schema) = self.schemas.lock().unwrap_or_else(PoisonError::into_inner).get(table) {
            return Ok(Arc::clone(schema));
        }
        // Every node knows every table; asking by name spreads the load.
        let node = self.node_of(table, &[]);
        let request = DescribeTableRequest { table_name: table.to_owned() };
        // Boxed, since a table is described once and every request's future would have the size of this one.
        let response = Box::pin(self.ask(context, node, &storage_api::DESCRIBE_TABLE, request)).await?;
        let description = response.table.ok_or_else(|| error::internal("a node described no table"))?;
        let schema = Arc::new(TableSchema::try_from(description)?);
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        schemas.insert(table.to_owned(), Arc::clone(&schema));
        Ok(schema)
    }

    // === Asking nodes ===

    async fn ask<Req, Resp>(
        &self,
        context: &Context,
        node: u32,
        rpc: &Rpc<Req, Resp>,
        request: Req,
    ) -> Result<Resp, Status>
    where
        Req: Send + Sync + 'static,
        Resp: Clone + Send + Sync + 'static,
    {
        let client = self.nodes.get(node as usize).ok_or_else(|| {
            error::validation(format!("there is no shard {node}: there are {}", self.nodes.len()))
        })?;
        client.within(context).call(rpc, request).await
    }

    async fn ask_all<Req, Resp>(
        &self,
        context: &Context,
        rpc: &Rpc<Req, Resp>,
        request: Req,
    ) -> Vec<Result<Resp, Status>>
    where
        Req: Clone + Send + Sync + 'static,
        Resp: Clone + Send + Sync + 'static,
    {
        join_all((0..self.nodes.len() as u32).map(|node| self.ask(context, node, rpc, request.clone()))).await
    }

    /// A name that no transaction of any balancer had before, also after a restart.
    fn transaction_name(&self) -> String {
        let number = self.transactions.fetch_add(1, Ordering::Relaxed);
        format!("{}@{}#{number}", self.world.instance().name, self.started)
    }
}

/// The nodes on behalf of one request.
struct OnBehalf<'a> {
    balancer: &'a Balancer,
    context: Context,
}

impl Participants for OnBehalf<'_> {
    async fn ask<Req, Resp>(
        &self,
        node: u32,
        rpc: &'static Rpc<Req, Resp>,
        request: Req,
    ) -> Result<Resp, Status>
    where
        Req: Send + Sync + 'static,
        Resp: Clone + Send + Sync + 'static,
    {
        self.balancer.ask(&self.context, node, rpc, request).await
    }
}

/// Finishes what killed balancers left behind, in turns with the other instances.
fn keep_recovering(world: &World, balancer: Arc<Balancer>) {
    let clock = world.clock();
    let turns = instance_count(world, &world.instance().service).max(1) as u64;
    let interval = balancer.settings.get().recovery_interval;
    let first = interval * world.instance().index as u64;
    world.spawn(async move {
        clock.sleep(first).await;
        loop {
            clock.sleep(balancer.settings.get().recovery_interval * turns).await;
            let nodes = OnBehalf { balancer: &balancer, context: Context::default() };
            let listed = balancer
                .ask_all(&nodes.context, &storage_api::LIST_UNFINISHED, ListUnfinishedRequest {})
                .await;
            // Several nodes name the same transaction. A node that does not answer is asked again in the next turn.
            let unfinished = listed.into_iter().flatten().flat_map(|response| response.transactions);
            let unfinished: BTreeMap<String, Unfinished> =
                unfinished.map(|transaction| (transaction.transaction.clone(), transaction)).collect();
            for (name, transaction) in unfinished {
                let outcome = recover(&nodes, &transaction).await;
                let result =
                    outcome.map_or_else(|status| status.message().to_owned(), |()| "finished".to_owned());
                balancer
                    .world
                    .record()
                    .event("transaction.recovered", &[("transaction", name), ("result", result)]);
            }
        }
    });
}
