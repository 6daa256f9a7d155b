//! The caller's side: hosts, and typed calls on their edges.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use eastfall_topology::Topology;
use eastfall_topology::time::Moment;
use tonic::Status;

use crate::call::{Call, Context, Outcome, Rpc};
use crate::dns::resolver::Resolver;
use crate::network::route::{Route, Transport};
use crate::policy::{EdgeTracing, Observer, Stack};
use crate::rng::stream;
use crate::world::{Watcher, World};

/// Why there is no client for a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The topology has no such edge.
    #[error(
        "service {caller} has no edge to {callee}; add [service.{caller}.calls.{callee}] to the topology"
    )]
    NoEdge {
        /// The service that dials.
        caller: String,
        /// The service that is dialled.
        callee: String,
    },
    /// The service does not live at this address.
    #[error("service {callee} has no address {address}")]
    NoAddress {
        /// The service that is dialled.
        callee: String,
        /// The address that was asked for.
        address: Ipv4Addr,
    },
    /// The service has no instance of this number.
    #[error("service {callee} has no instance number {index}")]
    NoInstance {
        /// The service that is dialled.
        callee: String,
        /// The number that was asked for.
        index: usize,
    },
}

/// A machine that makes calls: one resolver cache, and connections and policies per edge.
///
/// Policies have the scope of a host: a retry budget, a breaker or a rate limit counts the calls of one host on one
/// edge, and of nobody else (PHYSICS, trap 6).
#[derive(Clone)]
pub struct Host(Arc<HostInner>);

struct HostInner {
    world: World,
    name: String,
    resolver: Option<Arc<Resolver>>,
    edges: Mutex<BTreeMap<String, Edges>>,
}

/// The edges of a host to one service, by whom exactly was dialled.
type Edges = BTreeMap<Whom, Arc<EdgeClient>>;

/// Who is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    /// Any instance, by name if the edge has an endpoint.
    Any,
    /// The instance of this number, at any of its addresses.
    Instance(usize),
    /// Whoever lives at this address.
    Address(Ipv4Addr),
}

impl Host {
    pub(crate) fn new(world: World, name: &str) -> Self {
        let settings = world.service(|service| service.resolver.clone()).unwrap_or_default();
        let resolver = world.backend().dns_transport().map(|transport| {
            let (faults, instance) = (world.region().faults.clone(), world.instance());
            Arc::new(Resolver::new(
                world.clock(),
                settings,
                transport,
                faults,
                &instance.name,
                &instance.service,
            ))
        });
        Host(Arc::new(HostInner { world, name: name.to_owned(), resolver, edges: Mutex::default() }))
    }

    /// A client for a service, through this host.
    ///
    /// # Errors
    /// If the topology has no such edge.
    pub fn dial(&self, callee: &str) -> Result<Client, DialError> {
        self.client(callee, Whom::Any)
    }

    /// A client for one instance of a service, through this host.
    ///
    /// # Errors
    /// If the topology has no such edge, or the service no such instance.
    pub fn dial_instance(&self, callee: &str, index: usize) -> Result<Client, DialError> {
        self.client(callee, Whom::Instance(index))
    }

    /// A client for one address of a service, through this host: instances can have several, not all of which need
    /// lead to the same.
    ///
    /// # Errors
    /// If the topology has no such edge, or the service no such address.
    pub fn dial_address(&self, callee: &str, address: Ipv4Addr) -> Result<Client, DialError> {
        self.client(callee, Whom::Address(address))
    }

    fn client(&self, callee: &str, whom: Whom) -> Result<Client, DialError> {
        let mut edges = self.0.edges.lock().unwrap_or_else(PoisonError::into_inner);
        let known = edges.get(callee).and_then(|edges| edges.get(&whom)).cloned();
        let edge = match known {
            Some(edge) => edge,
            None => {
                let edge = self.make(callee, whom)?;
                edges.entry(callee.to_owned()).or_default().insert(whom, Arc::clone(&edge));
                edge
            }
        };
        Ok(Client { edge, context: Context::default() })
    }

    fn make(&self, callee: &str, whom: Whom) -> Result<Arc<EdgeClient>, DialError> {
        let world = &self.0.world;
        let caller = &world.instance().service;
        let settings = world
            .service(|service| service.calls.get(callee).cloned())
            .flatten()
            .ok_or_else(|| DialError::NoEdge { caller: caller.clone(), callee: callee.to_owned() })?;
        let directory = &world.region().directory;
        let peers = match whom {
            Whom::Any => directory.of_service(callee),
            Whom::Instance(index) => {
                let instance = directory.instances_of(callee).get(index);
                let none = || DialError::NoInstance { callee: callee.to_owned(), index };
                directory.of_instance(instance.ok_or_else(none)?).to_vec()
            }
            Whom::Address(address) => {
                if !directory.of_service(callee).contains(&address) {
                    return Err(DialError::NoAddress { callee: callee.to_owned(), address });
                }
                vec![address]
            }
        };
        // Streams are named by host and edge, so that one host's luck is independent of another's.
        let whom_name = match whom {
            Whom::Any => String::new(),
            Whom::Instance(index) => index.to_string(),
            Whom::Address(address) => address.to_string(),
        };
        let name = format!("{}/{callee}/{whom_name}", self.0.name);
        let rng = |purpose: &str| stream(world.region().seed, &format!("{name}/{purpose}"));
        let policy = settings.policy.clone();
        let by_instance = whom != Whom::Any;
        let route =
            Route::new(world, self.0.resolver.clone(), settings, peers, by_instance, rng("connections"));
        let recorder = world.record();
        let (events, towards) = (recorder.clone(), callee.to_owned());
        let on_event = move |kind: &'static str, fields: &[(&'static str, String)]| {
            let mut all = vec![("callee", towards.clone())];
            all.extend_from_slice(fields);
            events.event(kind, &all);
        };
        let tracing = world.region().tracer().map(|tracer| EdgeTracing { tracer, callee: callee.into() });
        let observer = Observer {
            clock: world.clock(),
            recorder: recorder.edge(caller, callee),
            on_event: Some(Arc::new(on_event)),
            tracing,
        };
        let transport = Arc::new(Transport(Arc::clone(&route)));
        let stack = Stack::observed(observer, rng("policies"), &policy, transport);
        let edge =
            Arc::new(EdgeClient { caller: caller.as_str().into(), callee: callee.to_owned(), route, stack });
        let watcher: Weak<EdgeClient> = Arc::downgrade(&edge);
        world.region().watch(watcher);
        Ok(edge)
    }
}

/// A client for one service. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    edge: Arc<EdgeClient>,
    context: Context,
}

struct EdgeClient {
    caller: Arc<str>,
    callee: String,
    route: Arc<Route>,
    stack: Stack,
}

impl Watcher for EdgeClient {
    fn changed(&self, topology: &Topology) {
        let Some(service) = topology.services.get(&*self.caller) else { return };
        self.route.change_resolver(&service.resolver);
        if let Some(edge) = service.calls.get(&self.callee) {
            self.route.change(edge);
            self.stack.replace(&edge.policy);
        }
    }
}

impl Client {
    /// Calls a method and waits for the answer, under the edge's policies.
    ///
    /// # Errors
    /// The status with which the call ended after all attempts.
    pub fn call<Req, Resp>(
        &self,
        rpc: &Rpc<Req, Resp>,
        request: Req,
    ) -> impl Future<Output = Result<Resp, Status>> + Send
    where
        Req: Send + Sync + 'static,
        Resp: Clone + Send + Sync + 'static,
    {
        self.call_intended(self.edge.route.now(), rpc, request)
    }

    /// The same for a call of an open loop: its latency counts from the moment at which it was to be sent.
    ///
    /// # Errors
    /// The status with which the call ended after all attempts.
    pub fn call_intended<Req, Resp>(
        &self,
        intended: Moment,
        rpc: &Rpc<Req, Resp>,
        request: Req,
    ) -> impl Future<Output = Result<Resp, Status>> + Send
    where
        Req: Send + Sync + 'static,
        Resp: Clone + Send + Sync + 'static,
    {
        // Before there is a future, so that the request is not a part of it and of every future around it.
        let mut call = rpc.call(request);
        call.context = self.context.clone();
        async move { self.send(call, intended).await?.take() }
    }

    /// Passes a call on, with its deadline and attempt number: what a proxy does.
    ///
    /// # Errors
    /// The status with which the call ended after all attempts.
    pub async fn forward(&self, call: Call) -> Outcome {
        self.send(call, self.edge.route.now()).await
    }

    /// Sends a call that was to be sent at `intended`.
    ///
    /// # Errors
    /// The status with which the call ended after all attempts.
    pub async fn send(&self, mut call: Call, intended: Moment) -> Outcome {
        call.context.caller = Some(Arc::clone(&self.edge.caller));
        self.edge.stack.call(call, intended).await
    }

    /// This client for calls made on behalf of another call: they inherit its deadline, and its attempt number counts
    /// towards theirs.
    pub fn within(&self, context: &Context) -> Client {
        Client { edge: Arc::clone(&self.edge), context: context.clone() }
    }

    /// Open connections that the client holds.
    pub fn connections(&self) -> usize {
        self.edge.route.connections()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({} -> {})", self.edge.caller, self.edge.callee)
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Host({})", self.0.name)
    }
}
