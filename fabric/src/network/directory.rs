//! Who lives at which loopback address.
//!
//! Every instance has addresses of its own (a load balancer's host several), all taking calls on the region's one
//! port, so that a DNS answer decides where a connection really goes. The addresses follow from the topology alone:
//! every process of a fleet, and the simulator, work out the same ones.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use eastfall_topology::Topology;

/// The second octet of all addresses unless another fleet uses it: 127.41.0.0/16.
pub const DEFAULT_NETWORK: u8 = 41;

/// Addresses by instance, and instances by address.
#[derive(Clone, Debug)]
pub struct Directory {
    network: u8,
    by_instance: BTreeMap<String, Vec<Ipv4Addr>>,
    instances_of: BTreeMap<String, Vec<String>>,
    by_address: BTreeMap<Ipv4Addr, String>,
    service_of: BTreeMap<String, String>,
}

impl Directory {
    /// Works the addresses out: a service begins at a fresh third octet.
    ///
    /// # Errors
    /// If the topology needs more addresses than 127.N.0.0/16 has.
    pub fn new(topology: &Topology, network: u8) -> Result<Self, String> {
        let mut directory = Directory {
            network,
            by_instance: BTreeMap::new(),
            instances_of: BTreeMap::new(),
            by_address: BTreeMap::new(),
            service_of: BTreeMap::new(),
        };
        // 127.N.0.x is left to the lab itself.
        let mut next: u32 = 1 << 8;
        for service in topology.services.values() {
            next = next.next_multiple_of(1 << 8) + 1;
            for instance in &service.instances {
                let addresses = directory.by_instance.entry(instance.clone()).or_default();
                for _ in 0..service.addresses {
                    if next >= 1 << 16 {
                        return Err(format!(
                            "service {}: 127.{network}.0.0/16 has no address left",
                            service.name
                        ));
                    }
                    let address = Ipv4Addr::new(127, network, (next >> 8) as u8, next as u8);
                    addresses.push(address);
                    directory.by_address.insert(address, instance.clone());
                    next += 1;
                }
                directory.service_of.insert(instance.clone(), service.name.clone());
            }
            directory.instances_of.insert(service.name.clone(), service.instances.clone());
        }
        Ok(directory)
    }

    /// The second octet of all addresses.
    pub fn network(&self) -> u8 {
        self.network
    }

    /// The lab's own address, for its control endpoint.
    pub fn lab(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.network, 0, 1)
    }

    /// The addresses of an instance; none if there is no such instance.
    pub fn of_instance(&self, instance: &str) -> &[Ipv4Addr] {
        self.by_instance.get(instance).map_or(&[], Vec::as_slice)
    }

    /// The addresses of all instances of a service, in their order.
    pub fn of_service(&self, service: &str) -> Vec<Ipv4Addr> {
        self.instances_of(service).iter().flat_map(|instance| self.of_instance(instance)).copied().collect()
    }

    /// The instances of a service.
    pub fn instances_of(&self, service: &str) -> &[String] {
        self.instances_of.get(service).map_or(&[], Vec::as_slice)
    }

    /// The instance at an address.
    pub fn instance_at(&self, address: Ipv4Addr) -> Option<&str> {
        self.by_address.get(&address).map(String::as_str)
    }

    /// The service that an instance belongs to.
    pub fn service_of(&self, instance: &str) -> Option<&str> {
        self.service_of.get(instance).map(String::as_str)
    }
}
