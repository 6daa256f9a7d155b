//! A user's own graph, in virtual time.

use eastfall_fabric::engine::sim;
use eastfall_proto::service::{PerformRequest, PerformResponse, service_api};
use eastfall_topology::Span;
use futures_util::future::join_all;
use tonic::{Code, Status};

use crate::testing::Lab;

mod abandoned;

const GRAPH: &str = r#"
[region]
name = "somewhere"
latency = "0s"

[service.shop]
kind = "service"
calls.stock = { timeout = "1s" }
calls.adverts = { timeout = "1s" }

[service.shop.operations.in-sequence]
calls = [
    { service = "stock", operation = "read", count = 3 },
    { service = "adverts", operation = "show", required = false },
]

[service.shop.operations.in-parallel]
parallel = true
calls = [
    { service = "stock", operation = "read", count = 3 },
    { service = "adverts", operation = "show", required = false },
]

[service.shop.operations.in-steps]
steps = [
    { calls = [{ service = "stock", operation = "read" }, { service = "adverts", operation = "show", required = false }] },
    { sleep = "100ms" },
    { sleep = "5ms", calls = [{ service = "stock", operation = "read" }] },
]

[service.shop.operations.sometimes]
calls = [{ service = "stock", operation = "read", probability = 0.25 }]

[service.shop.operations.broken]
error-share = 0.5

[service.stock]
kind = "service"
workers = 100
service-time = "10ms"
operations.read = {}

[service.adverts]
kind = "service"
workers = 100
service-time = "10ms"
operations.show = { service-time = "50ms" }

[service.people]
kind = "customers"
rate = 0.0
mix = { "shop/broken" = 1.0 }
calls.shop = {}
"#;

impl Lab {
    fn perform(&self, operation: &str) -> (Result<PerformResponse, Status>, Span) {
        let client = self.client("people", "shop");
        let request = PerformRequest { operation: operation.to_owned(), body: Vec::new() };
        self.run(async move {
            let began = sim::now();
            (client.call(&service_api::PERFORM, request).await, sim::now().since(began))
        })
    }
}

#[test]
fn calls_in_sequence_take_the_sum_and_in_parallel_the_longest() {
    let lab = Lab::start(GRAPH, 1);
    assert_eq!(lab.perform("in-sequence").1, Span::from_millis(80), "three of 10ms and one of 50ms");
    assert_eq!(lab.perform("in-parallel").1, Span::from_millis(50), "an operation's own service time counts");
    assert_eq!(
        lab.perform("in-steps").1,
        Span::from_millis(160),
        "the longest of each step: 50, 100 and 10ms"
    );
}

#[test]
fn an_optional_call_may_fail_and_a_required_one_may_not() {
    let lab = Lab::start(GRAPH, 1);
    lab.simulation.kill_instance("adverts");
    for operation in ["in-sequence", "in-parallel", "in-steps"] {
        let response = lab.perform(operation).0.expect("adverts are optional");
        assert_eq!(response.optional_calls_failed, 1, "{operation}");
    }
    lab.simulation.kill_instance("stock");
    for operation in ["in-sequence", "in-parallel", "in-steps"] {
        let status = lab.perform(operation).0.expect_err("the stock is not");
        assert_eq!(status.code(), Code::Unavailable, "{operation}");
        assert!(status.message().starts_with("stock/read failed"), "{}", status.message());
    }
}

#[test]
fn an_unknown_operation_names_the_known_ones() {
    let status = Lab::start(GRAPH, 1).perform("nothing").0.expect_err("no such operation");
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(
        status.message().contains("in-sequence, in-parallel, in-steps, sometimes, broken"),
        "{}",
        status.message()
    );
}

#[test]
fn chances_are_what_they_are_said_to_be() {
    let lab = Lab::start(GRAPH, 1);
    let failed = (0..1000).filter(|_| lab.perform("broken").0.is_err()).count();
    assert!((440..560).contains(&failed), "{failed} of 1000 failed at a share of 0.5");
    let called = (0..1000).filter(|_| !lab.perform("sometimes").1.is_zero()).count();
    assert!((200..300).contains(&called), "{called} of 1000 called at a probability of 0.25");
}
