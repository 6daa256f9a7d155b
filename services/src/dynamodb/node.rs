//! A node at work: a [`Store`] that is durable, throttled and shared by all requests.
//!
//! Writes go one at a time: planned against the state, made durable, applied. The server runs each request in a task
//! of its own that outlives its caller, so a caller that gives up can't leave a write half-way between disk and memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::disk::Disk;
use eastfall_fabric::world::{StartError, World};
use eastfall_proto::dynamodb::transact_write_item::Item as Kind;
use eastfall_proto::dynamodb::*;
use eastfall_proto::shared::Shared;
use eastfall_topology::Span;
use foldhash::fast::FixedState;
use indexmap::IndexSet;
use tonic::Status;

use super::error;
use super::key::{RowKey, TableSchema};
use super::row::Row;
use super::store::{Change, Store};
use super::throttle::{Limits, Throttle, Unit, read_cost, write_cost};
use super::value::{Item, size};
use super::write::{self, Write};

mod batch;
mod streams;
mod transaction;

/// Most items in a transaction (published).
pub(super) const TRANSACTION_ITEMS: usize = 100;
pub(super) use batch::{BATCH_READS, BATCH_WRITES};
pub(super) use streams::APPLIED_RECORDS;

/// What the topology says about a node, read anew for each request.
pub type LimitsInForce = Box<dyn Fn() -> Limits + Send + Sync>;

/// A storage node's state and how requests get at it.
pub struct Node {
    world: World,
    disk: Disk,
    store: Mutex<Store>,
    /// Held from the planning of a write until it is applied.
    writing: tokio::sync::Mutex<()>,
    throttle: Mutex<Throttle>,
    limits: LimitsInForce,
    partitions: u32,
}

/// How a node begins.
pub struct Setup {
    /// The region whose name its writes carry.
    pub region: String,
    /// Tables to make if they don't exist, as [`TableSchema`] reads them.
    pub tables: Vec<String>,
    /// How many partitions the tables are split into, over all nodes.
    pub partitions: u32,
    /// What a partition may do.
    pub limits: LimitsInForce,
    /// How long streams are kept.
    pub stream_retention: Span,
}

impl Node {
    /// Loads what was durable, makes the tables that are missing, and begins to forget old stream records.
    ///
    /// # Errors
    /// If the disk can't be read or a table is not written as one.
    pub async fn open(world: &World, setup: Setup) -> Result<Arc<Node>, StartError> {
        let disk = world.disk("items").await?;
        let store = Store::load(&setup.region, disk.load()?)?;
        let node = Arc::new(Node {
            world: world.clone(),
            disk,
            store: Mutex::new(store),
            writing: tokio::sync::Mutex::default(),
            throttle: Mutex::default(),
            limits: setup.limits,
            partitions: setup.partitions,
        });
        for text in &setup.tables {
            let schema: TableSchema = text.parse()?;
            if node.read(|store| store.table(schema.name()).is_err()) {
                node.write(|store, _| Ok((store.create_table(TableDescription::from(&schema))?, ()))).await?;
            }
        }
        streams::keep_trimming(&node, setup.stream_retention);
        Ok(node)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state.
    fn read<T>(&self, read: impl FnOnce(&Store) -> T) -> T {
        read(&self.store())
    }

    /// Plans changes (given the state and the time in nanoseconds), makes them durable, applies them.
    async fn write<T>(
        &self,
        plan: impl FnOnce(&Store, u64) -> Result<(Vec<Change>, T), Status>,
    ) -> Result<T, Status> {
        let _turn = self.writing.lock().await;
        let (changes, result) = plan(&self.store(), self.world.now().as_nanos())?;
        if !changes.is_empty() {
            self.disk.commit(changes.iter().map(Change::durable).collect()).await.map_err(error::internal)?;
            self.store().apply(changes);
        }
        Ok(result)
    }

    // === Throttling ===

    fn partition(&self, table: &str, key: &RowKey) -> u32 {
        key.partition_number(table, self.partitions)
    }

    /// Lets a request for a partition in if it has credit.
    fn admit(&self, unit: Unit, partition: u32) -> Result<(), Status> {
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        if throttle.admits(&(self.limits)(), unit, partition, self.world.now()) {
            return Ok(());
        }
        drop(throttle);
        self.world.record().count("throttled", 1);
        Err(error::throttled())
    }

    fn charge(&self, unit: Unit, partition: u32, cost: f64) {
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.charge(&(self.limits)(), unit, partition, self.world.now(), cost);
    }

    // === Tables ===

    /// Makes a table.
    pub async fn create_table(&self, request: CreateTableRequest) -> Result<CreateTableResponse, Status> {
        let table = request.table.ok_or_else(|| error::validation("the table is missing"))?;
        self.write(|store, _| Ok((store.create_table(table.clone())?, ()))).await?;
        Ok(CreateTableResponse { table: Some(table) })
    }

    /// Describes a table as far as it lies on this node.
    pub async fn describe_table(
        &self,
        request: DescribeTableRequest,
    ) -> Result<DescribeTableResponse, Status> {
        self.read(|store| {
            let table = store.table(&request.table_name)?;
            Ok(DescribeTableResponse {
                table: Some(TableDescription::from(table.schema())),
                item_count: table.len() as u64,
                stream_shards: u32::from(table.schema().stream()),
            })
        })
    }

    /// Names all tables.
    pub async fn list_tables(&self, _: ListTablesRequest) -> Result<ListTablesResponse, Status> {
        let table_names =
            self.read(|store| store.tables().map(|table| table.schema().name().to_owned()).collect());
        Ok(ListTablesResponse { table_names })
    }

    // === Items ===

    /// Reads one item.
    pub async fn get_item(&self, request: GetItemRequest) -> Result<GetItemResponse, Status> {
        let item = self.get(&request.table_name, &request.key, request.consistent_read)?;
        Ok(GetItemResponse { item })
    }

    fn get(&self, table: &str, key: &Item, consistent: bool) -> Result<Item, Status> {
        let key = self.read(|store| store.table(table)?.schema().exact_key(key))?;
        let partition = self.partition(table, &key);
        self.admit(Unit::Read, partition)?;
        let (item, size) = self.read(|store| {
            let row = store.table(table)?.row(&key);
            Ok::<_, Status>((row.and_then(Row::item).unwrap_or_default(), row.map_or(0, Row::size)))
        })?;
        self.charge(Unit::Read, partition, read_cost(size, consistent));
        Ok(item)
    }

    /// Reads the items of one partition key.
    pub async fn query(&self, request: QueryRequest) -> Result<QueryResponse, Status> {
        let partition = self.read(|store| {
            let schema = store.table(&request.table_name)?.schema();
            let value = request
                .partition
                .as_ref()
                .ok_or_else(|| error::validation("a query needs a partition key"))?;
            let partition = schema.partition_key(value)?;
            Ok::<_, Status>(super::key::partition_number(&request.table_name, &partition, self.partitions))
        })?;
        self.admit(Unit::Read, partition)?;
        let response = self.read(|store| store.table(&request.table_name)?.query(&request))?;
        let bytes = response.items.iter().map(|item| size(&item.attributes)).sum();
        self.charge(Unit::Read, partition, read_cost(bytes, request.consistent_read));
        Ok(response)
    }

    /// Puts one item.
    pub async fn put_item(&self, request: PutItemRequest) -> Result<PutItemResponse, Status> {
        let wanted = request.return_values();
        let attributes = self.single(self.admitted(Kind::Put(request))?, wanted).await?;
        Ok(PutItemResponse { attributes })
    }

    /// Updates one item.
    pub async fn update_item(&self, request: UpdateItemRequest) -> Result<UpdateItemResponse, Status> {
        let wanted = request.return_values();
        let attributes = self.single(self.admitted(Kind::Update(request))?, wanted).await?;
        Ok(UpdateItemResponse { attributes })
    }

    /// Deletes one item.
    pub async fn delete_item(&self, request: DeleteItemRequest) -> Result<DeleteItemResponse, Status> {
        let wanted = request.return_values();
        let attributes = self.single(self.admitted(Kind::Delete(request))?, wanted).await?;
        Ok(DeleteItemResponse { attributes })
    }

    /// A write that its partition has let in. Apart from [`Node::single`], whose future would hold what it is made of.
    fn admitted(&self, kind: Kind) -> Result<Write, Status> {
        let item = TransactWriteItem { item: Some(kind) };
        let write = self.read(|store| Write::new(store.table(write::table_of(&item)?)?.schema(), item))?;
        self.admit(Unit::Write, self.partition(&write.table, &write.key))?;
        Ok(write)
    }

    async fn single(&self, write: Write, wanted: ReturnValues) -> Result<Item, Status> {
        let partition = self.partition(&write.table, &write.key);
        let written = self.write(|store, now| store.write(now, write, wanted)).await;
        // A write that was refused by its condition costs too (published).
        let cost = written.as_ref().map_or(1.0, |written| write_cost(written.bytes));
        self.charge(Unit::Write, partition, cost);
        Ok(written?.returned)
    }
}

/// Refuses two entries for one item.
pub(super) fn distinct<'a>(places: impl IntoIterator<Item = (&'a str, &'a RowKey)>) -> Result<(), Status> {
    let mut seen = IndexSet::with_hasher(FixedState::default());
    match places.into_iter().all(|place| seen.insert(place)) {
        true => Ok(()),
        false => Err(error::validation("the same item is named twice")),
    }
}

/// Refuses requests of no entries or too many.
pub(super) fn within(limit: usize, count: usize) -> Result<(), Status> {
    match count {
        0 => Err(error::validation(format!("no items: 1 to {limit} can be named"))),
        count if count > limit => Err(error::validation(format!("{count} items: 1 to {limit} can be named"))),
        _ => Ok(()),
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.world.instance().name)
    }
}
