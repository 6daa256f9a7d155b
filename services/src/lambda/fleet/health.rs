//! What NLB's health checks say of workers, and the automation that replaces those that fail them.
//!
//! **The failure it reproduces**: the checks fail because the network lags behind, not because the workers are ill; the
//! automation terminates sound workers and asks for new ones, which EC2 can't launch and the network can't reach.

use std::collections::BTreeMap;
use std::sync::Arc;

use eastfall_proto::nlb::TargetState;

use super::workers::Health;
use super::{Fleet, REPLACED};

impl Fleet {
    /// Asks for the workers' health and acts on it, for ever.
    pub(super) async fn keep_checking(self: Arc<Self>) {
        loop {
            self.world.sleep(self.settings.get().health_every).await;
            let unregistered = self.state().workers.which(|worker| !worker.registered);
            for id in unregistered {
                self.register(&id).await;
            }
            self.check().await;
            self.say();
        }
    }

    async fn check(&self) {
        let Some(nlb) = &self.nlb else { return };
        let load_balancer = self.settings.get().load_balancer.clone();
        // Without an answer nothing new is known, and nothing is done.
        let Ok(targets) = nlb.health(&load_balancer).await else { return };
        let said: BTreeMap<String, TargetState> =
            targets.into_iter().map(|target| (target.instance_id.clone(), target.state())).collect();
        let (now, settings) = (self.world.now(), self.settings.get());
        let condemned = {
            let mut state = self.state();
            for id in state.workers.which(|_| true) {
                let (Some(worker), Some(said)) = (state.workers.get_mut(&id), said.get(&id)) else {
                    continue;
                };
                worker.health = match (said, worker.health) {
                    (TargetState::Initial, _) => Health::Initial,
                    (TargetState::Healthy, _) => Health::Healthy,
                    (TargetState::Unhealthy, Health::Unhealthy(since)) => Health::Unhealthy(since),
                    (TargetState::Unhealthy, _) => Health::Unhealthy(now),
                };
            }
            state.workers.which(|worker| {
                matches!(worker.health, Health::Unhealthy(since) if now.since(since) >= settings.unhealthy_after)
            })
        };
        if !settings.replace_unhealthy {
            return;
        }
        for id in condemned {
            self.world.record().count(REPLACED, 1);
            self.world.record().event("lambda.worker-replaced", &[("instance", id.clone())]);
            self.retire(&id).await;
        }
    }

    /// Brings a worker into service behind the load balancer, if the fleet has one.
    pub(super) async fn register(&self, id: &str) {
        let Some(nlb) = &self.nlb else { return };
        let load_balancer = self.settings.get().load_balancer.clone();
        let registered = nlb.register(&load_balancer, vec![id.to_owned()]).await.is_ok();
        // A worker that could not be registered gets traffic when it is, at the next look.
        if let Some(worker) = self.state().workers.get_mut(id) {
            worker.registered = registered;
            worker.health = Health::Initial;
        }
    }

    pub(super) async fn deregister(&self, id: &str) {
        let Some(nlb) = &self.nlb else { return };
        let load_balancer = self.settings.get().load_balancer.clone();
        // Targets that are gone fail their checks; one that stays registered gets no traffic.
        let _ = nlb.deregister(&load_balancer, vec![id.to_owned()]).await;
    }
}
