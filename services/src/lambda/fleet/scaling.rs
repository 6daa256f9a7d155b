//! How many workers there are: launches for those that are missing, and the wait until they can be reached.

use std::sync::Arc;

use eastfall_topology::{Moment, Span};
use futures_util::future::join_all;
use tonic::Code;

use super::workers::Worker;
use super::{Fleet, LAUNCHES, LAUNCHES_FAILED};

/// The weight of the newest look at the demand (assumption: a memory of some ten looks).
const NEWEST: f64 = 0.1;
/// How long after a termination that failed the next is tried.
const TERMINATE_AGAIN: Span = Span::from_mins(1);

impl Fleet {
    /// Keeps as many workers as are desired, for ever.
    pub(super) async fn keep_scaled(self: Arc<Self>) {
        self.world.clock().sleep_until(Moment::START + self.settings.get().start_delay).await;
        let mut too_many_since = None;
        loop {
            self.decide();
            self.await_reachable().await;
            let missing = {
                let state = self.state();
                i64::from(state.desired) - state.workers.len() as i64
            };
            if missing >= 0 {
                too_many_since = None;
            }
            let next = self.world.now() + self.settings.get().scale_every;
            self.launch_missing(missing.max(0)).await;
            if missing < 0 {
                let since = *too_many_since.get_or_insert(self.world.now());
                if self.world.now().since(since) >= self.settings.get().scale_in_after
                    && let Some(spare) = { self.state().workers.spare() }
                {
                    self.retire(&spare).await;
                    too_many_since = None;
                }
            }
            self.say();
            self.world.clock().sleep_until(next).await;
        }
    }

    /// How many workers there should be.
    fn decide(&self) {
        let settings = self.settings.get();
        // By Little's law, those that were refused would have held so many slots.
        let mean = settings.duration.mean().as_secs_f64();
        let period = settings.scale_every.as_secs_f64().max(1e-9);
        let mut state = self.state();
        let wanted = f64::from(state.busy.iter().sum::<u32>()) + f64::from(state.refused) * mean / period;
        state.refused = 0;
        state.demand += NEWEST * (wanted - state.demand);
        let by_load = (state.demand / (f64::from(settings.slots) * settings.target_share)).ceil() as u32;
        let least = self.part(settings.minimum_workers);
        let most = self.part(settings.maximum_workers).max(least);
        state.desired = match settings.fixed_workers {
            Some(workers) => self.part(workers),
            None => by_load.clamp(least, most),
        };
    }

    /// Tries to launch so many, each for itself, spread over the time until the next look: a burst would find one launch left
    /// in a throttle's bucket, or none.
    async fn launch_missing(&self, count: i64) {
        let (name, now) = (&self.world.instance().name, self.world.now().as_nanos());
        let every = self.settings.get().scale_every;
        let tries = (0..count).map(|wish| async move {
            self.world.sleep(every.mul_f64(wish as f64 / count as f64)).await;
            self.launch(&format!("{name}/{now}/{wish}")).await;
        });
        join_all(tries).await;
    }

    /// Launches one worker, unless EC2 refuses.
    async fn launch(&self, token: &str) {
        let instance = match self.ec2.launch(None, token).await {
            Ok(instance) => instance,
            Err(_) => {
                self.world.record().count(LAUNCHES_FAILED, 1);
                return;
            }
        };
        self.world.record().count(LAUNCHES, 1);
        let id = instance.instance_id;
        if let Err(error) = self.disk.commit(vec![(id.clone().into_bytes(), Some(Vec::new()))]).await {
            // Nobody may run what is not written down.
            let fields = [("instance", id.clone()), ("reason", error.to_string())];
            self.world.record().event("lambda.worker-not-written", &fields);
            self.terminate(id);
            return;
        }
        let worker = Worker::launched(instance.reachable);
        self.state().workers.add(id.clone(), worker);
        // Before it can be reached: that is what makes checks of new workers fail while the network lags behind.
        self.register(&id).await;
    }

    /// Looks whether workers that were launched can be reached by now.
    async fn await_reachable(&self) {
        let awaited = self.state().workers.which(|worker| !worker.reachable);
        for id in awaited {
            match self.ec2.describe(vec![id.clone()]).await {
                Ok(instances) => {
                    use eastfall_proto::ec2::InstanceState::{Pending, Running};
                    let Some(instance) = instances.into_iter().next() else { continue };
                    match instance.state() {
                        Running => {
                            if let Some(worker) = self.state().workers.get_mut(&id) {
                                worker.reachable = instance.reachable;
                            }
                        }
                        Pending => {}
                        _ => self.forget(&id).await,
                    }
                }
                Err(status) if status.code() == Code::NotFound => self.forget(&id).await,
                // EC2 can't say: what is awaited goes on being awaited.
                Err(_) => {}
            }
        }
    }

    /// Takes a worker out of the fleet and has it terminated.
    pub(super) async fn retire(&self, id: &str) {
        self.forget(id).await;
        self.deregister(id).await;
        self.terminate(id.to_owned());
    }

    async fn forget(&self, id: &str) {
        self.state().workers.remove(id);
        if let Err(error) = self.disk.commit(vec![(id.as_bytes().to_vec(), None)]).await {
            // After a restart it is described, found terminated and forgotten again.
            let fields = [("instance", id.to_owned()), ("reason", error.to_string())];
            self.world.record().event("lambda.worker-not-forgotten", &fields);
        }
    }

    /// Has an instance terminated, however long that takes.
    fn terminate(&self, id: String) {
        let (world, ec2) = (self.world.clone(), self.ec2.clone());
        self.world.spawn(async move {
            while let Err(status) = ec2.terminate(&id).await {
                if status.code() == Code::NotFound {
                    return;
                }
                world.sleep(TERMINATE_AGAIN).await;
            }
        });
    }
}
