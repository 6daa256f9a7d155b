//! What DWFM's hosts hand over, and the operators' cut of it.

use std::sync::Arc;

use eastfall_proto::network_manager::network_manager_server::NetworkManager;
use eastfall_proto::network_manager::{SubmitChangesRequest, SubmitChangesResponse};
use eastfall_topology::RateLimit;
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::*;

/// For how long the cut's tokens are kept: hosts come in turns.
const KEPT: f64 = 10.0;

/// The Network Manager as its callers see it.
pub(super) struct Desk(pub(super) Arc<Manager>);

impl Manager {
    fn admits(&self, state: &mut State) -> bool {
        let Some(share) = self.settings.get().admission else { return true };
        let per_second = share * state.rate();
        if per_second <= 0.0 {
            return false;
        }
        let burst = (per_second * KEPT).ceil() as u32;
        state.admission.take(&RateLimit { per_second, burst }, self.world.now())
    }

    async fn submit(self: &Arc<Self>, request: SubmitChangesRequest) -> Result<u32, Status> {
        let SubmitChangesRequest { host, first, changes } = request;
        let (offered, mut accepted) = (changes.len() as u64, 0);
        let mut taken = Vec::with_capacity(changes.len());
        {
            let mut state = self.state();
            let expected = state.handed.get(&host).copied().unwrap_or(0);
            for change in changes {
                // Handed over before, but our answer was lost.
                let again = first + accepted < expected;
                if !again && !self.admits(&mut state) {
                    break;
                }
                accepted += 1;
                if !again {
                    taken.push((state.ledger.next(), change));
                }
            }
        }
        let next = first + accepted;
        let mut writes: Vec<_> = taken
            .iter()
            .map(|(number, change)| (number.to_be_bytes().to_vec(), Some(change.encode_to_vec())))
            .collect();
        writes.push(([HOST, host.as_bytes()].concat(), Some(next.to_be_bytes().to_vec())));
        self.disk.commit(writes).await.map_err(|error| Status::internal(error.to_string()))?;
        let now = self.world.now();
        {
            let mut state = self.state();
            let known = state.handed.entry(host).or_default();
            *known = next.max(*known);
            taken.iter().for_each(|(number, change)| state.take_in(*number, change, now));
        }
        let record = self.world.record();
        record.count("changes-accepted", taken.len() as u64);
        record.count("changes-refused", offered - accepted);
        self.dispatch_all(now);
        Ok(accepted as u32)
    }
}

#[async_trait::async_trait]
impl NetworkManager for Desk {
    async fn submit_changes(
        &self,
        request: Request<SubmitChangesRequest>,
    ) -> Result<Response<SubmitChangesResponse>, Status> {
        let accepted = self.0.submit(request.into_inner()).await?;
        Ok(Response::new(SubmitChangesResponse { accepted }))
    }
}
