//! One direction of replication, from one region to another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::disk::Disk;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{StartError, World};
use eastfall_proto::dynamodb::{dynamo_db_api, *};
use eastfall_proto::shared::Shared;
use eastfall_topology::{Moment, Span};
use tonic::{Code, Status};

use super::{Position, ReplicatorParams, keep};
use crate::settings::Settings;

/// How often a link looks for new tables.
const TABLES_INTERVAL: Span = Span::from_mins(1);

/// Copies what is first written in one region to another.
pub(super) struct Link {
    world: World,
    settings: Arc<Settings<ReplicatorParams>>,
    disk: Disk,
    from: (String, Client),
    to: (String, Client),
    /// Makes the tables at the other end; the one link from the region where they are made does.
    makes_tables: bool,
    started: Moment,
    /// When the tables were last listed, in nanoseconds.
    listed: AtomicU64,
    positions: Mutex<BTreeMap<(String, u32), Position>>,
}

/// The tables to copy with their number of shards, and when they were last asked for.
#[derive(Default)]
struct Tables {
    shards: BTreeMap<String, u32>,
    as_of: Option<Moment>,
}

impl Link {
    /// A link that goes on where the disk says it was.
    pub(super) fn new(
        world: &World,
        settings: &Arc<Settings<ReplicatorParams>>,
        disk: &Disk,
        from: (String, Client),
        to: (String, Client),
        makes_tables: bool,
    ) -> Result<Link, StartError> {
        let (world, settings, disk) = (world.clone(), Arc::clone(settings), disk.clone());
        let started = world.now();
        let listed = AtomicU64::new(started.as_nanos());
        let mut link = Link {
            world,
            settings,
            disk,
            from,
            to,
            makes_tables,
            started,
            listed,
            positions: Mutex::default(),
        };
        let mut positions = BTreeMap::new();
        for (key, value) in link.disk.load()? {
            let shard = std::str::from_utf8(&key).ok().and_then(|key| link.shard_of(key));
            if let (Some(shard), Some(position)) = (shard, Position::from_bytes(&value)) {
                positions.insert(shard, position);
            }
        }
        link.positions = Mutex::new(positions);
        Ok(link)
    }

    fn name(&self) -> String {
        format!("{} -> {}", self.from.0, self.to.0)
    }

    fn key_of(&self, table: &str, shard: u32) -> String {
        format!("{}/{table}/{shard}", self.name())
    }

    fn shard_of(&self, key: &str) -> Option<(String, u32)> {
        let rest = key.strip_prefix(&self.name())?.strip_prefix('/')?;
        let (table, shard) = rest.split_once('/')?;
        Some((table.to_owned(), shard.parse().ok()?))
    }

    fn positions(&self) -> MutexGuard<'_, BTreeMap<(String, u32), Position>> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The age of the oldest change that may not have been applied yet. While the stream can't be read nobody knows
    /// whether there is one, so it grows with the time since it was last read to its end.
    pub(super) fn lag(&self, now: Moment) -> Span {
        let oldest = self.positions().values().map(|position| Moment::from_nanos(position.complete_to)).min();
        // Without tables there was nothing to copy when they were last listed.
        now.since(oldest.unwrap_or(Moment::from_nanos(self.listed.load(Ordering::Relaxed))))
    }

    /// Copies for ever.
    pub(super) async fn run(self: Arc<Self>) {
        let mut tables = Tables::default();
        let mut works = true;
        loop {
            let outcome = self.round(&mut tables).await;
            if outcome.is_ok() != works {
                works = outcome.is_ok();
                let reason =
                    outcome.as_ref().map_or_else(|status| status.message().to_owned(), |_| String::new());
                let kind = if works { "replication.resumed" } else { "replication.stalled" };
                self.world.record().event(kind, &[("link", self.name()), ("reason", reason)]);
            }
            if !matches!(outcome, Ok(true)) {
                self.world.sleep(self.settings.get().poll_interval).await;
            }
        }
    }

    /// Copies one batch of every shard; true if some shard has more.
    async fn round(&self, tables: &mut Tables) -> Result<bool, Status> {
        let now = self.world.now();
        if tables.as_of.is_none_or(|as_of| now.since(as_of) >= TABLES_INTERVAL) {
            tables.shards = self.replicated_tables().await?;
            self.listed.store(now.as_nanos(), Ordering::Relaxed);
            // As long as there are none, some are likely to be made soon: at the start of the region.
            tables.as_of = (!tables.shards.is_empty()).then_some(now);
        }
        let mut more = false;
        for (table, shards) in &tables.shards {
            for shard in 0..*shards {
                more |= self.copy(table, shard).await?;
            }
        }
        Ok(more)
    }

    async fn replicated_tables(&self) -> Result<BTreeMap<String, u32>, Status> {
        let (_, from) = &self.from;
        let mut shards = BTreeMap::new();
        for table_name in from.call(&dynamo_db_api::LIST_TABLES, ListTablesRequest {}).await?.table_names {
            let request = DescribeTableRequest { table_name: table_name.clone() };
            let described = from.call(&dynamo_db_api::DESCRIBE_TABLE, request).await?;
            let Some(table) = described.table.filter(|table| table.stream) else { continue };
            let new = !self.positions().contains_key(&(table_name.clone(), 0));
            if self.makes_tables && new {
                let made = self
                    .to
                    .1
                    .call(&dynamo_db_api::CREATE_TABLE, CreateTableRequest { table: Some(table) })
                    .await;
                made.map(drop).or_else(|status| {
                    if status.code() == Code::AlreadyExists { Ok(()) } else { Err(status) }
                })?;
            }
            let mut positions = self.positions();
            for shard in 0..described.stream_shards {
                let unread = Position { sequence_number: 0, complete_to: self.started.as_nanos() };
                positions.entry((table_name.clone(), shard)).or_insert(unread);
            }
            drop(positions);
            shards.insert(table_name, described.stream_shards);
        }
        Ok(shards)
    }

    /// Copies one batch of one shard; true if there is more.
    async fn copy(&self, table: &str, shard: u32) -> Result<bool, Status> {
        let settings = self.settings.get();
        let place = (table.to_owned(), shard);
        let position = self.positions().get(&place).copied().unwrap_or_default();
        let request = GetRecordsRequest {
            table_name: table.to_owned(),
            shard,
            after_sequence_number: position.sequence_number,
            limit: settings.batch,
        };
        let batch = match self.from.1.call(&dynamo_db_api::GET_RECORDS, request).await {
            Ok(batch) => batch,
            Err(status) if status.code() == Code::OutOfRange => {
                // Behind by more than the stream keeps: what is lost is lost, and said.
                let reason = status.message().to_owned();
                self.world.record().event("replication.gap", &[("link", self.name()), ("reason", reason)]);
                self.positions().insert(place, Position { sequence_number: 0, ..position });
                return Ok(true);
            }
            Err(status) => return Err(status),
        };
        let last = batch.records.last().map(|record| (record.sequence_number, record.written_at));
        let records: Vec<Shared<Record>> =
            batch.records.into_iter().filter(|record| record.region == self.from.0).collect();
        let count = records.len();
        if count > 0 {
            let request = ApplyRecordsRequest { table_name: table.to_owned(), records };
            let applied = self.to.1.call(&dynamo_db_api::APPLY_RECORDS, request).await?;
            self.world.record().count("applied", u64::from(applied.applied));
            self.world.record().count("superseded", u64::from(applied.superseded));
        }
        let moved = Position {
            sequence_number: last.map_or(position.sequence_number, |(number, _)| number),
            complete_to: match (batch.more, last) {
                // A local clock may be behind the last change's, so never back.
                (true, Some((_, written_at))) => written_at.max(position.complete_to),
                _ => batch.read_at,
            },
        };
        self.positions().insert(place, moved);
        if last.is_some() {
            keep(&self.disk, self.key_of(table, shard), moved)
                .await
                .map_err(|error| Status::internal(error.to_string()))?;
        }
        if count > 0 {
            self.world.sleep(Span::from_secs_f64(count as f64 / settings.records_per_second)).await;
        }
        Ok(batch.more)
    }
}
