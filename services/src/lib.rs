//! The stand-ins: one module a system, all of one shape.
//!
//! A module has its parameters (`params!`), says how an instance starts, and does what the service does. It touches the
//! outside through its `World` alone, and can't know that it is being tested.

pub mod customers;
pub mod dns_automation;
pub mod dynamodb;
pub mod ec2;
pub mod generic;
pub mod network_manager;
pub mod nlb;
pub mod route53;
pub mod settings;
pub mod tables;
pub mod workload;

#[cfg(test)]
mod testing;

use eastfall_fabric::world::Kind;

/// Every kind of service there is.
pub fn kinds() -> Vec<Kind> {
    vec![
        customers::kind(),
        generic::kind(),
        dynamodb::balancer::kind(),
        dynamodb::storage::kind(),
        dynamodb::replicator::kind(),
        dynamodb::replica::kind(),
        ec2::api::kind(),
        ec2::dwfm::kind(),
        ec2::droplets::kind(),
        ec2::customers::kind(),
        network_manager::kind(),
        nlb::health::kind(),
        nlb::node::kind(),
        dns_automation::enactor::kind(),
        dns_automation::planner::kind(),
        dns_automation::tool::kind(),
        route53::kind(),
    ]
}
