//! The world: the one handle through which a service does everything that touches the outside.
//!
//! Time, randomness, tasks, dialling, serving, durable state and recording go through here and nowhere else, so that
//! the same service runs live (processes, sockets, DNS) and in virtual time. What differs lies behind [`Backend`].

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use arc_swap::ArcSwap;
use eastfall_topology::time::{Moment, Span};
use eastfall_topology::{KindSchema, Params, Service, Setting, Topology};
use futures_util::future::BoxFuture;

use crate::call::{Api, SharedHandler};
use crate::clock::{Clock, Sleep};
use crate::disk::{Disk, DiskError};
use crate::dns;
use crate::fault::FaultTable;
use crate::network::client::{Client, DialError, Host};
use crate::network::directory::Directory;
use crate::network::server::{Server, Serving};
use crate::network::{ConnectError, Connection, Forwarder};
use crate::record::{Origin, Recorder};
use crate::rng::{Rng, stream};
use crate::trace::Tracer;

/// Who an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its own name, such as `dns-enactor-c`.
    pub name: String,
    /// The service it is an instance of.
    pub service: String,
    /// What it counts under in the results.
    pub system: String,
    /// Position among the service's instances, from 0.
    pub index: usize,
}

impl Instance {
    /// Whose records these are.
    pub fn origin(&self) -> Origin {
        Origin {
            system: self.system.as_str().into(),
            service: self.service.as_str().into(),
            instance: self.name.as_str().into(),
        }
    }
}

/// A kind of service: its parameters, and how an instance of it starts.
#[derive(Clone)]
pub struct Kind {
    /// Name and parameters.
    pub schema: KindSchema,
    /// Starts an instance; it is ready to serve when this returns. What goes on after that runs in spawned tasks.
    pub start: fn(World) -> BoxFuture<'static, Result<(), StartError>>,
}

/// Why an instance did not start: one sentence for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

impl From<String> for StartError {
    fn from(sentence: String) -> Self {
        StartError(sentence)
    }
}
impl From<&str> for StartError {
    fn from(sentence: &str) -> Self {
        StartError(sentence.to_owned())
    }
}
impl From<DialError> for StartError {
    fn from(error: DialError) -> Self {
        StartError(error.to_string())
    }
}
impl From<DiskError> for StartError {
    fn from(error: DiskError) -> Self {
        StartError(error.to_string())
    }
}
impl From<tonic::Status> for StartError {
    fn from(status: tonic::Status) -> Self {
        StartError(format!("a call at start failed: {:?}: {}", status.code(), status.message()))
    }
}

/// What has a state to show at every sampling tick. Cheaper than a gauge that is set at every change, where changes are many.
pub trait Sampled: Send + Sync {
    /// Sets its gauges.
    fn say(&self);
}

/// What differs between live and virtual time.
pub trait Backend: Send + Sync + 'static {
    /// Starts a task that dies with the instance.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Opens a connection to an address.
    fn connect(&self, to: Ipv4Addr) -> BoxFuture<'_, Result<Arc<dyn Connection>, ConnectError>>;
    /// Takes calls on addresses.
    fn listen(&self, on: &[Ipv4Addr], server: Arc<Server>) -> BoxFuture<'_, Result<(), StartError>>;
    /// Passes on the connections that come in on addresses.
    fn forward(
        &self,
        on: &[Ipv4Addr],
        forwarder: Arc<dyn Forwarder>,
    ) -> BoxFuture<'_, Result<(), StartError>>;
    /// How resolvers reach the region's name server.
    fn dns_transport(&self) -> Option<Arc<dyn dns::DnsTransport>>;
    /// Answers DNS on an address.
    fn listen_dns(
        &self,
        on: Ipv4Addr,
        authority: Arc<dyn dns::Authority>,
    ) -> BoxFuture<'_, Result<(), StartError>>;
    /// A durable store of the instance.
    fn disk(&self, name: &str) -> Result<Disk, DiskError>;
}

/// What all instances of a process (live) or of a run (virtual time) share.
pub struct Region {
    /// The clock.
    pub clock: Clock,
    /// The run's seed.
    pub seed: u64,
    /// Where everybody lives.
    pub directory: Directory,
    /// The faults in force.
    pub faults: FaultTable,
    /// Time of day (local, of the incident) at the start of the run.
    pub starts_at: Span,
    tracer: OnceLock<Arc<Tracer>>,
    settings: ArcSwap<Topology>,
    /// The address of that topology: whoever holds one sees at a glance whether it is another.
    in_force: AtomicUsize,
    /// Told of every change of the settings.
    watchers: Mutex<Vec<Weak<dyn Watcher>>>,
}

/// Something that follows changes of the topology while it runs.
pub trait Watcher: Send + Sync {
    /// The topology now in force.
    fn changed(&self, topology: &Topology);
}

impl Region {
    /// A region with these settings.
    pub fn new(
        clock: Clock,
        seed: u64,
        topology: Topology,
        directory: Directory,
        starts_at: Span,
    ) -> Arc<Self> {
        let faults = FaultTable::new(stream(seed, "faults"));
        let topology = Arc::new(topology);
        let in_force = AtomicUsize::new(Arc::as_ptr(&topology) as usize);
        let settings = ArcSwap::new(topology);
        let tracer = OnceLock::new();
        Arc::new(Region {
            clock,
            seed,
            directory,
            faults,
            starts_at,
            tracer,
            settings,
            in_force,
            watchers: Mutex::default(),
        })
    }

    /// Has calls traced, of clients and servers that are made from now on. The first tracer stays.
    pub fn trace_with(&self, tracer: Arc<Tracer>) {
        let _first_stays = self.tracer.set(tracer);
    }

    /// Who traces calls, if anybody does.
    pub(crate) fn tracer(&self) -> Option<Arc<Tracer>> {
        self.tracer.get().cloned()
    }

    /// The topology in force.
    pub fn topology(&self) -> Arc<Topology> {
        self.settings.load_full()
    }

    /// Whether this is the topology in force: whoever keeps something worked out from it asks here whether that still
    /// holds.
    pub fn is_in_force(&self, topology: &Arc<Topology>) -> bool {
        self.in_force.load(Ordering::Acquire) == Arc::as_ptr(topology) as usize
    }

    /// Changes one value of the topology while it runs; policies are swapped in place.
    ///
    /// # Errors
    /// If the setting breaks a rule; nothing changes then.
    pub fn set(&self, setting: &Setting) -> Result<(), eastfall_topology::Problems> {
        let changed = Arc::new(self.topology().with(setting)?);
        self.settings.store(Arc::clone(&changed));
        self.in_force.store(Arc::as_ptr(&changed) as usize, Ordering::Release);
        let watchers: Vec<_> = {
            let mut watchers = lock(&self.watchers);
            watchers.retain(|watcher| watcher.strong_count() > 0);
            watchers.iter().filter_map(Weak::upgrade).collect()
        };
        for watcher in watchers {
            watcher.changed(&changed);
        }
        Ok(())
    }

    /// Has a watcher told of every change from now on, as long as it lives.
    pub fn watch(&self, watcher: Weak<dyn Watcher>) {
        lock(&self.watchers).push(watcher);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An instance's handle on everything outside it. Cheap to clone.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    instance: Instance,
    region: Arc<Region>,
    backend: Arc<dyn Backend>,
    recorder: Recorder,
    host: Mutex<Option<Host>>,
    servers: Mutex<Vec<Weak<Server>>>,
    sampled: Mutex<Vec<Weak<dyn Sampled>>>,
}

impl World {
    /// The world as one instance sees it.
    pub fn new(
        instance: Instance,
        region: Arc<Region>,
        backend: Arc<dyn Backend>,
        recorder: Recorder,
    ) -> Self {
        World(Arc::new(Inner {
            instance,
            region,
            backend,
            recorder,
            host: Mutex::default(),
            servers: Mutex::default(),
            sampled: Mutex::default(),
        }))
    }

    /// Who this instance is.
    pub fn instance(&self) -> &Instance {
        &self.0.instance
    }

    /// What the instance shares with the others.
    pub fn region(&self) -> &Arc<Region> {
        &self.0.region
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.0.backend
    }

    /// The clock.
    pub fn clock(&self) -> Clock {
        self.0.region.clock
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        self.clock().now()
    }

    /// Waits for a span of incident time.
    pub fn sleep(&self, span: Span) -> Sleep {
        self.clock().sleep(span)
    }

    /// The local time of day at a moment, since midnight.
    pub fn time_of_day(&self, moment: Moment) -> Span {
        let day = Span::from_secs(86_400).as_nanos();
        Span::from_nanos((self.0.region.starts_at + moment.since_start()).as_nanos() % day)
    }

    /// A stream of random numbers of this instance, one a purpose.
    pub fn rng(&self, purpose: &str) -> Rng {
        stream(self.0.region.seed, &format!("{}/{purpose}", self.0.instance.name))
    }

    /// The topology in force.
    pub fn topology(&self) -> Arc<Topology> {
        self.0.region.topology()
    }

    /// What a part of this instance's own entry in the topology says now.
    pub fn service<T>(&self, read: impl FnOnce(&Service) -> T) -> Option<T> {
        self.topology().services.get(&self.0.instance.service).map(read)
    }

    /// The parameters of this instance's kind that are in force. Read them again where a change while running should
    /// have an effect.
    ///
    /// # Panics
    /// If the instance's service is of another kind than `P` was declared for, which no topology file can cause.
    pub fn params<P: for<'a> From<&'a Params>>(&self) -> P {
        P::from(&self.topology().services[&self.0.instance.service].params)
    }

    /// Starts a task that dies with the instance.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.backend.spawn(Box::pin(task));
    }

    /// A client for another service, through this instance's own host: its resolver, its connections, the edge's
    /// policies.
    ///
    /// # Errors
    /// If the topology has no such edge.
    pub fn dial(&self, callee: &str) -> Result<Client, DialError> {
        self.own_host().dial(callee)
    }

    /// A client for one instance of another service, under the same policies.
    ///
    /// # Errors
    /// If the topology has no such edge or the service no such instance.
    pub fn dial_instance(&self, callee: &str, index: usize) -> Result<Client, DialError> {
        self.own_host().dial_instance(callee, index)
    }

    /// A client for one address of another service, under the same policies.
    ///
    /// # Errors
    /// If the topology has no such edge or the service no such address.
    pub fn dial_address(&self, callee: &str, address: Ipv4Addr) -> Result<Client, DialError> {
        self.own_host().dial_address(callee, address)
    }

    /// Another host of this instance, with a resolver cache and connections of its own: populations of customers are
    /// made of them.
    pub fn host(&self, name: &str) -> Host {
        Host::new(self.clone(), name)
    }

    fn own_host(&self) -> Host {
        let mut host = lock(&self.0.host);
        host.get_or_insert_with(|| Host::new(self.clone(), &self.0.instance.name)).clone()
    }

    /// Samples what has a state rather than events, before the recorder hands over.
    pub fn sample(&self) {
        let servers: Vec<_> = lock(&self.0.servers).iter().filter_map(Weak::upgrade).collect();
        let lengths: Vec<usize> = servers.iter().filter_map(|server| server.queue_length()).collect();
        if !lengths.is_empty() {
            self.record().gauge("queue", lengths.iter().sum::<usize>() as f64);
        }
        let sampled: Vec<_> = lock(&self.0.sampled).iter().filter_map(Weak::upgrade).collect();
        sampled.iter().for_each(|one| one.say());
    }

    /// Has somebody's state sampled as long as it lives.
    pub fn sample_also(&self, one: Weak<dyn Sampled>) {
        lock(&self.0.sampled).push(one);
    }

    /// Lets go of what the instance holds of itself: its end.
    pub(crate) fn close(&self) {
        lock(&self.0.host).take();
    }

    /// This instance's own addresses.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        self.0.region.directory.of_instance(&self.0.instance.name).to_vec()
    }

    /// The addresses of all instances of a service.
    pub fn addresses_of(&self, service: &str) -> Vec<Ipv4Addr> {
        self.0.region.directory.of_service(service)
    }

    /// Serves APIs on the instance's addresses, behind its capacity and queue.
    ///
    /// # Errors
    /// If an address can't be listened on.
    pub async fn serve(&self, apis: Vec<(&'static Api, SharedHandler)>) -> Result<(), StartError> {
        self.serve_with(apis, Serving::default()).await
    }

    /// The same, with service times by call or a queue of the kind's own.
    ///
    /// # Errors
    /// If an address can't be listened on.
    pub async fn serve_with(
        &self,
        apis: Vec<(&'static Api, SharedHandler)>,
        serving: Serving,
    ) -> Result<(), StartError> {
        self.serve_on(&self.addresses(), apis, serving).await
    }

    /// The same on some of the instance's addresses: the others are for something else, such as [`World::forward`].
    ///
    /// # Errors
    /// If an address can't be listened on.
    pub async fn serve_on(
        &self,
        addresses: &[Ipv4Addr],
        apis: Vec<(&'static Api, SharedHandler)>,
        serving: Serving,
    ) -> Result<(), StartError> {
        let server = Server::new(self, apis, serving);
        lock(&self.0.servers).push(Arc::downgrade(&server));
        self.0.backend.listen(addresses, server).await
    }

    /// Passes connections that come in on some of the instance's addresses on to whom the forwarder chooses, without
    /// looking into them. They break with the instance.
    ///
    /// # Errors
    /// If an address can't be listened on.
    pub async fn forward(
        &self,
        addresses: &[Ipv4Addr],
        forwarder: Arc<dyn Forwarder>,
    ) -> Result<(), StartError> {
        self.0.backend.forward(addresses, forwarder).await
    }

    /// Opens a connection to an address and closes it again: whether somebody listens there, and no more. Faults on the
    /// way to that instance apply.
    ///
    /// # Errors
    /// If nobody does; no answer at all takes for ever.
    pub async fn reach(&self, address: Ipv4Addr) -> Result<(), ConnectError> {
        let region = self.region();
        let peer = region.directory.instance_at(address).unwrap_or_default();
        let service = region.directory.service_of(peer).unwrap_or_default();
        let own = self.instance();
        if region.faults.cut(&own.name, &own.service, peer, service) {
            std::future::pending::<()>().await;
        }
        self.0.backend.connect(address).await.map(drop)
    }

    /// Answers DNS on the instance's first address.
    ///
    /// # Errors
    /// If the address can't be listened on.
    pub async fn serve_dns(&self, authority: Arc<dyn dns::Authority>) -> Result<(), StartError> {
        let address = self.addresses().first().copied().ok_or("the instance has no address")?;
        let faults = self.0.region.faults.clone();
        let authority = Arc::new(dns::fault::Faulty::new(authority, faults, self.clock()));
        self.0.backend.listen_dns(address, authority).await
    }

    /// Records what happens.
    pub fn record(&self) -> &Recorder {
        &self.0.recorder
    }

    /// A durable store of this instance.
    ///
    /// # Errors
    /// If it can't be opened.
    pub async fn disk(&self, name: &str) -> Result<Disk, DiskError> {
        self.0.backend.disk(name)
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World({})", self.0.instance.name)
    }
}
