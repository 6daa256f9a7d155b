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
            let write =
                |request: WriteRequest| Write::of_batch(store.table(&request.table_name)?.schema(), request);
            request.requests.into_iter().map(write).collect::<Result<Vec<Write>, Status>>()
        })?;
        distinct(writes.iter().map(|write| (&*write.table, &write.key)))?;
        let (mut admitted, mut left) = (Vec::new(), Vec::new());
        for write in writes {
            let partition = self.partition(&write.table, &write.key);
            if self.admit(Unit::Write, partition).is_ok() {
                self.charge(Unit::Write, partition, write_cost(write.put_size()));
                admitted.push(write);
            } else {
                left.push(write);
            }
        }
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
}
