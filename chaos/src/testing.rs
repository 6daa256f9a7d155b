//! A small region for this crate's tests.

use eastfall_topology::{KindSchema, Source, Topology, params};

use crate::expect::Expectations;
use crate::scenario::Scenario;

const REGION: &str = r#"
[region]
name = "test-1"
dns-service = "route53"

[service.route53]
kind = "plain"

[service.dns-enactor]
kind = "plain"
instances = ["a", "b", "c"]
calls.route53 = {}

[service.dns-tool]
kind = "plain"
calls.route53 = {}

[service.dynamodb]
kind = "plain"
instances = 2

[service.dwfm]
kind = "throttled"
instances = 4
restart-delay = "20s"
calls.dynamodb = { retry = { attempts = 3, base-delay = "100ms", max-delay = "2s" } }

[service.ec2-api]
kind = "throttled"

[service.sts]
kind = "plain"
calls.dynamodb = { endpoint = "dynamodb.us-east-1.amazonaws.com" }

[service.iam]
kind = "plain"
calls.dynamodb = { endpoint = "dynamodb.us-east-1.amazonaws.com" }

[service.sign-in]
kind = "plain"
calls.dynamodb = { endpoint = "dynamodb.us-east-1.amazonaws.com" }

[service.identity-center]
kind = "plain"
calls.dynamodb = { endpoint = "dynamodb.us-east-1.amazonaws.com" }

[service.redshift-clusters]
kind = "throttled"

[service.customers-web]
kind = "plain"
calls.dynamodb = { endpoint = "dynamodb.us-east-1.amazonaws.com" }
"#;

const PLAIN: KindSchema = KindSchema {
    name: "plain",
    doc: "A service without anything of its own.",
    params: &[],
    has_operations: false,
    offers: &[],
};

params! {
    /// A service with what the shipped scenario's operators change.
    pub(crate) struct ThrottledParams for "throttled" {
        /// As DWFM's.
        admission: Option<f64> = "none";
        /// As the EC2 API's.
        launch_rate: Option<f64> = "none";
        /// As that of Redshift's clusters.
        replacements: String = "on";
    }
}

/// A region with the names that the tests' faults and steps use.
pub(crate) fn region() -> Topology {
    let source = Source { file: "topology.toml", text: REGION };
    Topology::load(source, &[], &[PLAIN, ThrottledParams::SCHEMA], 1.0)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// A scenario that starts at midnight UTC after 10 minutes of lead and ends two hours later, with these steps.
pub(crate) fn scenario_text(steps: &str) -> String {
    format!(
        "id = \"test\"\ntitle = \"A test\"\ntopology = \"topology.toml\"\nstarts = \"2025-01-02T00:00:00+00:00\"\n\
         lead = \"10m\"\nends = \"+2h\"\n{steps}"
    )
}

/// The same, read and checked.
pub(crate) fn scenario(steps: &str) -> Scenario {
    let text = scenario_text(steps);
    let source = Source { file: "scenario.toml", text: &text };
    Scenario::load(source, &region()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Some published facts.
pub(crate) const REFERENCE: &str = r#"
[incident]
id = "test"
title = "A test"
starts = "2025-01-02T00:00:00Z"
ends = "2025-01-02T02:00:00Z"

[[milestone]]
id = "dns.endpoint-empty"
system = "route53"
kind = "outcome"
at = "2025-01-02T00:00:00Z"
what = "it is empty"
source = "us"

[[milestone]]
id = "dns.alarms"
system = "operators"
kind = "action"
at = "2025-01-02T00:10:00Z"
what = "they wake up"
source = "us"

[[window]]
system = "dynamodb"
from = "2025-01-02T00:00:00Z"
what = "errors"
"#;

/// Expectations of a scenario without steps.
pub(crate) fn expectations(text: &str) -> (Expectations, Scenario) {
    let scenario = scenario("");
    let source = Source { file: "expect.toml", text };
    let expectations =
        Expectations::read(source, &scenario, None).unwrap_or_else(|problems| panic!("{problems}"));
    (expectations, scenario)
}
