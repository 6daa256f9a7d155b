//! Batches: split by node, asked all at once, put together again.
//!
//! Entries stand for themselves, so a node that fails makes its own entries unprocessed and no others; only if no node
//! answered does the whole batch fail.

use super::*;
use crate::dynamodb::node::{BATCH_READS, BATCH_WRITES, distinct, within};
use crate::dynamodb::write;
use eastfall_proto::shared::Shared;

impl Balancer {
    pub(super) async fn batch_write(
        &self,
        context: &Context,
        request: BatchWriteItemRequest,
    ) -> Result<BatchWriteItemResponse, Status> {
        within(BATCH_WRITES, request.requests.len())?;
        let (mut places, mut parts) = (Vec::new(), BTreeMap::<u32, Vec<Shared<WriteRequest>>>::new());
        for request in request.requests {
            let schema = self.schema(context, &request.table_name).await?;
            let key = write::batch_key_of(&schema, &request)?;
            let node = self.node_of_key(&request.table_name, &key);
            places.push((schema.shared_name(), key));
            parts.entry(node).or_default().push(request);
        }
        distinct(places.iter().map(|(table, key)| (&**table, key)))?;
        let writes = parts.into_iter().map(|(node, requests)| async move {
            let part = BatchWriteItemRequest { requests: requests.clone() };
            (requests, self.ask(context, node, &storage_api::BATCH_WRITE_ITEM, part).await)
        });
        let mut whole = BatchWriteItemResponse::default();
        put_together(join_all(writes).await, |requests, response| {
            whole.unprocessed_items.extend(response.map_or(requests, |response| response.unprocessed_items));
        })?;
        Ok(whole)
    }

    pub(super) async fn batch_get(
        &self,
        context: &Context,
        request: BatchGetItemRequest,
    ) -> Result<BatchGetItemResponse, Status> {
        within(BATCH_READS, request.keys.len())?;
        let (mut places, mut parts) = (Vec::new(), BTreeMap::<u32, Vec<TableKey>>::new());
        for key in request.keys {
            let schema = self.schema(context, &key.table_name).await?;
            let place = schema.exact_key(&key.key)?;
            let node = self.node_of_key(&key.table_name, &place);
            places.push((schema.shared_name(), place));
            parts.entry(node).or_default().push(key);
        }
        distinct(places.iter().map(|(table, key)| (&**table, key)))?;
        let reads = parts.into_iter().map(|(node, keys)| async move {
            let part = BatchGetItemRequest { keys: keys.clone(), consistent_read: request.consistent_read };
            (keys, self.ask(context, node, &storage_api::BATCH_GET_ITEM, part).await)
        });
        let mut whole = BatchGetItemResponse::default();
        put_together(join_all(reads).await, |keys, response| match response {
            Some(response) => {
                whole.items.extend(response.items);
                whole.unprocessed_keys.extend(response.unprocessed_keys);
            }
            None => whole.unprocessed_keys.extend(keys),
        })?;
        Ok(whole)
    }
}

/// Hands each part with its answer, or without one if its node failed, to `add`.
fn put_together<Part, Resp>(
    answers: Vec<(Part, Result<Resp, Status>)>,
    mut add: impl FnMut(Part, Option<Resp>),
) -> Result<(), Status> {
    let mistake =
        |status: &Status| matches!(status.code(), tonic::Code::InvalidArgument | tonic::Code::NotFound);
    let none_answered = answers.iter().all(|(_, answer)| answer.is_err());
    for (part, answer) in answers {
        match answer {
            Ok(response) => add(part, Some(response)),
            Err(status) if none_answered || mistake(&status) => return Err(status),
            Err(_) => add(part, None),
        }
    }
    Ok(())
}
