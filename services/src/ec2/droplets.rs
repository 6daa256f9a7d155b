//! Kind `droplets`: the physical servers of a zone, with their agents.
//!
//! One process stands for a zone's thousands of droplets; each has its own lease and its own instances. What runs goes
//! on running whatever happens to the lease, but only a droplet with a lease takes a change. A droplet whose lease has
//! ended asks its DWFM host for another, under the policies of the edge to `dwfm`: an attempt that times out is made
//! again as that edge's `retry` says; one that is refused waits for the droplet's next turn, or as long as it is told. A
//! host that is known not to be ready is not asked ([`readiness`]). While it has a lease a droplet is a number in an
//! array; only without one does it have a task.
//!
//! The data plane ends here too ([`handlers`]): a packet arrives if the instance runs on a droplet of the zone and the
//! path that the packet takes knows the way to it, which it learns from Network Manager.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::disk::Disk;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::ec2::*;
use eastfall_proto::error::retry_delay;
use eastfall_topology::{Moment, Span};

use super::dwfm::DwfmParams;
use super::layout::Layout;
use crate::network_manager::NetworkManagerParams;
use crate::settings::{Settings, callee_of_kind};

mod readiness;

use readiness::Hosts;

mod handlers;
mod state;

use state::State;

eastfall_topology::params! {
    /// The droplets of EC2: one instance a zone.
    pub struct DropletsParams for "droplets" {
        /// Droplets of all zones together (assumption: the real number is not public; the lab's laws depend on it only
        /// through the time it takes to lease them all).
        count: u32 = 10000, range 1..=10000000, scaled by load;
        /// Instances that a droplet has room for beside those that it ran before the run (assumption: a fleet is nearly
        /// full).
        slots: u32 = 3, range 1..=10000;
        /// After an attempt that was refused, the droplet asks again at its next turn, one a period (assumption: as often
        /// as its state is checked).
        ask_again: Span = "3m", range "1s"..="1d";
        /// How often a host of DWFM is asked whether it is ready (assumption: as often as it looks for its store).
        health_check: Span = "10s", range "100ms"..="1h";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: DropletsParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// Marks a disk whose droplets were put into service before.
const IN_SERVICE: &[u8] = b"in-service";

async fn start(world: World) -> Result<(), StartError> {
    let dwfm = callee_of_kind(&world, DwfmParams::SCHEMA.name)?;
    let topology = world.topology();
    let layout = Layout::new(&topology, &dwfm, &world.instance().service)?;
    let zone = world.instance().index;
    let lease = DwfmParams::from(&topology.services[&dwfm].params).lease;
    let disk = world.disk("droplets").await?;
    let mut state = State::new(layout.droplets_in(zone) as usize);
    let mut known = false;
    let manager =
        topology.services.values().find(|service| service.kind == NetworkManagerParams::SCHEMA.name);
    // Without a Network Manager there is one path, which knows every way.
    let paths = manager.map_or(1, |manager| NetworkManagerParams::from(&manager.params).paths);
    let paths_at_start = if manager.is_some() { 0 } else { 1 };
    for (key, value) in disk.load()? {
        match read_key(&key) {
            Some((droplet, instance)) => {
                state.put(droplet, instance, value.try_into().map_or(paths_at_start, u64::from_be_bytes));
            }
            None => known = true,
        }
    }
    // A run begins in the middle of the fleet's life, with every lease in place. An agent that comes back from the dead
    // has none.
    if !known {
        disk.commit(vec![(IN_SERVICE.to_vec(), Some(Vec::new()))]).await?;
        let all: Vec<u32> = (0..state.until.len() as u32).collect();
        state.extend(all, world.now(), world.now() + lease);
    }
    let agents = Arc::new(Agents {
        settings: Settings::new(&world),
        hosts: Hosts::new(&world, &dwfm, layout.hosts_of(zone))?,
        state: Mutex::new(state),
        world: world.clone(),
        paths_at_start,
        paths,
        layout,
        zone,
        disk,
    });
    for name in ["leases-lost", "lease-attempts-refused"] {
        world.record().count(name, 0);
    }
    agents.say();
    if known {
        (0..agents.layout.droplets_in(zone)).for_each(|droplet| agents.ask(droplet));
    }
    for host in agents.layout.hosts_of(zone) {
        let checked = Arc::clone(&agents);
        world.spawn(async move { checked.keep_checking(host).await });
    }
    let watched = Arc::clone(&agents);
    world.spawn(async move { watched.watch_expiry().await });
    world.serve(vec![(&droplets_api::API, droplets_api::handler(agents))]).await
}

/// Under it lie the paths that know the way to the instance, eight bytes.
fn key(droplet: u32, instance: &str) -> Vec<u8> {
    format!("{droplet:08}/{instance}").into_bytes()
}

fn read_key(key: &[u8]) -> Option<(u32, String)> {
    let (droplet, instance) = std::str::from_utf8(key).ok()?.split_once('/')?;
    Some((droplet.parse().ok()?, instance.to_owned()))
}

/// The agents of a zone.
struct Agents {
    world: World,
    settings: Settings<DropletsParams>,
    layout: Layout,
    zone: usize,
    hosts: Hosts,
    disk: Disk,
    /// How many paths the network has.
    paths: u32,
    /// The paths that know an instance as soon as it starts.
    paths_at_start: u64,
    state: Mutex<State>,
}

impl Agents {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self) {
        let state = self.state();
        let record = self.world.record();
        record.gauge("count", state.until.len() as f64);
        record.gauge("leased", state.leased as f64);
        record.gauge("instances", state.running.len() as f64);
    }

    fn zone_name(&self) -> &str {
        &self.layout.zones[self.zone]
    }

    // === Losing leases, and asking for them ===

    async fn watch_expiry(self: Arc<Self>) {
        // Often enough that a shortened lease is noticed in time.
        const LOOK_AGAIN: Span = Span::from_secs(5);
        loop {
            let now = self.world.now();
            let lost = self.state().expired(now);
            if !lost.is_empty() {
                self.world.record().count("leases-lost", lost.len() as u64);
                self.say();
                lost.into_iter().for_each(|droplet| self.ask(droplet));
            }
            let next = self.state().expiries.peek().map_or(Moment::MAX, |Reverse((until, _))| *until);
            self.world.clock().sleep_until(next.min(now + LOOK_AGAIN)).await;
        }
    }

    /// Has a droplet ask until it has a lease.
    fn ask(self: &Arc<Self>, droplet: u32) {
        let agents = Arc::clone(self);
        self.world.spawn(async move {
            let host = agents.hosts.get(agents.layout.host_of(agents.zone, droplet));
            loop {
                if !host.readiness.is_ready() {
                    host.readiness.wait().await;
                    agents.world.clock().sleep_until(agents.next_turn(droplet)).await;
                    continue;
                }
                let refusal =
                    match host.client.call(&dwfm_api::REQUEST_LEASE, RequestLeaseRequest { droplet }).await {
                        Ok(lease) => {
                            let until = Moment::from_nanos(lease.until);
                            agents.state().extend(vec![droplet], agents.world.now(), until);
                            return agents.say();
                        }
                        Err(refusal) => refusal,
                    };
                agents.world.record().count("lease-attempts-refused", 1);
                let turn = match retry_delay(&refusal) {
                    Some(wait) => agents.world.now() + Span::from_nanos(wait.as_nanos() as u64),
                    None => agents.next_turn(droplet),
                };
                agents.world.clock().sleep_until(turn).await;
            }
        });
    }

    /// Asks a host from time to time whether it is ready.
    async fn keep_checking(&self, host: usize) {
        let host = self.hosts.get(host);
        loop {
            let period = self.settings.get().health_check;
            let asked = host.health.call(&dwfm_api::CHECK_READINESS, CheckReadinessRequest {});
            let answer = self.world.clock().timeout(period, asked).await;
            host.readiness.set(matches!(answer, Ok(Ok(CheckReadinessResponse { serving: true }))));
            self.world.sleep(period).await;
        }
    }

    /// When a droplet asks again: turns are spread over the period, so that those who were refused together don't come
    /// back together.
    fn next_turn(&self, droplet: u32) -> Moment {
        let period = self.settings.get().ask_again;
        let share = f64::from(droplet) / f64::from(self.layout.droplets_in(self.zone).max(1));
        let offset = period.mul_f64(share).as_nanos();
        let (now, period) = (self.world.now().as_nanos(), period.as_nanos());
        let turns = (now + period - offset) / period;
        Moment::from_nanos(turns * period + offset)
    }
}
