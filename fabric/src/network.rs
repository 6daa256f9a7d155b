//! How a call gets from one instance to another: names, connections, wires, faults on the way.
//!
//! The caller's side, outermost first: [`client`] (typed calls), the edge's policies ([`crate::policy`]), the route to an
//! address and the pool of connections ([`route`], [`pool`]), the faults in force on the way ([`faulty`]), and a
//! connection of the back end: in virtual time ([`sim`]) straight into the callee's [`server::Server`], live
//! ([`live`]) HTTP/2 over TCP into the same one. A [`Forwarder`] on the way passes connections on as they are.

pub mod client;
pub mod directory;
mod faulty;
pub mod live;
mod pool;
mod route;
pub mod server;
pub mod sim;

use std::net::Ipv4Addr;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::call::Handler;

/// An open connection: calls can be made on it, side by side.
pub trait Connection: Handler {
    /// False once it has broken; calls on it fail then.
    fn is_open(&self) -> bool;
}

/// Why a connection could not be opened, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(pub String);

/// Passes connections on to others: a load balancer that looks at no more of them than where they came in.
pub trait Forwarder: Send + Sync + 'static {
    /// Where a connection that has just come in goes on to.
    ///
    /// # Errors
    /// Why it is refused.
    fn choose(&self) -> BoxFuture<'_, Result<Hop, ConnectError>>;
}

/// Where a connection goes on to.
pub struct Hop {
    /// The address at the other end, on the region's port.
    pub to: Ipv4Addr,
    /// Held for as long as the connection lasts; nothing if nobody counts.
    pub held: Option<Arc<dyn Send + Sync>>,
}
