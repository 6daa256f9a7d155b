//! What a contact goes through before an agent has it: the line, and the contact centre's flow.
//!
//! Both are other services' work, and which of them there are is the topology's to say: without the edge, the step is
//! not taken.

use eastfall_fabric::call::Context;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{StartError, World};
use eastfall_proto::nlb::{ConnectRequest, nlb_node_api};
use tonic::Status;

use super::ConnectParams;
use crate::settings::callee_of_kind;

/// The kind of a load balancer's nodes.
const NODE: &str = "nlb-node";

/// The steps of a contact.
pub(super) struct Flow {
    /// A node of the load balancer that lines go through, and the balancer's name.
    line: Option<(Client, String)>,
}

impl Flow {
    /// The steps that a service's edges offer.
    ///
    /// # Errors
    /// If it calls several services of one of the kinds.
    pub(super) fn of(world: &World) -> Result<Flow, StartError> {
        let calls_one = |kind: &str| {
            let topology = world.topology();
            let own = topology.services.get(&world.instance().service);
            let mut callees = own.into_iter().flat_map(|own| own.calls.keys());
            callees.any(|callee| topology.services.get(callee).is_some_and(|service| service.kind == kind))
        };
        let line = match calls_one(NODE) {
            true => {
                let node = world.dial(&callee_of_kind(world, NODE)?)?;
                Some((node, world.params::<ConnectParams>().load_balancer))
            }
            false => None,
        };
        Ok(Flow { line })
    }

    /// Opens the line, through the load balancer.
    ///
    /// # Errors
    /// If no connection comes about.
    pub(super) async fn line(&self, context: &Context) -> Result<(), Status> {
        let Some((node, load_balancer)) = &self.line else { return Ok(()) };
        let request = ConnectRequest { load_balancer: load_balancer.clone() };
        node.within(context).call(&nlb_node_api::CONNECT, request).await.map(drop)
    }

    /// Runs the contact centre's flow. Flows are cached by the host, so nothing is asked of anybody for them.
    ///
    /// # Errors
    /// If a function that the flow invokes fails.
    #[expect(clippy::unused_async, reason = "what flows invoke is another service's")]
    pub(super) async fn run(&self, _context: &Context) -> Result<(), Status> {
        Ok(())
    }
}
