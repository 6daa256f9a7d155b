//! What was changed on droplets goes on to the zone's Network Manager, in order and never lost.
//!
//! A change on a droplet is of no use before the network knows of it, and Network Manager may be slow or refuse. So a host
//! keeps what it has to say on its own disk, and hands it over in batches until all is accepted. This is where changes pile
//! up when operators cut Network Manager's load.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use eastfall_fabric::disk::Disk;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{StartError, World};
use eastfall_proto::network_manager::*;
use prost::Message as _;
use tokio::sync::Notify;
use tonic::Status;

use super::DwfmParams;
use crate::network_manager::NetworkManagerParams;
use crate::settings::{Settings, callee_of_kind_if_any};

/// Changes that are handed over at once.
const BATCH: usize = 100;
/// On disk: the number of the next change. Changes themselves lie under their numbers, eight bytes each.
const NEXT: &[u8] = b"next";

/// A host's way to the Network Manager of its zone; where the topology has none, the network needs nothing to be told.
pub(super) struct Network(Option<Outbox>);

struct Outbox {
    world: World,
    manager: Client,
    disk: Disk,
    waiting: Mutex<Waiting>,
    more: Notify,
}

struct Waiting {
    /// The number of the first of the changes.
    first: u64,
    changes: VecDeque<NetworkChange>,
}

impl Network {
    pub(super) async fn of(world: &World, zone: usize) -> Result<Network, StartError> {
        let Some(manager) = callee_of_kind_if_any(world, NetworkManagerParams::SCHEMA.name)? else {
            return Ok(Network(None));
        };
        let disk = world.disk("network-changes").await?;
        let (mut waiting, mut next) = (Waiting { first: 0, changes: VecDeque::new() }, 0);
        for (key, value) in disk.load()? {
            let damaged = || format!("a change on the disk of {} is damaged", world.instance().name);
            if key == NEXT {
                next = u64::from_be_bytes(value.try_into().map_err(|_| damaged())?);
            } else {
                waiting.changes.push_back(NetworkChange::decode(&*value).map_err(|_| damaged())?);
            }
        }
        waiting.first = u64::saturating_sub(next, waiting.changes.len() as u64);
        let manager = world.dial_instance(&manager, zone)?;
        let (world, waiting) = (world.clone(), Mutex::new(waiting));
        Ok(Network(Some(Outbox { world, manager, disk, waiting, more: Notify::new() })))
    }

    /// Writes down that the network must learn of a change. False if there is nobody to tell.
    pub(super) async fn tell(&self, instance: &str, kind: ChangeKind) -> Result<bool, Status> {
        let Some(outbox) = &self.0 else { return Ok(false) };
        let made = outbox.world.now().as_nanos();
        let change = NetworkChange { instance_id: instance.to_owned(), kind: kind as i32, made };
        let (encoded, number) = (change.encode_to_vec(), {
            let mut waiting = outbox.waiting();
            waiting.changes.push_back(change);
            waiting.first + waiting.changes.len() as u64 - 1
        });
        let next = (NEXT.to_vec(), Some((number + 1).to_be_bytes().to_vec()));
        let write = vec![(number.to_be_bytes().to_vec(), Some(encoded)), next];
        outbox.disk.commit(write).await.map_err(|error| Status::internal(error.to_string()))?;
        outbox.more.notify_one();
        Ok(true)
    }

    /// Hands over what there is to say, for ever.
    pub(super) async fn keep_handing_over(&self, settings: &Settings<DwfmParams>) {
        let Some(outbox) = &self.0 else { return };
        loop {
            outbox.say();
            if outbox.waiting().changes.is_empty() {
                outbox.more.notified().await;
            }
            outbox.world.sleep(settings.get().hand_over).await;
            while outbox.hand_over().await {}
        }
    }
}

impl Outbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self) {
        self.world.record().gauge("network-changes-held", self.waiting().changes.len() as f64);
    }

    /// Hands over one batch; true if all of it was accepted and there is more.
    async fn hand_over(&self) -> bool {
        let request = {
            let waiting = self.waiting();
            SubmitChangesRequest {
                host: self.world.instance().name.clone(),
                first: waiting.first,
                changes: waiting.changes.iter().take(BATCH).cloned().collect(),
            }
        };
        let (first, handed) = (request.first, request.changes.len() as u64);
        if handed == 0 {
            return false;
        }
        let answer = self.manager.call(&network_manager_api::SUBMIT_CHANGES, request).await;
        let accepted = answer.map_or(0, |answer| u64::from(answer.accepted).min(handed));
        let done = (first..first + accepted).map(|number| (number.to_be_bytes().to_vec(), None)).collect();
        // What can't be taken off the disk is handed over once more after a restart, and counts once.
        let _ = self.disk.commit(done).await;
        let mut waiting = self.waiting();
        waiting.first += accepted;
        waiting.changes.drain(..accepted as usize);
        accepted == handed && !waiting.changes.is_empty()
    }
}
