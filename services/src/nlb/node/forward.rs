//! Forwarding of connections to the provider's own services: nobody looks into them, so a service needs to know nothing of
//! the load balancer before it, and neither do its callers.

use std::sync::Arc;

use eastfall_fabric::network::{ConnectError, Forwarder, Hop};
use futures_util::future::BoxFuture;

use super::{FORWARDED, NO_PLACE, Node};

/// The way of connections to one service.
pub(super) struct Forwarding {
    node: Arc<Node>,
    balancer: String,
}

impl Forwarding {
    pub(super) fn new(node: &Arc<Node>, balancer: &str) -> Forwarding {
        Forwarding { node: Arc::clone(node), balancer: balancer.to_owned() }
    }

    fn next(&self) -> Result<Hop, ConnectError> {
        if !self.node.has_place(&self.balancer) {
            return Err(ConnectError(NO_PLACE.to_owned()));
        }
        let target =
            self.node.choose(&self.balancer).map_err(|status| ConnectError(status.message().to_owned()))?;
        let nowhere = |_| ConnectError(format!("{} has no address to forward to", target.instance_id));
        let to = target.address.parse().map_err(nowhere)?;
        self.node.world.record().count(FORWARDED, 1);
        Ok(Hop { to, held: None })
    }
}

impl Forwarder for Forwarding {
    fn choose(&self) -> BoxFuture<'_, Result<Hop, ConnectError>> {
        Box::pin(std::future::ready(self.next()))
    }
}
