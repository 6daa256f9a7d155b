//! The zones of a running instance: durable before acknowledged, and open to questions at any time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use eastfall_fabric::disk::{Disk, DiskError};
use eastfall_fabric::dns::{Answer, Authority, Question, Soa, canonical};
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::{StartError, World};
use eastfall_proto::route53::{Change, Precondition};
use rand::RngExt as _;

use super::answer::{addresses, answer, soa};
use super::zone::{Refusal, Zones, is_within};
use super::{Route53Params, zone::durable};
use crate::settings::Settings;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The zones, the disk under them, and what is counted of them.
pub(super) struct Store {
    world: World,
    settings: Settings<Route53Params>,
    zones: Mutex<Zones>,
    /// One change at a time, from its check until it is durable: nobody sees what is not.
    disk: tokio::sync::Mutex<Disk>,
    luck: Mutex<Rng>,
    /// Addresses by watched name, as last said.
    watched: Mutex<BTreeMap<String, usize>>,
}

impl Store {
    /// Reads the zones back from the disk.
    pub(super) async fn open(world: World) -> Result<Self, StartError> {
        let disk = world.disk("zones").await?;
        let zones = Mutex::new(durable::read(disk.load()?)?);
        let (luck, disk) = (Mutex::new(world.rng("weighted records")), tokio::sync::Mutex::new(disk));
        let settings = Settings::new(&world);
        let store = Store { world, settings, zones, disk, luck, watched: Mutex::default() };
        store.watch(|_| true);
        Ok(store)
    }

    /// The zones as they are now. Not to be held over an await.
    pub(super) fn zones(&self) -> MutexGuard<'_, Zones> {
        lock(&self.zones)
    }

    pub(super) async fn create(&self, name: &str, negative_ttl: u32) -> Result<(), StoreError> {
        let disk = self.disk.lock().await;
        let zone = self.zones().new_zone(name, negative_ttl)?;
        disk.commit(durable::zone(&zone)).await?;
        self.zones().create(name, negative_ttl)?;
        Ok(())
    }

    pub(super) async fn change(
        &self,
        zone: &str,
        changes: &[Change],
        precondition: Option<&Precondition>,
    ) -> Result<(), StoreError> {
        let disk = self.disk.lock().await;
        let staged = self.zones().stage(zone, changes, precondition)?;
        disk.commit(durable::changes(&staged)).await?;
        let zone = canonical(zone);
        if self.zones().merge(staged) {
            // What another zone's names have can't have changed.
            self.watch(|name| is_within(name, &zone));
        }
        Ok(())
    }

    /// Says how many addresses the watched names `among` these have, and when one loses its last or gets its first.
    fn watch(&self, among: impl Fn(&str) -> bool) {
        let mut watched = lock(&self.watched);
        let settings = self.settings.get();
        for name in settings.watch.iter().filter(|name| among(&canonical(name))) {
            let count = addresses(&self.zones(), name);
            let before = watched.get(name).copied();
            if before == Some(count) {
                continue;
            }
            watched.insert(name.clone(), count);
            self.world.record().gauge(&format!("addresses.{name}"), count as f64);
            let kind = match (before.unwrap_or(0), count) {
                (0, 1..) => "dns.endpoint-filled",
                (1.., 0) => "dns.endpoint-empty",
                _ => continue,
            };
            self.world.record().event(kind, &[("endpoint", name.clone()), ("addresses", count.to_string())]);
        }
    }
}

impl Authority for Store {
    fn answer(&self, question: &Question) -> Answer {
        let mut luck = lock(&self.luck);
        answer(&self.zones(), question, &mut |total| luck.random_range(0..total))
    }

    fn soa(&self, name: &str) -> Option<Soa> {
        self.zones().of(&canonical(name)).map(soa)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
