//! Batches on one node: each entry for itself, all in one durable commit.

use super::*;

/// Most writes in a batch (published).
pub(in super::super) const BATCH_WRITES: usize = 25;
/// Most reads in a batch (published).
pub(in super::super) const BATCH_READS: usize = 100;

impl Node {
    /// Puts and deletes up to 25 items. What was throttled, or is held by a transaction, comes back.
    pub async fn batch_write_item(
        &self,
        request: BatchWriteItemRequest,
    ) -> Result<BatchWriteItemResponse, Status> {
        within(BATCH_WRITES, request.requests.len())?;
        let writes = self.read(|store| {
            let write = |request: Shared<WriteRequest>| {
                Write::of_batch(store.table(&request.table_name)?.schema(), request)
            };
            request.requests.into_iter().map(write).collect::<Result<Vec<Write>, Status>>()
        })?;
        distinct(writes.iter().map(|write| (&*write.table, &write.key)))?;
        let (admitted, mut left) = self.admit_each(writes);
        left.extend(self.write(|store, now| store.write_each(now, admitted)).await?);
        Ok(BatchWriteItemResponse {
            unprocessed_items: left.into_iter().filter_map(Write::into_batch).collect(),
        })
    }

    /// Reads up to 100 items. What was throttled comes back.
    pub async fn batch_get_item(&self, request: BatchGetItemRequest) -> Result<BatchGetItemResponse, Status> {
        within(BATCH_READS, request.keys.len())?;
        let mut response = BatchGetItemResponse::default();
        for key in request.keys {
            match self.get(&key.table_name, &key.key, request.consistent_read) {
                Ok(item) if item.is_empty() => {}
                Ok(item) => response.items.push(TableItem { table_name: key.table_name, item }),
                Err(status) if status.code() == tonic::Code::ResourceExhausted => {
                    response.unprocessed_keys.push(key)
                }
                Err(status) => return Err(status),
            }
        }
        Ok(response)
    }

    /// The writes that their partitions have let in, and charged for, and the others.
    fn admit_each(&self, writes: Vec<Write>) -> (Vec<Write>, Vec<Write>) {
        let (limits, now) = ((self.limits)(), self.world.now());
        let (admitted, left): (Vec<_>, Vec<_>) = {
            let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
            writes.into_iter().partition(|write| {
                let partition = self.partition(&write.table, &write.key);
                let admitted = throttle.admits(&limits, Unit::Write, partition, now);
                if admitted {
                    throttle.charge(&limits, Unit::Write, partition, now, write_cost(write.put_size()));
                }
                admitted
            })
        };
        if !left.is_empty() {
            self.world.record().count("throttled", left.len() as u64);
        }
        (admitted, left)
    }
}
