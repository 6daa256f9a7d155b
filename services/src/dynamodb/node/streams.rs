//! Streams on one node: reading them, applying another region's, and forgetting what is old: stream records, and items
//! whose time to live is over.

use std::sync::Weak;

use eastfall_proto::shared::Shared;

use super::*;

/// Records of one answer, unless fewer are asked for (published: 1,000).
const RECORDS: usize = 1000;
/// Records of one request to apply.
pub(in super::super) const APPLIED_RECORDS: usize = 100;
/// How often old records are looked for.
const TRIM_INTERVAL: Span = Span::from_mins(1);
/// How many are forgotten at a time, so that it delays no write by much.
const TRIM_RECORDS: usize = 10_000;

impl Node {
    /// Reads this node's shard of a table's stream.
    pub async fn get_records(&self, request: GetRecordsRequest) -> Result<GetRecordsResponse, Status> {
        let limit = if request.limit == 0 { RECORDS } else { RECORDS.min(request.limit as usize) };
        let read = |store: &Store| {
            let table = store.table(&request.table_name)?;
            if !table.schema().stream() {
                return Err(error::validation(format!("table `{}` keeps no stream", request.table_name)));
            }
            table.stream().after(request.after_sequence_number, limit)
        };
        let (records, more) = self.read(read)?;
        Ok(GetRecordsResponse { records, more, read_at: self.world.now().as_nanos() })
    }

    /// Applies changes from another region to items of this node.
    pub async fn apply_records(&self, request: ApplyRecordsRequest) -> Result<ApplyRecordsResponse, Status> {
        within(APPLIED_RECORDS, request.records.len())?;
        let costs = self.read(|store| {
            let schema = store.table(&request.table_name)?.schema();
            let cost = |record: &Shared<Record>| {
                let partition = self.partition(&request.table_name, &schema.row_key(&record.key)?);
                Ok((partition, write_cost(size(&record.new_image))))
            };
            request.records.iter().map(cost).collect::<Result<Vec<(u32, f64)>, Status>>()
        })?;
        for (partition, _) in &costs {
            self.admit(Unit::Write, *partition)?;
        }
        for (partition, cost) in costs {
            self.charge(Unit::Write, partition, cost);
        }
        let plan = |store: &Store, _| {
            let (changes, applied, superseded) =
                store.apply_records(&request.table_name, &request.records)?;
            Ok((changes, ApplyRecordsResponse { applied, superseded }))
        };
        self.write(plan).await
    }
}

/// Forgets stream records older than this, and items whose time to live is over, as long as the node lives. (The real
/// service takes up to some days for the latter, and charges nothing.)
pub(super) fn keep_trimming(node: &Arc<Node>, retention: Span) {
    let world = node.world.clone();
    let node: Weak<Node> = Arc::downgrade(node);
    let clock = world.clock();
    world.spawn(async move {
        let mut ticks = clock.interval(TRIM_INTERVAL);
        loop {
            let now = ticks.tick().await;
            let Some(node) = node.upgrade() else { return };
            let before = now.before(retention).as_nanos();
            let expired = node.write(|store, now| Ok((store.expire(now, TRIM_RECORDS), ()))).await;
            let trimmed = node.write(|store, _| Ok((store.trim(before, TRIM_RECORDS), ()))).await;
            if let Err(status) = expired.and(trimmed) {
                node.world.record().event("stream.trim-failed", &[("reason", status.message().to_owned())]);
            }
        }
    });
}
