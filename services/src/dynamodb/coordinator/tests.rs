//! All or nothing, whichever message is lost and whoever is killed when.

use std::sync::Mutex;

use eastfall_proto::call::Payload;
use eastfall_proto::dynamodb::transact_write_item::Item as Kind;
use eastfall_proto::dynamodb::{PutItemRequest, TableDescription, *};
use proptest::prelude::*;

use super::*;
use crate::dynamodb::condition::not_exists;
use crate::dynamodb::key::TableSchema;
use crate::dynamodb::store::{Change, Store};
use crate::dynamodb::value::{item, string};

const NODES: u32 = 3;
const EXPIRES: u64 = 100;

/// What happens to one message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Delivered,
    RequestLost,
    ReplyLost,
    /// The receiver is killed before it hears the message, and comes back.
    ReceiverKilled,
    /// The coordinator is killed after the message was heard: no more messages.
    CoordinatorKilled,
    /// The coordinator is killed before it sends the message.
    CoordinatorKilledBefore,
}

/// A store and the disk under it.
type Node = (Store, BTreeMap<Vec<u8>, Vec<u8>>);

/// Storage nodes without a world: stores, the disks under them, and the fate of each message to come.
struct Lab {
    now: u64,
    nodes: Mutex<Vec<Node>>,
    fates: Mutex<Vec<Fate>>,
    coordinator_alive: Mutex<bool>,
}

fn commit(node: &mut Node, changes: Vec<Change>) {
    for (key, value) in changes.iter().map(Change::durable) {
        match value {
            Some(value) => node.1.insert(key, value),
            None => node.1.remove(&key),
        };
    }
    node.0.apply(changes);
}

impl Lab {
    fn new() -> Self {
        let schema: TableSchema = "orders(order)".parse().expect("a valid table");
        let node = |_| {
            let mut node = (Store::new("us-east-1"), BTreeMap::new());
            let changes = node.0.create_table(TableDescription::from(&schema)).expect("a new table");
            commit(&mut node, changes);
            node
        };
        let nodes = Mutex::new((0..NODES).map(node).collect());
        Lab { now: 1, nodes, fates: Mutex::default(), coordinator_alive: Mutex::new(true) }
    }

    /// A new coordinator with these fates before it.
    fn coordinator(&mut self, now: u64, fates: Vec<Fate>) {
        self.now = now;
        self.fates = Mutex::new(fates.into_iter().rev().collect());
        self.coordinator_alive = Mutex::new(true);
    }

    fn perform<Req: Send + Sync + 'static>(
        &self,
        node: u32,
        method: &str,
        request: Req,
    ) -> Result<Payload, Status> {
        let mut nodes = self.nodes.lock().expect("nodes");
        let node = &mut nodes[node as usize];
        let body = Payload::new(request);
        let (changes, reply) = match method {
            "Prepare" => {
                let (changes, reasons) = node.0.prepare(self.now, body.get().expect("its request"))?;
                (changes, Payload::new(PrepareResponse { reasons }))
            }
            "Decide" => {
                let request: &DecideRequest = body.get().expect("its request");
                let (changes, committed) = node.0.decide(self.now, &request.transaction)?;
                (changes, Payload::new(DecideResponse { committed }))
            }
            "Resolve" => {
                let request: &ResolveRequest = body.get().expect("its request");
                let (changes, committed) = node.0.resolve(self.now, &request.transaction)?;
                (changes, Payload::new(ResolveResponse { committed }))
            }
            "Finish" => {
                let request: &FinishRequest = body.get().expect("its request");
                (
                    node.0.settle(self.now, &request.transaction, request.commit)?,
                    Payload::new(FinishResponse {}),
                )
            }
            "Forget" => {
                let request: &ForgetRequest = body.get().expect("its request");
                (node.0.forget(&request.transaction), Payload::new(ForgetResponse {}))
            }
            other => panic!("{other} is not part of a transaction"),
        };
        commit(node, changes);
        Ok(reply)
    }

    fn kill(&self, node: u32) {
        let mut nodes = self.nodes.lock().expect("nodes");
        let (store, disk) = &mut nodes[node as usize];
        *store = Store::load("us-east-1", disk.clone().into_iter().collect()).expect("a readable disk");
    }

    /// Nodes on which the order is there.
    fn written(&self) -> Vec<bool> {
        let nodes = self.nodes.lock().expect("nodes");
        nodes.iter().map(|(store, _)| store.table("orders").expect("the table").len() == 1).collect()
    }

    fn unfinished(&self, now: u64) -> Vec<Unfinished> {
        let nodes = self.nodes.lock().expect("nodes");
        nodes.iter().flat_map(|(store, _)| store.unfinished(now)).collect()
    }
}

impl Participants for Lab {
    async fn ask<Req, Resp>(
        &self,
        node: u32,
        rpc: &'static Rpc<Req, Resp>,
        request: Req,
    ) -> Result<Resp, Status>
    where
        Req: Send + Sync + 'static,
        Resp: Clone + Send + Sync + 'static,
    {
        if !*self.coordinator_alive.lock().expect("flag") {
            return Err(Status::unavailable("the coordinator is dead"));
        }
        let fate = self.fates.lock().expect("fates").pop().unwrap_or(Fate::Delivered);
        match fate {
            Fate::RequestLost => return Err(Status::unavailable("the request was lost")),
            Fate::CoordinatorKilledBefore => {
                *self.coordinator_alive.lock().expect("flag") = false;
                return Err(Status::unavailable("the coordinator is dead"));
            }
            Fate::ReceiverKilled => self.kill(node),
            _ => {}
        }
        let reply = self.perform(node, rpc.method().name, request);
        match fate {
            Fate::ReplyLost => Err(Status::unavailable("the reply was lost")),
            Fate::CoordinatorKilled => {
                *self.coordinator_alive.lock().expect("flag") = false;
                Err(Status::unavailable("the coordinator is dead"))
            }
            _ => reply?.take(),
        }
    }
}

/// One order on every node.
fn parts() -> BTreeMap<u32, Vec<(usize, TransactWriteItem)>> {
    let put = |node: u32| {
        let put = PutItemRequest {
            table_name: "orders".to_owned(),
            item: item([("order", string(format!("order-on-{node}")))]),
            condition: Some(not_exists("order")),
            ..PutItemRequest::default()
        };
        (node, vec![(node as usize, TransactWriteItem { item: Some(Kind::Put(put)) })])
    };
    (0..NODES).map(put).collect()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("nothing to wait for")
}

#[test]
fn a_transaction_without_trouble_is_written_everywhere_and_forgotten() {
    let lab = Lab::new();
    wait(transact(&lab, "t", parts(), EXPIRES)).expect("committed");
    assert_eq!(lab.written(), [true; 3]);
    assert_eq!(lab.unfinished(u64::MAX), [], "nothing is remembered");
}

#[test]
fn a_condition_that_fails_on_one_node_cancels_all_and_is_named() {
    let lab = Lab::new();
    let only_one = parts()
        .into_iter()
        .filter(|(node, _)| *node == 1)
        .map(|(node, part)| (node, vec![(0, part[0].1.clone())]));
    wait(transact(&lab, "first", only_one.collect(), EXPIRES)).expect("committed");
    let refusal = wait(transact(&lab, "second", parts(), EXPIRES)).expect_err("the order on node 1 exists");
    assert_eq!(eastfall_proto::error::reason(&refusal).as_deref(), Some("TransactionCanceledException"));
    assert!(refusal.message().contains("[None, ConditionalCheckFailed, None]"), "{}", refusal.message());
    assert_eq!(lab.written(), [false, true, false]);
    assert_eq!(lab.unfinished(u64::MAX), [], "nothing is held");
}

#[test]
fn a_decision_stands_even_if_the_coordinator_never_hears_of_it() {
    let mut lab = Lab::new();
    lab.coordinator(1, vec![Fate::Delivered, Fate::Delivered, Fate::Delivered, Fate::CoordinatorKilled]);
    wait(transact(&lab, "t", parts(), EXPIRES)).expect_err("it was killed");
    assert_eq!(lab.written(), [true, false, false], "decided at the first, unknown to the others");
    lab.coordinator(EXPIRES, Vec::new());
    for unfinished in lab.unfinished(EXPIRES) {
        wait(recover(&lab, &unfinished)).expect("finished");
    }
    assert_eq!(lab.written(), [true; 3]);
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Delivered),
        2 => Just(Fate::RequestLost),
        2 => Just(Fate::ReplyLost),
        2 => Just(Fate::ReceiverKilled),
        1 => Just(Fate::CoordinatorKilled),
        1 => Just(Fate::CoordinatorKilledBefore),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn all_or_nothing_whoever_is_killed_when(
        first in proptest::collection::vec(fate(), 0..12),
        second in proptest::collection::vec(fate(), 0..12),
    ) {
        let mut lab = Lab::new();
        lab.coordinator(1, first);
        let outcome = wait(transact(&lab, "t", parts(), EXPIRES));
        let acknowledged = outcome.is_ok();
        let cancelled = outcome.as_ref().is_err_and(|status| {
            eastfall_proto::error::reason(status).as_deref() == Some("TransactionCanceledException")
        });
        // A second coordinator tries to clean up and has troubles of its own; a third has none.
        for (now, fates) in [(EXPIRES, second), (EXPIRES + 1, Vec::new())] {
            lab.coordinator(now, fates);
            for unfinished in lab.unfinished(now) {
                let _ = wait(recover(&lab, &unfinished));
            }
        }
        let written = lab.written();
        prop_assert!(written == [true; 3] || written == [false; 3], "half a transaction: {:?}", written);
        prop_assert!(!acknowledged || written[0], "it was acknowledged and is lost");
        prop_assert!(!cancelled || !written[0], "it was cancelled and is there");
        prop_assert_eq!(lab.unfinished(u64::MAX), vec![], "something is held for ever");
    }
}
