//! The APIs of the stand-ins: one `.proto` file a public API in `api/`, the code generated from them at build, and
//! [`call`], the typed form in which the lab's policies handle RPCs.

pub mod call;
pub mod error;
pub mod shared;
pub mod trace;

/// The descriptors of every API, for gRPC reflection and for calls by name.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! api {
    ($(#[$doc:meta])* $module:ident = $package:literal) => {
        $(#[$doc])*
        #[expect(missing_docs, clippy::allow_attributes, reason = "generated code; the .proto file is its documentation")]
        pub mod $module {
            include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
            include!(concat!(env!("OUT_DIR"), "/", $package, ".api.rs"));
        }
    };
}

api! {
    /// Amazon DynamoDB stand-in.
    dynamodb = "eastfall.dynamodb.v1"
}
api! {
    /// Amazon Route 53 stand-in.
    route53 = "eastfall.route53.v1"
}
api! {
    /// The DNS automation of DynamoDB: plans, and what operators can do by hand.
    dns_automation = "eastfall.dnsautomation.v1"
}
api! {
    /// Amazon EC2 stand-in: the public API, DWFM and the droplets.
    ec2 = "eastfall.ec2.v1"
}
api! {
    /// Network Load Balancer stand-in.
    nlb = "eastfall.nlb.v1"
}
api! {
    /// A generic service of a user's own graph.
    service = "eastfall.service.v1"
}

api! {
    /// The control endpoint of a running fleet.
    control = "eastfall.control.v1"
}

use call::Api;

/// Every API there is, for reflection, health and calls by name.
pub static APIS: &[&Api] = &[
    &dynamodb::dynamo_db_api::API,
    &dynamodb::storage_api::API,
    &route53::route53_api::API,
    &dns_automation::plans_api::API,
    &dns_automation::operators_api::API,
    &ec2::ec2_api::API,
    &ec2::dwfm_api::API,
    &ec2::droplets_api::API,
    &nlb::nlb_api::API,
    &nlb::nlb_node_api::API,
    &service::service_api::API,
];

/// The method with this path (`/package.Service/Method`, the leading slash may be missing).
pub fn method(path: &str) -> Option<&'static call::Method> {
    let path = path.strip_prefix('/').unwrap_or(path);
    APIS.iter().flat_map(|api| (api.methods)()).find(|method| &method.path[1..] == path)
}
