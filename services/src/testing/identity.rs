//! A region with DynamoDB behind a name, IAM, STS and sign-in, two other regions, and how to take the name away.

use std::ops::Deref;

use eastfall_fabric::call::Rpc;
use eastfall_proto::route53::{
    ChangeResourceRecordSetsRequest, CreateHostedZoneRequest, RecordType, route53_api,
};
use eastfall_topology::{Setting, Span};
use tonic::Status;

use super::Lab;
use crate::route53::record::{create, simple};

const REGION: &str = r#"
[region]
name = "test"
dns-service = "route53"

[defaults.calls]
timeout = "5s"
connections = { max-age = "20s" }
[defaults.resolver]
negative-max = "5s"

[service.route53]
kind = "route53"

[service.store]
kind = "dynamodb-storage"
[service.db]
kind = "dynamodb"
calls.store = {}
[service.db-elsewhere]
kind = "dynamodb-replica"
instances = ["west", "east"]

[service.iam]
kind = "iam"
store-pause-max = "20s"
calls.db = { endpoint = "db.test" }
[service.iam-elsewhere]
kind = "iam-replica"
instances = ["west", "east"]
calls.iam = {}

[service.sts]
kind = "sts"
store-pause-max = "20s"
instances = ["az1", "az2"]
calls.db = { endpoint = "db.test" }
[service.sts-elsewhere]
kind = "sts"
elsewhere = true
instances = ["west", "east"]
calls.db-elsewhere = {}
calls.iam-elsewhere = {}

[service.sign-in]
kind = "sign-in"
store-pause-max = "20s"
calls.db = { endpoint = "db.test" }
calls.iam = {}
calls.sts = {}
[service.sign-in-elsewhere]
kind = "sign-in"
elsewhere = true
instances = ["west", "east"]
calls.db-elsewhere = {}
calls.iam-elsewhere = {}
calls.sts-elsewhere = {}

[service.centre]
kind = "identity-center"
store-pause-max = "20s"
calls.db = { endpoint = "db.test" }
calls.sts = {}
[service.centre-elsewhere]
kind = "identity-center"
elsewhere = true
instances = ["west"]
calls.db-elsewhere = {}
calls.sts-elsewhere = {}

[service.people]
kind = "service"
operations.nothing = {}
calls.route53 = {}
calls.iam = {}
calls.iam-elsewhere = {}
calls.sts = {}
calls.sts-elsewhere = {}
calls.sign-in = {}
calls.sign-in-elsewhere = {}
calls.centre = {}
calls.centre-elsewhere = {}
"#;

/// The services that have an edge to the store by its name.
const BY_NAME: [&str; 4] = ["iam", "sts", "sign-in", "centre"];

/// Such a region. A type of its own, so that its words don't get in the way of other tests'.
pub(crate) struct Region(Lab);

impl Deref for Region {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.0
    }
}

impl Region {
    /// The region, with more services if a test has some, half a minute after its start.
    pub(crate) fn start(more: &str) -> Region {
        let lab = Region(Lab::start(&format!("{REGION}{more}"), 1));
        let zone = CreateHostedZoneRequest { name: "test".to_owned(), negative_ttl: 60 };
        lab.ask("route53", &route53_api::CREATE_HOSTED_ZONE, zone).expect("a zone");
        let address = lab.simulation.world("db").expect("it runs").addresses()[0].to_string();
        let changes = vec![create(simple("db.test", RecordType::A, 5, &[&address]))];
        let records = ChangeResourceRecordSetsRequest {
            zone: "test".to_owned(),
            changes,
            ..ChangeResourceRecordSetsRequest::default()
        };
        lab.ask("route53", &route53_api::CHANGE_RESOURCE_RECORD_SETS, records).expect("a name");
        lab.run_for(Span::from_secs(30));
        lab
    }

    /// One call of somebody.
    pub(crate) fn ask<Req, Resp>(
        &self,
        callee: &str,
        rpc: &'static Rpc<Req, Resp>,
        request: Req,
    ) -> Result<Resp, Status>
    where
        Req: Send + Sync + 'static,
        Resp: Clone + Send + Sync + 'static,
    {
        let client = self.client("people", callee);
        self.run(async move { client.call(rpc, request).await })
    }

    /// The store's name has no addresses from now on.
    pub(crate) fn empty_the_name(&self) {
        let fault = "dns empty db.test".parse().expect("a fault");
        self.simulation.region().faults.add("blackout", fault);
    }

    /// It has them again.
    pub(crate) fn restore_the_name(&self) {
        assert!(self.simulation.region().faults.remove("blackout"), "it was empty");
    }

    /// The mitigation: these reach the store without its name.
    pub(crate) fn give_static_addresses(&self) {
        for service in BY_NAME {
            self.set(&format!("service.{service}.calls.db.static-addresses"), "true");
        }
    }

    /// Changes a value of the topology.
    pub(crate) fn set(&self, path: &str, value: &str) {
        let setting = Setting { path: path.to_owned(), value: value.to_owned() };
        self.simulation.region().set(&setting).unwrap_or_else(|problems| panic!("{problems}"));
    }

    /// The last value of a gauge.
    pub(crate) fn gauge(&self, name: &str) -> f64 {
        self.last_and_sum(name).unwrap_or_else(|| panic!("no series {name}")).0
    }

    /// All that was counted so far.
    pub(crate) fn counted(&self, name: &str) -> f64 {
        self.last_and_sum(name).unwrap_or_else(|| panic!("no series {name}")).1
    }
}
