//! Transactions over nodes: prepare everywhere, decide at one, finish everywhere.
//!
//! The coordinator keeps nothing: it may be killed between any two messages. What it leaves behind expires, and any
//! other balancer then finishes it by asking the first participant what was decided (see the store's transactions).

use std::collections::BTreeMap;
use std::future::Future;

use eastfall_fabric::call::Rpc;
use eastfall_proto::dynamodb::storage_api::{DECIDE, FINISH, FORGET, PREPARE, RESOLVE};
use eastfall_proto::dynamodb::{
    DecideRequest, FinishRequest, ForgetRequest, PrepareRequest, ResolveRequest, TransactWriteItem,
    Unfinished,
};
use futures_util::future::join_all;
use tonic::Status;

use super::error;

/// The storage nodes, as a coordinator sees them.
pub trait Participants: Sync {
    /// Asks one node.
    fn ask<Req, Resp>(
        &self,
        node: u32,
        rpc: &'static Rpc<Req, Resp>,
        request: Req,
    ) -> impl Future<Output = Result<Resp, Status>> + Send
    where
        Req: Send + Sync + 'static,
        Resp: Clone + Send + Sync + 'static;
}

/// Writes all items or none. `parts` has each node's items with their positions in the request; the transaction is
/// cancelled if it isn't decided by `expires` (nanoseconds of incident time).
///
/// # Errors
/// `TransactionCanceledException` if it was cancelled. Any other status of a node: unless it came from the decision,
/// the transaction is cancelled too; if it did, its fate is the one that node wrote down or not.
pub async fn transact(
    nodes: &impl Participants,
    transaction: &str,
    parts: BTreeMap<u32, Vec<(usize, TransactWriteItem)>>,
    expires: u64,
) -> Result<(), Status> {
    let participants: Vec<u32> = parts.keys().copied().collect();
    let mut reasons = vec![String::new(); parts.values().map(Vec::len).sum()];
    let prepares = parts.into_iter().map(|(node, part)| {
        let (positions, items): (Vec<usize>, Vec<TransactWriteItem>) = part.into_iter().unzip();
        let (transaction, participants) = (transaction.to_owned(), participants.clone());
        let request = PrepareRequest { transaction, items, participants, expires };
        async move { (positions, nodes.ask(node, &PREPARE, request).await) }
    });
    let mut failure = None;
    for (positions, answer) in join_all(prepares).await {
        match answer {
            Ok(response) => {
                for (position, reason) in positions.into_iter().zip(response.reasons) {
                    reasons[position] = reason;
                }
            }
            Err(status) => failure = failure.or(Some(status)),
        }
    }
    let refused = reasons.iter().any(|reason| !reason.is_empty());
    let refusal = failure.or_else(|| refused.then(|| error::cancelled(&reasons)));
    let [first, others @ ..] = participants.as_slice() else { return refusal.map_or(Ok(()), Err) };
    if others.is_empty() {
        return refusal.map_or(Ok(()), Err);
    }
    if let Some(refusal) = refusal {
        // Where this does not arrive, the part expires.
        finish(nodes, transaction, &participants, false).await;
        return Err(refusal);
    }
    let committed =
        nodes.ask(*first, &DECIDE, DecideRequest { transaction: transaction.to_owned() }).await?.committed;
    let finished = finish(nodes, transaction, others, committed).await;
    if !committed {
        reasons.fill(error::TRANSACTION_CONFLICT.to_owned());
        return Err(error::cancelled(&reasons));
    }
    if finished {
        forget(nodes, transaction, *first).await;
    }
    Ok(())
}

/// Finishes a transaction whose coordinator is gone.
///
/// # Errors
/// If the first participant can't be asked; the transaction then waits for the next one who tries.
pub async fn recover(nodes: &impl Participants, unfinished: &Unfinished) -> Result<(), Status> {
    let Some((first, others)) = unfinished.participants.split_first() else { return Ok(()) };
    let transaction = unfinished.transaction.as_str();
    let committed =
        nodes.ask(*first, &RESOLVE, ResolveRequest { transaction: transaction.to_owned() }).await?.committed;
    if finish(nodes, transaction, others, committed).await && committed {
        forget(nodes, transaction, *first).await;
    }
    Ok(())
}

/// Tells the nodes how it ended; true if all heard it.
async fn finish(nodes: &impl Participants, transaction: &str, participants: &[u32], commit: bool) -> bool {
    let tell =
        |node: &u32| nodes.ask(*node, &FINISH, FinishRequest { transaction: transaction.to_owned(), commit });
    join_all(participants.iter().map(tell)).await.iter().all(Result::is_ok)
}

async fn forget(nodes: &impl Participants, transaction: &str, first: u32) {
    // Not forgotten is no harm: the next who lists unfinished transactions does it again.
    let _ = nodes.ask(first, &FORGET, ForgetRequest { transaction: transaction.to_owned() }).await;
}

#[cfg(test)]
mod tests;
