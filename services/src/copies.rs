//! Copies of what a service keeps in DynamoDB, as those hold them who decide about every request: read ahead of need,
//! believed for a while, and no longer.
//!
//! Without them each request would cost a read. What is in use is read anew together, a batch at a time, whether or not it
//! is asked for at that moment. With copies a service outlives its store by minutes, and that is when its
//! customers notice: the copies of three minutes, not the store, are why STS failed at 23:51 and not at 23:48.
//!
//! **The other end** is here too. Whoever finds the store out of reach stops asking for a while, longer each time, so that
//! a store that comes back is not met by everybody at once. The price is that a service notices up to the longest pause
//! late that its store is back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::World;
use eastfall_topology::{Moment, Span};
use rand::RngExt as _;
use tonic::Status;

use crate::dynamodb::value::{Item, item, string, text};
use crate::pauses::{Leave, Lengths, Pauses};
use crate::tables::Tables;

/// Copies that are held at most (ours: bounds the memory; the shipped region has some hundreds of items).
const MOST: usize = 10_000;
/// A copy that nobody has asked for so long is no longer read anew (ours: bounds what is read).
const IDLE: Span = Span::from_mins(60);
/// Items that one batch reads (published).
const BATCH: usize = 100;

/// How copies are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    /// How often all copies in use are read anew.
    pub(crate) refresh: Span,
    /// A copy that is older than this serves no longer.
    pub(crate) keep: Span,
    /// How long the store is left alone after it was out of reach.
    pub(crate) pauses: Lengths,
}

/// The items of one table, by the text of its partition key.
pub(crate) struct Copies {
    world: World,
    tables: Tables,
    table: &'static str,
    key: &'static str,
    limits: Box<dyn Fn() -> Limits + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    held: BTreeMap<String, Held>,
    pauses: Pauses,
    rng: Rng,
}

struct Held {
    item: Arc<Item>,
    read_at: Moment,
    used_at: Moment,
}

// === impl Copies ===

impl Copies {
    /// No copies yet. Those that come are read anew from time to time, as long as the instance lives.
    pub(crate) fn new(
        world: &World,
        tables: Tables,
        table: &'static str,
        key: &'static str,
        limits: impl Fn() -> Limits + Send + Sync + 'static,
    ) -> Arc<Copies> {
        let rng = world.rng(&format!("copies of {table}"));
        let state = Mutex::new(State { held: BTreeMap::new(), pauses: Pauses::default(), rng });
        world.record().count("store-failed", 0);
        let (world, limits) = (world.clone(), Box::new(limits));
        let copies = Arc::new(Copies { world, tables, table, key, limits, state });
        let refreshing = Arc::clone(&copies);
        copies.world.spawn(async move { refreshing.keep_refreshing().await });
        copies
    }

    /// The item as a copy has it, or from the store if there is no copy that may still be believed. Empty: there is none.
    ///
    /// # Errors
    /// Unavailable, if it is to come from the store and that is out of reach, or was a moment ago.
    pub(crate) async fn get(&self, key: &str) -> Result<Arc<Item>, Status> {
        match self.copy(key) {
            Some(item) => Ok(item),
            None => self.read(key).await,
        }
    }

    /// The item as the store has it now, unless the store is being left alone.
    ///
    /// # Errors
    /// Unavailable, if the store is out of reach or was a moment ago.
    pub(crate) async fn read(&self, key: &str) -> Result<Arc<Item>, Status> {
        let found = Arc::new(self.guarded(self.tables.get(self.table, self.key_item(key))).await?);
        let now = self.world.now();
        let mut state = self.state();
        // That there is none is not believed for long: whoever made it a moment ago wants to use it.
        if found.is_empty() {
            state.held.remove(key);
        } else if state.held.len() < MOST || state.held.contains_key(key) {
            let held = Held { item: Arc::clone(&found), read_at: now, used_at: now };
            state.held.insert(key.to_owned(), held);
        }
        Ok(found)
    }

    /// Asks the store for something else, under the same pauses.
    ///
    /// # Errors
    /// As the store answers; unavailable while it is being left alone.
    pub(crate) async fn guarded<T>(
        &self,
        asking: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let limits = (self.limits)();
        let leave = self.take_leave(&limits.pauses).ok_or_else(|| {
            Status::unavailable(format!(
                "table {} was out of reach a moment ago, and is left alone",
                self.table
            ))
        })?;
        let outcome = asking.await;
        let mut state = self.state();
        let State { pauses, rng, .. } = &mut *state;
        match &outcome {
            Err(status) if is_out_of_reach(status) => {
                pauses.failed(leave, self.world.now(), &limits.pauses, rng);
                self.world.record().count("store-failed", 1);
            }
            _ => pauses.over(),
        }
        outcome
    }

    /// Forgets a copy, since its item was changed here.
    pub(crate) fn forget(&self, key: &str) {
        self.state().held.remove(key);
    }

    async fn keep_refreshing(&self) {
        // Instances that were started together don't ask together.
        let phase = self.state().rng.random_range(0.0..1.0);
        self.world.sleep((self.limits)().refresh.mul_f64(phase)).await;
        loop {
            self.world.sleep((self.limits)().refresh).await;
            for several in self.in_use().chunks(BATCH) {
                // A failure is counted; copies serve on until their end.
                if self.refresh(several).await.is_err() {
                    break;
                }
            }
        }
    }

    async fn refresh(&self, keys: &[String]) -> Result<(), Status> {
        let wanted = keys.iter().map(|key| self.key_item(key)).collect();
        let found = self.guarded(self.tables.get_batch(self.table, wanted)).await?;
        let now = self.world.now();
        let mut state = self.state();
        let mut gone: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
        for item in found {
            let key = text(&item, self.key).unwrap_or_default().to_owned();
            gone.remove(key.as_str());
            if let Some(held) = state.held.get_mut(&key) {
                (held.item, held.read_at) = (Arc::new(item), now);
            }
        }
        state.held.retain(|key, _| !gone.contains(key.as_str()));
        Ok(())
    }

    /// The keys of the copies in use; the others are dropped.
    fn in_use(&self) -> Vec<String> {
        let now = self.world.now();
        let mut state = self.state();
        state.held.retain(|_, held| now.since(held.used_at) < IDLE);
        state.held.keys().cloned().collect()
    }

    fn key_item(&self, key: &str) -> Item {
        item([(self.key, string(key))])
    }

    /// A copy that may be believed.
    fn copy(&self, key: &str) -> Option<Arc<Item>> {
        let now = self.world.now();
        let keep = (self.limits)().keep;
        let mut state = self.state();
        let held = state.held.get_mut(key)?;
        held.used_at = now;
        (now.since(held.read_at) < keep).then(|| Arc::clone(&held.item))
    }

    fn take_leave(&self, lengths: &Lengths) -> Option<Leave> {
        let now = self.world.now();
        let mut state = self.state();
        let State { pauses, rng, .. } = &mut *state;
        pauses.leave(now, lengths, rng)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an answer says that the store can't be used, rather than something about the request.
fn is_out_of_reach(status: &Status) -> bool {
    use eastfall_fabric::record::Ending;
    Ending::of(&Err(status.clone())) != Ending::Ok
}
