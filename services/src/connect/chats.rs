//! Chats: sessions with a place on a host and a lease in DynamoDB.
//!
//! A host has so many places. A chat whose lease could not be renewed in time is lost: its participants are gone, yet the
//! place is not free, since nobody knows what of the session has been written, and who is still connected to it. The
//! same goes for a chat whose first write failed: it may have arrived. Both wait to be cleared up, oldest first, at a
//! bounded rate, and only then is the place free. So after an outage of the store that has filled all places, chats come
//! back as slowly as places do: to carry a load of A chats at once takes A / rate, however long the outage was.
//! Sessions that clients could resume, or a store whose writes name their outcome, would spare it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::distribution::draw;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::World;
use eastfall_proto::dynamodb::write_request::Write;
use eastfall_proto::dynamodb::{Item as ItemMessage, WriteRequest};
use eastfall_proto::error::api_error;
use eastfall_topology::{Moment, Span};
use tonic::{Code, Status};

use super::{ConnectParams, DOMAIN, unavailable};
use crate::dynamodb::value::{Item, item, number, string, text};
use crate::settings::{Settings, instance_count};
use crate::tables::Tables;

/// Leases of chats by host.
const LEASES: &str = "connect-chats";
/// Leases that one batch may write (published: 25 items).
const BATCH: usize = 25;
/// How soon a host tries again to learn what it had before it was restarted (ours).
const TRY_AGAIN: Span = Span::from_secs(5);

/// The chats of one host.
pub(super) struct Chats {
    world: World,
    own: String,
    tables: Tables,
    settings: Settings<ConnectParams>,
    places: Mutex<Places>,
    luck: Mutex<Rng>,
}

/// Who has a place.
#[derive(Default)]
struct Places {
    active: BTreeMap<String, Chat>,
    /// Chats whose first write is under way.
    starting: BTreeSet<String>,
    /// Lost ones, in the order in which they are cleared up.
    lost: VecDeque<String>,
}

#[derive(Clone, Copy)]
struct Chat {
    ends: Moment,
    leased_until: Moment,
}

impl Places {
    fn taken(&self) -> usize {
        self.active.len() + self.starting.len() + self.lost.len()
    }

    /// Takes out those that match.
    fn take(&mut self, matches: impl Fn(&Chat) -> bool) -> Vec<String> {
        let taken: Vec<String> =
            self.active.iter().filter(|(_, chat)| matches(chat)).map(|(id, _)| id.clone()).collect();
        for id in &taken {
            self.active.remove(id);
        }
        taken
    }
}

impl Chats {
    pub(super) fn new(world: &World, tables: Tables) -> Chats {
        for name in ["chats-started", "chats-refused", "chats-lost", "chats-cleared"] {
            world.record().count(name, 0);
        }
        Chats {
            own: world.instance().index.to_string(),
            settings: Settings::new(world),
            places: Mutex::default(),
            luck: Mutex::new(world.rng("chat-lengths")),
            tables,
            world: world.clone(),
        }
    }

    /// Looks after leases, and clears up what was lost.
    pub(super) fn run(self: &Arc<Self>) {
        self.world.spawn(Arc::clone(self).renew_leases());
        self.world.spawn(Arc::clone(self).clear_up());
    }

    /// Starts a chat, or finds it started already.
    ///
    /// # Errors
    /// `LimitExceededException` if the host has no place; `InternalServiceException` if the lease can't be written.
    pub(super) async fn start(&self, context: &Context, id: &str) -> Result<(), Status> {
        self.take_place(id)?;
        let settings = self.settings.get();
        let now = self.world.now();
        let leased_until = now + settings.chat_lease;
        let written = self.tables.within(context).put(LEASES, self.lease(id, leased_until)).await;
        let mut places = self.places();
        places.starting.remove(id);
        match written {
            Ok(()) => {
                let mut luck = self.luck.lock().unwrap_or_else(PoisonError::into_inner);
                let ends = now + draw(&settings.chat_length, &mut luck);
                places.active.insert(id.to_owned(), Chat { ends, leased_until });
                self.world.record().count("chats-started", 1);
            }
            Err(_) => self.lose(&mut places, vec![id.to_owned()]),
        }
        self.record(&places);
        written.map_err(|status| unavailable(&status))
    }

    fn take_place(&self, id: &str) -> Result<(), Status> {
        let hosts = instance_count(&self.world, &self.world.instance().service).max(1);
        let mine = (self.settings.get().chat_places as usize).div_ceil(hosts);
        let mut places = self.places();
        // A chat that is lost and asked for again has its old place, and is lost still.
        if places.lost.iter().any(|lost| lost == id) || places.taken() >= mine {
            self.world.record().count("chats-refused", 1);
            let message = "all places for chats are taken";
            return Err(api_error(Code::ResourceExhausted, DOMAIN, "LimitExceededException", message));
        }
        places.active.remove(id);
        places.starting.insert(id.to_owned());
        Ok(())
    }

    // === Leases ===

    async fn renew_leases(self: Arc<Self>) {
        self.tables.prepare(&self.world, &["connect-chats(host,chat)"]).await;
        loop {
            match self.tables.all_of(LEASES, &self.own).await {
                // Whoever was connected to the host before its restart is not any more.
                Ok(found) => {
                    let before = found.iter().filter_map(|row| text(row, "chat")).map(str::to_owned);
                    let mut places = self.places();
                    let unknown = before.filter(|id| !places.active.contains_key(id)).collect();
                    self.lose(&mut places, unknown);
                    break;
                }
                Err(_) => self.world.sleep(TRY_AGAIN).await,
            }
        }
        loop {
            self.world.sleep(self.settings.get().chat_renewal).await;
            let now = self.world.now();
            let (ended, running) = {
                let mut places = self.places();
                let ended = places.take(|chat| chat.ends <= now);
                (ended, places.active.keys().cloned().collect::<Vec<_>>())
            };
            self.forget(ended).await;
            self.renew(running).await;
            let mut places = self.places();
            let overdue = self.world.now();
            let lost = places.take(|chat| chat.leased_until <= overdue);
            self.lose(&mut places, lost);
            self.record(&places);
        }
    }

    async fn renew(&self, chats: Vec<String>) {
        for batch in chats.chunks(BATCH) {
            let until = self.world.now() + self.settings.get().chat_lease;
            let put = |id: &String| Write::Put(ItemMessage { attributes: self.lease(id, until) });
            if !self.write(batch.iter().map(put)).await {
                // The others wait as long for the same answer.
                return;
            }
            let mut places = self.places();
            for id in batch {
                if let Some(chat) = places.active.get_mut(id) {
                    chat.leased_until = until;
                }
            }
        }
    }

    /// Takes the leases of chats that have ended off; what can't be taken off is cleared up like what was lost.
    async fn forget(&self, ended: Vec<String>) {
        for batch in ended.chunks(BATCH) {
            let delete = |id: &String| Write::Delete(ItemMessage { attributes: self.key(id) });
            if !self.write(batch.iter().map(delete)).await {
                self.lose(&mut self.places(), batch.to_vec());
            }
        }
    }

    async fn write(&self, writes: impl Iterator<Item = Write>) -> bool {
        let request = |write| WriteRequest { table_name: LEASES.to_owned(), write: Some(write) }.into();
        let left = self.tables.write_batch(writes.map(request).collect()).await;
        left.is_ok_and(|left| left.is_empty())
    }

    // === What was lost ===

    fn lose(&self, places: &mut Places, chats: Vec<String>) {
        self.world.record().count("chats-lost", chats.len() as u64);
        places.lost.extend(chats);
    }

    async fn clear_up(self: Arc<Self>) {
        loop {
            let hosts = instance_count(&self.world, &self.world.instance().service).max(1);
            let per_hour = self.settings.get().chats_cleared_per_hour / hosts as f64;
            self.world.sleep(Span::from_secs_f64(3600.0 / per_hour)).await;
            let Some(id) = self.places().lost.front().cloned() else { continue };
            if self.tables.delete(LEASES, self.key(&id)).await.is_ok() {
                let mut places = self.places();
                places.lost.pop_front();
                self.world.record().count("chats-cleared", 1);
                self.record(&places);
            }
        }
    }

    // === Small things ===

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, places: &Places) {
        self.world.record().gauge("chats-active", places.active.len() as f64);
        self.world.record().gauge("chats-waiting-to-be-cleared", places.lost.len() as f64);
    }

    fn key(&self, id: &str) -> Item {
        item([("host", string(&self.own)), ("chat", string(id))])
    }

    fn lease(&self, id: &str, until: Moment) -> Item {
        let mut row = self.key(id);
        row.insert("until".to_owned(), number(until.as_nanos()));
        row
    }
}
