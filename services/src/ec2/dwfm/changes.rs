//! Changes of what runs on a droplet: placing an instance; altering it or taking it off, at once or when the lease is
//! back. What was changed goes on to Network Manager ([`super::network`]).

use eastfall_proto::ec2::*;
use eastfall_proto::network_manager::ChangeKind;
use tonic::{Code, Status};

use super::*;
use crate::ec2::insufficient_capacity;
use crate::ec2::store::{Alteration, Change};

/// Droplets that are tried for one instance: the host's picture of one may be a check old.
const TRIES: usize = 3;

impl Host {
    /// Puts an instance onto a droplet.
    pub(super) async fn place(&self, instance_id: String) -> Result<PlaceInstanceResponse, Status> {
        let slots = self.slots();
        for _ in 0..TRIES {
            let Some(local) = self.state().book.take_place(self.world.now(), slots) else { break };
            let droplet = self.droplet(local);
            let request = StartInstanceRequest { droplet, instance_id: instance_id.clone() };
            match self.agents.call(&droplets_api::START_INSTANCE, request).await {
                Ok(_) => {
                    let reachable = !self.network.tell(&instance_id, ChangeKind::Started).await?;
                    return Ok(PlaceInstanceResponse { droplet, reachable });
                }
                Err(status) => {
                    let mut state = self.state();
                    state.book.free_place(local);
                    match status.code() {
                        Code::FailedPrecondition => state.book.forget(local),
                        Code::ResourceExhausted => state.book.set_used(local, slots),
                        _ => return Err(status),
                    }
                }
            }
        }
        Err(insufficient_capacity(&self.layout.zones[self.layout.zone_of(self.number)]))
    }

    /// Changes what runs on a droplet, now if it has a lease; answers whether it had. It is written down first: who asked
    /// may go.
    pub(super) async fn change(&self, change: Change) -> Result<bool, Status> {
        let local = self.local(change.droplet)?;
        self.store.put_change(&self.name, &change).await?;
        let leased = {
            let mut state = self.state();
            state.book.add_change(local, change.what);
            state.book.has_lease(local, self.world.now())
        };
        if leased {
            self.apply_changes(local).await;
        }
        Ok(leased)
    }

    /// Applies what waited for a droplet's lease. What fails waits for the next check.
    pub(super) async fn apply_changes(&self, local: Local) {
        let changes = self.state().book.take_changes(local);
        for change in changes {
            if self.apply(local, &change).await.is_err() {
                self.state().book.add_change(local, change);
            }
        }
    }

    async fn apply(&self, local: Local, change: &Alteration) -> Result<(), Status> {
        match change {
            Alteration::Terminate { instance } => self.stop(local, instance).await?,
            Alteration::Modify { instance, .. } => self.modify(local, instance).await?,
        }
        self.store.delete_change(&self.name, change).await?;
        if matches!(change, Alteration::Terminate { .. }) {
            self.state().book.free_place(local);
        }
        self.world.record().count("changes-applied", 1);
        Ok(())
    }

    async fn stop(&self, local: Local, instance: &str) -> Result<(), Status> {
        let request = StopInstanceRequest { droplet: self.droplet(local), instance_id: instance.to_owned() };
        self.agents.call(&droplets_api::STOP_INSTANCE, request).await?;
        self.store.set_terminated(instance, self.world.now()).await?;
        self.network.tell(instance, ChangeKind::Stopped).await.map(drop)
    }

    async fn modify(&self, local: Local, instance: &str) -> Result<(), Status> {
        let (droplet, instance_id) = (self.droplet(local), instance.to_owned());
        let request = ChangeInterfacesRequest { droplet, instance_id };
        match self.agents.call(&droplets_api::CHANGE_INTERFACES, request).await {
            Ok(_) => self.network.tell(instance, ChangeKind::Modified).await.map(drop),
            // It has ended meanwhile, and needs no interfaces.
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(status),
        }
    }

    fn slots(&self) -> u32 {
        let topology = self.world.topology();
        topology.services.get(&*self.droplets).map_or(0, |own| DropletsParams::from(&own.params).slots)
    }
}
