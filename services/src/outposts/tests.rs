//! Orders of Outposts in virtual time.

use eastfall_proto::error::reason;
use eastfall_proto::outposts::*;
use eastfall_topology::Span;
use tonic::Status;

use crate::testing::Lab;

const REGION: &str = r#"
[region]
name = "test"
[service.db]
kind = "dynamodb"
calls.store = {}
[service.store]
kind = "dynamodb-storage"
[service.dwfm]
kind = "dwfm"
workers = 1
service-time = "1s"
start-delay = "0s"
calls.db = { timeout = "5s" }
calls.droplets = { timeout = "5s" }
[service.droplets]
kind = "droplets"
count = 2
calls.dwfm = { timeout = "30s" }
[service.ec2]
kind = "ec2-api"
calls.db = { timeout = "5s" }
calls.dwfm = { timeout = "5s" }
[service.outposts]
kind = "outposts"
every = "1s"
calls.db = { timeout = "5s" }
calls.ec2 = { timeout = "5s" }
[service.people]
kind = "customers"
rate = 0.0
mix = { "outposts.GetOrder" = 1.0 }
calls.outposts = { timeout = "10s" }
"#;

impl Lab {
    fn order(&self, name: &str) -> Result<OrderStatus, Status> {
        let client = self.client("people", "outposts");
        let request = CreateOrderRequest { order_id: name.to_owned() };
        let answer = self.run(async move { client.call(&outposts_api::CREATE_ORDER, request).await });
        answer.map(|order| order.status())
    }
}

#[test]
fn an_order_is_completed_once_its_anchor_was_reachable_and_leaves_no_instance() {
    let lab = Lab::start(REGION, 1);
    assert_eq!(lab.order("rack").expect("accepted"), OrderStatus::Received);
    lab.run_for(Span::from_secs(10));
    assert_eq!(lab.order("rack").expect("the same order"), OrderStatus::Completed);
    assert_eq!(lab.last_and_sum("orders-completed").expect("a series").1, 1.0);
    assert_eq!(lab.last_and_sum("instances").expect("a series").0, 0.0, "the anchor is gone");
}

#[test]
fn orders_wait_while_nothing_can_be_launched() {
    let lab = Lab::start(REGION, 1);
    lab.run_for(Span::from_secs(5));
    lab.simulation.kill_instance("ec2");
    assert_eq!(lab.order("rack").expect("accepted all the same"), OrderStatus::Received);
    lab.run_for(Span::from_secs(30));
    assert_eq!(lab.order("rack").expect("the same order"), OrderStatus::Received, "nothing has happened");
    lab.simulation.start_instance("ec2");
    lab.run_for(Span::from_secs(30));
    assert_eq!(lab.order("rack").expect("the same order"), OrderStatus::Completed);
}

#[test]
fn without_the_store_no_order_is_taken() {
    let lab = Lab::start(REGION, 1);
    lab.simulation.kill_instance("db");
    let status = lab.order("rack").expect_err("it can't be written down");
    assert_eq!(reason(&status).as_deref(), Some("InternalServerException"), "{status}");
}
