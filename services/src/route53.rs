//! Kind `route53`: the record store of the region's names, with its control API and its name server.
//!
//! Records are changed over gRPC ([`api`]) and asked for over DNS ([`answer`]); both see the same zones ([`zone`]), and a
//! change is durable before it is acknowledged ([`store`]). The store is itself healthy throughout the event: it does
//! exactly what it is told, and that is the point.

use std::sync::Arc;

use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::route53::route53_api;
use eastfall_topology::{Span, params};
use futures_util::future::BoxFuture;

pub mod answer;
mod api;
pub mod record;
mod store;
pub mod zone;

use store::Store;

params! {
    /// The record store of the region's names: control API and authoritative name server.
    pub struct Route53Params for "route53" {
        /// How long after a change the last of the world's name servers has it, and `GetChange` says INSYNC. The real
        /// service says 'generally within 60 seconds'; 13s (inferred) makes a pass of an Enactor last a little longer than
        /// the time between two plans. The region's own resolvers see a change at once.
        propagation: Span = "13s", range "0s"..="10m";
        /// Names of which the series `addresses.NAME` counts the addresses that resolvers can be given.
        watch: Vec<String> = ["dynamodb.us-east-1.amazonaws.com"];
    }
}

/// The kind `route53`.
pub fn kind() -> Kind {
    Kind { schema: Route53Params::SCHEMA, start }
}

fn start(world: World) -> BoxFuture<'static, Result<(), StartError>> {
    Box::pin(async move {
        let store = Arc::new(Store::open(world.clone()).await?);
        world.serve_dns(store.clone()).await?;
        let control = Arc::new(api::Control::new(world.clone(), store));
        world.serve(vec![(&route53_api::API, route53_api::handler(control))]).await
    })
}

#[cfg(test)]
#[path = "route53/tests.rs"]
mod tests;
