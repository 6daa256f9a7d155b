//! DynamoDB as its callers see it, in virtual time.

use std::sync::{Arc, Mutex};

use eastfall_fabric::record::Report;
use eastfall_proto::dynamodb::dynamo_db_api as api;
use eastfall_proto::dynamodb::transact_write_item::Item as Kind;
use eastfall_proto::dynamodb::write_request::Write;
use eastfall_proto::dynamodb::{Item as ItemMessage, *};
use eastfall_proto::error::reason;
use eastfall_topology::Span;
use tonic::{Code, Status};

use super::condition::not_exists;
use super::update::increase;
use super::value::{Item, item, number, string};
use crate::testing::Lab;

const REGION: &str = r#"
[region]
name = "us-east-1"

[defaults.calls]
timeout = "1s"

[service.store]
kind = "dynamodb-storage"
instances = 3
tables = ["customer-data(id) stream", "orders(customer, number:N)"]

[service.dynamodb]
kind = "dynamodb"
instances = 2
calls.store = {}

[service.web]
kind = "customers"
rate = 0.0
mix = { "dynamodb.GetItem" = 1.0 }
calls.dynamodb = {}
"#;

const OTHER_REGIONS: &str = r#"
[service.elsewhere]
kind = "dynamodb-replica"
instances = ["us-west-2", "eu-west-1"]

[service.global-tables]
kind = "dynamodb-global-tables"
instances = ["us-west-2", "eu-west-1"]
records-per-second = 5.0
calls.dynamodb = {}
calls.elsewhere = {}

[service.west]
kind = "customers"
rate = 0.0
mix = { "elsewhere.GetItem" = 1.0 }
calls.elsewhere = {}
"#;

fn id(id: &str) -> Item {
    item([("id", string(id))])
}

fn put(key: &str) -> PutItemRequest {
    PutItemRequest { table_name: "customer-data".to_owned(), item: id(key), ..PutItemRequest::default() }
}

fn put_new(key: &str) -> TransactWriteItem {
    let condition = Some(not_exists("id"));
    TransactWriteItem { item: Some(Kind::Put(PutItemRequest { condition, ..put(key) })) }
}

fn get(key: &str) -> GetItemRequest {
    GetItemRequest { table_name: "customer-data".to_owned(), key: id(key), consistent_read: true }
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("item-{number}")).collect()
}

impl Lab {
    fn put(&self, key: &str) -> Result<PutItemResponse, Status> {
        let (client, request) = (self.client("web", "dynamodb"), put(key));
        self.run(async move { client.call(&api::PUT_ITEM, request).await })
    }

    fn exists(&self, key: &str) -> bool {
        let (client, request) = (self.client("web", "dynamodb"), get(key));
        !self
            .run(async move { client.call(&api::GET_ITEM, request).await })
            .expect("an answer")
            .item
            .is_empty()
    }

    fn exists_in(&self, region: usize, key: &str) -> bool {
        let world = self.simulation.world("west").expect("running");
        let (client, request) = (world.dial_instance("elsewhere", region).expect("an edge"), get(key));
        !self
            .run(async move { client.call(&api::GET_ITEM, request).await })
            .expect("an answer")
            .item
            .is_empty()
    }

    fn restart(&self, instance: &str) {
        self.simulation.kill_instance(instance);
        self.simulation.start_instance(instance);
        self.run_for(Span::from_millis(100));
    }

    /// The values of a series as it was sampled.
    fn series(&self, name: &str) -> Vec<f64> {
        let samples = self.reports().into_iter().filter_map(|report| match report {
            Report::Sample(sample) => Some(sample.readings),
            _ => None,
        });
        samples.flatten().filter(|reading| &*reading.name == name).map(|reading| reading.value).collect()
    }
}

#[test]
fn what_was_acknowledged_survives_the_kill_of_every_node() {
    let lab = Lab::start(REGION, 1);
    for key in ids(20) {
        lab.put(&key).expect("acknowledged");
    }
    for node in ["store-1", "store-2", "store-3"] {
        lab.restart(node);
    }
    assert!(ids(20).iter().all(|key| lab.exists(key)), "every item is there");
}

#[test]
fn a_batch_of_26_is_refused() {
    let lab = Lab::start(REGION, 1);
    let requests = |count| {
        let write = |key: String| Some(Write::Put(ItemMessage { attributes: id(&key) }));
        let table_name = || "customer-data".to_owned();
        ids(count)
            .into_iter()
            .map(|key| WriteRequest { table_name: table_name(), write: write(key) }.into())
            .collect()
    };
    let client = lab.client("web", "dynamodb");
    let (too_many, most) =
        (BatchWriteItemRequest { requests: requests(26) }, BatchWriteItemRequest { requests: requests(25) });
    let batches = async move {
        (client.call(&api::BATCH_WRITE_ITEM, too_many).await, client.call(&api::BATCH_WRITE_ITEM, most).await)
    };
    let (refused, written) = lab.run(batches);
    assert_eq!(reason(&refused.expect_err("26 are too many")).as_deref(), Some("ValidationException"));
    assert_eq!(written.expect("25 are not").unprocessed_items, []);
    let client = lab.client("web", "dynamodb");
    let key = |id_: &String| TableKey { table_name: "customer-data".to_owned(), key: id(id_) };
    let keys = BatchGetItemRequest { keys: ids(30).iter().map(key).collect(), consistent_read: false };
    let read = lab.run(async move { client.call(&api::BATCH_GET_ITEM, keys).await }).expect("an answer");
    assert_eq!((read.items.len(), read.unprocessed_keys.len()), (25, 0), "the 25 and no others");
}

#[test]
fn a_batch_over_a_dead_node_leaves_only_its_entries_unprocessed() {
    let lab = Lab::start(REGION, 1);
    lab.put("any").expect("the table is known");
    lab.simulation.kill_instance("store-2");
    let client = lab.client("web", "dynamodb");
    let key = |id_: &String| TableKey { table_name: "customer-data".to_owned(), key: id(id_) };
    let keys = BatchGetItemRequest { keys: ids(60).iter().map(key).collect(), consistent_read: false };
    let read = lab.run(async move { client.call(&api::BATCH_GET_ITEM, keys).await }).expect("an answer");
    assert!((5..40).contains(&read.unprocessed_keys.len()), "{} of 60", read.unprocessed_keys.len());
}

#[test]
fn queries_and_updates_find_their_node() {
    let lab = Lab::start(REGION, 1);
    let client = lab.client("web", "dynamodb");
    let found = lab.run(async move {
        for order in 0..5 {
            let key = item([("customer", string("c")), ("number", number(order))]);
            let (table_name, actions) = ("orders".to_owned(), vec![increase("total", 7)]);
            let update = UpdateItemRequest { table_name, key, actions, ..UpdateItemRequest::default() };
            client.call(&api::UPDATE_ITEM, update).await?;
        }
        let (table_name, partition) = ("orders".to_owned(), Some(string("c")));
        client
            .call(&api::QUERY, QueryRequest { table_name, partition, limit: 3, ..QueryRequest::default() })
            .await
    });
    let found = found.expect("a page");
    assert_eq!((found.items.len(), found.items[0].attributes["total"].clone()), (3, number(7)));
    assert_eq!(found.last_evaluated_key["number"], number(2));
}

#[test]
fn an_unknown_table_is_named() {
    let lab = Lab::start(REGION, 1);
    let client = lab.client("web", "dynamodb");
    let request = GetItemRequest { table_name: "nothing".to_owned(), ..get("x") };
    let error =
        lab.run(async move { client.call(&api::GET_ITEM, request).await }).expect_err("no such table");
    assert_eq!(reason(&error).as_deref(), Some("ResourceNotFoundException"));
    assert!(error.message().contains("`nothing`"), "{}", error.message());
}

#[test]
fn a_table_that_is_made_is_known_everywhere_and_not_made_twice() {
    let lab = Lab::start(REGION, 1);
    let client = lab.client("web", "dynamodb");
    let schema: super::key::TableSchema = "fresh(id)".parse().expect("a valid table");
    let request = CreateTableRequest { table: Some(TableDescription::from(&schema)) };
    let again = lab.run(async move {
        client.call(&api::CREATE_TABLE, request.clone()).await?;
        for key in ids(20) {
            client
                .call(&api::PUT_ITEM, PutItemRequest { table_name: "fresh".to_owned(), ..put(&key) })
                .await?;
        }
        client.call(&api::CREATE_TABLE, request).await
    });
    assert_eq!(again.expect_err("it exists").code(), Code::AlreadyExists);
}

#[test]
fn a_hot_partition_is_throttled_and_others_are_not() {
    let slow =
        REGION.replace("instances = 3", "instances = 3\npartition-writes-per-second = 1.0\nburst = \"5s\"");
    let lab = Lab::start(&slow, 1);
    let refusals: Vec<Status> = (0..20).filter_map(|_| lab.put("hot").err()).collect();
    assert!((12..=16).contains(&refusals.len()), "{} of 20 were refused; 5 are the burst", refusals.len());
    assert!(refusals.iter().all(|status| status.code() == Code::ResourceExhausted));
    assert_eq!(reason(&refusals[0]).as_deref(), Some("ProvisionedThroughputExceededException"));
    assert!(ids(10).iter().any(|key| lab.put(key).is_ok()), "other partitions");
}

/// Kills an instance so long after a transaction over all nodes began, brings it back, and returns what is there.
fn killed_in_transaction(victim: &str, after: Span) -> (Option<bool>, usize) {
    let lab = Lab::start(REGION, 1);
    assert!(!lab.exists("item-0"), "nothing yet; and the table is known to the balancer");
    let client = lab.client("web", "dynamodb");
    let outcome: Arc<Mutex<Option<bool>>> = Arc::default();
    let slot = Arc::clone(&outcome);
    let request = TransactWriteItemsRequest { items: ids(6).iter().map(|key| put_new(key)).collect() };
    let world = lab.simulation.world("web").expect("running");
    world.spawn(async move {
        let committed = client.call(&api::TRANSACT_WRITE_ITEMS, request).await.is_ok();
        *slot.lock().expect("slot") = Some(committed);
    });
    lab.run_for(after);
    lab.simulation.kill_instance(victim);
    lab.run_for(Span::from_secs(2));
    lab.simulation.start_instance(victim);
    // The transaction expires after 5 s, and the balancers look every 10 s in turns.
    lab.run_for(Span::from_secs(60));
    let committed = *outcome.lock().expect("outcome");
    (committed, ids(6).iter().filter(|key| lab.exists(key)).count())
}

#[test]
fn transactions_are_all_or_nothing_whoever_is_killed_when() {
    let mut seen = std::collections::BTreeSet::new();
    for victim in ["dynamodb-1", "dynamodb-2", "store-1", "store-2", "store-3"] {
        for step in 0..24 {
            let after = Span::from_micros(250 * step);
            let (committed, count) = killed_in_transaction(victim, after);
            assert!(count == 0 || count == 6, "{victim} killed after {after}: {count} of 6 items are there");
            assert!(
                committed != Some(true) || count == 6,
                "{victim} killed after {after}: acknowledged and lost"
            );
            seen.insert((committed, count));
        }
    }
    assert!(
        seen.contains(&(Some(true), 6)) && seen.contains(&(Some(false), 0)),
        "both ends were seen: {seen:?}"
    );
}

#[test]
fn changes_travel_both_ways_and_between_other_regions() {
    let lab = Lab::start(&[REGION, OTHER_REGIONS].concat(), 1);
    lab.run_for(Span::from_secs(10));
    lab.put("from-home").expect("written");
    let west = lab.simulation.world("west").expect("running").dial_instance("elsewhere", 0).expect("an edge");
    lab.run(async move { west.call(&api::PUT_ITEM, put("from-west")).await }).expect("written");
    lab.run_for(Span::from_secs(30));
    for region in 0..2 {
        assert!(lab.exists_in(region, "from-home"), "region {region} has home's change");
        assert!(lab.exists_in(region, "from-west"), "region {region} has the west's change");
    }
    assert!(lab.exists("from-west"), "home has the west's change");
}

#[test]
fn the_lag_grows_while_the_name_is_gone_and_shrinks_at_a_bounded_rate() {
    let lab = Lab::start(&[REGION, OTHER_REGIONS].concat(), 1);
    lab.run_for(Span::from_mins(1));
    assert!(
        lab.series("lag-seconds").iter().all(|lag| *lag < 15.0),
        "in step at first: {:?}",
        lab.series("lag-seconds")
    );
    let fault = "partition global-tables | dynamodb".parse().expect("a fault");
    lab.simulation.region().faults.add("blackout", fault);
    for key in ids(600) {
        lab.put(&key).expect("home is well");
    }
    lab.run_for(Span::from_mins(10));
    assert!(!lab.exists_in(0, "item-599"), "nothing gets through");
    let before = lab.series("lag-seconds").last().copied().expect("a lag");
    // Counted from the last look at the stream before, which was up to 5 s earlier.
    assert!((590.0..630.0).contains(&before), "lag after ten minutes: {before}");
    lab.simulation.region().faults.remove("blackout");
    lab.run_for(Span::from_mins(1));
    let during = lab.series("lag-seconds").last().copied().expect("a lag");
    assert!(during > 300.0, "600 changes take two minutes at 5 a second; after one the lag is {during}");
    lab.run_for(Span::from_mins(2));
    let after = lab.series("lag-seconds").last().copied().expect("a lag");
    assert!(after < 20.0, "caught up: {after}");
    assert!(lab.exists_in(0, "item-599") && lab.exists_in(1, "item-0"));
}

#[test]
fn a_replicator_that_is_killed_goes_on_where_it_was() {
    let lab = Lab::start(&[REGION, OTHER_REGIONS].concat(), 1);
    for key in ids(40) {
        lab.put(&key).expect("written");
    }
    lab.run_for(Span::from_secs(40));
    lab.restart("global-tables-us-west-2");
    lab.put("later").expect("written");
    lab.run_for(Span::from_secs(30));
    assert!(lab.exists_in(0, "later"));
    let applied: f64 = lab.series("applied").iter().sum();
    // 40 and one, in two regions; the one restart repeats nothing.
    assert_eq!(applied, 82.0);
}
