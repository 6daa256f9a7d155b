//! The machines of a place: as many as its load needs, as far as they can be had.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::token_bucket::TokenBucket;
use eastfall_fabric::world::{StartError, World};
use eastfall_topology::{Moment, RateLimit};
use futures_util::future::join_all;
use tonic::Status;

use super::ApplicationParams;
use crate::ec2::client::Ec2Client;
use crate::settings::Settings;

/// Seconds of work that may come together: a queue in front of the machines, as it were (assumption).
const BURST: f64 = 5.0;

/// A machine, and since when it can serve.
#[derive(Clone, Debug)]
struct Machine {
    /// Its name at EC2; at home only.
    id: String,
    from: Moment,
    /// Whether the network knows the way to it.
    reachable: bool,
}

struct State {
    machines: Vec<Machine>,
    /// Machines that serve.
    serving: usize,
    bucket: TokenBucket,
    /// Requests of this round so far.
    arrived: u64,
    /// Requests of the rounds before, as far back as the load is measured, with the length of each in seconds.
    rounds: VecDeque<(u64, f64)>,
    /// Since when there have been more machines than are needed.
    too_many_since: Option<Moment>,
    launches: u64,
}

/// The machines of a place.
pub(super) struct Machines {
    world: World,
    settings: Arc<Settings<ApplicationParams>>,
    /// At home, machines are EC2's.
    ec2: Option<Ec2Client>,
    state: Mutex<State>,
}

impl Machines {
    pub(super) fn new(
        world: &World,
        settings: Arc<Settings<ApplicationParams>>,
        at_home: bool,
    ) -> Result<Machines, StartError> {
        let limit = RateLimit { per_second: 1.0, burst: 1 };
        let state = State {
            machines: Vec::new(),
            serving: 0,
            bucket: TokenBucket::full(&limit, world.now()),
            arrived: 0,
            rounds: VecDeque::new(),
            too_many_since: None,
            launches: 0,
        };
        let ec2 = if at_home { Some(Ec2Client::of(world)?) } else { None };
        Ok(Machines { world: world.clone(), settings, ec2, state: Mutex::new(state) })
    }

    /// Lets a request in, if the machines can do it.
    pub(super) fn admit(&self) -> bool {
        let settings = self.settings.get();
        let mut state = self.state();
        state.arrived += 1;
        let per_second = state.serving as f64 * settings.per_machine;
        // A machine at work for one request can't refuse the only one.
        let burst = (per_second * BURST).ceil().max(1.0) as u32;
        let limit = RateLimit { per_second, burst };
        state.serving > 0 && state.bucket.take(&limit, self.world.now())
    }

    /// Looks at the load again and again, for ever.
    pub(super) async fn follow_the_load(self: Arc<Self>) {
        loop {
            let settings = self.settings.get();
            self.ask_who_is_reachable().await;
            let (missing, surplus) = self.look(&settings);
            if missing > 0 {
                self.launch(missing.min(settings.launches_at_once as usize)).await;
            }
            for machine in surplus {
                self.terminate(machine).await;
            }
            self.count_serving();
            self.world.sleep(settings.every).await;
        }
    }

    /// How many machines are missing, and which ones are too many.
    fn look(&self, settings: &ApplicationParams) -> (usize, Vec<Machine>) {
        let now = self.world.now();
        let mut state = self.state();
        let arrived = std::mem::take(&mut state.arrived);
        state.rounds.push_back((arrived, settings.every.as_secs_f64()));
        let rounds = (settings.measured_over.as_secs_f64() / settings.every.as_secs_f64()).ceil().max(1.0);
        while state.rounds.len() > rounds as usize {
            state.rounds.pop_front();
        }
        let (requests, seconds) = state
            .rounds
            .iter()
            .fold((0, 0.0), |(requests, seconds), (more, length)| (requests + more, seconds + length));
        let load = requests as f64 / seconds;
        let needed = (load / (settings.per_machine * settings.target) * settings.headroom).ceil() as usize;
        let needed = needed.max(settings.least as usize);
        self.world.record().gauge("machines-needed", needed as f64);
        let there = state.machines.len();
        if there <= needed {
            state.too_many_since = None;
            return (needed - there, Vec::new());
        }
        let since = *state.too_many_since.get_or_insert(now);
        if now < since + settings.smaller_after {
            return (0, Vec::new());
        }
        (0, state.machines.split_off(needed))
    }

    async fn launch(&self, count: usize) {
        let settings = self.settings.get();
        let first = {
            let mut state = self.state();
            state.launches += count as u64;
            state.launches - count as u64
        };
        let launches = (first..first + count as u64).map(|number| self.launch_one(&settings, number));
        for launched in join_all(launches).await {
            match launched {
                Ok(machine) => self.state().machines.push(machine),
                Err(_) => self.world.record().count("launches-failed", 1),
            }
        }
    }

    async fn launch_one(&self, settings: &ApplicationParams, number: u64) -> Result<Machine, Status> {
        let mut machine = Machine { id: String::new(), from: self.world.now(), reachable: true };
        if let Some(ec2) = &self.ec2 {
            let zones = settings.zones.len().max(1) as u64;
            let zone = settings.zones.get((number % zones) as usize).map(String::as_str);
            let token = format!("{}/{number}", self.world.instance().name);
            let launched = ec2.launch(zone, &token).await?;
            machine =
                Machine { id: launched.instance_id, from: self.world.now(), reachable: launched.reachable };
        }
        machine.from += settings.boot_time;
        Ok(machine)
    }

    /// What can't be terminated now is kept and terminated later.
    async fn terminate(&self, machine: Machine) {
        if let Some(ec2) = &self.ec2
            && ec2.terminate(&machine.id).await.is_err()
        {
            self.state().machines.push(machine);
        }
    }

    async fn ask_who_is_reachable(&self) {
        let Some(ec2) = &self.ec2 else { return };
        let unreachable = |machine: &Machine| (!machine.reachable).then(|| machine.id.clone());
        let unreachable: Vec<String> = self.state().machines.iter().filter_map(unreachable).collect();
        if unreachable.is_empty() {
            return;
        }
        if let Ok(found) = ec2.describe(unreachable).await {
            let mut state = self.state();
            for instance in found.into_iter().filter(|instance| instance.reachable) {
                for machine in state.machines.iter_mut().filter(|machine| machine.id == instance.instance_id)
                {
                    machine.reachable = true;
                }
            }
        }
    }

    fn count_serving(&self) {
        let now = self.world.now();
        let mut state = self.state();
        state.serving =
            state.machines.iter().filter(|machine| machine.reachable && machine.from <= now).count();
        self.world.record().gauge("machines", state.machines.len() as f64);
        self.world.record().gauge("machines-serving", state.serving as f64);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
