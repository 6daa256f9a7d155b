//! Queues in virtual time.

use eastfall_fabric::call::Rpc;
use eastfall_proto::error::reason;
use eastfall_proto::sqs::*;
use eastfall_topology::Span;
use tonic::{Code, Status};

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
metadata-ttl = "10s"
restart-delay = "1s"
calls.db = { timeout = "5s" }

[service.people]
kind = "customers"
rate = 0.0
mix = { "sqs.SendMessage" = 1.0 }
calls.sqs = { timeout = "30s" }
"#;

fn ask<Req, Resp>(lab: &Lab, rpc: &'static Rpc<Req, Resp>, request: Req) -> Result<Resp, Status>
where
    Req: Send + Sync + 'static,
    Resp: Clone + Send + Sync + 'static,
{
    let client = lab.client("people", "sqs");
    lab.run(async move { client.call(rpc, request).await })
}

fn send(lab: &Lab, body: &str) -> Result<SendMessageResponse, Status> {
    let message_body = body.as_bytes().to_vec();
    ask(lab, &sqs_api::SEND_MESSAGE, SendMessageRequest { queue_name: "queue-1".to_owned(), message_body })
}

fn receive(lab: &Lab, wait_time_seconds: u32) -> Vec<Message> {
    let request = ReceiveMessageRequest {
        queue_name: "queue-1".to_owned(),
        max_number_of_messages: 10,
        wait_time_seconds,
        visibility_timeout: Some(20),
    };
    ask(lab, &sqs_api::RECEIVE_MESSAGE, request).expect("the queue exists").messages
}

fn delete(lab: &Lab, message: &Message) {
    let request = DeleteMessageRequest {
        queue_name: "queue-1".to_owned(),
        receipt_handle: message.receipt_handle.clone(),
    };
    ask(lab, &sqs_api::DELETE_MESSAGE, request).expect("a good receipt");
}

fn attributes(lab: &Lab) -> GetQueueAttributesResponse {
    let request = GetQueueAttributesRequest { queue_name: "queue-1".to_owned() };
    ask(lab, &sqs_api::GET_QUEUE_ATTRIBUTES, request).expect("the queue exists")
}

#[test]
fn a_message_comes_back_after_its_visibility_time_out_until_it_is_deleted() {
    let lab = Lab::start(REGION, 1);
    send(&lab, "a").expect("accepted");
    let first = receive(&lab, 0);
    assert_eq!(first.len(), 1, "one message");
    assert_eq!(receive(&lab, 0), [], "it is hidden");
    let seen = attributes(&lab);
    let counts = (seen.approximate_number_of_messages, seen.approximate_number_of_messages_not_visible);
    assert_eq!(counts, (0, 1), "and counted as such");
    lab.run_for(Span::from_secs(21));
    let second = receive(&lab, 0);
    assert_eq!(second[0].message_id, first[0].message_id, "the same message");
    assert_eq!(second[0].approximate_receive_count, 2, "for the second time");
    delete(&lab, &first[0]);
    lab.run_for(Span::from_secs(21));
    let third = receive(&lab, 0);
    assert_eq!(third.len(), 1, "the receipt of a delivery that was superseded deletes nothing");
    delete(&lab, &third[0]);
    lab.run_for(Span::from_secs(21));
    assert_eq!(receive(&lab, 0), [], "it was deleted");
}

#[test]
fn what_was_accepted_survives_a_kill_and_is_in_order() {
    let lab = Lab::start(REGION, 1);
    for body in ["a", "b", "c"] {
        send(&lab, body).expect("accepted");
    }
    let received = receive(&lab, 0);
    delete(&lab, &received[1]);
    lab.simulation.kill_instance("sqs");
    lab.simulation.start_instance("sqs");
    lab.run_for(Span::from_secs(1));
    let bodies: Vec<Vec<u8>> = receive(&lab, 0).into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, [b"a".to_vec(), b"c".to_vec()], "all but the one that was deleted");
}

#[test]
fn whoever_waits_gets_the_message_when_it_comes() {
    let lab = Lab::start(REGION, 1);
    let (waiting, sending) = (lab.client("people", "sqs"), lab.client("people", "sqs"));
    let world = lab.simulation.world("people").expect("it runs");
    let request = ReceiveMessageRequest {
        queue_name: "queue-1".to_owned(),
        wait_time_seconds: 20,
        ..ReceiveMessageRequest::default()
    };
    let clock = world.clock();
    world.spawn(async move {
        clock.sleep(Span::from_secs(7)).await;
        let request = SendMessageRequest { queue_name: "queue-1".to_owned(), message_body: Vec::new() };
        sending.call(&sqs_api::SEND_MESSAGE, request).await.expect("accepted");
    });
    let (messages, waited) = lab.run(async move {
        let began = clock.now();
        let answer = waiting.call(&sqs_api::RECEIVE_MESSAGE, request).await.expect("the queue exists");
        (answer.messages, clock.now().since(began))
    });
    assert_eq!(messages.len(), 1, "the message that came meanwhile");
    assert!(waited < Span::from_secs(8), "at once and not after 20 s: {waited}");
}

#[test]
fn queues_in_use_go_on_without_the_store_and_none_can_be_made() {
    let lab = Lab::start(REGION, 1);
    lab.simulation.kill_instance("db");
    lab.run_for(Span::from_secs(60));
    send(&lab, "a").expect("what is known of the queue is used as it is");
    let request = CreateQueueRequest { queue_name: "new".to_owned(), visibility_timeout: None };
    let status = ask(&lab, &sqs_api::CREATE_QUEUE, request.clone()).expect_err("it can't be written down");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    lab.simulation.start_instance("db");
    lab.run_for(Span::from_secs(5));
    ask(&lab, &sqs_api::CREATE_QUEUE, request).expect("the store is back");
}

#[test]
fn a_queue_that_does_not_exist_is_named_as_such() {
    let lab = Lab::start(REGION, 1);
    let request = SendMessageRequest { queue_name: "nowhere".to_owned(), message_body: Vec::new() };
    let status = ask(&lab, &sqs_api::SEND_MESSAGE, request).expect_err("no such queue");
    assert_eq!(reason(&status).as_deref(), Some("QueueDoesNotExist"), "{status}");
}

#[test]
fn messages_that_nobody_deletes_expire() {
    let region = REGION.replace("kind = \"sqs\"", "kind = \"sqs\"\nretention = \"1m\"");
    let lab = Lab::start(&region, 1);
    send(&lab, "a").expect("accepted");
    lab.run_for(Span::from_secs(50));
    assert_eq!(attributes(&lab).approximate_number_of_messages, 1, "it is not old enough");
    lab.run_for(Span::from_secs(60));
    assert_eq!(attributes(&lab).approximate_number_of_messages, 0, "retention is over");
    assert_eq!(lab.last_and_sum("expired").expect("counted").1, 1.0, "and that was counted");
}
