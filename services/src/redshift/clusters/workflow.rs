//! The replacement of a node, step by step: a new instance that can be reached, the node's data on it, credentials.
//!
//! Launches share one gate: after one that failed, workflows stop asking, and after each pause one of them tries for all. The
//! gate opens once several tries in a row have worked, as a breaker does that is half open: which is why launches that
//! worked again at 13:50 were made use of at 14:46 only.

use eastfall_fabric::distribution::draw;
use rand::RngExt as _;
use tonic::Status;

use super::*;

/// How often an instance that can't be reached yet is looked at (ours).
const LOOK_AT_INSTANCE: Span = Span::from_secs(30);
/// How long before a step that failed, other than a launch, is tried again (ours).
const TRY_AGAIN: Span = Span::from_mins(1);
/// Nodes that are launched at a time at the run's start (ours).
const FIRST_AT_ONCE: usize = 4;

impl Fleet {
    /// A run begins in the middle of the clusters' life: what they run on is launched at its start.
    pub(super) fn launch_first(self: &Arc<Self>) {
        for offset in 0..FIRST_AT_ONCE {
            let fleet = Arc::clone(self);
            self.world.spawn(async move {
                let count = fleet.state().book.len();
                for number in (offset..count).step_by(FIRST_AT_ONCE) {
                    while fleet.state().book.node(number).instance.is_none() {
                        match fleet.ec2.launch(None, &fleet.new_token(number)).await {
                            Ok(instance) => fleet.take_first(number, instance.instance_id).await,
                            Err(_) => fleet.world.sleep(TRY_AGAIN).await,
                        }
                    }
                }
            });
        }
    }

    async fn take_first(&self, number: usize, instance: String) {
        // If its replacement was quicker, it has one already.
        let too_late = {
            let mut state = self.state();
            let slot = &mut state.book.node_mut(number).instance;
            match slot {
                Some(_) => Some(instance),
                None => slot.replace(instance),
            }
        };
        self.save(number).await;
        if let Some(instance) = too_late {
            self.terminate(instance).await;
        }
    }

    /// From the queue to a node that serves.
    pub(super) async fn replace(self: Arc<Self>, number: usize) {
        let instance = self.launch(number).await;
        let restore = {
            let settings = self.settings.get();
            draw(&settings.restore, &mut self.state().rng)
        };
        self.world.sleep(restore).await;
        let expires = loop {
            match self.new_credentials(number).await {
                Ok(expires) => break expires,
                Err(_) => self.world.sleep(TRY_AGAIN).await,
            }
        };
        let old = {
            let mut state = self.state();
            state.running = state.running.saturating_sub(1);
            state.book.replaced(number, instance, expires)
        };
        self.world.record().count(REPLACED, 1);
        self.save(number).await;
        self.look().await;
        if let Some(old) = old {
            self.terminate(old).await;
        }
    }

    /// A new instance that can be reached, as soon as there is one.
    async fn launch(&self, number: usize) -> String {
        loop {
            let leave = {
                let lengths = self.settings.get().launch_pauses();
                let State { launches, rng, .. } = &mut *self.state();
                launches.leave(self.world.now(), &lengths, rng)
            };
            let Some(leave) = leave else {
                self.world.sleep(LOOK).await;
                continue;
            };
            match self.try_launch(number).await {
                Ok(instance) => {
                    let needed = self.settings.get().launch_probes;
                    self.state().launches.worked(needed);
                    self.world.record().count(LAUNCHED, 1);
                    return instance;
                }
                Err(_) => {
                    let lengths = self.settings.get().launch_pauses();
                    let State { launches, rng, .. } = &mut *self.state();
                    launches.failed(leave, self.world.now(), &lengths, rng);
                    self.world.record().count(LAUNCHES_FAILED, 1);
                }
            }
        }
    }

    /// One instance, once the network knows the way to it; if that takes too long it is given back.
    async fn try_launch(&self, number: usize) -> Result<String, Status> {
        let mut instance = self.ec2.launch(None, &self.new_token(number)).await?;
        let until = self.world.now() + self.settings.get().reachable_within;
        while !instance.reachable {
            if self.world.now() >= until {
                self.terminate(instance.instance_id).await;
                return Err(Status::unavailable("the new instance could not be reached in time"));
            }
            self.world.sleep(LOOK_AT_INSTANCE).await;
            if let Ok(found) = self.ec2.describe(vec![instance.instance_id.clone()]).await
                && let Some(found) = found.into_iter().next()
            {
                instance = found;
            }
        }
        Ok(instance.instance_id)
    }

    /// Gives an instance back, in a task of its own: nobody waits for that.
    async fn terminate(&self, instance: String) {
        let (world, ec2) = (self.world.clone(), self.ec2.clone());
        self.world.spawn(async move {
            while let Err(status) = ec2.terminate(&instance).await {
                if status.code() == tonic::Code::NotFound {
                    return;
                }
                world.sleep(TRY_AGAIN).await;
            }
        });
    }

    /// A token for one wish for an instance.
    fn new_token(&self, number: usize) -> String {
        let luck: u64 = self.state().rng.random();
        format!("{}/{luck:016x}", self.node_name(number))
    }
}
