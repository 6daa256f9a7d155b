//! The stand-ins: one module a system, all of one shape.
//!
//! A module has its parameters (`params!`), says how an instance starts, and does what the service does. It touches the
//! outside through its `World` alone, and can't know that it is being tested.

pub mod airflow;
pub mod application;
pub mod backlog;
pub mod catalog;
pub mod cloudwatch;
pub mod connect;
pub mod containers;
mod copies;
pub mod customers;
pub mod dns_automation;
pub mod dynamodb;
pub mod ec2;
pub mod eventbridge;
pub mod generic;
mod groups;
mod home;
pub mod iam;
pub mod kinesis;
pub mod lambda;
pub mod network_manager;
pub mod nlb;
pub mod outposts;
mod pauses;
pub mod redshift;
pub mod route53;
mod seal;
pub mod settings;
pub mod sign_in;
pub mod sqs;
pub mod sts;
pub mod support;
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
        sqs::kind(),
        kinesis::kind(),
        lambda::api::kind(),
        lambda::fleet::kind(),
        lambda::pollers::kind(),
        eventbridge::kind(),
        network_manager::kind(),
        nlb::health::kind(),
        nlb::node::kind(),
        dns_automation::enactor::kind(),
        dns_automation::planner::kind(),
        dns_automation::tool::kind(),
        iam::kind(),
        redshift::front::kind(),
        redshift::clusters::kind(),
        iam::replica::kind(),
        sign_in::kind(),
        sign_in::identity_center::kind(),
        sts::kind(),
        route53::kind(),
        containers::ecs::kind(),
        containers::eks::kind(),
        containers::fargate::kind(),
        connect::kind(),
        airflow::kind(),
        outposts::kind(),
        support::kind(),
        support::accounts::kind(),
        cloudwatch::kind(),
        application::kind(),
        application::customers::kind(),
    ]
}
