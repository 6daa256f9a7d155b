//! The simulation as its controller sees it.

use std::sync::Arc;

use eastfall_topology::{Setting, Topology};
use futures_util::future::{BoxFuture, ready};
use tonic::Status;

use super::Simulation;
use crate::fleet::{Command, Fleet, FleetError, Recipient};

impl Simulation {
    fn known(&self, instance: &str) -> Result<(), FleetError> {
        match self.state().instances.contains_key(instance) {
            true => Ok(()),
            false => Err(FleetError::NoInstance(instance.to_owned())),
        }
    }

    /// A running instance of this name, or of the service of this name.
    fn somebody(&self, callee: &str) -> Option<String> {
        let of_service = self.0.region.directory.instances_of(callee).iter().cloned();
        std::iter::once(callee.to_owned()).chain(of_service).find(|instance| self.is_running(instance))
    }
}

impl Fleet for Simulation {
    fn topology(&self) -> Arc<Topology> {
        self.0.region.topology()
    }

    fn instances(&self) -> Vec<String> {
        self.all_instances()
    }

    fn start<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        let known = self.known(instance);
        if known.is_ok() {
            self.start_instance(instance);
        }
        Box::pin(ready(known))
    }

    fn kill<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        let known = self.known(instance);
        self.kill_instance(instance);
        Box::pin(ready(known))
    }

    fn pause<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        self.pause_instance(instance);
        Box::pin(ready(self.known(instance)))
    }

    fn resume<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        self.resume_instance(instance);
        Box::pin(ready(self.known(instance)))
    }

    fn command<'a>(&'a self, _: Recipient<'a>, command: Command) -> BoxFuture<'a, Result<(), FleetError>> {
        // Settings and faults belong to the region here: there is no instance that could miss them.
        let region = &self.0.region;
        let result = match command {
            Command::Set { path, value } => region
                .set(&Setting { path, value })
                .map_err(|problems| FleetError::Setting(problems.to_string().trim_end().to_owned())),
            Command::AddFault { id, fault } => {
                region.faults.add(&id, fault);
                Ok(())
            }
            Command::RemoveFault { id } => {
                region.faults.remove(&id);
                Ok(())
            }
            Command::Stop => Ok(()),
        };
        Box::pin(ready(result))
    }

    fn call<'a>(
        &'a self,
        callee: &'a str,
        method: &'a str,
        request: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, Status>> {
        Box::pin(async move {
            eastfall_proto::call_by_name(method, &request, async |call| {
                let address = self
                    .somebody(callee)
                    .and_then(|instance| self.0.region.directory.of_instance(&instance).first().copied())
                    .ok_or_else(|| Status::unavailable(format!("no instance of {callee} is running")))?;
                self.0.network.call(address, call).await
            })
            .await
        })
    }
}
