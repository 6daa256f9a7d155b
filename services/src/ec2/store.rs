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

use crate::dynamodb::condition::{any, is, not_exists};
use crate::dynamodb::update::set;
use crate::dynamodb::value::{self, Item, item, number, string};
use crate::tables::Tables;

/// Leases by DWFM host and droplet.
pub(super) const LEASES: &str = "droplet-leases";
/// The hosts' signs of life.
const HOSTS: &str = "dwfm-hosts";
/// Changes that were accepted and not yet applied, by DWFM host and instance.
const CHANGES: &str = "droplet-changes";
/// Instances by their id.
const INSTANCES: &str = "ec2-instances";
/// The instances that a client's token has launched.
const LAUNCHES: &str = "ec2-launches";

const SCHEMAS: [&str; 5] = [
    "dwfm-hosts(host)",
    "droplet-leases(host,droplet)",
    "droplet-changes(host,instance)",
    "ec2-instances(instance) expires=forget-at",
    "ec2-launches(token) expires=forget-at",
];

/// How long a terminated instance is still described (published: about an hour), a launch that came to nothing is, and
/// a client's token is remembered (assumption: far longer than anybody repeats one request).
const REMEMBERED: Span = Span::from_mins(60);

/// Droplets that one batch may write (published: 25 items).
pub(super) const BATCH: usize = 25;

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

/// A termination that waits for its droplet's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) droplet: u32,
    pub(super) instance: String,
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
        let put = |lease: &Lease| WriteRequest {
            table_name: LEASES.to_owned(),
            write: Some(Write::Put(ItemMessage { attributes: lease_item(host, *lease) })),
        };
        let unwritten = self.tables.write_batch(leases.iter().map(put).collect()).await?;
        let droplet = |request: &WriteRequest| match &request.write {
            Some(Write::Put(put)) => droplet_of(&put.attributes),
            _ => None,
        };
        Ok(unwritten.iter().filter_map(droplet).collect())
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
            ("instance", string(&change.instance)),
            ("droplet", string(&droplet_key(change.droplet))),
        ];
        self.tables.put(CHANGES, item(attributes)).await
    }

    /// A change was applied.
    pub(super) async fn delete_change(&self, host: &str, instance: &str) -> Result<(), Status> {
        let key = item([("host", string(host)), ("instance", string(instance))]);
        self.tables.delete(CHANGES, key).await
    }

    /// All changes that a host has still to apply.
    pub(super) async fn changes(&self, host: &str) -> Result<Vec<Change>, Status> {
        let read = |item: &Item| {
            let instance = value::text(item, "instance")?.to_owned();
            Some(Change { droplet: droplet_of(item)?, instance })
        };
        Ok(self.tables.all_of(CHANGES, host).await?.iter().filter_map(read).collect())
    }

    // === Instances ===

    /// An instance as it is written down; empty if there is none.
    pub(super) async fn instance(&self, id: &str) -> Result<Item, Status> {
        self.tables.get(INSTANCES, item([("instance", string(id))])).await
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

/// Sort keys are strings: numbers of the same length sort as such.
fn droplet_key(droplet: u32) -> String {
    format!("{droplet:08}")
}

fn droplet_of(item: &Item) -> Option<u32> {
    value::text(item, "droplet")?.parse().ok()
}

fn lease_item(host: &str, lease: Lease) -> Item {
    item([
        ("host", string(host)),
        ("droplet", string(&droplet_key(lease.droplet))),
        ("until", number(lease.until.as_nanos())),
    ])
}
