//! What NLB's health checks say of workers, and the automation that replaces those that fail them. Work is given to
//! workers directly: a check that fails takes nothing from one until the automation does.
//!
//! **The failure it reproduces**: the checks fail because the network lags behind, not because the workers are ill; the
//! automation terminates sound workers and asks for new ones, which EC2 can't launch and the network can't reach.

use std::collections::BTreeMap;
use std::sync::Arc;

use eastfall_proto::nlb::TargetState;

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
                worker.said(*said, now, settings.unhealthy_within);
            }
            state
                .workers
                .which(|worker| worker.failed_for(settings.unhealthy_within, now) >= settings.unhealthy_after)
        };
        if !settings.replace_unhealthy {
            return;
        }
        for id in condemned {
            let can_spare = {
                let state = self.state();
                state.workers.can_spare(&id, settings.minimum_in_service * f64::from(state.desired))
            };
            if !can_spare {
                continue;
            }
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
        // A worker that could not be registered is so at the next look.
        if let Some(worker) = self.state().workers.get_mut(id) {
            worker.registered = registered;
        }
    }

    pub(super) async fn deregister(&self, id: &str) {
        let Some(nlb) = &self.nlb else { return };
        let load_balancer = self.settings.get().load_balancer.clone();
        // One that stays registered is checked in vain, and nobody acts on it.
        let _ = nlb.deregister(&load_balancer, vec![id.to_owned()]).await;
    }
}
