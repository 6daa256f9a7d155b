//! What is settled before a fleet is launched: addresses, load, and what the speed does to short timers.

use std::net::{Ipv4Addr, SocketAddr};

use eastfall_fabric::network::directory::DEFAULT_NETWORK;
use eastfall_topology::time::Span;
use eastfall_topology::{ParamValue, Retry, Topology};
use tokio::net::TcpListener;

use crate::failure::Failure;

/// Networks that fleets may use beside one another.
const NETWORKS: u8 = 20;

/// RPCs a second of wall time that one core carries with so much room to spare that queueing for the processor stays far
/// below the callers' time-outs, callers, proxies and servers together (ours; `cargo bench -p eastfall --bench rpcs`
/// says how many it carries at most).
const RPCS_PER_CORE: f64 = 600.0;

/// RPCs that one request of a customer makes on its way through a balancer to a storage node, roughly.
const RPCS_PER_REQUEST: f64 = 2.0;

/// Wall time below which a timer is at the mercy of the runtime's 1 ms tick and the cost of a call.
const SHORT: f64 = 0.010;

/// Takes the first network of which nobody has the lab's address, by listening there.
///
/// # Errors
/// If there is none: something else has the port on all of them.
pub(super) async fn take_network(port: u16) -> Result<(u8, TcpListener), Failure> {
    let mut last = String::new();
    for network in DEFAULT_NETWORK..DEFAULT_NETWORK + NETWORKS {
        let address = SocketAddr::from((Ipv4Addr::new(127, network, 0, 1), port));
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok((network, listener)),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(Failure(format!(
        "port {port} can't be listened on at any of the lab's loopback addresses ({last}); choose another one with \
         --set region.port=N"
    )))
}

/// The share of the full load that this machine can carry at a speed, at most 1.
pub(super) fn fitting_load(topology: &Topology, speed: f64) -> f64 {
    let rate = |params: &eastfall_topology::Params| match params.get("rate") {
        Some(ParamValue::Float(rate)) => *rate,
        _ => 0.0,
    };
    let customers: f64 = topology.services.values().map(|service| rate(&service.params)).sum();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
    let fits = cores * RPCS_PER_CORE / (customers * RPCS_PER_REQUEST * speed).max(1e-9);
    // Two digits are enough, and read better.
    if fits >= 1.0 { 1.0 } else { ((fits * 100.0).floor() / 100.0).max(0.01) }
}

/// The timers that last less than [`SHORT`] on the wall at this speed, by key.
pub(super) fn short_timers(topology: &Topology, speed: f64) -> Vec<String> {
    let mut short = Vec::new();
    for service in topology.services.values() {
        for edge in service.calls.values() {
            let base = format!("service.{}.calls.{}", service.name, edge.callee);
            let policy = &edge.policy;
            let mut check = |key: &str, span: Option<Span>| {
                let wall = span.map(|span| span.as_secs_f64() / speed);
                if let (Some(span), Some(wall)) = (span, wall.filter(|wall| *wall > 0.0 && *wall < SHORT)) {
                    short.push(format!("{base}.{key} = {span} ({:.1} ms of the wall)", wall * 1e3));
                }
            };
            check("timeout", policy.timeout);
            check("deadline", policy.deadline);
            check("retry.base-delay", policy.retry.as_ref().map(|retry: &Retry| retry.base_delay));
            check("connections.connect-timeout", Some(policy.connections.connect_timeout));
        }
        if let Some(capacity) = &service.capacity {
            let mean = capacity.service_time.mean();
            let wall = mean.as_secs_f64() / speed;
            if wall > 0.0 && wall < SHORT {
                short.push(format!(
                    "service.{}.service-time = {mean} ({:.2} ms of the wall)",
                    service.name,
                    wall * 1e3
                ));
            }
        }
    }
    short
}
