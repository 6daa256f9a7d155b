//! One shard: records in order, by sequence number, as long as they are kept. No I/O.

use std::collections::BTreeMap;

use eastfall_fabric::token_bucket::TokenBucket;
use eastfall_proto::kinesis::{GetRecordsResponse, Record};
use eastfall_topology::{Moment, RateLimit};

/// A shard's records.
pub(super) struct Shard {
    records: BTreeMap<u64, Record>,
    /// Of the newest record there ever was.
    newest: u64,
    room: TokenBucket,
}

impl Shard {
    pub(super) fn new(limit: &RateLimit, now: Moment) -> Shard {
        Shard { records: BTreeMap::new(), newest: 0, room: TokenBucket::full(limit, now) }
    }

    /// The next sequence number, if the shard takes one more record now.
    pub(super) fn next_number(&mut self, limit: &RateLimit, now: Moment) -> Option<u64> {
        if !self.room.take(limit, now) {
            return None;
        }
        self.newest += 1;
        Some(self.newest)
    }

    pub(super) fn add(&mut self, record: Record) {
        self.newest = self.newest.max(record.sequence_number);
        self.records.insert(record.sequence_number, record);
    }

    /// Up to `limit` records after a place.
    pub(super) fn after(&self, place: u64, limit: usize, now: Moment) -> GetRecordsResponse {
        let records: Vec<Record> =
            self.records.range(place + 1..).take(limit).map(|(_, record)| record.clone()).collect();
        let reached = records.last().map_or(place, |record| record.sequence_number);
        // Behind by the age of the first record that was not handed out.
        let next = self.records.range(reached + 1..).next();
        let behind = next.map(|(_, next)| now.since(Moment::from_nanos(next.approximate_arrival)));
        let millis_behind_latest = behind.map_or(0, |span| span.as_nanos() / 1_000_000);
        GetRecordsResponse { records, millis_behind_latest }
    }

    /// Removes what came before a moment and says what that was.
    pub(super) fn expire(&mut self, before: Moment) -> Vec<u64> {
        let old = self.records.values().take_while(|record| record.approximate_arrival < before.as_nanos());
        let old: Vec<u64> = old.map(|record| record.sequence_number).collect();
        for number in &old {
            self.records.remove(number);
        }
        old
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }
}

/// The shard of a partition key: each has an equal part of the space of hashes.
///
/// The real service hashes by MD5; FNV-1a with a final mix spreads keys as well and is all that matters here.
pub(super) fn shard_of(partition_key: &str, shards: u32) -> u32 {
    let mut hash = partition_key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The upper half decides, and short keys barely reach it.
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    ((u128::from(hash) * u128::from(shards)) >> 64) as u32
}
