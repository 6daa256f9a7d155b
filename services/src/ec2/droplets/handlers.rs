//! What is asked of a zone's droplets: state checks, changes of what runs, network state, and the packets themselves.

use eastfall_fabric::disk::Write;
use eastfall_proto::ec2::droplets_server::Droplets;
use eastfall_proto::ec2::*;
use eastfall_topology::Moment;
use tonic::{Request, Response, Status};

use super::{Agents, key};

impl Agents {
    /// Refuses what needs a lease and finds none.
    fn check_lease(&self, droplet: u32) -> Result<(), Status> {
        if self.state().is_leased(droplet, self.world.now()) {
            return Ok(());
        }
        Err(Status::failed_precondition(format!("droplet {droplet} of {} has no lease", self.zone_name())))
    }

    async fn keep(&self, writes: Vec<Write>) -> Result<(), Status> {
        self.disk.commit(writes).await.map_err(|error| Status::internal(error.to_string()))
    }
}

#[async_trait::async_trait]
impl Droplets for Agents {
    async fn check_droplets(
        &self,
        request: Request<CheckDropletsRequest>,
    ) -> Result<Response<CheckDropletsResponse>, Status> {
        let CheckDropletsRequest { mut droplets, until } = request.into_inner();
        let now = self.world.now();
        let mut state = self.state();
        droplets.retain(|&droplet| state.is_leased(droplet, now));
        let report = |&droplet: &u32| DropletState { droplet, instances: state.used[droplet as usize] };
        let states = droplets.iter().map(report).collect();
        state.extend(droplets, now, Moment::from_nanos(until));
        Ok(Response::new(CheckDropletsResponse { droplets: states }))
    }

    async fn start_instance(
        &self,
        request: Request<StartInstanceRequest>,
    ) -> Result<Response<StartInstanceResponse>, Status> {
        let StartInstanceRequest { droplet, instance_id } = request.into_inner();
        self.check_lease(droplet)?;
        let room = self.state().used[droplet as usize] < self.settings.get().slots;
        if !room {
            return Err(Status::resource_exhausted(format!("droplet {droplet} has no room")));
        }
        self.keep(vec![entry(droplet, &instance_id, self.paths_at_start)]).await?;
        self.state().put(droplet, instance_id, self.paths_at_start);
        self.say();
        Ok(Response::new(StartInstanceResponse {}))
    }

    async fn stop_instance(
        &self,
        request: Request<StopInstanceRequest>,
    ) -> Result<Response<StopInstanceResponse>, Status> {
        let StopInstanceRequest { droplet, instance_id } = request.into_inner();
        self.check_lease(droplet)?;
        self.keep(vec![(key(droplet, &instance_id), None)]).await?;
        self.state().take(droplet, &instance_id);
        self.say();
        Ok(Response::new(StopInstanceResponse {}))
    }

    async fn change_interfaces(
        &self,
        request: Request<ChangeInterfacesRequest>,
    ) -> Result<Response<ChangeInterfacesResponse>, Status> {
        let ChangeInterfacesRequest { droplet, instance_id } = request.into_inner();
        self.check_lease(droplet)?;
        if !self.state().runs_on(droplet, &instance_id) {
            return Err(Status::not_found(format!(
                "instance {instance_id} does not run on droplet {droplet}"
            )));
        }
        Ok(Response::new(ChangeInterfacesResponse {}))
    }

    async fn apply_network_state(
        &self,
        request: Request<ApplyNetworkStateRequest>,
    ) -> Result<Response<ApplyNetworkStateResponse>, Status> {
        let writes = {
            let mut state = self.state();
            let mut writes: Vec<Write> = Vec::new();
            for update in request.into_inner().updates {
                // Who is gone needs no way to it.
                let Some(running) = state.running.get_mut(&update.instance_id) else { continue };
                let paths =
                    if update.known { running.paths | update.paths } else { running.paths & !update.paths };
                if std::mem::replace(&mut running.paths, paths) != paths {
                    writes.push(entry(running.droplet, &update.instance_id, paths));
                }
            }
            writes
        };
        self.keep(writes).await?;
        Ok(Response::new(ApplyNetworkStateResponse {}))
    }

    async fn deliver(&self, request: Request<DeliverRequest>) -> Result<Response<DeliverResponse>, Status> {
        let state = self.state();
        let delivered = |packet: &Packet| state.is_delivered(&packet.instance_id, packet.path % self.paths);
        let answered = request.get_ref().packets.iter().map(delivered).collect();
        Ok(Response::new(DeliverResponse { answered }))
    }
}

/// An instance as it lies on disk.
fn entry(droplet: u32, instance: &str, paths: u64) -> Write {
    (key(droplet, instance), Some(paths.to_be_bytes().to_vec()))
}
