//! The key that all instances of a service in a region seal with: made by the first, kept in DynamoDB, and held in memory
//! from then on. An instance that starts while the store is out of reach has none, and can do nothing until it has.

use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::world::World;
use eastfall_topology::Span;
use rand::RngExt as _;
use tonic::{Code, Status};

use super::Key;
use crate::dynamodb::condition::not_exists;
use crate::dynamodb::value::{self, item, string};
use crate::tables::Tables;

const KEYS: &str = "signing-keys";
/// How long before a store that could not be reached is tried again.
const TRY_AGAIN: Span = Span::from_secs(5);

/// The key of the service that an instance is one of, once it is known. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct CommonKey(Arc<Mutex<Option<Key>>>);

impl CommonKey {
    /// Has it fetched, for as long as that takes.
    pub(crate) fn of(world: &World, tables: &Tables) -> CommonKey {
        let common = CommonKey::default();
        let (world, tables, slot) = (world.clone(), tables.clone(), common.clone());
        world.clone().spawn(async move {
            let key = fetch(&world, &tables).await;
            *slot.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        });
        common
    }

    /// The key, if it is known yet.
    pub(crate) fn get(&self) -> Option<Key> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(world: &World, tables: &Tables) -> Key {
    tables.prepare(world, &["signing-keys(service)"]).await;
    let mut rng = world.rng("signing-key");
    let offer = Key::new(rng.random(), rng.random());
    let service = &world.instance().service;
    loop {
        match agree(tables, service, offer).await {
            Ok(key) => return key,
            Err(error) => {
                let reason = [("reason", error.message().to_owned())];
                world.record().event("signing-key-not-ready", &reason);
                world.sleep(TRY_AGAIN).await;
            }
        }
    }
}

/// The key that is in the store, which is ours if there was none.
async fn agree(tables: &Tables, service: &str, offer: Key) -> Result<Key, Status> {
    let ours = item([("service", string(service)), ("key", string(offer.to_text()))]);
    match tables.put_if(KEYS, ours, not_exists("service")).await {
        Ok(()) => Ok(offer),
        Err(status) if status.code() == Code::FailedPrecondition => {
            let found = tables.get(KEYS, item([("service", string(service))])).await?;
            let key = value::text(&found, "key").and_then(Key::from_text);
            key.ok_or_else(|| {
                Status::data_loss(format!("the key of {service} in table {KEYS} can't be read"))
            })
        }
        Err(status) => Err(status),
    }
}
