//! RPCs per second: simulated through the whole fabric, over the shipped scenario, and live beside a bare tonic client.
//!
//! What a user can afford to try follows from the first two: a run of 28 hours is millions of RPCs, and a comparison of
//! policies is dozens of runs. The third says what the lab's own client costs over the same HTTP/2. A plain program and
//! no sampling harness, since each figure is a count over seconds: `cargo bench -p eastfall --bench rpcs`, and
//! `... -- simulated`, `-- scenario` or `-- live` for one part of the table.

#![expect(clippy::disallowed_methods, reason = "a bench measures the wall's time, on threads of its own")]
#![expect(clippy::expect_used, reason = "a bench that can't go on has nothing to say")]
#![expect(clippy::print_stdout, reason = "the table is the bench's result")]

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Instant, SystemTime};

use clap::Parser as _;
use eastfall::cli::{Cli, Command};
use eastfall::run_folder::Mode;
use eastfall::session::Session;
use eastfall::simulate::{Options, simulate};
use eastfall_fabric::clock::Clock;
use eastfall_fabric::engine::live::LiveClock;
use eastfall_fabric::engine::sim;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::network::directory::Directory;
use eastfall_fabric::network::live::LiveBackend;
use eastfall_fabric::record::Recorder;
use eastfall_fabric::simulation::{LAB, Setup, Simulation};
use eastfall_fabric::world::{Instance, Kind, Region, StartError, World};
use eastfall_fabric::{Moment, Span};
use eastfall_proto::service::service_client::ServiceClient;
use eastfall_proto::service::service_server::{Service, ServiceServer};
use eastfall_proto::service::{PerformRequest, PerformResponse, service_api};
use eastfall_topology::{Source, Topology, params};
use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

/// Calls under way at any moment, each by a caller that waits for its answer before it sends the next.
const IN_FLIGHT: u64 = 64;

/// Calls that a simulated row makes; a multiple of those in flight.
const SIMULATED: u64 = 2_000_000;

/// Calls that a live row makes; a multiple of those in flight.
const LIVE: u64 = 128_000;

/// The second octet of the live rows' addresses: no fleet's default.
const NETWORK: u8 = 93;

const NO_POLICY: &str = r#"timeout = "none""#;

/// What a careful client has, all at once.
const FULL_STACK: &str = r#"
timeout = "1s"
deadline = "5s"
propagate-deadline = true
retry = { attempts = 3, backoff = "exponential", jitter = "full", base-delay = "50ms", max-delay = "20s" }
budget = { kind = "ratio", window = "10s", min-per-second = 10, ratio = 0.2 }
breaker = { trip = "consecutive-failures", failures = 5, open-for = "30s", half-open-calls = 1 }
concurrency = { kind = "fixed", limit = 1024, queue = false }
"#;

/// A callee that answers at once, so that what is measured is the way to it and back.
const AT_ONCE: &str = r#"kind = "bench-callee""#;

/// The shipped kind for users' own graphs, with workers and a service time.
const GENERIC: &str = r#"
kind = "service"
workers = 100
service-time = { distribution = "exponential", mean = "2ms" }
operations.read = {}
"#;

params! {
    /// Calls nobody by itself: the bench calls through its world.
    pub struct CallerParams for "bench-caller" {}
}

params! {
    /// Answers at once.
    pub struct CalleeParams for "bench-callee" {}
}

fn kinds() -> Vec<Kind> {
    let mut kinds = eastfall_services::kinds();
    kinds.push(Kind { schema: CallerParams::SCHEMA, start: |_| Box::pin(async { Ok(()) }) });
    kinds.push(Kind { schema: CalleeParams::SCHEMA, start: |world| Box::pin(serve(world)) });
    kinds
}

async fn serve(world: World) -> Result<(), StartError> {
    world.serve(vec![(&service_api::API, service_api::handler(Arc::new(Answers)))]).await
}

struct Answers;

#[tonic::async_trait]
impl Service for Answers {
    async fn perform(&self, _: Request<PerformRequest>) -> Result<Response<PerformResponse>, Status> {
        Ok(Response::new(PerformResponse::default()))
    }
}

fn request() -> PerformRequest {
    PerformRequest { operation: "read".to_owned(), body: Vec::new() }
}

fn topology(latency: &str, policy: &str, callee: &str) -> Topology {
    let text = format!(
        "[region]\nname = \"bench\"\nlatency = \"{latency}\"\nport = 7493\n\
         [service.caller]\nkind = \"bench-caller\"\n[service.caller.calls.callee]\n{policy}\n\
         [service.callee]\n{callee}\n"
    );
    let schemas: Vec<_> = kinds().iter().map(|kind| kind.schema).collect();
    let source = Source { file: "bench.toml", text: &text };
    Topology::load(source, &[], &schemas, 1.0).unwrap_or_else(|problems| panic!("{problems}"))
}

fn main() {
    // Cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let asked = |part: &str| wanted.is_empty() || wanted.iter().any(|word| word == part);
    println!("{:<66} {:>10} {:>12} {:>8}", "", "RPCs/s", "one RPC", "share");
    if asked("simulated") {
        simulated();
    }
    if asked("scenario") {
        shipped_scenario();
    }
    if asked("live") {
        live();
    }
}

fn row(what: &str, rpcs: u64, seconds: f64, share: &str) {
    let (rate, each) = (rpcs as f64 / seconds, seconds * 1e6 / rpcs as f64);
    println!("{what:<66} {rate:>10.0} {each:>9.2} us {share:>8}");
}

// === In virtual time ===

fn simulated() {
    for (callee, latency, kind) in [
        ("a bare callee", "0s", AT_ONCE),
        ("a bare callee", "250us", AT_ONCE),
        ("kind service", "250us", GENERIC),
    ] {
        for (policies, policy) in [("no policies", NO_POLICY), ("full stack", FULL_STACK)] {
            let seconds = simulate_calls(topology(latency, policy, kind));
            row(&format!("simulated, {callee}, latency {latency}, {policies}"), SIMULATED, seconds, "");
        }
    }
}

/// The wall time of the simulated calls, all on this thread.
fn simulate_calls(topology: Topology) -> f64 {
    let setup = Setup { seed: 1, starts_at: Span::ZERO, codec: false };
    let simulation = Simulation::new(topology, kinds(), &setup).expect("a region");
    simulation.start_all();
    simulation.run_until(Moment::START + Span::from_secs(1));
    assert_eq!(simulation.start_failures(), Vec::<String>::new(), "everything starts");
    let client = simulation.world("caller").expect("it runs").dial("callee").expect("an edge");
    let before = simulation.calls();
    let began = Instant::now();
    for _ in 0..IN_FLIGHT {
        sim::spawn(LAB, Box::pin(keep_calling(client.clone(), SIMULATED / IN_FLIGHT)));
    }
    simulation.run_until(Moment::MAX);
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(simulation.calls() - before, SIMULATED, "every call is sent, and once");
    simulation.finish();
    seconds
}

/// One caller, with one call under way.
async fn keep_calling(client: Client, calls: u64) {
    for _ in 0..calls {
        client.call(&service_api::PERFORM, request()).await.expect("an answer");
    }
}

fn shipped_scenario() {
    let scenario = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios/2025-10-20.toml");
    let scenario = scenario.to_str().expect("a path in UTF-8");
    let Command::Run(run) = Cli::parse_from(["eastfall", "run", scenario, "--until", "00:30"]).command else {
        unreachable!("the line says run")
    };
    let session = Session::load(&run.scenario, Mode::Sim, None).unwrap_or_else(|failure| panic!("{failure}"));
    let summary =
        simulate(&session, Options::default()).unwrap_or_else(|failure| panic!("{failure}")).summary;
    row("simulated, the shipped scenario to 00:30", summary.rpcs, summary.wall_s, "");
}

// === Live ===

/// Clients on this thread, each server on one of its own, as in a fleet. The share is of what tonic does alone.
fn live() {
    let runtime = runtime();
    let fabric_at = start_server(|| async {
        let world = live_world("callee", NO_POLICY);
        serve(world.clone()).await.expect("the callee serves");
        (world.addresses()[0], world.topology().region.port).into()
    });
    let tonic_at = start_server(|| async {
        let any_port = SocketAddr::from((Ipv4Addr::new(127, NETWORK, 0, 2), 0));
        let incoming = TcpIncoming::bind(any_port).expect("a free port").with_nodelay(Some(true));
        let address = incoming.local_addr().expect("it listens");
        tokio::spawn(
            Server::builder().add_service(ServiceServer::new(Answers)).serve_with_incoming(incoming),
        );
        address
    });
    let bare = |address| {
        let channel = runtime.block_on(connect(address));
        time(&runtime, |calls| keep_calling_bare(ServiceClient::new(channel.clone()), calls))
    };
    let ours = |policy| {
        let client = live_world("caller", policy).dial("callee").expect("an edge");
        time(&runtime, |calls| keep_calling(client.clone(), calls))
    };
    let alone = bare(tonic_at);
    for (what, seconds) in [
        ("a bare tonic client and server", alone),
        ("a bare tonic client, our server", bare(fabric_at)),
        ("our client without policies, our server", ours(NO_POLICY)),
        ("our client with the full stack, our server", ours(FULL_STACK)),
    ] {
        row(&format!("live, {what}"), LIVE, seconds, &format!("{:.0} %", 100.0 * alone / seconds));
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Runs a server until the program ends, and says where it listens.
fn start_server<F: Future<Output = SocketAddr>>(start: impl FnOnce() -> F + Send + 'static) -> SocketAddr {
    let (say, hear) = mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            say.send(start().await).expect("the bench waits for it");
            std::future::pending::<()>().await;
        });
    });
    hear.recv().expect("the server starts")
}

/// The wall time of the live calls, after a few to warm up.
fn time<F: Future>(runtime: &Runtime, caller: impl Fn(u64) -> F) -> f64 {
    let all_callers = |calls| join_all((0..IN_FLIGHT).map(|_| caller(calls)));
    runtime.block_on(all_callers(50));
    let began = Instant::now();
    runtime.block_on(all_callers(LIVE / IN_FLIGHT));
    began.elapsed().as_secs_f64()
}

async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::try_from(format!("http://{address}")).expect("an address");
    endpoint.tcp_nodelay(true).connect().await.expect("a connection")
}

async fn keep_calling_bare(mut client: ServiceClient<Channel>, calls: u64) {
    for _ in 0..calls {
        client.perform(request()).await.expect("an answer");
    }
}

/// The world of one instance that has a process to itself, as `eastfall serve` makes it.
fn live_world(service: &str, policy: &str) -> World {
    let topology = topology("0s", policy, AT_ONCE);
    let name = topology.services[service].instances[0].clone();
    let instance = Instance { name, service: service.to_owned(), system: service.to_owned(), index: 0 };
    let clock = Clock::live(LiveClock::new(SystemTime::now(), 1.0));
    let backend = LiveBackend {
        port: topology.region.port,
        name_server: None,
        dns_port: topology.region.dns_port,
        disks: PathBuf::new(),
    };
    let recorder = Recorder::new(clock, instance.origin(), topology.record.histograms);
    let directory = Directory::new(&topology, NETWORK).expect("few addresses");
    let region = Region::new(clock, 1, topology, directory, Span::ZERO);
    World::new(instance, region, Arc::new(backend), recorder)
}
