//! Event sources before, in and after an outage of the store.

use eastfall_proto::kinesis::{PutRecordsEntry, PutRecordsRequest, kinesis_api};
use eastfall_proto::sqs::{SendMessageRequest, sqs_api};
use eastfall_topology::Span;

use super::{counted, gauge, set, started};
use crate::testing::Lab;

fn send(lab: &Lab, count: usize) {
    let client = lab.client("people", "sqs");
    lab.run(async move {
        for _ in 0..count {
            let request = SendMessageRequest { queue_name: "queue-1".to_owned(), message_body: Vec::new() };
            client.call(&sqs_api::SEND_MESSAGE, request).await.expect("accepted");
        }
    });
}

fn put(lab: &Lab, count: usize) {
    let client = lab.client("people", "kinesis");
    let entry = |key: usize| PutRecordsEntry { partition_key: format!("{key}"), data: Vec::new() };
    let request =
        PutRecordsRequest { stream_name: "stream-1".to_owned(), records: (0..count).map(entry).collect() };
    lab.run(async move { client.call(&kinesis_api::PUT_RECORDS, request).await.expect("accepted") });
}

/// The store is out of reach for two minutes, four times as long as a host waits for it.
fn blackout(lab: &Lab) {
    lab.simulation.kill_instance("db");
    lab.run_for(Span::from_mins(2));
    lab.simulation.start_instance("db");
}

#[test]
fn messages_are_handled_and_deleted() {
    let lab = started("");
    assert_eq!(gauge(&lab, "sqs-pollers"), 2.0, "both pollers are assigned");
    send(&lab, 6);
    lab.run_for(Span::from_secs(30));
    assert_eq!(counted(&lab, "sqs-messages-handled"), 6.0, "each once");
    assert_eq!(gauge(&lab, "backlog"), 0.0, "none is left");
}

#[test]
fn messages_whose_function_is_throttled_come_back_and_none_is_lost() {
    let lab = started("event-source-share = 0.0");
    send(&lab, 6);
    lab.run_for(Span::from_mins(1));
    assert_eq!(gauge(&lab, "backlog"), 6.0, "all are still there");
    assert!(counted(&lab, "throttled-event-source") > 0.0, "pollers tried");
    set(&lab, "service.fleet.event-source-share", "1.0");
    lab.run_for(Span::from_secs(90));
    assert_eq!(counted(&lab, "sqs-messages-handled"), 6.0, "handled when there is room");
    assert!(counted(&lab, "redelivered") > 0.0, "some of them at the second delivery");
}

#[test]
fn the_poller_subsystem_stays_down_after_a_blackout_until_a_host_is_restarted() {
    let lab = started("");
    blackout(&lab);
    send(&lab, 20);
    lab.run_for(Span::from_mins(10));
    assert_eq!(gauge(&lab, "sqs-pollers"), 0.0, "nobody is left to admit anybody");
    assert_eq!(gauge(&lab, "backlog"), 20.0, "the queue holds what came");
    // Either host will do; one is enough for both.
    lab.simulation.kill_instance("pollers-b");
    lab.simulation.start_instance("pollers-b");
    lab.run_for(Span::from_secs(15));
    assert_eq!(gauge(&lab, "sqs-pollers"), 2.0, "the new process admits all");
    lab.run_for(Span::from_mins(2));
    assert_eq!(gauge(&lab, "backlog"), 0.0, "the backlog is worked off");
    assert_eq!(counted(&lab, "sqs-messages-handled"), 20.0, "each message once");
}

#[test]
fn with_the_repair_pollers_come_back_by_themselves() {
    let lab = started("");
    set(&lab, "service.pollers.rejoins-alone", "true");
    blackout(&lab);
    send(&lab, 4);
    lab.run_for(Span::from_mins(1));
    assert_eq!(gauge(&lab, "sqs-pollers"), 2.0, "a host that had left leads again");
    assert_eq!(gauge(&lab, "backlog"), 0.0, "nothing waits");
}

#[test]
fn one_host_that_is_lost_is_replaced_by_the_other() {
    let lab = started("");
    lab.simulation.kill_instance("pollers-a");
    lab.run_for(Span::from_mins(1));
    assert_eq!(gauge(&lab, "sqs-pollers"), 2.0, "the other leads and runs both pollers");
    send(&lab, 4);
    lab.run_for(Span::from_secs(20));
    assert_eq!(gauge(&lab, "backlog"), 0.0, "the queue is served");
    lab.simulation.start_instance("pollers-a");
    lab.run_for(Span::from_mins(1));
    assert_eq!(gauge(&lab, "sqs-pollers"), 2.0, "and shares them when it is back");
}

#[test]
fn kinesis_readers_fall_behind_in_a_blackout_and_come_back_by_themselves() {
    let lab = started("");
    put(&lab, 10);
    lab.run_for(Span::from_secs(30));
    assert_eq!(counted(&lab, "kinesis-records-handled"), 10.0, "each record once");
    lab.simulation.kill_instance("db");
    lab.run_for(Span::from_secs(40));
    put(&lab, 10);
    lab.run_for(Span::from_secs(80));
    assert_eq!(counted(&lab, "kinesis-records-handled"), 10.0, "no lease, no reading");
    let age = gauge(&lab, "iterator-age-seconds");
    assert!(age > 60.0, "the iterator is {age} s old");
    lab.simulation.start_instance("db");
    lab.run_for(Span::from_mins(1));
    assert_eq!(counted(&lab, "kinesis-records-handled"), 20.0, "read from the checkpoints on");
    let age = gauge(&lab, "iterator-age-seconds");
    assert!(age < 30.0, "and caught up: {age} s");
}
