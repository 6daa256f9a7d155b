//! Says of a started instance that it can be reached, where the EC2 API reads it.
//!
//! Not an answer to DWFM, which has long answered the API: an instance runs before it can be reached. The word is written to
//! DynamoDB; when that is out of reach the network goes on learning, and the word follows later.

use eastfall_topology::Span;
use futures_util::future::join_all;

use super::*;
use crate::ec2::store::set_reachable;

/// Reports under way at once.
const AT_ONCE: usize = 25;
/// How long after a report could not be written it is tried again.
const TRY_AGAIN: Span = Span::from_secs(5);

impl Manager {
    pub(super) async fn keep_reporting(self: Arc<Self>) {
        // After a batch of which none could be written one at a time is enough to find out when it works again.
        let mut at_once = AT_ONCE;
        loop {
            let batch: Vec<_> = {
                let mut state = self.state();
                let count = state.reports.len().min(at_once);
                state.reports.drain(..count).collect()
            };
            if batch.is_empty() {
                self.reports.notified().await;
                continue;
            }
            let outcomes =
                join_all(batch.iter().map(|(_, instance)| set_reachable(&self.tables, instance))).await;
            let (mut written, mut failed) = (Vec::new(), Vec::new());
            for (report, outcome) in batch.into_iter().zip(outcomes) {
                match outcome {
                    Ok(()) => written.push(report.0),
                    Err(_) => failed.push(report),
                }
            }
            at_once = if written.is_empty() { 1 } else { AT_ONCE };
            self.forget(written).await;
            if !failed.is_empty() {
                self.state().reports.extend(failed);
                self.world.sleep(TRY_AGAIN).await;
            }
        }
    }
}
