//! What a contact goes through before an agent has it: the line, and the contact centre's flow.
//!
//! Both are other services' work, and which of them there are is the topology's to say: without the edge, the step is
//! not taken.

use eastfall_fabric::call::Context;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{StartError, World};
use eastfall_proto::lambda::{InvocationType, InvokeRequest, lambda_api};
use eastfall_proto::nlb::{ConnectRequest, nlb_node_api};
use tonic::Status;

use super::ConnectParams;
use crate::lambda::api::LambdaParams;
use crate::nlb::node::NodeParams;
use crate::settings::callee_of_kind_if_any;

/// The steps of a contact.
pub(super) struct Flow {
    /// A node of the load balancer that lines go through, and the balancer's name.
    line: Option<(Client, String)>,
    /// Lambda, and the function that flows invoke.
    function: Option<(Client, String)>,
}

impl Flow {
    /// The steps that a service's edges offer.
    ///
    /// # Errors
    /// If it calls several services of one of the kinds.
    pub(super) fn of(world: &World) -> Result<Flow, StartError> {
        let dial = |callee: Option<String>| callee.map(|callee| world.dial(&callee)).transpose();
        let ConnectParams { load_balancer, flow_function, .. } = world.params();
        Ok(Flow {
            line: dial(callee_of_kind_if_any(world, NodeParams::SCHEMA.name)?)?
                .map(|node| (node, load_balancer)),
            function: dial(callee_of_kind_if_any(world, LambdaParams::SCHEMA.name)?)?
                .map(|lambda| (lambda, flow_function)),
        })
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

    /// Runs the contact centre's flow. Flows are cached by the host, so nothing is asked of anybody for them but the
    /// function that they invoke.
    ///
    /// # Errors
    /// If that fails.
    pub(super) async fn run(&self, context: &Context) -> Result<(), Status> {
        let Some((lambda, function)) = &self.function else { return Ok(()) };
        let request = InvokeRequest {
            function_name: function.clone(),
            invocation_type: InvocationType::Sync as i32,
            payload: Vec::new(),
        };
        lambda.within(context).call(&lambda_api::INVOKE, request).await.map(drop)
    }
}
