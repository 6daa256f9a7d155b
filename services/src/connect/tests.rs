//! Connect in virtual time: calls come back with the store, chats when their places have been cleared up.

use eastfall_proto::connect::*;
use eastfall_proto::error::reason;
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

[service.connect]
kind = "connect"
chat-places = 10
chat-length = "5m"
chat-lease = "30s"
chat-renewal = "10s"
# One in ten seconds.
chats-cleared-per-hour = 360.0
calls.db = { timeout = "5s" }

[service.people]
kind = "customers"
rate = 0.0
mix = { "connect.ReceiveCall" = 1.0 }
calls.connect = { timeout = "10s" }
"#;

impl Lab {
    fn chat(&self, token: &str) -> Result<ContactResponse, Status> {
        let client = self.client("people", "connect");
        let request =
            StartChatContactRequest { instance_id: "centre".to_owned(), client_token: token.to_owned() };
        self.run(async move { client.call(&connect_api::START_CHAT_CONTACT, request).await })
    }

    fn ring(&self) -> Result<ContactResponse, Status> {
        let client = self.client("people", "connect");
        let request = StartVoiceRequest { instance_id: "centre".to_owned(), phone_number: "1".to_owned() };
        self.run(async move { client.call(&connect_api::RECEIVE_CALL, request).await })
    }

    fn chat_gauge(&self, name: &str) -> f64 {
        self.last_and_sum(name).unwrap_or_else(|| panic!("no series {name}")).0
    }
}

#[test]
fn contacts_are_found_the_newest_first() {
    let lab = Lab::start(REGION, 1);
    let first = lab.ring().expect("a call").contact_id;
    let second = lab.chat("a").expect("a chat").contact_id;
    let client = lab.client("people", "connect");
    let request = SearchContactsRequest { instance_id: "centre".to_owned(), max_results: 0 };
    let found = lab.run(async move { client.call(&connect_api::SEARCH_CONTACTS, request).await });
    assert_eq!(found.expect("found").contact_ids, [second, first]);
}

#[test]
fn a_chat_ends_by_itself_and_its_place_is_free_again() {
    let lab = Lab::start(REGION, 1);
    for number in 0..10 {
        lab.chat(&number.to_string()).expect("ten places");
    }
    let status = lab.chat("one more").expect_err("all places are taken");
    assert_eq!(reason(&status).as_deref(), Some("LimitExceededException"), "{status}");
    lab.run_for(Span::from_mins(6));
    lab.chat("one more").expect("the others are over");
    assert_eq!(lab.last_and_sum("chats-lost").expect("a series").1, 0.0, "none was lost");
}

#[test]
fn calls_are_back_with_the_store_and_chats_as_fast_as_they_are_cleared_up() {
    let lab = Lab::start(REGION, 1);
    for number in 0..4 {
        lab.chat(&number.to_string()).expect("a place");
    }
    lab.simulation.kill_instance("db");
    let status = lab.ring().expect_err("a busy tone");
    assert_eq!(reason(&status).as_deref(), Some("InternalServiceException"), "{status}");
    for number in 10..16 {
        lab.chat(&number.to_string()).expect_err("its lease can't be written");
    }
    lab.run_for(Span::from_mins(2));
    assert_eq!(
        lab.chat_gauge("chats-waiting-to-be-cleared"),
        10.0,
        "the old ones are lost, the new ones in doubt"
    );
    lab.simulation.start_instance("db");
    lab.run_for(Span::from_secs(5));
    lab.ring().expect("calls are back at once");
    lab.run_for(Span::from_secs(30));
    let cleared = lab.last_and_sum("chats-cleared").expect("a series").1;
    assert!((2.0..=4.0).contains(&cleared), "one in ten seconds: {cleared}");
    lab.chat("20").expect("in a place that was cleared");
    lab.run_for(Span::from_secs(90));
    assert_eq!(lab.chat_gauge("chats-waiting-to-be-cleared"), 0.0, "ten in a hundred seconds");
}

#[test]
fn chats_that_a_host_had_before_its_restart_are_lost_and_cleared_up() {
    let lab = Lab::start(REGION, 1);
    lab.chat("a").expect("a place");
    lab.simulation.kill_instance("connect");
    lab.simulation.start_instance("connect");
    lab.run_for(Span::from_secs(5));
    assert!(lab.chat("a").is_err(), "it is not known who was connected");
    lab.run_for(Span::from_secs(20));
    lab.chat("a").expect("it has been cleared up");
}
