//! Where a service of one region finds those of its own region.
//!
//! The lab's own region is spelled out service by service; other regions are one service a kind with an instance a
//! region (`instances = ["us-west-2", "eu-west-1"]`). There an instance uses the callee's instance of its own region and
//! no other: that is what regions are for. A kind that exists in both has a parameter `elsewhere` that says which it is.

use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::{StartError, World};

use crate::dynamodb::balancer::BalancerParams;
use crate::dynamodb::replica::{ReplicaParams, region_of};
use crate::tables::Tables;

/// A client for the one callee of these kinds; `elsewhere`: for its instance of this instance's region.
///
/// # Errors
/// If the service calls none of these kinds or several, or the callee is not in the region.
pub(crate) fn dial(world: &World, kinds: &[&str], elsewhere: bool) -> Result<Client, StartError> {
    let (topology, own) = (world.topology(), &world.instance().service);
    let calls = topology.services.get(own).into_iter().flat_map(|service| service.calls.keys());
    let of_kinds = |name: &&String| {
        topology.services.get(*name).is_some_and(|service| kinds.contains(&service.kind.as_str()))
    };
    let mut callees = calls.filter(of_kinds);
    let wanted = kinds.join("` or `");
    let callee = match (callees.next(), callees.next()) {
        (Some(callee), None) => callee,
        (None, _) => {
            return Err(StartError(format!(
                "service {own} calls no service of kind `{wanted}`; add [service.{own}.calls.NAME] with the name of one"
            )));
        }
        (Some(one), Some(other)) => {
            return Err(StartError(format!(
                "service {own} calls both {one} and {other}, which are of kind `{wanted}`; take one of the edges away"
            )));
        }
    };
    if !elsewhere {
        return Ok(world.dial(callee)?);
    }
    let region = region_of(own, &world.instance().name);
    let instances = topology.services.get(callee).map(|service| service.instances.as_slice());
    let near = instances.unwrap_or_default().iter().position(|name| region_of(callee, name) == region);
    match near {
        Some(index) => Ok(world.dial_instance(callee, index)?),
        None => Err(StartError(format!(
            "service {own} is in {region} and {callee} is not; give {callee} an instance \"{region}\""
        ))),
    }
}

/// The tables of the region that the instance is in.
///
/// # Errors
/// See [`dial`].
pub(crate) fn tables(world: &World, elsewhere: bool) -> Result<Tables, StartError> {
    let kind = if elsewhere { ReplicaParams::SCHEMA.name } else { BalancerParams::SCHEMA.name };
    Ok(Tables::new(dial(world, &[kind], elsewhere)?))
}
