//! Changes of what runs on a droplet: placing an instance, and taking one off, at once or when the lease is back.

use eastfall_proto::ec2::*;
use tonic::{Code, Status};

use super::*;
use crate::ec2::insufficient_capacity;
use crate::ec2::store::Change;

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
                Ok(_) => return Ok(PlaceInstanceResponse { droplet }),
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

    /// Takes an instance off a droplet, now if it has a lease. It is written down first: who asked may go.
    pub(super) async fn remove(&self, change: Change) -> Result<RemoveInstanceResponse, Status> {
        let local = self.local(change.droplet)?;
        self.store.put_change(&self.name, &change).await?;
        let leased = {
            let mut state = self.state();
            state.book.add_change(local, change.instance);
            state.book.has_lease(local, self.world.now())
        };
        if leased {
            self.apply_changes(local).await;
        }
        self.say();
        Ok(RemoveInstanceResponse { applied: leased })
    }

    /// Applies what waited for a droplet's lease. What fails waits for the next check.
    pub(super) async fn apply_changes(&self, local: Local) {
        let changes = self.state().book.take_changes(local);
        for instance in changes {
            if self.apply(local, &instance).await.is_err() {
                self.state().book.add_change(local, instance);
            }
        }
    }

    async fn apply(&self, local: Local, instance: &str) -> Result<(), Status> {
        let request = StopInstanceRequest { droplet: self.droplet(local), instance_id: instance.to_owned() };
        self.agents.call(&droplets_api::STOP_INSTANCE, request).await?;
        self.store.set_terminated(instance, self.world.now()).await?;
        self.store.delete_change(&self.name, instance).await?;
        self.state().book.free_place(local);
        self.world.record().count("changes-applied", 1);
        Ok(())
    }

    fn slots(&self) -> u32 {
        let topology = self.world.topology();
        topology.services.get(&*self.droplets).map_or(0, |own| DropletsParams::from(&own.params).slots)
    }
}
