//! Which droplet lives in which zone, and which host of DWFM is in charge of it.

use eastfall_topology::Topology;

use super::droplets::DropletsParams;

/// Zones, hosts and droplets of a topology. Zones are the instances of the droplets' service; each has the same number
/// of DWFM hosts, in the order of the file, and a zone's droplets go to its hosts in turn.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The names of the zones.
    pub(super) zones: Vec<String>,
    hosts_in_zone: u32,
    droplets: u32,
}

/// A droplet by the number it has with its host.
pub(super) type Local = u32;

impl Layout {
    /// The layout of a topology with these services.
    ///
    /// # Errors
    /// If DWFM's hosts can't be shared out evenly among the zones.
    pub(super) fn new(topology: &Topology, dwfm: &str, droplets: &str) -> Result<Layout, String> {
        let service = |name: &str| {
            topology.services.get(name).ok_or_else(|| format!("there is no service `{name}` in the topology"))
        };
        let (dwfm, droplets) = (service(dwfm)?, service(droplets)?);
        let (hosts, zones) = (dwfm.instances.len(), droplets.instances.len());
        if zones == 0 || !hosts.is_multiple_of(zones) || hosts == 0 {
            return Err(format!(
                "service {} has {hosts} instances and {} has {zones}: every zone needs the same number of hosts",
                dwfm.name, droplets.name
            ));
        }
        let zone_name = |instance: &String| {
            let suffix = instance.strip_prefix(&droplets.name).unwrap_or(instance);
            suffix.trim_start_matches('-').to_owned()
        };
        Ok(Layout {
            zones: droplets.instances.iter().map(zone_name).collect(),
            hosts_in_zone: (hosts / zones) as u32,
            droplets: DropletsParams::from(&droplets.params).count,
        })
    }

    /// How many droplets a zone has.
    pub(super) fn droplets_in(&self, zone: usize) -> u32 {
        let zones = self.zones.len() as u32;
        self.droplets / zones + u32::from((zone as u32) < self.droplets % zones)
    }

    /// The zone of a host.
    pub(super) fn zone_of(&self, host: usize) -> usize {
        host / self.hosts_in_zone as usize
    }

    /// The hosts of a zone.
    pub(super) fn hosts_of(&self, zone: usize) -> std::ops::Range<usize> {
        let hosts = self.hosts_in_zone as usize;
        zone * hosts..(zone + 1) * hosts
    }

    /// The host in charge of a droplet.
    pub(super) fn host_of(&self, zone: usize, droplet: u32) -> usize {
        zone * self.hosts_in_zone as usize + (droplet % self.hosts_in_zone) as usize
    }

    /// How many droplets a host is in charge of.
    pub(super) fn owned_by(&self, host: usize) -> u32 {
        let offset = host as u32 % self.hosts_in_zone;
        self.droplets_in(self.zone_of(host)).saturating_sub(offset).div_ceil(self.hosts_in_zone)
    }

    /// A host's droplet by its number in the zone; none if another host is in charge of it.
    pub(super) fn local(&self, host: usize, droplet: u32) -> Option<Local> {
        let zone = self.zone_of(host);
        let owned = droplet < self.droplets_in(zone) && self.host_of(zone, droplet) == host;
        owned.then_some(droplet / self.hosts_in_zone)
    }

    /// The number in the zone of a host's droplet.
    pub(super) fn droplet(&self, host: usize, local: Local) -> u32 {
        local * self.hosts_in_zone + host as u32 % self.hosts_in_zone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_droplet_has_one_host_and_numbers_go_there_and_back() {
        for (zones, hosts_in_zone, droplets) in [(1, 1, 7), (3, 2, 10_000), (3, 4, 31), (2, 3, 2)] {
            let names = (0..zones).map(|zone| zone.to_string()).collect();
            let layout = Layout { zones: names, hosts_in_zone, droplets };
            let (mut owned, mut placed) = (0, 0);
            for zone in 0..zones {
                placed += layout.droplets_in(zone);
                for host in layout.hosts_of(zone) {
                    owned += layout.owned_by(host);
                    for local in 0..layout.owned_by(host) {
                        let droplet = layout.droplet(host, local);
                        assert_eq!(layout.local(host, droplet), Some(local), "{layout:?}");
                        assert_eq!(layout.host_of(zone, droplet), host, "{layout:?}");
                    }
                }
            }
            assert_eq!((owned, placed), (droplets, droplets), "{layout:?}");
        }
    }
}
