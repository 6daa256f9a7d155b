//! Kind `kinesis`: streams of records in ordered shards, kept for a day and read by sequence number.
//!
//! A shard keeps what nobody has read, so readers that stop fall **behind** (their iterator's age grows) and lose nothing
//! as long as they come back within the retention. Which streams there are stands in DynamoDB and is held in memory
//! ([`crate::catalog`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::disk::Disk;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::error::api_error;
use eastfall_proto::kinesis::kinesis_server::Kinesis;
use eastfall_proto::kinesis::*;
use eastfall_topology::{RateLimit, Span};
use prost::Message as _;
use tonic::{Code, Request, Response, Status};

use crate::catalog::{Catalog, NAME};
use crate::dynamodb::value::{self, item, number, string};
use crate::settings::{Settings, instance_count, split};

mod stream;
#[cfg(test)]
mod tests;

use stream::{Shard, shard_of};

eastfall_topology::params! {
    /// Streams of records.
    pub struct KinesisParams for "kinesis" offers ["PutRecords"] {
        /// How long a record is kept (published default).
        retention: Span = "24h", range "1h"..="365d";
        /// Records a second that a shard takes (published).
        records_per_second: f64 = 1000.0, range 0.001..=1000000.0, scaled by load;
        /// Streams `stream-1`... that exist when the run begins in the middle of the region's life (assumption).
        streams_of_before: u32 = 2, range 0..=10000;
        /// Shards that each of these has (assumption).
        shards_of_before: u32 = 2, range 1..=100;
        /// How long what is known of a stream counts as fresh (assumption: minutes).
        metadata_ttl: Span = "5m", range "1s"..="1d";
        /// How often old records are removed (ours).
        housekeeping: Span = "5m", range "1s"..="1h";
    }
}

const DOMAIN: &str = "kinesis.amazonaws.com";
const TABLE: &str = "kinesis-streams";
const SHARDS: &str = "shards";
/// Published limits of a request; the most shards of a stream are ours.
const MOST_ENTRIES: usize = 500;
const MOST_RECORDS: u32 = 10_000;
const MOST_SHARDS: u32 = 100;

const ADDED: &str = "records-added";
const REFUSED: &str = "records-refused";
const EXPIRED: &str = "records-expired";

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: KinesisParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let own = world.instance().service.clone();
    if instance_count(&world, &own) != 1 {
        return Err(format!("service {own} holds its shards in one process; set `instances = 1`").into());
    }
    let disk = world.disk("records").await?;
    let desk = Arc::new(Desk {
        settings: Settings::new(&world),
        catalog: Catalog::of(&world, TABLE)?,
        shards: Mutex::default(),
        writing: tokio::sync::Mutex::default(),
        world: world.clone(),
        disk,
    });
    desk.load()?;
    for name in [ADDED, REFUSED, EXPIRED] {
        world.record().count(name, 0);
    }
    let task = Arc::clone(&desk);
    world.spawn(async move {
        let settings = task.settings.get();
        let shards = settings.shards_of_before;
        let row = |stream| item([(NAME, string(format!("stream-{stream}"))), (SHARDS, number(shards))]);
        let rows = (1..=settings.streams_of_before).map(row).collect();
        task.catalog.prepare(rows, settings.metadata_ttl).await;
    });
    let task = Arc::clone(&desk);
    world.spawn(async move { task.keep_house().await });
    world.serve(vec![(&kinesis_api::API, kinesis_api::handler(desk))]).await
}

struct Desk {
    world: World,
    settings: Settings<KinesisParams>,
    catalog: Catalog,
    disk: Disk,
    /// Held from a record's number to its place in the shard: a reader that has seen a number must not find a smaller
    /// one later.
    writing: tokio::sync::Mutex<()>,
    /// By stream and number.
    shards: Mutex<BTreeMap<(String, u32), Shard>>,
}

fn invalid(message: impl AsRef<str>) -> Status {
    api_error(Code::InvalidArgument, DOMAIN, "InvalidArgumentException", message)
}

fn internal(cause: impl AsRef<str>) -> Status {
    api_error(Code::Internal, DOMAIN, "InternalFailure", cause)
}

fn not_found(message: String) -> Status {
    api_error(Code::NotFound, DOMAIN, "ResourceNotFoundException", message)
}

/// Stream, shard and sequence number, so that entries sort as they are read.
fn key(stream: &str, shard: u32, sequence_number: u64) -> Vec<u8> {
    [stream.as_bytes(), &[0], &shard.to_be_bytes(), &sequence_number.to_be_bytes()].concat()
}

fn read_key(key: &[u8]) -> Option<(String, u32)> {
    let (rest, _) = key.split_last_chunk::<8>()?;
    let (stream, shard) = rest.split_last_chunk::<4>()?;
    let stream = String::from_utf8(stream.strip_suffix(&[0])?.to_vec()).ok()?;
    Some((stream, u32::from_be_bytes(*shard)))
}

impl Desk {
    fn load(&self) -> Result<(), StartError> {
        let limit = self.limit();
        for (key, value) in self.disk.load()? {
            let damaged = "a record on disk `records` is damaged; remove the disk's folder";
            let place = read_key(&key).ok_or(damaged)?;
            let record = Record::decode(value.as_slice()).map_err(|_| damaged)?;
            let now = self.world.now();
            self.shards().entry(place).or_insert_with(|| Shard::new(&limit, now)).add(record);
        }
        self.say();
        Ok(())
    }

    fn shards(&self) -> MutexGuard<'_, BTreeMap<(String, u32), Shard>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limit(&self) -> RateLimit {
        let per_second = self.settings.get().records_per_second;
        RateLimit { per_second, burst: per_second.ceil().max(1.0) as u32 }
    }

    fn say(&self) {
        let kept: usize = self.shards().values().map(Shard::len).sum();
        self.world.record().gauge("records", kept as f64);
    }

    async fn shard_count(&self, context: &Context, stream: &str) -> Result<u32, Status> {
        let found = self.catalog.get(context, stream, self.settings.get().metadata_ttl).await;
        let row = found.map_err(|status| internal(status.message()))?;
        let row = row.ok_or_else(|| not_found(format!("there is no stream '{stream}'")))?;
        value::parsed(&row, SHARDS)
            .ok_or_else(|| internal(format!("the metadata of stream '{stream}' is damaged")))
    }

    async fn keep_house(&self) {
        loop {
            let settings = self.settings.get();
            self.world.sleep(settings.housekeeping).await;
            let limit = self.world.now().before(settings.retention);
            let mut writes = Vec::new();
            for ((stream, shard), held) in self.shards().iter_mut() {
                let expired = held.expire(limit).into_iter();
                writes.extend(expired.map(|number| (key(stream, *shard, number), None)));
            }
            if writes.is_empty() {
                continue;
            }
            self.world.record().count(EXPIRED, writes.len() as u64);
            if let Err(error) = self.disk.commit(writes).await {
                // They are gone from memory; after a restart they expire once more.
                self.world.record().event("kinesis.not-expired", &[("reason", error.to_string())]);
            }
            self.say();
        }
    }

    async fn put(
        &self,
        stream: &str,
        shards: u32,
        entries: Vec<PutRecordsEntry>,
    ) -> Result<PutRecordsResponse, Status> {
        let _writing = self.writing.lock().await;
        let (now, limit) = (self.world.now(), self.limit());
        let mut results = Vec::with_capacity(entries.len());
        let mut accepted = Vec::with_capacity(entries.len());
        for entry in entries {
            let shard = shard_of(&entry.partition_key, shards);
            let place = (stream.to_owned(), shard);
            let number = {
                let mut held = self.shards();
                held.entry(place.clone()).or_insert_with(|| Shard::new(&limit, now)).next_number(&limit, now)
            };
            results.push(PutRecordsResult { shard, sequence_number: number.unwrap_or(0) });
            if let Some(sequence_number) = number {
                let PutRecordsEntry { partition_key, data } = entry;
                let approximate_arrival = now.as_nanos();
                accepted.push((place, Record { sequence_number, approximate_arrival, partition_key, data }));
            }
        }
        let write = |(place, record): &((String, u32), Record)| {
            (key(&place.0, place.1, record.sequence_number), Some(record.encode_to_vec()))
        };
        let writes = accepted.iter().map(write).collect();
        self.disk.commit(writes).await.map_err(|error| internal(error.to_string()))?;
        let failed_record_count = (results.len() - accepted.len()) as u32;
        self.world.record().count(ADDED, accepted.len() as u64);
        self.world.record().count(REFUSED, u64::from(failed_record_count));
        for (place, record) in accepted {
            if let Some(shard) = self.shards().get_mut(&place) {
                shard.add(record);
            }
        }
        self.say();
        if failed_record_count as usize == results.len() {
            let name = "ProvisionedThroughputExceededException";
            let message = format!("stream '{stream}' takes no more records this second");
            return Err(api_error(Code::ResourceExhausted, DOMAIN, name, message));
        }
        Ok(PutRecordsResponse { failed_record_count, records: results })
    }
}

#[async_trait::async_trait]
impl Kinesis for Desk {
    async fn create_stream(
        &self,
        request: Request<CreateStreamRequest>,
    ) -> Result<Response<CreateStreamResponse>, Status> {
        let (context, request) = split(request);
        if request.stream_name.is_empty() || !(1..=MOST_SHARDS).contains(&request.shard_count) {
            return Err(invalid(format!("a stream needs a name, and 1 to {MOST_SHARDS} shards")));
        }
        let row = item([(NAME, string(&request.stream_name)), (SHARDS, number(request.shard_count))]);
        let put = self.catalog.put(&context, row, None, self.settings.get().metadata_ttl).await;
        put.map_err(|status| internal(status.message()))?;
        Ok(Response::new(CreateStreamResponse {}))
    }

    async fn describe_stream(
        &self,
        request: Request<DescribeStreamRequest>,
    ) -> Result<Response<DescribeStreamResponse>, Status> {
        let (context, request) = split(request);
        let shard_count = self.shard_count(&context, &request.stream_name).await?;
        Ok(Response::new(DescribeStreamResponse { shard_count }))
    }

    async fn put_records(
        &self,
        request: Request<PutRecordsRequest>,
    ) -> Result<Response<PutRecordsResponse>, Status> {
        let (context, request) = split(request);
        if !(1..=MOST_ENTRIES).contains(&request.records.len()) {
            return Err(invalid(format!("a request has 1 to {MOST_ENTRIES} records")));
        }
        let shards = self.shard_count(&context, &request.stream_name).await?;
        self.put(&request.stream_name, shards, request.records).await.map(Response::new)
    }

    async fn get_records(
        &self,
        request: Request<GetRecordsRequest>,
    ) -> Result<Response<GetRecordsResponse>, Status> {
        let (context, request) = split(request);
        let count = self.shard_count(&context, &request.stream_name).await?;
        if request.shard >= count {
            return Err(not_found(format!("stream '{}' has {count} shards", request.stream_name)));
        }
        let limit = match request.limit {
            0 => MOST_RECORDS,
            limit => limit.min(MOST_RECORDS),
        };
        let shards = self.shards();
        let answer = match shards.get(&(request.stream_name, request.shard)) {
            Some(shard) => shard.after(request.after_sequence_number, limit as usize, self.world.now()),
            None => GetRecordsResponse::default(),
        };
        Ok(Response::new(answer))
    }
}
