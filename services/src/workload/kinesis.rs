//! Requests to Kinesis: records for the streams `stream-1`....

use eastfall_proto::kinesis::{PutRecordsEntry, PutRecordsRequest, kinesis_api as api};
use rand::RngExt as _;

use super::{Operation, operation};

/// Records of one request (assumption: producers collect a few).
const SEVERAL: usize = 2;

pub(super) fn operations() -> Vec<Operation> {
    vec![operation(&["kinesis"], &api::PUT_RECORDS, |draw| {
        let stream_name = format!("stream-{}", draw.key());
        let data = vec![0; draw.shape.item_bytes as usize];
        let record = |key: u64| PutRecordsEntry { partition_key: format!("{key:x}"), data: data.clone() };
        let records = (0..SEVERAL).map(|_| record(draw.rng.random())).collect();
        PutRecordsRequest { stream_name, records }
    })]
}
