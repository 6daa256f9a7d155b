//! Where an edge leads: from a name or the directory to an address, and to a connection there.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use eastfall_topology::time::Moment;
use eastfall_topology::{Connections, Edge};
use rand::RngExt as _;
use tonic::Status;

use crate::call::{Call, CallFuture, Handler};
use crate::dns::resolver::Resolver;
use crate::dns::{RecordData, RecordType, ResponseCode};
use crate::network::faulty;
use crate::network::pool::{Lease, Pool};
use crate::rng::Rng;
use crate::world::World;

/// The way of one host to one service.
pub(crate) struct Route {
    world: World,
    resolver: Option<Arc<Resolver>>,
    edge: ArcSwap<Edge>,
    peers: Vec<Ipv4Addr>,
    /// Dialled by instance: neither names nor a choice among instances.
    by_instance: bool,
    pool: Pool,
    rng: Mutex<Rng>,
}

/// A route as a handler of calls: what lies beneath an edge's policies.
pub(crate) struct Transport(pub(crate) Arc<Route>);

impl Handler for Transport {
    fn handle(&self, call: Call) -> CallFuture {
        let route = Arc::clone(&self.0);
        Box::pin(async move {
            let lease = route.connection().await?;
            let region = route.world.region();
            if region.faults.is_empty() {
                return lease.connection.handle(call).await;
            }
            let peer = region.directory.instance_at(lease.address).unwrap_or_default();
            faulty::call(&route.world, &route.edge.load().callee, peer, &lease.connection, call).await
        })
    }
}

impl Route {
    pub(crate) fn new(
        world: &World,
        resolver: Option<Arc<Resolver>>,
        edge: Edge,
        peers: Vec<Ipv4Addr>,
        by_instance: bool,
        rng: Rng,
    ) -> Arc<Self> {
        let pool = Pool::new(rng.clone());
        let (edge, rng) = (ArcSwap::from_pointee(edge), Mutex::new(rng));
        Arc::new(Route { world: world.clone(), resolver, edge, peers, by_instance, pool, rng })
    }

    /// Puts other settings of the edge in force.
    pub(crate) fn change(&self, edge: &Edge) {
        self.edge.store(Arc::new(edge.clone()));
    }

    /// Has the host's resolver believe answers for as long as the topology says now.
    pub(crate) fn change_resolver(&self, limits: &eastfall_topology::Resolver) {
        if let Some(resolver) = &self.resolver {
            resolver.change(limits.clone());
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.world.now()
    }

    pub(crate) fn connections(&self) -> usize {
        self.pool.len()
    }

    /// A connection to make a call on: one that is open, or a new one.
    async fn connection(&self) -> Result<Lease, Status> {
        // The guard of the swap ends here: it must not be held while waiting.
        let (only, open) = self.open_connection(&self.edge.load())?;
        match open {
            Some(lease) => Ok(lease),
            // Boxed, since most calls find one open and all would have the size of this future.
            None => Box::pin(self.new_connection(&self.edge.load_full(), only)).await,
        }
    }

    /// The name under which the edge finds its callee, if it does by name.
    fn name<'edge>(&self, edge: &'edge Edge) -> Option<&'edge str> {
        edge.endpoint.as_deref().filter(|_| !self.by_instance && !edge.static_addresses)
    }

    /// Where the call must go, if not anywhere under the name, and an open connection that leads there.
    fn open_connection(&self, edge: &Edge) -> Result<(Option<Ipv4Addr>, Option<Lease>), Status> {
        // By name, any connection that was made under the name will do; by directory, each call goes to an instance
        // of its own choice.
        let only = if self.name(edge).is_some() { None } else { Some(self.any_peer(edge)?) };
        let settings = &edge.policy.connections;
        Ok((only, self.pool.lend(self.now(), settings, only, settings.per_peer)))
    }

    async fn new_connection(&self, edge: &Edge, only: Option<Ipv4Addr>) -> Result<Lease, Status> {
        let settings = &edge.policy.connections;
        let lend = |at_least| self.pool.lend(self.now(), settings, only, at_least);
        let _turn = if settings.reuse { Some(self.pool.opening.lock().await) } else { None };
        // Whoever had the turn before may have opened what is needed.
        if let Some(lease) = lend(settings.per_peer) {
            return Ok(lease);
        }
        match self.open(edge, settings, self.name(edge), only).await {
            Ok(lease) => Ok(lease),
            // Fewer connections than wanted are better than none.
            Err(error) => lend(1).ok_or(error),
        }
    }

    async fn open(
        &self,
        edge: &Edge,
        settings: &Connections,
        name: Option<&str>,
        only: Option<Ipv4Addr>,
    ) -> Result<Lease, Status> {
        let address = match (name, only) {
            (Some(name), _) => self.resolve(name).await?,
            (None, Some(address)) => address,
            (None, None) => self.any_peer(edge)?,
        };
        let region = self.world.region();
        let peer = region.directory.instance_at(address).unwrap_or_default();
        let caller = self.world.instance();
        let cut_off = region.faults.cut(&caller.name, &caller.service, peer, &edge.callee);
        let connecting = async {
            if cut_off {
                std::future::pending::<()>().await;
            }
            self.world.backend().connect(address).await
        };
        let refused = |why: String| {
            Status::unavailable(format!("no connection to {} at {address}: {why}", edge.callee))
        };
        match self.world.clock().timeout(settings.connect_timeout, connecting).await {
            Ok(Ok(connection)) => Ok(self.pool.add(self.now(), settings, address, connection)),
            Ok(Err(error)) => Err(refused(error.to_string())),
            Err(_) => Err(refused(format!("nothing answered within {}", settings.connect_timeout))),
        }
    }

    /// One of the addresses that a name has now.
    async fn resolve(&self, name: &str) -> Result<Ipv4Addr, Status> {
        // Not formatted: in a blackout most calls end here.
        let unresolved = |why: &str| Status::unavailable([name, " can't be resolved: ", why].concat());
        let resolver =
            self.resolver.as_ref().ok_or_else(|| unresolved("the topology has no region.dns-service"))?;
        let answer =
            resolver.resolve(name, RecordType::A).await.map_err(|error| unresolved(&error.to_string()))?;
        let addresses: Vec<Ipv4Addr> = answer
            .records
            .iter()
            .filter_map(|record| if let RecordData::A(address) = record.data { Some(address) } else { None })
            .collect();
        self.pick(&addresses).ok_or_else(|| {
            unresolved(match answer.code {
                ResponseCode::NxDomain => "NxDomain with zero answers",
                // Other codes are no answers to the resolver.
                _ => "NoError with zero answers",
            })
        })
    }

    fn any_peer(&self, edge: &Edge) -> Result<Ipv4Addr, Status> {
        self.pick(&self.peers)
            .ok_or_else(|| Status::unavailable(format!("service {} has no instance", edge.callee)))
    }

    fn pick(&self, addresses: &[Ipv4Addr]) -> Option<Ipv4Addr> {
        if let [address] = addresses {
            return Some(*address);
        }
        if addresses.is_empty() {
            return None;
        }
        let pick = self.rng.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..addresses.len());
        addresses.get(pick).copied()
    }
}
