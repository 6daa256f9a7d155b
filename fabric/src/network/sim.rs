//! The back end of virtual time: calls go straight into the callee's server, in this thread.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_topology::time::Span;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::call::{Call, CallFuture, Handler, Outcome, SharedHandler};
use crate::clock::Clock;
use crate::disk::{Disk, DiskError, MemoryDisk};
use crate::dns::{self, Answer, DnsError, Question};
use crate::engine::sim::{self, Owner};
use crate::network::server::{Entrance, Server, connection_reset};
use crate::network::{ConnectError, Connection, Forwarder, Hop};
use crate::world::{Backend, StartError};

/// Who listens where, and what is on disk: what outlives any one instance.
#[derive(Default)]
pub struct SimNetwork {
    latency: Span,
    codec: bool,
    servers: Mutex<BTreeMap<Ipv4Addr, Arc<Listener>>>,
    forwards: Mutex<BTreeMap<Ipv4Addr, Arc<Forward>>>,
    names: Mutex<Option<(Owner, Arc<dyn dns::Authority>)>>,
    disks: Mutex<BTreeMap<(String, String), MemoryDisk>>,
    calls: AtomicU64,
}

struct Listener {
    owner: Owner,
    server: Arc<Server>,
    /// False once the instance is gone or another listens in its place. Every call asks, so it is a flag to read and
    /// not an address to look up.
    listens: AtomicBool,
}

/// Somebody who passes on what comes in at an address.
struct Forward {
    owner: Owner,
    forwarder: Arc<dyn Forwarder>,
    /// False once the instance is gone: the connections through it break.
    forwards: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimNetwork {
    /// A network with this latency one way. With `codec`, every call goes through the generated client, the wire
    /// format and the generated server: slower, and the result must be the same.
    pub fn new(latency: Span, codec: bool) -> Arc<Self> {
        Arc::new(SimNetwork { latency, codec, ..SimNetwork::default() })
    }

    /// How many calls were carried.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Forgets the listeners of an owner: its instance is gone.
    pub(crate) fn forget(&self, owner: Owner) {
        let gone: Vec<Arc<Listener>> = {
            let mut servers = lock(&self.servers);
            let addresses: Vec<_> = servers
                .iter()
                .filter(|(_, listener)| listener.owner == owner)
                .map(|(address, _)| *address)
                .collect();
            addresses.iter().filter_map(|address| servers.remove(address)).collect()
        };
        gone.iter().for_each(|listener| listener.close());
        drop(gone);
        lock(&self.forwards).retain(|_, forward| {
            let stays = forward.owner != owner;
            forward.forwards.store(stays, Ordering::Relaxed);
            stays
        });
        let mut names = lock(&self.names);
        if names.as_ref().is_some_and(|(named, _)| *named == owner) {
            *names = None;
        }
    }

    /// A call from outside the region: past connections and faults.
    pub(crate) async fn call(&self, to: Ipv4Addr, call: Call) -> Outcome {
        let refused = || tonic::Status::unavailable(format!("nobody listens on {to}"));
        let listener = self.listener(to).ok_or_else(refused)?;
        listener.server.answer_over(self.latency, call).await.unwrap_or_else(|_| Err(connection_reset()))
    }

    fn listener(&self, address: Ipv4Addr) -> Option<Arc<Listener>> {
        lock(&self.servers).get(&address).cloned()
    }
}

/// The way of a connection through somebody who passed it on.
struct Through {
    forward: Arc<Forward>,
    _held: Option<Arc<dyn Send + Sync>>,
}

fn refused() -> ConnectError {
    ConnectError("connection refused".to_owned())
}

impl SimNetwork {
    /// Where a connection to an address really ends, and through whom.
    async fn follow(&self, to: Ipv4Addr) -> Result<(Ipv4Addr, Option<Through>), ConnectError> {
        let Some(forward) = lock(&self.forwards).get(&to).cloned() else { return Ok((to, None)) };
        // In a task of the forwarder's own, so that it stops when that one is paused and breaks when it dies.
        let (answer, wait) = oneshot::channel();
        let chooser = Arc::clone(&forward.forwarder);
        sim::spawn(
            forward.owner,
            Box::pin(async move {
                let _ = answer.send(chooser.choose().await);
            }),
        );
        let Hop { to, held } = wait.await.map_err(|_| refused())??;
        Clock::virtual_time().sleep(self.latency * 2).await;
        Ok((to, Some(Through { forward, _held: held })))
    }
}

impl Listener {
    fn close(&self) {
        self.listens.store(false, Ordering::Relaxed);
    }
}

/// The simulator as one incarnation of an instance sees it.
pub struct SimBackend {
    pub(crate) network: Arc<SimNetwork>,
    pub(crate) instance: String,
    pub(crate) owner: Owner,
}

impl Backend for SimBackend {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        sim::spawn(self.owner, task);
    }

    fn connect(&self, to: Ipv4Addr) -> BoxFuture<'_, Result<Arc<dyn Connection>, ConnectError>> {
        Box::pin(async move {
            // A SYN and its answer: one round trip.
            Clock::virtual_time().sleep(self.network.latency * 2).await;
            let (to, through) = self.network.follow(to).await?;
            let listener = self.network.listener(to).ok_or_else(refused)?;
            let network = Arc::clone(&self.network);
            let codec = network.codec.then(|| Codec::new(&listener.server, network.latency));
            Ok(Arc::new(SimConnection { network, listener, through, codec }) as Arc<dyn Connection>)
        })
    }

    fn forward(
        &self,
        on: &[Ipv4Addr],
        forwarder: Arc<dyn Forwarder>,
    ) -> BoxFuture<'_, Result<(), StartError>> {
        let forward = Forward { owner: self.owner, forwarder, forwards: AtomicBool::new(true) };
        let forward = Arc::new(forward);
        lock(&self.network.forwards).extend(on.iter().map(|address| (*address, Arc::clone(&forward))));
        Box::pin(std::future::ready(Ok(())))
    }

    fn listen(&self, on: &[Ipv4Addr], server: Arc<Server>) -> BoxFuture<'_, Result<(), StartError>> {
        let mut servers = lock(&self.network.servers);
        let listener = Listener { owner: self.owner, server, listens: AtomicBool::new(true) };
        let listener = Arc::new(listener);
        for address in on {
            let before = servers.insert(*address, Arc::clone(&listener));
            if let Some(other) = before.filter(|before| before.owner != self.owner) {
                other.close();
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn dns_transport(&self) -> Option<Arc<dyn dns::DnsTransport>> {
        Some(Arc::new(SimDns(Arc::clone(&self.network))))
    }

    fn listen_dns(
        &self,
        _: Ipv4Addr,
        authority: Arc<dyn dns::Authority>,
    ) -> BoxFuture<'_, Result<(), StartError>> {
        *lock(&self.network.names) = Some((self.owner, authority));
        Box::pin(std::future::ready(Ok(())))
    }

    fn disk(&self, name: &str) -> Result<Disk, DiskError> {
        let key = (self.instance.clone(), name.to_owned());
        Ok(Disk::memory(Arc::clone(lock(&self.network.disks).entry(key).or_default())))
    }
}

/// A connection to one incarnation of a server: it breaks when that dies, also if another takes its place.
struct SimConnection {
    network: Arc<SimNetwork>,
    listener: Arc<Listener>,
    through: Option<Through>,
    codec: Option<Codec>,
}

impl Connection for SimConnection {
    fn is_open(&self) -> bool {
        self.listener.listens.load(Ordering::Relaxed)
            && self.through.as_ref().is_none_or(|through| through.forward.forwards.load(Ordering::Relaxed))
    }
}

impl Handler for SimConnection {
    fn handle(&self, call: Call) -> CallFuture {
        if !self.is_open() {
            return Box::pin(std::future::ready(Err(connection_reset())));
        }
        self.network.calls.fetch_add(1, Ordering::Relaxed);
        if let Some(codec) = &self.codec {
            return codec.handle(call);
        }
        let wait = self.listener.server.answer_over(self.network.latency, call);
        Box::pin(async move { wait.await.unwrap_or_else(|_| Err(connection_reset())) })
    }
}

/// The generated client over the generated server, one pair an API.
struct Codec {
    clients: Vec<(&'static str, SharedHandler)>,
}

impl Codec {
    fn new(server: &Arc<Server>, latency: Span) -> Self {
        let entrance: SharedHandler = Arc::new(Entrance { server: Arc::clone(server), latency });
        let clients = server
            .apis()
            .iter()
            .map(|(api, _)| (api.name, (api.connect)((api.serve)(Arc::clone(&entrance)))));
        Codec { clients: clients.collect() }
    }

    fn handle(&self, call: Call) -> CallFuture {
        match self.clients.iter().find(|(name, _)| *name == call.method.service) {
            Some((_, client)) => client.handle(call),
            None => Box::pin(std::future::ready(Err(tonic::Status::unimplemented(call.method.path)))),
        }
    }
}

/// DNS without packets: a question straight to the authority, one round trip away.
struct SimDns(Arc<SimNetwork>);

impl dns::DnsTransport for SimDns {
    fn ask<'a>(&'a self, question: &'a Question, _over_tcp: bool) -> BoxFuture<'a, Result<Answer, DnsError>> {
        Box::pin(async move {
            let authority = lock(&self.0.names).clone();
            Clock::virtual_time().sleep(self.0.latency * 2).await;
            match authority {
                Some((_, authority)) => authority.reply(question).await,
                // Nobody listens on a UDP port: nothing comes back, and the resolver's time-out decides.
                None => std::future::pending().await,
            }
        })
    }
}
