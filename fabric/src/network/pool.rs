//! A client's connections to one peer or name.
//!
//! A connection that is open goes on working when its name no longer resolves; a new one needs the name. How long
//! connections live, and how often new ones are made, therefore decides who notices a DNS blackout and when. A
//! connection past its age or idle time takes no new calls; those under way on it are finished.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_topology::Connections;
use eastfall_topology::time::Moment;
use rand::RngExt as _;

use crate::network::Connection;
use crate::rng::Rng;

/// Connections by the address they lead to.
pub(crate) struct Pool {
    state: Mutex<State>,
    /// One caller at a time opens a connection; the others wait for it and share it.
    pub(crate) opening: tokio::sync::Mutex<()>,
}

struct State {
    rng: Rng,
    connections: Vec<Pooled>,
    next: usize,
}

struct Pooled {
    address: Ipv4Addr,
    connection: Arc<dyn Connection>,
    expires: Option<Moment>,
    last_used: Moment,
    in_flight: Arc<AtomicU32>,
}

/// A connection lent for one call.
pub(crate) struct Lease {
    pub(crate) connection: Arc<dyn Connection>,
    pub(crate) address: Ipv4Addr,
    in_flight: Arc<AtomicU32>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(crate) fn new(rng: Rng) -> Self {
        let state = Mutex::new(State { rng, connections: Vec::new(), next: 0 });
        Pool { state, opening: tokio::sync::Mutex::new(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that may take a call now: to `only` that address, if given. While there are fewer than `at_least`
    /// there is none: one more is to be opened.
    pub(crate) fn lend(
        &self,
        now: Moment,
        settings: &Connections,
        only: Option<Ipv4Addr>,
        at_least: u32,
    ) -> Option<Lease> {
        if !settings.reuse {
            return None;
        }
        let mut state = self.state();
        let idle = settings.idle_timeout;
        state.connections.retain(|pooled| {
            pooled.connection.is_open()
                && pooled.expires.is_none_or(|expires| now < expires)
                && (pooled.in_flight.load(Ordering::Relaxed) > 0
                    || idle.is_none_or(|idle| now.since(pooled.last_used) < idle))
        });
        let fits = |pooled: &Pooled| only.is_none_or(|address| pooled.address == address);
        let count = state.connections.iter().filter(|pooled| fits(pooled)).count();
        if count == 0 || count < at_least as usize {
            return None;
        }
        // In turn, so that every connection is used.
        state.next = state.next.wrapping_add(1);
        let pick = state.next % count;
        let pooled = state.connections.iter_mut().filter(|pooled| fits(pooled)).nth(pick)?;
        pooled.last_used = now;
        pooled.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Lease {
            connection: Arc::clone(&pooled.connection),
            address: pooled.address,
            in_flight: Arc::clone(&pooled.in_flight),
        })
    }

    /// Takes up a connection just opened, and lends it for a first call.
    pub(crate) fn add(
        &self,
        now: Moment,
        settings: &Connections,
        address: Ipv4Addr,
        connection: Arc<dyn Connection>,
    ) -> Lease {
        let in_flight = Arc::new(AtomicU32::new(1));
        if settings.reuse {
            let mut state = self.state();
            // Ages are spread, so that connections opened together don't all end together.
            let spread = 1.0 + settings.max_age_jitter * (2.0 * state.rng.random::<f64>() - 1.0);
            let expires = settings.max_age.map(|age| now + age.mul_f64(spread));
            state.connections.push(Pooled {
                address,
                connection: Arc::clone(&connection),
                expires,
                last_used: now,
                in_flight: Arc::clone(&in_flight),
            });
        }
        Lease { connection, address, in_flight }
    }

    /// How many connections are held.
    pub(crate) fn len(&self) -> usize {
        self.state().connections.len()
    }
}
