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
    /// Network Manager: network state of instances.
    network_manager = "eastfall.networkmanager.v1"
}
api! {
    /// Network Load Balancer stand-in.
    nlb = "eastfall.nlb.v1"
}
api! {
    /// Security Token Service stand-in.
    sts = "eastfall.sts.v1"
}
api! {
    /// Identity and Access Management stand-in.
    iam = "eastfall.iam.v1"
}
api! {
    /// Console sign-in and Identity Center stand-ins.
    sign_in = "eastfall.signin.v1"
}
api! {
    /// Amazon SQS stand-in.
    sqs = "eastfall.sqs.v1"
}
api! {
    /// Amazon Kinesis Data Streams stand-in.
    kinesis = "eastfall.kinesis.v1"
}
api! {
    /// AWS Lambda stand-in: the public API and the fleet of workers.
    lambda = "eastfall.lambda.v1"
}
api! {
    /// Amazon EventBridge stand-in.
    eventbridge = "eastfall.eventbridge.v1"
}
api! {
    /// Amazon ECS, Amazon EKS and AWS Fargate stand-ins.
    containers = "eastfall.containers.v1"
}
api! {
    /// Amazon Connect stand-in.
    connect = "eastfall.connect.v1"
}
api! {
    /// Managed Airflow stand-in.
    airflow = "eastfall.airflow.v1"
}
api! {
    /// AWS Outposts stand-in: the life cycle.
    outposts = "eastfall.outposts.v1"
}
api! {
    /// Support Center stand-in, and account metadata.
    support = "eastfall.support.v1"
}
api! {
    /// Amazon CloudWatch stand-in.
    cloudwatch = "eastfall.cloudwatch.v1"
}
api! {
    /// Amazon Redshift stand-in: the front end and the clusters.
    redshift = "eastfall.redshift.v1"
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
    &network_manager::network_manager_api::API,
    &nlb::nlb_api::API,
    &nlb::nlb_node_api::API,
    &sts::sts_api::API,
    &iam::iam_api::API,
    &iam::iam_changes_api::API,
    &sign_in::sign_in_api::API,
    &sign_in::identity_center_api::API,
    &sqs::sqs_api::API,
    &kinesis::kinesis_api::API,
    &lambda::lambda_api::API,
    &lambda::fleet_api::API,
    &eventbridge::event_bridge_api::API,
    &containers::ecs_api::API,
    &containers::eks_api::API,
    &containers::fargate_api::API,
    &connect::connect_api::API,
    &airflow::airflow_api::API,
    &outposts::outposts_api::API,
    &support::support_api::API,
    &support::accounts_api::API,
    &cloudwatch::cloud_watch_api::API,
    &redshift::redshift_api::API,
    &redshift::redshift_clusters_api::API,
    &service::service_api::API,
];

/// The method with this path (`/package.Service/Method`, the leading slash may be missing).
pub fn method(path: &str) -> Option<&'static call::Method> {
    let path = path.strip_prefix('/').unwrap_or(path);
    APIS.iter().flat_map(|api| (api.methods)()).find(|method| &method.path[1..] == path)
}

/// Makes a call by name: the method at `path` with an encoded request, carried by `send`. Answers the encoded response.
///
/// # Errors
/// `unimplemented` if there is no such method, `invalid-argument` if the request is not one of its own, and what the call
/// itself ends with.
pub async fn call_by_name(
    path: &str,
    request: &[u8],
    send: impl AsyncFnOnce(call::Call) -> call::Outcome,
) -> Result<Vec<u8>, tonic::Status> {
    let method =
        method(path).ok_or_else(|| tonic::Status::unimplemented(format!("there is no method {path}")))?;
    let body = (method.codec.decode_request)(request)?;
    let reply = send(call::Call { method, body, context: call::Context::default() }).await?;
    (method.codec.encode_response)(&reply)
}
