//! Work that was accepted and is done later: a durable queue by due time, and the workers that empty it.
//!
//! Asynchronous invocations and event deliveries live in one. What is accepted is on disk before its sender is told so,
//! and leaves the disk only when it is done or given up, so a kill loses nothing and repeats at most what was under way.
//! **The failure it keeps out** is a backlog that knocks on a full door once for every piece it holds: when work is
//! throttled, the workers pause as one, longer each time, and begin again with fewer at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::disk::Disk;
use eastfall_fabric::world::{StartError, World};
use eastfall_topology::{Moment, Span};
use prost::Message;
use tokio::sync::Notify;
use tonic::Status;

/// The pause after the first piece that was throttled; it doubles with each in a row (assumption).
const FIRST_PAUSE: Span = Span::from_secs(1);

/// What becomes of a piece of work after an attempt at it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<T> {
    /// It is done, or given up: it leaves the backlog.
    Finished,
    /// It is tried again after this span, as it is now.
    Again(T, Span),
    /// There was no room for it: it keeps its place, and all work pauses.
    Throttled,
}

/// How hard a backlog is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Pieces under way at once, at most.
    pub at_once: u32,
    /// The longest pause after throttling.
    pub longest_pause: Span,
}

/// Pieces of work, by when they are due.
pub struct Backlog<T> {
    world: World,
    disk: Disk,
    state: Mutex<State<T>>,
    changed: Notify,
}

struct State<T> {
    next_number: u64,
    /// Those that nobody works on.
    due: BTreeSet<(Moment, u64)>,
    /// All of them.
    pieces: BTreeMap<u64, T>,
    under_way: u32,
    /// Pieces that may be under way at once: half as many after throttling, one more after each success (the textbook's
    /// additive increase and multiplicative decrease).
    window: u32,
    pause: Span,
    paused_until: Moment,
}

impl<T: Message + Default + Clone + 'static> Backlog<T> {
    /// The backlog on this disk of the instance; all that it holds is due at once.
    ///
    /// # Errors
    /// If the disk can't be read.
    pub async fn open(world: &World, disk: &str) -> Result<Arc<Backlog<T>>, StartError> {
        let disk_name = disk;
        let disk = world.disk(disk).await?;
        let mut state = State {
            next_number: 0,
            due: BTreeSet::new(),
            pieces: BTreeMap::new(),
            under_way: 0,
            window: u32::MAX,
            pause: Span::ZERO,
            paused_until: Moment::START,
        };
        for (key, value) in disk.load()? {
            let damaged = || format!("an entry of disk {disk_name} is damaged; remove the disk's folder");
            let number = u64::from_be_bytes(key.try_into().map_err(|_| damaged())?);
            let piece = T::decode(value.as_slice()).map_err(|_| damaged())?;
            state.next_number = number + 1;
            state.due.insert((world.now(), number));
            state.pieces.insert(number, piece);
        }
        Ok(Arc::new(Backlog { world: world.clone(), disk, state: Mutex::new(state), changed: Notify::new() }))
    }

    /// Accepts work; it is durable when this returns.
    ///
    /// # Errors
    /// `internal` if the disk can't be written.
    pub async fn add(&self, pieces: Vec<T>) -> Result<(), Status> {
        let first = {
            let mut state = self.state();
            let first = state.next_number;
            state.next_number += pieces.len() as u64;
            first
        };
        let numbered = || pieces.iter().zip(first..);
        let write = |(piece, number): (&T, u64)| (key(number), Some(piece.encode_to_vec()));
        self.disk.commit(numbered().map(write).collect()).await.map_err(internal)?;
        let now = self.world.now();
        let mut state = self.state();
        for (piece, number) in pieces.into_iter().zip(first..) {
            state.due.insert((now, number));
            state.pieces.insert(number, piece);
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// How many pieces there are, with those under way.
    pub fn len(&self) -> usize {
        self.state().pieces.len()
    }

    /// Whether all is done.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first accepted of all pieces.
    pub fn oldest(&self) -> Option<T> {
        self.state().pieces.values().next().cloned()
    }

    /// Works on what is due, for ever; how hard is asked anew at every turn.
    pub async fn work_off<A, F>(self: Arc<Self>, effort: impl Fn() -> Effort + Send, attempt: A)
    where
        A: Fn(T) -> F + Send + Sync + 'static,
        F: Future<Output = Verdict<T>> + Send + 'static,
    {
        let attempt = Arc::new(attempt);
        loop {
            let now = self.world.now();
            let Effort { at_once, longest_pause } = effort();
            while let Some((due, number, piece)) = self.take(now, at_once) {
                let (backlog, attempt) = (Arc::clone(&self), Arc::clone(&attempt));
                self.world.spawn(async move {
                    let verdict = attempt(piece).await;
                    backlog.settle(due, number, verdict, longest_pause).await;
                });
            }
            let changed = self.changed.notified();
            match self.next_turn(at_once) {
                Some(turn) => {
                    let _ = self.world.clock().timeout_at(turn, changed).await;
                }
                None => changed.await,
            }
        }
    }

    fn take(&self, now: Moment, at_once: u32) -> Option<(Moment, u64, T)> {
        let mut state = self.state();
        if state.under_way >= at_once.min(state.window) || now < state.paused_until {
            return None;
        }
        let (due, number) = *state.due.first().filter(|(due, _)| *due <= now)?;
        state.due.remove(&(due, number));
        let piece = state.pieces.get(&number)?.clone();
        state.under_way += 1;
        Some((due, number, piece))
    }

    /// When there may be something to take, unless something changes before.
    fn next_turn(&self, at_once: u32) -> Option<Moment> {
        let state = self.state();
        let room = state.under_way < at_once.min(state.window);
        let (due, _) = state.due.first().filter(|_| room)?;
        Some((*due).max(state.paused_until))
    }

    async fn settle(&self, due: Moment, number: u64, verdict: Verdict<T>, longest_pause: Span) {
        let write = match &verdict {
            Verdict::Finished => Some((key(number), None)),
            Verdict::Again(piece, _) => Some((key(number), Some(piece.encode_to_vec()))),
            Verdict::Throttled => None,
        };
        if let Some(write) = write
            && let Err(error) = self.disk.commit(vec![write]).await
        {
            // It is still on disk as it was: after a restart it is done again, which is what 'at least once' allows.
            self.world.record().event("backlog-not-written", &[("reason", error.to_string())]);
        }
        let now = self.world.now();
        let mut state = self.state();
        let under_way = state.under_way;
        state.under_way -= 1;
        if !matches!(verdict, Verdict::Throttled) {
            state.pause = Span::ZERO;
            state.window = state.window.saturating_add(1);
        }
        match verdict {
            Verdict::Finished => {
                state.pieces.remove(&number);
            }
            Verdict::Again(piece, after) => {
                state.pieces.insert(number, piece);
                state.due.insert((now + after, number));
            }
            Verdict::Throttled => {
                state.due.insert((due, number));
                // Those that were under way when the pause began don't make it longer.
                if now >= state.paused_until {
                    state.window = (state.window.min(under_way) / 2).max(1);
                    state.pause = (state.pause * 2).max(FIRST_PAUSE).min(longest_pause);
                    state.paused_until = now + state.pause;
                }
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}
