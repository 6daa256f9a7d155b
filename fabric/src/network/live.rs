//! The live back end: HTTP/2 over TCP on loopback, and DNS over UDP and TCP.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use eastfall_topology::time::Span;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tonic::Status;
use tonic::service::RoutesBuilder;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt as _;

use crate::call::{Call, CallFuture, Handler, SharedHandler, Wire, WireError};
use crate::disk::{Disk, DiskError};
use crate::dns;
use crate::network::server::{Entrance, Server, connection_reset};
use crate::network::{ConnectError, Connection, Forwarder};
use crate::world::{Backend, StartError};

mod forwarding;

/// Sockets, files and tasks of one instance, which has this process to itself.
#[derive(Debug)]
pub struct LiveBackend {
    /// The port on which all APIs listen.
    pub port: u16,
    /// The region's name server.
    pub name_server: Option<SocketAddr>,
    /// The port on which it listens.
    pub dns_port: u16,
    /// Where this instance's durable stores are.
    pub disks: PathBuf,
}

impl Backend for LiveBackend {
    #[expect(clippy::disallowed_methods, reason = "this is where the world's tasks start when it is live")]
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn connect(&self, to: Ipv4Addr) -> BoxFuture<'_, Result<Arc<dyn Connection>, ConnectError>> {
        let uri = format!("http://{to}:{}", self.port);
        Box::pin(async move {
            let endpoint = Endpoint::try_from(uri).map_err(|error| ConnectError(error.to_string()))?;
            let channel =
                endpoint.tcp_nodelay(true).connect().await.map_err(|error| ConnectError(chain(&error)))?;
            Ok(Arc::new(LiveConnection::new(channel)) as Arc<dyn Connection>)
        })
    }

    fn listen(&self, on: &[Ipv4Addr], server: Arc<Server>) -> BoxFuture<'_, Result<(), StartError>> {
        let addresses: Vec<SocketAddr> =
            on.iter().map(|address| SocketAddr::from((*address, self.port))).collect();
        Box::pin(async move {
            let mut routes = RoutesBuilder::default();
            add_health_and_reflection(&mut routes, &server).await?;
            let entrance: SharedHandler =
                Arc::new(Entrance { server: Arc::clone(&server), latency: Span::ZERO });
            for (api, _) in server.apis() {
                (api.add)(&mut routes, Arc::clone(&entrance));
            }
            let routes = routes.routes();
            for address in addresses {
                let incoming = TcpIncoming::bind(address).map_err(|error| {
                    StartError(format!(
                        "{address} can't be listened on: {error}; is another fleet running there?"
                    ))
                })?;
                let serving = tonic::transport::Server::builder()
                    .add_routes(routes.clone())
                    // Without this, Nagle's algorithm and delayed acknowledgements add 40 ms to some calls.
                    .serve_with_incoming(incoming.with_nodelay(Some(true)));
                self.spawn(Box::pin(async move {
                    if let Err(error) = serving.await {
                        tracing::error!(%address, error = chain(&error), "the server stopped");
                    }
                }));
            }
            Ok(())
        })
    }

    fn forward(
        &self,
        on: &[Ipv4Addr],
        forwarder: Arc<dyn Forwarder>,
    ) -> BoxFuture<'_, Result<(), StartError>> {
        let addresses: Vec<SocketAddr> =
            on.iter().map(|address| SocketAddr::from((*address, self.port))).collect();
        Box::pin(async move {
            for address in addresses {
                let listener = TcpListener::bind(address).await.map_err(|error| {
                    StartError(format!(
                        "{address} can't be listened on: {error}; is another fleet running there?"
                    ))
                })?;
                self.spawn(Box::pin(forwarding::run(listener, Arc::clone(&forwarder), self.port)));
            }
            Ok(())
        })
    }

    fn dns_transport(&self) -> Option<Arc<dyn dns::DnsTransport>> {
        let server = self.name_server?;
        Some(Arc::new(dns::live::SocketTransport::new(server)))
    }

    fn listen_dns(
        &self,
        on: Ipv4Addr,
        authority: Arc<dyn dns::Authority>,
    ) -> BoxFuture<'_, Result<(), StartError>> {
        let address = SocketAddr::from((on, self.dns_port));
        Box::pin(async move {
            let server = dns::live::NameServer::start(address, authority).await.map_err(|error| {
                StartError(format!(
                    "DNS on {address} can't be served: {error}; is another fleet running there?"
                ))
            })?;
            // It answers for as long as somebody holds it.
            self.spawn(Box::pin(async move {
                let _server = server;
                std::future::pending::<()>().await;
            }));
            Ok(())
        })
    }

    fn disk(&self, name: &str) -> Result<Disk, DiskError> {
        Disk::open(&self.disks.join(name))
    }
}

/// Every service tells a stranger's client that it is well, and what can be called.
async fn add_health_and_reflection(routes: &mut RoutesBuilder, server: &Server) -> Result<(), StartError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    for (api, _) in server.apis() {
        health.set_service_status(api.name, tonic_health::ServingStatus::Serving).await;
    }
    routes.add_service(health_service);
    let reflection = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(eastfall_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        server.apis().iter().fold(builder, |builder, (api, _)| builder.with_service_name(api.name))
    };
    let error =
        |error: tonic_reflection::server::Error| StartError(format!("reflection can't be served: {error}"));
    routes.add_service(reflection().build_v1().map_err(error)?);
    // What Python's and grpcurl's older clients ask for.
    routes.add_service(reflection().build_v1alpha().map_err(error)?);
    Ok(())
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

/// One TCP connection that speaks HTTP/2.
struct LiveConnection {
    wire: Wire,
    open: Arc<AtomicBool>,
    /// The generated clients, made when an API is first called.
    clients: Mutex<BTreeMap<&'static str, SharedHandler>>,
}

impl LiveConnection {
    fn new(channel: Channel) -> Self {
        let wire = Wire::new(channel.map_err(|error| WireError(error.into())));
        LiveConnection { wire, open: Arc::new(AtomicBool::new(true)), clients: Mutex::default() }
    }

    fn client(&self, service: &str) -> Option<SharedHandler> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(service) {
            return Some(Arc::clone(client));
        }
        let api = eastfall_proto::APIS.iter().find(|api| api.name == service)?;
        let client = (api.connect)(self.wire.clone());
        clients.insert(api.name, Arc::clone(&client));
        Some(client)
    }
}

impl Connection for LiveConnection {
    fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }
}

impl Handler for LiveConnection {
    fn handle(&self, call: Call) -> CallFuture {
        let Some(client) = self.client(call.method.service) else {
            return Box::pin(std::future::ready(Err(Status::unimplemented(call.method.path))));
        };
        let open = Arc::clone(&self.open);
        Box::pin(async move {
            let outcome = client.handle(call).await;
            match outcome {
                Err(status) if is_transport_error(&status) => {
                    // The channel would connect again by itself, past the pool and the resolver.
                    open.store(false, Ordering::Relaxed);
                    tracing::debug!(cause = chain(&status), "a connection broke");
                    Err(connection_reset())
                }
                outcome => outcome,
            }
        })
    }
}

/// True if the wire failed, rather than the service at its end.
fn is_transport_error(status: &Status) -> bool {
    std::iter::successors(std::error::Error::source(status), |cause| cause.source())
        .any(|cause| cause.is::<tonic::transport::Error>() || cause.is::<WireError>())
}
