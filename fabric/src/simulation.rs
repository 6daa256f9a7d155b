//! A whole region in virtual time, on one thread.
//!
//! It starts the instances of a topology, kills and restarts them, and hands over what they recorded. The same seed and
//! the same topology give the same run, byte for byte, alone or beside others on other threads.

mod fleet;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_topology::Topology;
use eastfall_topology::time::{Moment, Span};

use crate::clock::Clock;
use crate::engine::sim::{self, Owner, Stopped};
use crate::network::directory::{DEFAULT_NETWORK, Directory};
use crate::network::sim::{SimBackend, SimNetwork};
use crate::record::{Recorder, Report};
use crate::world::{Backend, Instance, Kind, Region, World};

/// The tasks of the lab itself: the controller, restarts.
pub const LAB: Owner = Owner(0);

/// How a simulation is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Seed of all randomness.
    pub seed: u64,
    /// Local time of day at the start of the run.
    pub starts_at: Span,
    /// Send every call through the wire format.
    pub codec: bool,
}

/// A region in virtual time. Clones are handles to the same one.
#[derive(Clone)]
pub struct Simulation(Arc<Inner>);

struct Inner {
    region: Arc<Region>,
    network: Arc<SimNetwork>,
    kinds: BTreeMap<&'static str, Kind>,
    state: Mutex<State>,
}

struct State {
    next_owner: u32,
    instances: BTreeMap<String, Slot>,
    failures: Vec<String>,
    /// The last words of instances that were killed.
    last_words: Vec<Report>,
}

struct Slot {
    instance: Instance,
    running: Option<(Owner, World)>,
}

impl Simulation {
    /// A region with nothing running yet, on this thread, at the start of time.
    ///
    /// # Errors
    /// If the topology names a kind that is not among `kinds`, or needs too many addresses.
    pub fn new(topology: Topology, kinds: Vec<Kind>, setup: &Setup) -> Result<Self, String> {
        sim::reset();
        let directory = Directory::new(&topology, DEFAULT_NETWORK)?;
        let network = SimNetwork::new(topology.region.latency, setup.codec);
        let kinds: BTreeMap<_, _> = kinds.into_iter().map(|kind| (kind.schema.name, kind)).collect();
        let mut instances = BTreeMap::new();
        for service in topology.services.values() {
            if !kinds.contains_key(service.kind.as_str()) {
                return Err(format!("service {}: there is no kind {}", service.name, service.kind));
            }
            for (index, name) in service.instances.iter().enumerate() {
                let instance = Instance {
                    name: name.clone(),
                    service: service.name.clone(),
                    system: service.system.clone(),
                    index,
                };
                instances.insert(name.clone(), Slot { instance, running: None });
            }
        }
        let region = Region::new(Clock::virtual_time(), setup.seed, topology, directory, setup.starts_at);
        let state = Mutex::new(State {
            next_owner: LAB.0 + 1,
            instances,
            failures: Vec::new(),
            last_words: Vec::new(),
        });
        Ok(Simulation(Arc::new(Inner { region, network, kinds, state })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all instances share: clock, settings, faults.
    pub fn region(&self) -> &Arc<Region> {
        &self.0.region
    }

    /// Starts every instance, in the order of the topology.
    pub fn start_all(&self) {
        for instance in self.all_instances() {
            self.start_instance(&instance);
        }
    }

    /// The names of all instances, in the order of the topology.
    pub fn all_instances(&self) -> Vec<String> {
        self.0.region.topology().services.values().flat_map(|service| service.instances.clone()).collect()
    }

    /// Starts an instance; nothing happens if it runs.
    pub fn start_instance(&self, instance: &str) {
        let Some((owner, world, start)) = self.incarnate(instance) else { return };
        let (simulation, name) = (self.clone(), instance.to_owned());
        sim::spawn(
            owner,
            Box::pin(async move {
                if let Err(error) = start(world.clone()).await {
                    world.record().event("instance.start-failed", &[("reason", error.to_string())]);
                    simulation.state().failures.push(format!("{name}: {error}"));
                }
            }),
        );
    }

    #[expect(clippy::type_complexity, reason = "used in one place")]
    fn incarnate(
        &self,
        instance: &str,
    ) -> Option<(
        Owner,
        World,
        fn(World) -> futures_util::future::BoxFuture<'static, Result<(), crate::world::StartError>>,
    )> {
        let mut state = self.state();
        let owner = Owner(state.next_owner);
        let slot = state.instances.get_mut(instance).filter(|slot| slot.running.is_none())?;
        let topology = self.0.region.topology();
        let kind = self.0.kinds.get(topology.services.get(&slot.instance.service)?.kind.as_str())?;
        let network = Arc::clone(&self.0.network);
        let backend: Arc<dyn Backend> =
            Arc::new(SimBackend { network, instance: instance.to_owned(), owner });
        let origin = slot.instance.origin();
        let recorder = Recorder::new(Clock::virtual_time(), origin, topology.record.histograms);
        let world = World::new(slot.instance.clone(), Arc::clone(&self.0.region), backend, recorder);
        slot.running = Some((owner, world.clone()));
        state.next_owner += 1;
        Some((owner, world, kind.start))
    }

    /// Kills an instance at once: its tasks and its memory are gone, its disks are not. False if it was not running.
    pub fn kill_instance(&self, instance: &str) -> bool {
        let running = self.state().instances.get_mut(instance).and_then(|slot| slot.running.take());
        let Some((owner, world)) = running else { return false };
        sim::kill(owner);
        self.0.network.forget(owner);
        world.close();
        let last_words = world.record().take_last(world.now());
        self.state().last_words.extend(last_words);
        true
    }

    /// Stops an instance from doing anything, as SIGSTOP does.
    pub fn pause_instance(&self, instance: &str) {
        if let Some(owner) = self.owner(instance) {
            sim::pause(owner);
        }
    }

    /// Lets it go on.
    pub fn resume_instance(&self, instance: &str) {
        if let Some(owner) = self.owner(instance) {
            sim::resume(owner);
        }
    }

    /// True if the instance runs.
    pub fn is_running(&self, instance: &str) -> bool {
        self.owner(instance).is_some()
    }

    fn owner(&self, instance: &str) -> Option<Owner> {
        self.state().instances.get(instance).and_then(|slot| slot.running.as_ref()).map(|(owner, _)| *owner)
    }

    /// The world as a running instance sees it.
    pub fn world(&self, instance: &str) -> Option<World> {
        self.state()
            .instances
            .get(instance)
            .and_then(|slot| slot.running.as_ref())
            .map(|(_, world)| world.clone())
    }

    /// Lets time pass until `end`.
    pub fn run_until(&self, end: Moment) -> Stopped {
        sim::run_until(end)
    }

    /// What was recorded since the last time, in the order of the instances' names.
    pub fn take_reports(&self, at: Moment) -> Vec<Report> {
        let (mut reports, worlds) = {
            let mut state = self.state();
            let running = state.instances.values().filter_map(|slot| slot.running.as_ref());
            let worlds: Vec<World> = running.map(|(_, world)| world.clone()).collect();
            (std::mem::take(&mut state.last_words), worlds)
        };
        for world in worlds {
            world.sample();
            reports.extend(world.record().take(at));
        }
        reports
    }

    /// What is left when the run has come to its end.
    pub fn take_last_reports(&self, at: Moment) -> Vec<Report> {
        let mut reports = self.take_reports(at);
        let worlds: Vec<World> = self
            .state()
            .instances
            .values()
            .filter_map(|slot| slot.running.as_ref())
            .map(|(_, w)| w.clone())
            .collect();
        for world in worlds {
            reports.extend(world.record().take_last(at));
        }
        reports
    }

    /// RPCs carried so far.
    pub fn calls(&self) -> u64 {
        self.0.network.calls()
    }

    /// Why instances did not start, if any did not.
    pub fn start_failures(&self) -> Vec<String> {
        self.state().failures.clone()
    }

    /// Ends the run: everything is dropped, so that nothing of it lives on in this thread.
    pub fn finish(&self) {
        for instance in self.all_instances() {
            self.kill_instance(&instance);
        }
        sim::reset();
    }
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Simulation")
    }
}
