//! Network Load Balancer: targets behind nodes in several zones, and a health-check subsystem that takes what fails its
//! checks out of service.
//!
//! A load balancer is a name in DNS that leads to the nodes of its zones; a node passes each connection on to one of the
//! targets that the checks have found sound. **The failure it reproduces**: targets whose network state has not arrived
//! fail their checks now and then, depending on the path a check takes. A check without an answer holds its checker for the
//! whole time-out, and every change of a verdict makes more work; so checks of sound targets come late, which counts as
//! failing, and the share of failing targets takes whole zones out of DNS. Sound capacity leaves service, and what is left
//! can't carry the load.
//!
//! | kind | file |
//! |---|---|
//! | `nlb-health`, the control API and the health checks | [`health`] |
//! | `nlb`, the nodes of a zone | [`node`] |

pub mod client;
pub mod health;
pub mod node;
#[cfg(test)]
mod tests;

use eastfall_fabric::world::StartError;
use eastfall_topology::Topology;

use node::NodeParams;

/// The domain of the errors' names.
const DOMAIN: &str = "elasticloadbalancing.amazonaws.com";

/// A name of DNS that the nodes stand behind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Balancer {
    /// As the API names it.
    name: String,
    /// Its name in DNS.
    host: String,
    /// The hosted zone that this name is in.
    hosted_zone: String,
    /// Which of a node's addresses it leads to.
    address: usize,
    /// The provider's own service behind it, to which connections are forwarded; none: EC2 instances.
    service: Option<String>,
}

/// Every load balancer: customers' by their names, then one for each service that the nodes forward to.
fn balancers(
    topology: &Topology,
    customers: &[String],
    nodes: &NodeParams,
) -> Result<Vec<Balancer>, StartError> {
    let elb = format!("elb.{}.amazonaws.com", topology.region.name);
    let own = customers.iter().map(|name| {
        Ok(Balancer {
            name: name.clone(),
            host: format!("{name}.{elb}"),
            hosted_zone: elb.clone(),
            address: 0,
            service: None,
        })
    });
    let forwards = nodes.forwards.iter().enumerate().map(|(position, forward)| {
        let (host, service) = forward.split_once('=').ok_or_else(|| {
            StartError(format!("forwards: `{forward}` is not NAME=SERVICE, a name in DNS and a service"))
        })?;
        let (host, service) = (host.trim().to_owned(), service.trim().to_owned());
        if !topology.services.contains_key(&service) {
            return Err(StartError(format!("forwards: there is no service `{service}` in the topology")));
        }
        let hosted_zone = host.clone();
        Ok(Balancer {
            name: service.clone(),
            host,
            hosted_zone,
            address: position + 1,
            service: Some(service),
        })
    });
    own.chain(forwards).collect()
}

/// The zone in an instance's name: what is left without the service's.
fn zone_name(service: &str, instance: &str) -> String {
    instance.strip_prefix(service).unwrap_or(instance).trim_start_matches('-').to_owned()
}
