//! What steps do to a fleet, and how it is undone.

use eastfall_fabric::Moment;
use eastfall_fabric::fault::{Fault, Selector};
use eastfall_fabric::fleet::{Command, FleetError, Recipient};
use eastfall_topology::Setting;
use futures_util::future::join_all;

use super::Controller;
use crate::scenario::{Act, CallOf, Restart, Step};

impl Controller {
    /// Does once what a step does; faults go by [`Controller::break_it`] instead, since they have an end.
    pub(super) async fn act(&self, step: &Step) -> Result<(), String> {
        match &step.act {
            Act::Note => Ok(()),
            Act::Fault { fault, .. } => self.break_it(&step.id, fault).await,
            Act::Set(settings) => {
                for setting in settings {
                    self.set(&step.id, setting).await?;
                }
                Ok(())
            }
            Act::Call(call) => self.call(call).await,
            Act::Restart(restart) => self.restart(&step.id, restart).await,
        }
    }

    /// Changes a value of the topology, everywhere.
    pub(super) async fn set(&self, id: &str, setting: &Setting) -> Result<(), String> {
        let Setting { path, value } = setting;
        let command = Command::Set { path: path.clone(), value: value.clone() };
        self.fleet.command(Recipient::All, command).await.map_err(|error| error.to_string())?;
        self.event("setting.changed", id, &[("path", path.clone()), ("value", value.clone())]);
        Ok(())
    }

    async fn call(&self, call: &CallOf) -> Result<(), String> {
        let answer = self.fleet.call(&call.service, &call.method, call.request.clone()).await;
        answer.map(|_| ()).map_err(|status| {
            let CallOf { service, method, .. } = call;
            format!("{service} answered {method} with {:?}: {}", status.code(), status.message())
        })
    }

    /// Kills and starts instances, one `spacing` after the other, each down for its own time.
    async fn restart(&self, id: &str, restart: &Restart) -> Result<(), String> {
        let topology = self.fleet.topology();
        let begin = self.clock.now();
        let one = async |index: u64, instance: String| {
            self.clock.sleep_until(begin + restart.spacing * index).await;
            self.fleet.kill(&instance).await?;
            let service = topology.services.values().find(|service| service.instances.contains(&instance));
            let delay = service.map(|service| service.restart_delay).unwrap_or_default();
            self.clock.sleep(restart.down.unwrap_or(delay)).await;
            self.fleet.start(&instance).await?;
            self.event("instance.restarted", id, &[("instance", instance)]);
            Ok(())
        };
        let instances = restart.instances(&topology);
        all(join_all((0..).zip(instances).map(|(index, instance)| one(index, instance))).await)
    }

    /// Puts a fault in force.
    pub(super) async fn break_it(&self, id: &str, fault: &Fault) -> Result<(), String> {
        // Noted first: what is broken by half is mended like the rest.
        self.broken().insert(id.to_owned(), fault.clone());
        let outcome = match fault {
            Fault::Kill { who } => {
                all(join_all(self.chosen(who).iter().map(|instance| self.fleet.kill(instance))).await)
            }
            Fault::Pause { who } => {
                all(join_all(self.chosen(who).iter().map(|instance| self.fleet.pause(instance))).await)
            }
            _ => {
                let command = Command::AddFault { id: id.to_owned(), fault: fault.clone() };
                self.fleet.command(Recipient::All, command).await.map_err(|error| error.to_string())
            }
        };
        self.event("fault.injected", id, &[("fault", fault.to_string())]);
        if outcome.is_err() {
            // The failure to report is the first one.
            let _ = self.mend(id).await;
        }
        outcome
    }

    /// Ends a fault; nothing happens if it has ended already.
    pub(super) async fn mend(&self, id: &str) -> Result<(), String> {
        let Some(fault) = self.broken().remove(id) else { return Ok(()) };
        let outcome = match &fault {
            Fault::Kill { who } => {
                all(join_all(self.chosen(who).iter().map(|instance| self.fleet.start(instance))).await)
            }
            Fault::Pause { who } => {
                all(join_all(self.chosen(who).iter().map(|instance| self.fleet.resume(instance))).await)
            }
            _ => {
                let command = Command::RemoveFault { id: id.to_owned() };
                self.fleet.command(Recipient::All, command).await.map_err(|error| error.to_string())
            }
        };
        self.event("fault.ended", id, &[("fault", fault.to_string())]);
        outcome
    }

    /// Mends everything at the end of a run. What was killed stays down: the run is over, and starting it would only
    /// be for stopping it.
    pub(super) async fn mend_all(&self) {
        self.broken().retain(|_, fault| !matches!(fault, Fault::Kill { .. }));
        let ids: Vec<String> = self.broken().keys().cloned().collect();
        for id in ids {
            if let Err(reason) = self.mend(&id).await {
                self.warn(&id, &reason);
            }
        }
    }

    /// The instances that selectors mean, in the topology's order.
    fn chosen(&self, who: &[Selector]) -> Vec<String> {
        let topology = self.fleet.topology();
        let all = topology.services.values().flat_map(|service| {
            service
                .instances
                .iter()
                .filter(|instance| who.iter().any(|who| who.matches(instance, &service.name)))
        });
        all.cloned().collect()
    }

    /// The present moment.
    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }
}

/// Nothing, or all errors in one sentence.
fn all(outcomes: Vec<Result<(), FleetError>>) -> Result<(), String> {
    let errors: Vec<String> =
        outcomes.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
}
