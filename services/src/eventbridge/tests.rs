//! Events in virtual time: to a queue, to a function, and past an outage of the target.

use eastfall_fabric::call::Rpc;
use eastfall_proto::error::reason;
use eastfall_proto::eventbridge::*;
use eastfall_proto::sqs::{GetQueueAttributesRequest, sqs_api};
use eastfall_topology::{Setting, Span};
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

[service.sqs]
kind = "sqs"
restart-delay = "1s"
calls.db = { timeout = "5s" }

[service.events]
kind = "eventbridge"
longest-pause = "20s"
refresh = "5s"
restart-delay = "1s"
calls.db = { timeout = "5s" }
calls.sqs = { timeout = "5s" }

[service.people]
kind = "customers"
rate = 0.0
mix = { "events.PutEvents" = 1.0 }
calls.events = { timeout = "30s" }
calls.sqs = { timeout = "30s" }
"#;

fn ask<Req, Resp>(lab: &Lab, callee: &str, rpc: &'static Rpc<Req, Resp>, request: Req) -> Result<Resp, Status>
where
    Req: Send + Sync + 'static,
    Resp: Clone + Send + Sync + 'static,
{
    let client = lab.client("people", callee);
    lab.run(async move { client.call(rpc, request).await })
}

fn put(lab: &Lab, source: &str) {
    let entries = vec![EventEntry { source: source.to_owned(), detail: Vec::new() }];
    ask(lab, "events", &event_bridge_api::PUT_EVENTS, PutEventsRequest { entries }).expect("accepted");
}

fn rule(source: &str, queue: &str) -> PutRuleRequest {
    let target = Target { kind: TargetKind::SqsQueue as i32, name: queue.to_owned() };
    PutRuleRequest { name: "mine".to_owned(), source: source.to_owned(), targets: vec![target] }
}

fn messages(lab: &Lab, queue: &str) -> u64 {
    let request = GetQueueAttributesRequest { queue_name: queue.to_owned() };
    let answer = ask(lab, "sqs", &sqs_api::GET_QUEUE_ATTRIBUTES, request).expect("the queue exists");
    answer.approximate_number_of_messages
}

fn counted(lab: &Lab, name: &str) -> f64 {
    lab.last_and_sum(name).unwrap_or_else(|| panic!("no series {name}")).1
}

#[test]
fn an_event_goes_to_the_targets_of_matching_rules_only() {
    let lab = Lab::start(REGION, 1);
    ask(&lab, "events", &event_bridge_api::PUT_RULE, rule("mine", "queue-1")).expect("written");
    put(&lab, "mine");
    put(&lab, "source-2");
    put(&lab, "nobody's");
    lab.run_for(Span::from_secs(5));
    assert_eq!(messages(&lab, "queue-1"), 1, "by the rule that was made");
    assert_eq!(messages(&lab, "queue-2"), 1, "by a rule of before");
    assert_eq!(counted(&lab, "deliveries-done"), 2.0, "and that is all");
}

#[test]
fn deliveries_outlast_an_outage_of_the_target_and_of_the_bus() {
    let lab = Lab::start(REGION, 1);
    lab.simulation.kill_instance("sqs");
    put(&lab, "source-2");
    lab.run_for(Span::from_mins(2));
    assert!(counted(&lab, "deliveries-failed") >= 5.0, "it was tried again and again");
    lab.simulation.kill_instance("events");
    lab.simulation.start_instance("events");
    lab.simulation.start_instance("sqs");
    lab.run_for(Span::from_secs(30));
    assert_eq!(messages(&lab, "queue-2"), 1, "delivered once");
}

#[test]
fn a_delivery_is_given_up_after_its_last_retry_and_counted() {
    let lab = Lab::start(REGION, 1);
    let setting = Setting { path: "service.events.retries".to_owned(), value: "3".to_owned() };
    lab.simulation.region().set(&setting).unwrap_or_else(|problems| panic!("{problems}"));
    lab.simulation.kill_instance("sqs");
    put(&lab, "source-2");
    lab.run_for(Span::from_mins(2));
    assert_eq!(counted(&lab, "deliveries-failed"), 4.0, "one attempt and three retries");
    assert_eq!(counted(&lab, "deliveries-given-up"), 1.0, "then it is over");
}

#[test]
fn without_the_store_events_go_on_and_no_rule_is_made() {
    let lab = Lab::start(REGION, 1);
    lab.simulation.kill_instance("db");
    lab.run_for(Span::from_secs(30));
    put(&lab, "source-2");
    let status = ask(&lab, "events", &event_bridge_api::PUT_RULE, rule("mine", "queue-1"));
    let status = status.expect_err("it can't be written down");
    assert_eq!(reason(&status).as_deref(), Some("InternalException"), "{status}");
    lab.run_for(Span::from_secs(5));
    assert_eq!(messages(&lab, "queue-2"), 1, "by what is known of the rules");
}
