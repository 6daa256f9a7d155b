//! What callers ask of each API: one line an operation, with the request it makes.
//!
//! Customers and generic services choose operations by name from the topology; here is what the names mean.

use std::sync::{Arc, LazyLock};

use eastfall_fabric::call::Rpc;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::rng::Rng;
use eastfall_topology::{Moment, Topology};
use futures_util::future::BoxFuture;
use rand::RngExt as _;
use rand_distr::{Distribution as _, Zipf};
use tonic::Status;

mod connect;
mod containers;
mod dynamodb;
mod eventbridge;
mod generic;
mod identity;
mod kinesis;
mod lambda;
mod nlb;
mod redshift;
mod sqs;
mod upkeep;

/// What requests are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// How many keys there are, from 1.
    keys: u64,
    /// How unevenly they are chosen; nothing for evenly.
    popularity: Option<Zipf<f64>>,
    /// The table that database requests go to, or the load balancer of connections.
    pub table: String,
    /// Bytes that a written item, or another request's body, carries.
    pub item_bytes: u32,
}

impl Shape {
    /// Requests for so many keys (1 at least), the popular ones after Zipf's law with the exponent `skew`, 0 for evenly.
    pub fn new(keys: u64, skew: f64, table: String, item_bytes: u32) -> Self {
        let keys = keys.max(1);
        Shape { keys, popularity: Zipf::new(keys as f64, skew).ok(), table, item_bytes }
    }
}

/// Makes the contents of one request.
pub struct Draw<'a> {
    /// What requests are made of.
    pub shape: &'a Shape,
    rng: &'a mut Rng,
}

impl<'a> Draw<'a> {
    /// Draws of this shape.
    pub fn new(shape: &'a Shape, rng: &'a mut Rng) -> Self {
        Draw { shape, rng }
    }

    /// The number of a key, from 1, the popular ones first.
    pub fn key(&mut self) -> u64 {
        match &self.shape.popularity {
            Some(keys) => keys.sample(self.rng) as u64,
            None => self.rng.random_range(1..=self.shape.keys),
        }
    }

    /// A token that no other request has, so that a client's retries are known to be the same request.
    pub fn token(&mut self) -> String {
        format!("{:016x}", self.rng.random::<u64>())
    }

    /// So many different keys, or all of them if there are fewer.
    pub fn keys(&mut self, count: usize) -> Vec<u64> {
        let count = count.min(usize::try_from(self.shape.keys).unwrap_or(count));
        let mut keys = std::collections::BTreeSet::from([self.key()]);
        while keys.len() < count {
            // Not by popularity again: the most popular would be drawn over and over.
            keys.insert(self.rng.random_range(1..=self.shape.keys));
        }
        keys.into_iter().collect()
    }
}

/// Sends one request; its latency counts from the moment at which it was to be sent.
pub type Send = Arc<
    dyn Fn(&Client, Moment, &mut Draw<'_>) -> BoxFuture<'static, Result<(), Status>>
        + std::marker::Send
        + Sync,
>;

/// An operation that can be named in a topology.
pub struct Operation {
    /// The kinds of service that have it.
    pub kinds: &'static [&'static str],
    /// Its name.
    pub name: &'static str,
    /// Sends one request of it.
    pub send: Send,
}

/// An operation: where it is, and how its requests are made.
pub(crate) fn operation<Req, Resp>(
    kinds: &'static [&'static str],
    rpc: &'static Rpc<Req, Resp>,
    request: fn(&mut Draw<'_>) -> Req,
) -> Operation
where
    Req: std::marker::Send + Sync + 'static,
    Resp: Clone + std::marker::Send + Sync + 'static,
{
    Operation { kinds, name: rpc.method().name, send: sending(rpc, request) }
}

fn sending<Req, Resp>(
    rpc: &'static Rpc<Req, Resp>,
    request: impl Fn(&mut Draw<'_>) -> Req + std::marker::Send + Sync + 'static,
) -> Send
where
    Req: std::marker::Send + Sync + 'static,
    Resp: Clone + std::marker::Send + Sync + 'static,
{
    Arc::new(move |client, intended, draw| {
        let (client, request) = (client.clone(), request(draw));
        Box::pin(async move { client.call_intended(intended, rpc, request).await.map(drop) })
    })
}

/// Every operation of the mechanism-rich kinds. To add an API, add its file's list here.
static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    let lists = [
        dynamodb::operations(),
        identity::operations(),
        redshift::operations(),
        sqs::operations(),
        kinesis::operations(),
        lambda::operations(),
        eventbridge::operations(),
        containers::operations(),
        connect::operations(),
        upkeep::operations(),
        nlb::operations(),
    ];
    lists.into_iter().flatten().collect()
});

/// How to send an operation to a service.
///
/// # Errors
/// A sentence that names what there is, if the service has no such operation.
pub fn find(topology: &Topology, service: &str, name: &str) -> Result<Send, String> {
    let callee = topology.services.get(service).ok_or_else(|| format!("there is no service `{service}`"))?;
    if !callee.operations.is_empty() {
        return match callee.operations.contains_key(name) {
            true => Ok(generic::perform(name)),
            false => Err(no_operation(service, name, callee.operations.keys().map(String::as_str))),
        };
    }
    let of_kind = || OPERATIONS.iter().filter(|operation| operation.kinds.contains(&callee.kind.as_str()));
    match of_kind().find(|operation| operation.name == name) {
        Some(operation) => Ok(Arc::clone(&operation.send)),
        None => Err(no_operation(service, name, of_kind().map(|operation| operation.name))),
    }
}

fn no_operation<'a>(service: &str, name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    format!("service {service} has no operation `{name}` to send; it has {}", names.join(", "))
}
