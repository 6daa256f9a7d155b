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
            let write = |request: &WriteRequest| {
                Write::of_batch(store.table(&request.table_name)?.schema(), request.clone())
            };
            request.requests.iter().map(write).collect::<Result<Vec<Write>, Status>>()
        })?;
        let places: Vec<_> = writes.iter().map(|write| (write.table.clone(), write.key.clone())).collect();
        distinct(&places)?;
        let mut unprocessed = BTreeSet::new();
        let (mut admitted, mut positions) = (Vec::new(), Vec::new());
        for (position, write) in writes.into_iter().enumerate() {
            let partition = self.partition(&write.table, &write.key);
            if self.admit(Unit::Write, partition).is_ok() {
                let bytes = request.requests[position].write.as_ref().map_or(0, |write| match write {
                    write_request::Write::Put(item) => size(&item.attributes),
                    write_request::Write::Delete(_) => 0,
                });
                self.charge(Unit::Write, partition, write_cost(bytes));
                admitted.push(write);
                positions.push(position);
            } else {
                unprocessed.insert(position);
            }
        }
        let refused = self.write(|store, now| Ok(store.write_each(now, &admitted))).await?;
        for (index, status) in refused {
            if status.code() == tonic::Code::InvalidArgument {
                return Err(status);
            }
            unprocessed.insert(positions[index]);
        }
        let requests = request.requests.into_iter().enumerate();
        let left =
            requests.filter(|(position, _)| unprocessed.contains(position)).map(|(_, request)| request);
        Ok(BatchWriteItemResponse { unprocessed_items: left.collect() })
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
