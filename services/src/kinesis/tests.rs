//! Streams in virtual time.

use eastfall_fabric::call::Rpc;
use eastfall_proto::error::reason;
use eastfall_proto::kinesis::*;
use eastfall_topology::{Setting, Span};
use proptest::prelude::*;
use tonic::Status;

use super::stream::shard_of;
use crate::testing::Lab;

const REGION: &str = r#"
[region]
name = "test"

[service.db]
kind = "dynamodb"
calls.store = {}
[service.store]
kind = "dynamodb-storage"

[service.kinesis]
kind = "kinesis"
metadata-ttl = "10s"
restart-delay = "1s"
calls.db = { timeout = "5s" }

[service.people]
kind = "customers"
rate = 0.0
mix = { "kinesis.PutRecords" = 1.0 }
calls.kinesis = { timeout = "30s" }
"#;

fn ask<Req, Resp>(lab: &Lab, rpc: &'static Rpc<Req, Resp>, request: Req) -> Result<Resp, Status>
where
    Req: Send + Sync + 'static,
    Resp: Clone + Send + Sync + 'static,
{
    let client = lab.client("people", "kinesis");
    lab.run(async move { client.call(rpc, request).await })
}

fn put(lab: &Lab, keys: &[&str]) -> Result<PutRecordsResponse, Status> {
    let entry =
        |key: &&str| PutRecordsEntry { partition_key: (*key).to_owned(), data: key.as_bytes().to_vec() };
    let records = keys.iter().map(entry).collect();
    ask(lab, &kinesis_api::PUT_RECORDS, PutRecordsRequest { stream_name: "stream-1".to_owned(), records })
}

fn get(lab: &Lab, shard: u32, after_sequence_number: u64) -> GetRecordsResponse {
    let stream_name = "stream-1".to_owned();
    let request = GetRecordsRequest { stream_name, shard, after_sequence_number, limit: 2 };
    ask(lab, &kinesis_api::GET_RECORDS, request).expect("there is such a shard")
}

fn set(lab: &Lab, path: &str, value: &str) {
    let setting = Setting { path: path.to_owned(), value: value.to_owned() };
    lab.simulation.region().set(&setting).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn records_of_a_key_are_read_in_their_order_from_any_place() {
    let lab = Lab::start(REGION, 1);
    let answer = put(&lab, &["a", "a", "a"]).expect("accepted");
    let shard = answer.records[0].shard;
    let numbers: Vec<u64> = answer.records.iter().map(|record| record.sequence_number).collect();
    assert_eq!(numbers, [1, 2, 3], "one shard, one order");
    lab.run_for(Span::from_secs(10));
    let first = get(&lab, shard, 0);
    let numbers: Vec<u64> = first.records.iter().map(|record| record.sequence_number).collect();
    assert_eq!(numbers, [1, 2], "as many as were asked for");
    assert!(first.millis_behind_latest >= 10_000, "the third waits: {}", first.millis_behind_latest);
    let rest = get(&lab, shard, 2);
    assert_eq!(rest.records.len(), 1, "the third");
    assert_eq!(rest.millis_behind_latest, 0, "nothing is behind it");
}

#[test]
fn records_survive_a_kill_and_numbers_go_on() {
    let lab = Lab::start(REGION, 1);
    let shard = put(&lab, &["a"]).expect("accepted").records[0].shard;
    lab.simulation.kill_instance("kinesis");
    lab.simulation.start_instance("kinesis");
    lab.run_for(Span::from_secs(1));
    put(&lab, &["a"]).expect("accepted");
    let numbers: Vec<u64> = get(&lab, shard, 0).records.iter().map(|record| record.sequence_number).collect();
    assert_eq!(numbers, [1, 2], "the old one and the new one");
}

#[test]
fn records_expire_after_their_retention() {
    let lab = Lab::start(REGION, 1);
    set(&lab, "service.kinesis.retention", "\"1h\"");
    let shard = put(&lab, &["a"]).expect("accepted").records[0].shard;
    lab.run_for(Span::from_mins(58));
    assert_eq!(get(&lab, shard, 0).records.len(), 1, "not yet");
    lab.run_for(Span::from_mins(8));
    assert_eq!(get(&lab, shard, 0).records.len(), 0, "an hour is over");
}

#[test]
fn a_shard_takes_no_more_than_its_rate() {
    let lab = Lab::start(REGION, 1);
    set(&lab, "service.kinesis.records-per-second", "2.0");
    lab.run_for(Span::from_secs(2));
    let answer = put(&lab, &["a"; 5]).expect("some are accepted");
    assert_eq!(answer.failed_record_count, 3, "two a second");
    let status = put(&lab, &["a"]).expect_err("none is");
    assert_eq!(reason(&status).as_deref(), Some("ProvisionedThroughputExceededException"), "{status}");
}

#[test]
fn streams_in_use_go_on_without_the_store() {
    let lab = Lab::start(REGION, 1);
    lab.simulation.kill_instance("db");
    lab.run_for(Span::from_secs(60));
    put(&lab, &["a"]).expect("what is known of the stream is used as it is");
    let request = CreateStreamRequest { stream_name: "new".to_owned(), shard_count: 1 };
    let status = ask(&lab, &kinesis_api::CREATE_STREAM, request).expect_err("it can't be written down");
    assert_eq!(reason(&status).as_deref(), Some("InternalFailure"), "{status}");
}

proptest! {
    #[test]
    fn every_key_has_a_shard_there_is(key in ".{0,20}", shards in 1u32..100) {
        prop_assert!(shard_of(&key, shards) < shards, "{key} of {shards}");
    }
}

#[test]
fn keys_spread_over_the_shards() {
    let mut counts = [0_u32; 4];
    for key in 0..4000 {
        counts[shard_of(&format!("{key:x}"), 4) as usize] += 1;
    }
    assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
}
