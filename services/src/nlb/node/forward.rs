//! Forwarding of connections to the provider's own services: nobody looks into them, so a service needs to know nothing of
//! the load balancer before it, and neither do its callers.

use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::network::{ConnectError, Forwarder, Hop};
use eastfall_fabric::token_bucket::TokenBucket;
use eastfall_topology::RateLimit;
use futures_util::future::BoxFuture;

use super::Node;

/// The way of connections to one service.
pub(super) struct Forwarding {
    node: Arc<Node>,
    balancer: String,
    places: Mutex<TokenBucket>,
}

impl Forwarding {
    pub(super) fn new(node: &Arc<Node>, balancer: &str) -> Forwarding {
        let places = TokenBucket::full(&RateLimit { per_second: 1.0, burst: 1 }, node.world.now());
        Forwarding { node: Arc::clone(node), balancer: balancer.to_owned(), places: Mutex::new(places) }
    }

    /// Whether the node has capacity for one more connection; as many as a second's may come together.
    fn has_place(&self) -> bool {
        let Some(per_second) = self.node.settings.get().forward_rate else { return true };
        let burst = per_second.ceil().max(1.0) as u32;
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.take(&RateLimit { per_second, burst }, self.node.world.now())
    }

    fn next(&self) -> Result<Hop, ConnectError> {
        if !self.has_place() {
            return Err(ConnectError("the node has no capacity left for connections".to_owned()));
        }
        let target =
            self.node.choose(&self.balancer).map_err(|status| ConnectError(status.message().to_owned()))?;
        let to = target.address.parse().map_err(|_| {
            ConnectError(format!("{} has no address to forward to", target.instance_id))
        })?;
        Ok(Hop { to, held: None })
    }
}

impl Forwarder for Forwarding {
    fn choose(&self) -> BoxFuture<'_, Result<Hop, ConnectError>> {
        let hop = self.next();
        let outcome = if hop.is_ok() { "connections-forwarded" } else { "connections-not-forwarded" };
        self.node.world.record().count(outcome, 1);
        Box::pin(std::future::ready(hop))
    }
}
