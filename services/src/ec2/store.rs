//! What EC2 keeps in DynamoDB: leases, changes that wait for a lease, instances, launch tokens.
//!
//! Ordinary tables behind the ordinary public name, written with conditional puts and batches of 25: when the name
//! resolves to nothing, EC2 is as cut off as any customer.

use eastfall_fabric::world::{StartError, World};
use eastfall_proto::dynamodb::write_request::Write;
use eastfall_proto::dynamodb::{Item as ItemMessage, *};
use eastfall_proto::ec2::InstanceState;
use eastfall_topology::{Moment, Span};
use tonic::{Code, Status};

use crate::dynamodb::condition::{any, exists, is, not_exists};
use crate::dynamodb::update::{remove, set};
use crate::dynamodb::value::{self, Item, item, number, string};
use crate::tables::Tables;

/// Leases by DWFM host and droplet.
pub(super) const LEASES: &str = "droplet-leases";
/// The hosts' signs of life.
const HOSTS: &str = "dwfm-hosts";
/// Changes that were accepted and not yet applied, by DWFM host and the change's name.
const CHANGES: &str = "droplet-changes";
/// Instances by their id.
const INSTANCES: &str = "ec2-instances";
/// Set on an instance once every path of the network knows the way to it.
const REACHABLE: &str = "reachable";
/// The instances that a client's token has launched.
const LAUNCHES: &str = "ec2-launches";

const SCHEMAS: [&str; 5] = [
    "dwfm-hosts(host)",
    "droplet-leases(host,droplet)",
    "droplet-changes(host,change)",
    "ec2-instances(instance) expires=forget-at",
    "ec2-launches(token) expires=forget-at",
];

/// How long a terminated instance is still described (published: about an hour), a launch that came to nothing is, and
/// a client's token is remembered (assumption: far longer than anybody repeats one request).
const REMEMBERED: Span = Span::from_mins(60);

/// Instances that are read at once (published: 100 items).
const READ_AT_ONCE: usize = 100;
/// Droplets that one batch may write (published: 25 items).
pub(super) const BATCH: usize = 25;

/// What is to be done to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Alteration {
    /// It is to be taken off its droplet.
    Terminate { instance: String },
    /// It is to get other interfaces; the moment tells apart several that wait.
    Modify { instance: String, asked: Moment },
}

impl Alteration {
    /// The name under which it is written down. The names of an instance sort in the order in which its changes are to
    /// be made.
    fn name(&self) -> String {
        match self {
            Alteration::Modify { instance, asked } => format!("{instance}/modify-{:020}", asked.as_nanos()),
            Alteration::Terminate { instance } => format!("{instance}/terminate"),
        }
    }

    fn parse(name: &str) -> Option<Alteration> {
        let (instance, what) = name.split_once('/')?;
        let instance = instance.to_owned();
        match what.strip_prefix("modify-") {
            Some(asked) => {
                Some(Alteration::Modify { instance, asked: Moment::from_nanos(asked.parse().ok()?) })
            }
            None => Some(Alteration::Terminate { instance }),
        }
    }
}

/// EC2's tables.
#[derive(Clone)]
pub(super) struct Store {
    tables: Tables,
}

/// A lease as it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) droplet: u32,
    pub(super) until: Moment,
}

/// A change that waits for its droplet's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) droplet: u32,
    pub(super) what: Alteration,
}

impl Store {
    pub(super) fn of(world: &World) -> Result<Store, StartError> {
        Ok(Store { tables: Tables::of(world)? })
    }

    /// Makes the tables that don't exist, trying again until that is done.
    pub(super) async fn prepare(&self, world: &World) {
        self.tables.prepare(world, &SCHEMAS).await;
    }

    // === Leases ===

    /// A host's sign of life: whether the store can be reached, known before anybody queues.
    pub(super) async fn beat(&self, host: &str, at: Moment) -> Result<(), Status> {
        self.tables.put(HOSTS, item([("host", string(host)), ("seen", number(at.as_nanos()))])).await
    }

    /// Writes one lease, unless it has been written with a later end: an attempt of long ago must not undo a newer one.
    pub(super) async fn put_lease(&self, host: &str, lease: Lease) -> Result<(), Status> {
        let until = number(lease.until.as_nanos());
        let condition = any(vec![not_exists("host"), is("until", Comparator::LessOrEqual, until)]);
        self.tables.put_if(LEASES, lease_item(host, lease), condition).await
    }

    /// Writes up to 25 leases and says which could not be written.
    pub(super) async fn put_leases(&self, host: &str, leases: &[Lease]) -> Result<Vec<u32>, Status> {
        let put = |lease: &Lease| {
            let write = Some(Write::Put(ItemMessage { attributes: lease_item(host, *lease) }));
            WriteRequest { table_name: LEASES.to_owned(), write }.into()
        };
        let unwritten = self.tables.write_batch(leases.iter().map(put).collect()).await?;
        let droplet = |request: &WriteRequest| match &request.write {
            Some(Write::Put(put)) => droplet_of(&put.attributes),
            _ => None,
        };
        Ok(unwritten.iter().filter_map(|request| droplet(request)).collect())
    }

    /// All leases of a host.
    pub(super) async fn leases(&self, host: &str) -> Result<Vec<Lease>, Status> {
        let read = |item: &Item| {
            let until = Moment::from_nanos(value::parsed(item, "until")?);
            Some(Lease { droplet: droplet_of(item)?, until })
        };
        Ok(self.tables.all_of(LEASES, host).await?.iter().filter_map(read).collect())
    }

    // === Changes ===

    /// Writes down a change that is to be applied.
    pub(super) async fn put_change(&self, host: &str, change: &Change) -> Result<(), Status> {
        let attributes = [
            ("host", string(host)),
            ("change", string(change.what.name())),
            ("droplet", string(droplet_key(change.droplet))),
        ];
        self.tables.put(CHANGES, item(attributes)).await
    }

    /// A change was applied.
    pub(super) async fn delete_change(&self, host: &str, change: &Alteration) -> Result<(), Status> {
        let key = item([("host", string(host)), ("change", string(change.name()))]);
        self.tables.delete(CHANGES, key).await
    }

    /// All changes that a host has still to apply.
    pub(super) async fn changes(&self, host: &str) -> Result<Vec<Change>, Status> {
        let read = |item: &Item| {
            let what = Alteration::parse(value::text(item, "change")?)?;
            Some(Change { droplet: droplet_of(item)?, what })
        };
        Ok(self.tables.all_of(CHANGES, host).await?.iter().filter_map(read).collect())
    }

    // === Instances ===

    /// An instance as it is written down; empty if there is none.
    pub(super) async fn instance(&self, id: &str) -> Result<Item, Status> {
        self.tables.get(INSTANCES, item([("instance", string(id))])).await
    }

    /// Instances as they are written down; those that nobody knows are left out.
    pub(super) async fn instances(&self, ids: &[String]) -> Result<Vec<Item>, Status> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(READ_AT_ONCE) {
            let keys = ids.iter().map(|id| item([("instance", string(id))])).collect();
            found.extend(self.tables.get_batch(INSTANCES, keys).await?);
        }
        Ok(found)
    }

    /// Writes an instance.
    pub(super) async fn put_instance(&self, instance: Item) -> Result<(), Status> {
        self.tables.put(INSTANCES, instance).await
    }

    /// Writes an instance that does not run yet. If it never does, it is forgotten after a while.
    pub(super) async fn put_pending(&self, mut instance: Item, now: Moment) -> Result<(), Status> {
        instance.insert("forget-at".to_owned(), forget_at(now));
        self.put_instance(instance).await
    }

    /// An instance is terminated, and will be forgotten.
    pub(super) async fn set_terminated(&self, id: &str, now: Moment) -> Result<(), Status> {
        let key = item([("instance", string(id))]);
        let terminated = number(InstanceState::Terminated as i32);
        let actions = vec![set("state", terminated), set("forget-at", forget_at(now))];
        self.tables.update(INSTANCES, key, actions).await
    }

    /// Changes the state of an instance.
    pub(super) async fn set_state(&self, id: &str, state: i32) -> Result<(), Status> {
        let key = item([("instance", string(id))]);
        self.tables.update(INSTANCES, key, vec![set("state", number(state))]).await
    }

    /// An instance runs: where, and whether the network knows the way to it. If Network Manager was quicker to say that
    /// it does, that stands.
    pub(super) async fn set_running(
        &self,
        id: &str,
        host: usize,
        droplet: u32,
        reachable: bool,
    ) -> Result<(), Status> {
        let key = item([("instance", string(id))]);
        let mut actions = vec![
            set("state", number(InstanceState::Running as i32)),
            set("host", number(host)),
            set("droplet", number(droplet)),
            remove("forget-at"),
        ];
        actions.extend(reachable.then(|| set(REACHABLE, number(1))));
        self.tables.update(INSTANCES, key, actions).await
    }

    /// Takes a client's token for these instances. If it was taken before, the instances it was taken for.
    pub(super) async fn take_token(
        &self,
        token: &str,
        instances: &[String],
        now: Moment,
    ) -> Result<Option<Vec<String>>, Status> {
        let attributes = item([
            ("token", string(token)),
            ("instances", string(instances.join(" "))),
            ("forget-at", forget_at(now)),
        ]);
        match self.tables.put_if(LAUNCHES, attributes, not_exists("token")).await {
            Ok(()) => Ok(None),
            Err(status) if status.code() == Code::FailedPrecondition => {
                let found = self.tables.get(LAUNCHES, item([("token", string(token))])).await?;
                let ids = value::text(&found, "instances").unwrap_or_default();
                Ok(Some(ids.split_whitespace().map(str::to_owned).collect()))
            }
            Err(status) => Err(status),
        }
    }

    /// Gives a token back: nothing was launched with it.
    pub(super) async fn release_token(&self, token: &str) -> Result<(), Status> {
        self.tables.delete(LAUNCHES, item([("token", string(token))])).await
    }
}

fn forget_at(now: Moment) -> AttributeValue {
    number((now + REMEMBERED).as_nanos())
}

/// Network Manager's word on an instance: every path knows the way to it. Nothing is written of one that is forgotten.
///
/// # Errors
/// As DynamoDB answers.
pub(crate) async fn set_reachable(tables: &Tables, instance: &str) -> Result<(), Status> {
    let (key, actions) = (item([("instance", string(instance))]), vec![set(REACHABLE, number(1))]);
    match tables.update_if(INSTANCES, key, actions, exists("instance")).await {
        Err(status) if status.code() == Code::FailedPrecondition => Ok(()),
        written => written,
    }
}

/// Whether an instance as it is written down can be reached.
pub(super) fn is_reachable(instance: &Item) -> bool {
    value::parsed::<u32>(instance, REACHABLE).is_some()
}

/// Sort keys are strings: numbers of the same length sort as such.
fn droplet_key(droplet: u32) -> String {
    // By hand, since it is done with every renewal.
    let digits = droplet.to_string();
    ["00000000".get(digits.len()..).unwrap_or_default(), &digits].concat()
}

fn droplet_of(item: &Item) -> Option<u32> {
    value::text(item, "droplet")?.parse().ok()
}

fn lease_item(host: &str, lease: Lease) -> Item {
    item([
        ("host", string(host)),
        ("droplet", string(droplet_key(lease.droplet))),
        ("until", number(lease.until.as_nanos())),
    ])
}
