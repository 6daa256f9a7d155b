//! Kinesis readers: one a shard, each with a lease and a checkpoint in DynamoDB.
//!
//! A host reads a shard as long as its lease lasts, and anybody takes a lease that has ended, from its checkpoint. There
//! is no leader, so an outage of DynamoDB stops the readers and its end brings them back (published: Kinesis recovered
//! by itself). Records after the last checkpoint are read twice when a shard changes hands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::World;
use eastfall_proto::dynamodb::Comparator;
use eastfall_proto::kinesis::{DescribeStreamRequest, GetRecordsRequest, kinesis_api};
use eastfall_proto::lambda::{RunClass, RunRequest, fleet_api};
use eastfall_topology::{Moment, Span};
use tonic::{Code, Status};

use super::{PollersParams, SCHEMA, TABLE};
use crate::dynamodb::condition::{is, not_exists};
use crate::dynamodb::value::{self, Item, item, number, string};
use crate::settings::{Settings, instance_count};
use crate::tables::Tables;

/// The partition of the shards' leases.
const GROUP: &str = "kinesis";
/// Records whose function has run, and batches that came to nothing.
const HANDLED: &str = "kinesis-records-handled";
const FAILED: &str = "kinesis-batches-failed";

/// The readers of one host.
pub(super) struct Readers {
    world: World,
    settings: Settings<PollersParams>,
    kinesis: Client,
    fleet: Client,
    tables: Tables,
    name: String,
    shards: Mutex<Vec<Shard>>,
}

/// A shard as this host knows it.
#[derive(Clone, Debug)]
struct Shard {
    stream: u32,
    number: u32,
    /// The lease is this host's, until then.
    until: Option<Moment>,
    /// The last record whose function has run.
    checkpoint: u64,
    /// Everything that came before is done.
    caught_up: Moment,
}

impl Readers {
    pub(super) fn new(world: &World, kinesis: Client, fleet: Client, tables: Tables) -> Readers {
        world.record().count(HANDLED, 0);
        world.record().count(FAILED, 0);
        Readers {
            name: world.instance().name.clone(),
            settings: Settings::new(world),
            shards: Mutex::default(),
            world: world.clone(),
            kinesis,
            fleet,
            tables,
        }
    }

    /// Finds the shards, then holds leases and reads, for ever.
    pub(super) async fn keep(self: Arc<Self>) {
        self.world.clock().sleep_until(Moment::START + self.settings.get().start_delay).await;
        self.tables.prepare(&self.world, &[SCHEMA]).await;
        for stream in 1..=self.settings.get().kinesis_streams {
            let count = self.shard_count(stream).await;
            let caught_up = self.world.now();
            let shard = |number| Shard { stream, number, until: None, checkpoint: 0, caught_up };
            self.shards().extend((0..count).map(shard));
        }
        let count = self.shards().len();
        for index in 0..count {
            let readers = Arc::clone(&self);
            self.world.spawn(readers.read(index));
        }
        loop {
            // A round that fails is made again; leases last for several.
            let _ = self.round(count).await;
            self.say();
            self.world.sleep(self.settings.get().renew_every).await;
        }
    }

    async fn shard_count(&self, stream: u32) -> u32 {
        loop {
            let request = DescribeStreamRequest { stream_name: format!("stream-{stream}") };
            match self.kinesis.call(&kinesis_api::DESCRIBE_STREAM, request).await {
                Ok(answer) => return answer.shard_count,
                Err(_) => self.world.sleep(self.settings.get().try_again).await,
            }
        }
    }

    // === Leases ===

    async fn round(&self, count: usize) -> Result<(), Status> {
        let rows = self.tables.all_of(TABLE, GROUP).await?;
        for index in 0..count {
            let shard = self.shard(index);
            let member = format!("stream-{}/{}", shard.stream, shard.number);
            let row = rows.iter().find(|row| value::text(row, "member") == Some(&member));
            self.hold(index, &shard, &member, row).await?;
        }
        Ok(())
    }

    /// Renews the lease of a shard that is this host's, or takes one that has ended.
    async fn hold(
        &self,
        index: usize,
        shard: &Shard,
        member: &str,
        row: Option<&Item>,
    ) -> Result<(), Status> {
        let (now, settings) = (self.world.now(), self.settings.get());
        let own = row.is_some_and(|row| value::text(row, "owner") == Some(&self.name));
        let ended = row.map_or(Moment::START, |row| moment(row, "until"));
        // Each shard has a host that goes first, so that they spread; the others take what it leaves.
        let hosts = instance_count(&self.world, &self.world.instance().service).max(1);
        let first = index % hosts == self.world.instance().index;
        let patience = if first { Span::ZERO } else { settings.kinesis_lease };
        if !own && now < ended + patience {
            let mut shards = self.shards();
            shards[index].until = None;
            return Ok(());
        }
        // A shard that this process never held goes on where the last one wrote that it was.
        let written: u64 = row.and_then(|row| value::parsed(row, "checkpoint")).unwrap_or(0);
        let checkpoint = shard.checkpoint.max(written);
        let until = now + settings.kinesis_lease;
        let lease = item([
            ("group", string(GROUP)),
            ("member", string(member)),
            ("owner", string(&self.name)),
            ("until", number(until.as_nanos())),
            ("checkpoint", number(checkpoint)),
        ]);
        let unchanged = match row {
            Some(row) => is("until", Comparator::Equal, number(moment(row, "until").as_nanos())),
            None => not_exists("group"),
        };
        match self.tables.put_if(TABLE, lease, unchanged).await {
            Ok(()) => {
                let mut shards = self.shards();
                let held = &mut shards[index];
                (held.until, held.checkpoint) = (Some(until), held.checkpoint.max(checkpoint));
                Ok(())
            }
            // Another host took it.
            Err(status) if status.code() == Code::FailedPrecondition => {
                self.shards()[index].until = None;
                Ok(())
            }
            Err(status) => Err(status),
        }
    }

    // === Records ===

    async fn read(self: Arc<Self>, index: usize) {
        loop {
            let settings = self.settings.get();
            let shard = self.shard(index);
            let holds = shard.until.is_some_and(|until| self.world.now() < until);
            let pause = match holds {
                false => settings.renew_every,
                true => match self.read_batch(index, &shard, &settings).await {
                    Ok(0) => settings.kinesis_poll_every,
                    Ok(_) => continue,
                    Err(_) => {
                        self.world.record().count(FAILED, 1);
                        settings.try_again
                    }
                },
            };
            self.world.sleep(pause).await;
        }
    }

    /// Has one batch handled and says how many records it had.
    async fn read_batch(&self, index: usize, shard: &Shard, settings: &PollersParams) -> Result<u64, Status> {
        let asked = self.world.now();
        let request = GetRecordsRequest {
            stream_name: format!("stream-{}", shard.stream),
            shard: shard.number,
            after_sequence_number: shard.checkpoint,
            limit: settings.kinesis_batch,
        };
        let records = self.kinesis.call(&kinesis_api::GET_RECORDS, request).await?.records;
        let Some(last) = records.last() else {
            self.shards()[index].caught_up = asked;
            return Ok(0);
        };
        let (done, arrived) = (last.sequence_number, Moment::from_nanos(last.approximate_arrival));
        let run = RunRequest {
            function_name: format!("function-{}", shard.stream),
            class: RunClass::EventSource as i32,
            items: records.len() as u32,
        };
        self.fleet.call(&fleet_api::RUN, run).await?;
        {
            let mut shards = self.shards();
            let shard = &mut shards[index];
            (shard.checkpoint, shard.caught_up) = (shard.checkpoint.max(done), arrived);
        }
        let count = records.len() as u64;
        self.world.record().count(HANDLED, count);
        Ok(count)
    }

    // === Small things ===

    fn say(&self) {
        let now = self.world.now();
        let (mut held, mut age) = (0, Span::ZERO);
        for shard in self.shards().iter() {
            // A lease that this host let end is behind for as long as nobody has taken it.
            if let Some(until) = shard.until {
                held += usize::from(now < until);
                age = age.max(now.since(shard.caught_up));
            }
        }
        self.world.record().gauge("kinesis-shards", held as f64);
        self.world.record().gauge_max("iterator-age-seconds", age.as_secs_f64());
    }

    fn shard(&self, index: usize) -> Shard {
        self.shards()[index].clone()
    }

    fn shards(&self) -> MutexGuard<'_, Vec<Shard>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn moment(row: &Item, attribute: &str) -> Moment {
    Moment::from_nanos(value::parsed(row, attribute).unwrap_or(0))
}
