//! The store through its plans: durable before visible, all or nothing, last writer wins.

use super::*;
use crate::dynamodb::condition::not_exists;
use crate::dynamodb::update::increase;
use crate::dynamodb::value::{item, number, string};
use eastfall_proto::dynamodb::transact_write_item::Item as Kind;
use eastfall_proto::dynamodb::{DeleteItemRequest, PutItemRequest, TransactWriteItem, UpdateItemRequest};
use proptest::prelude::*;

const TABLE: &str = "leases(droplet) stream";

fn kind(item: Kind) -> TransactWriteItem {
    TransactWriteItem { item: Some(item) }
}

fn put(droplet: &str, owner: &str) -> TransactWriteItem {
    let item = item([("droplet", string(droplet)), ("owner", string(owner))]);
    kind(Kind::Put(PutItemRequest { table_name: "leases".to_owned(), item, ..PutItemRequest::default() }))
}

fn put_new(droplet: &str, owner: &str) -> TransactWriteItem {
    let mut put = put(droplet, owner);
    if let Some(Kind::Put(request)) = &mut put.item {
        request.condition = Some(not_exists("droplet"));
    }
    put
}

fn count(droplet: &str) -> TransactWriteItem {
    let (key, actions) = (item([("droplet", string(droplet))]), vec![increase("count", 1)]);
    let table_name = "leases".to_owned();
    kind(Kind::Update(UpdateItemRequest { table_name, key, actions, ..UpdateItemRequest::default() }))
}

fn delete(droplet: &str) -> TransactWriteItem {
    let key = item([("droplet", string(droplet))]);
    kind(Kind::Delete(DeleteItemRequest {
        table_name: "leases".to_owned(),
        key,
        ..DeleteItemRequest::default()
    }))
}

/// A store with the map under it that survives.
struct Node {
    store: Store,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    fn new(region: &str) -> Self {
        let mut node = Node { store: Store::new(region), disk: BTreeMap::new() };
        let schema: TableSchema = TABLE.parse().expect("a valid table");
        let changes = node.store.create_table(TableDescription::from(&schema)).expect("a new table");
        node.commit(changes);
        node
    }

    fn commit(&mut self, changes: Vec<Change>) {
        for (key, value) in changes.iter().map(Change::durable) {
            match value {
                Some(value) => self.disk.insert(key, value),
                None => self.disk.remove(&key),
            };
        }
        self.store.apply(changes);
    }

    fn killed(&self) -> Store {
        Store::load(self.store.region(), self.disk.clone().into_iter().collect()).expect("a readable disk")
    }

    fn write(&mut self, now: u64, item: TransactWriteItem) -> Result<Written, Status> {
        let write = Write::new(self.store.table("leases")?.schema(), item)?;
        let (changes, written) = self.store.write(now, write, ReturnValues::None)?;
        self.commit(changes);
        Ok(written)
    }

    fn item(&self, droplet: &str) -> Option<Item> {
        let table = self.store.table("leases").expect("the table");
        let key = table.schema().row_key(&item([("droplet", string(droplet))])).expect("a key");
        table.item(&key)
    }
}

fn request(items: Vec<TransactWriteItem>, participants: &[u32]) -> PrepareRequest {
    PrepareRequest { transaction: "t".to_owned(), items, participants: participants.to_vec(), expires: 100 }
}

#[test]
fn a_condition_that_does_not_hold_writes_nothing() {
    let mut node = Node::new("us-east-1");
    node.write(1, put_new("d", "first")).expect("nobody has it");
    let error = node.write(2, put_new("d", "second")).expect_err("the first has it");
    assert_eq!(eastfall_proto::error::reason(&error).as_deref(), Some("ConditionalCheckFailedException"));
    assert_eq!(node.item("d").expect("an item")["owner"], string("first"));
}

#[test]
fn a_table_that_exists_is_not_made_again() {
    let node = Node::new("us-east-1");
    let schema: TableSchema = TABLE.parse().expect("a valid table");
    let error = node.store.create_table(TableDescription::from(&schema)).expect_err("it exists");
    assert_eq!(eastfall_proto::error::reason(&error).as_deref(), Some("ResourceInUseException"));
}

#[test]
fn a_single_node_transaction_is_all_or_nothing() {
    let mut node = Node::new("us-east-1");
    node.write(1, put("taken", "somebody")).expect("a put");
    let both = request(vec![put("free", "me"), put_new("taken", "me")], &[0]);
    let (changes, reasons) = node.store.prepare(2, &both).expect("in time");
    assert_eq!(
        (changes.len(), reasons),
        (0, vec![String::new(), error::CONDITIONAL_CHECK_FAILED.to_owned()])
    );
    let (changes, reasons) =
        node.store.prepare(2, &request(vec![put("free", "me"), count("taken")], &[0])).expect("in time");
    assert_eq!(reasons, ["", ""]);
    node.commit(changes);
    assert!(node.item("free").is_some() && node.item("taken").expect("an item").contains_key("count"));
}

#[test]
fn a_prepared_item_is_held_against_all_others_also_after_a_kill() {
    let mut node = Node::new("us-east-1");
    let (changes, _) = node.store.prepare(1, &request(vec![put("d", "me")], &[0, 1])).expect("in time");
    node.commit(changes);
    node.store = node.killed();
    assert_eq!(node.item("d"), None, "prepared is not visible");
    assert_eq!(node.write(2, put("d", "other")).expect_err("held").code(), tonic::Code::Aborted);
    let other = PrepareRequest { transaction: "u".to_owned(), ..request(vec![count("d")], &[0, 1]) };
    assert_eq!(node.store.prepare(2, &other).expect("in time").1, [error::TRANSACTION_CONFLICT]);
    let changes = node.store.settle(3, "t", false).expect("settled");
    node.commit(changes);
    node.write(4, put("d", "other")).expect("free again");
}

#[test]
fn what_was_not_decided_in_time_never_is() {
    let mut node = Node::new("us-east-1");
    let (changes, _) = node.store.prepare(1, &request(vec![put("d", "me")], &[0, 1])).expect("in time");
    node.commit(changes);
    assert!(node.store.resolve(99, "t").is_err(), "not expired: its coordinator may yet decide");
    assert_eq!(node.store.unfinished(99).len(), 0);
    assert_eq!(node.store.unfinished(100).len(), 1);
    let (changes, committed) = node.store.decide(100, "t").expect("an answer");
    node.commit(changes);
    assert!(!committed && node.item("d").is_none(), "too late");
    assert!(node.store.prepare(100, &request(vec![put("d", "me")], &[0, 1])).is_err(), "and not again");
}

#[test]
fn a_trimmed_stream_takes_the_memory_of_removals_with_it() {
    let mut node = Node::new("us-east-1");
    for (now, write) in
        [(1, put("a", "x")), (2, delete("a")), (3, put("b", "x")), (4, delete("b")), (9, put("c", "x"))]
    {
        node.write(now, write).expect("a write");
    }
    let rows = |node: &Node| node.store.table("leases").expect("the table").rows.len();
    assert_eq!(rows(&node), 3, "two removals are remembered");
    let changes = node.store.trim(4, 1000);
    node.commit(changes);
    assert_eq!(rows(&node), 2, "one removal is forgotten with its record");
    assert_eq!(node.killed(), node.store, "and so it is after a kill");
    assert_eq!(node.store.table("leases").expect("the table").stream().next(), 6, "the numbering goes on");
}

proptest! {
    #[test]
    fn a_kill_loses_nothing_that_was_acknowledged(writes in proptest::collection::vec((0_usize..3, 0_usize..4), 0..60)) {
        let mut node = Node::new("us-east-1");
        for (now, (action, droplet)) in writes.into_iter().enumerate() {
            let droplet = format!("d-{droplet}");
            let write = [put(&droplet, "o"), count(&droplet), delete(&droplet)][action].clone();
            node.write(now as u64, write).expect("a write");
        }
        prop_assert_eq!(node.killed(), node.store);
    }

    #[test]
    fn regions_agree_in_whatever_order_changes_arrive(
        writes in proptest::collection::vec((0_usize..2, 0_usize..3, 0_usize..3), 1..40),
        batch in 1_usize..7,
    ) {
        let mut nodes = [Node::new("us-east-1"), Node::new("us-west-2")];
        for (now, (region, action, droplet)) in writes.into_iter().enumerate() {
            let droplet = format!("d-{droplet}");
            let write = [put(&droplet, nodes[region].store.region()), count(&droplet), delete(&droplet)][action].clone();
            // Several writes a nanosecond, so that ties happen.
            nodes[region].write(now as u64 / 4, write).expect("a write");
        }
        let records = |node: &Node| {
            let region = node.store.region().to_owned();
            let (all, _) = node.store.table("leases").expect("the table").stream().after(0, usize::MAX).expect("kept");
            all.into_iter().filter(|record| record.region == region).collect::<Vec<_>>()
        };
        for (from, to) in [(0, 1), (1, 0)] {
            // One comes forwards in batches, the other backwards one by one, and everything twice.
            let mut all = records(&nodes[from]);
            if from == 1 {
                all.reverse();
            }
            for _ in 0..2 {
                for records in all.chunks(if from == 1 { 1 } else { batch }) {
                    let (changes, _, _) = nodes[to].store.apply_records("leases", records).expect("applied");
                    nodes[to].commit(changes);
                }
            }
        }
        let rows = |node: &Node| node.store.table("leases").expect("the table").rows.clone();
        prop_assert_eq!(rows(&nodes[0]), rows(&nodes[1]));
    }
}

#[test]
fn counting_is_not_lost_between_two_updates() {
    let mut node = Node::new("us-east-1");
    for now in 0..5 {
        node.write(now, count("d")).expect("an update");
    }
    assert_eq!(node.item("d").expect("an item")["count"], number(5));
}
