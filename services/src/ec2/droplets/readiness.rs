//! The hosts of DWFM that a zone's droplets ask, and whether each is ready.
//!
//! What gRPC's health checking does for a channel: one question in a while says for all callers whether the server takes
//! requests, and whoever has one for a server that does not waits until it does. **The failure it prevents**: thousands
//! of droplets that ask a host every few minutes, for hours, for what it can't give. It does not prevent the collapse:
//! ready is a host that reaches its store, however long its queue is.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use eastfall_fabric::network::client::{Client, DialError};
use eastfall_fabric::world::World;
use tokio::sync::Notify;

/// The hosts of a zone.
pub(super) struct Hosts {
    first: usize,
    hosts: Vec<Host>,
}

/// One of them.
pub(super) struct Host {
    /// Asks for leases, under the edge's policies.
    pub(super) client: Client,
    /// Asks whether it is ready, with policies' state and connections of its own: health checks must not close a
    /// breaker nor pay for a retry.
    pub(super) health: Client,
    pub(super) readiness: Readiness,
}

impl Hosts {
    pub(super) fn new(world: &World, dwfm: &str, numbers: Range<usize>) -> Result<Hosts, DialError> {
        let checker = world.host(&format!("{}/health", world.instance().name));
        let host = |number| {
            let readiness = Readiness { ready: AtomicBool::new(true), back: Notify::new() };
            let client = world.dial_instance(dwfm, number)?;
            Ok(Host { client, health: checker.dial_instance(dwfm, number)?, readiness })
        };
        Ok(Hosts { first: numbers.start, hosts: numbers.map(host).collect::<Result<_, _>>()? })
    }

    /// A host by its number among all.
    pub(super) fn get(&self, number: usize) -> &Host {
        &self.hosts[number - self.first]
    }
}

/// Whether a host is ready. It is taken to be until it says otherwise.
pub(super) struct Readiness {
    ready: AtomicBool,
    back: Notify,
}

impl Readiness {
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Waits until it is.
    pub(super) async fn wait(&self) {
        // Made before the look, so that nothing is missed between the two.
        let back = self.back.notified();
        if !self.is_ready() {
            back.await;
        }
    }

    pub(super) fn set(&self, ready: bool) {
        if !self.ready.swap(ready, Ordering::Relaxed) && ready {
            self.back.notify_waiters();
        }
    }
}
