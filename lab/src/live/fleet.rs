//! The live fleet as the chaos controller sees it.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use eastfall_fabric::fleet::{Command, Fleet, FleetError, Recipient};
use eastfall_fabric::network::directory::Directory;
use eastfall_fabric::network::live::LiveBackend;
use eastfall_fabric::world::Backend as _;
use eastfall_topology::{Setting, Topology};
use futures_util::future::{BoxFuture, ready};
use tonic::Status;

use super::supervisor::{Standing, Supervisor};

/// Processes, and the way to them.
pub(crate) struct LiveFleet {
    supervisor: Supervisor,
    directory: Directory,
    topology: ArcSwap<Topology>,
    wire: LiveBackend,
}

impl LiveFleet {
    /// The fleet that a supervisor looks after.
    pub(crate) fn new(supervisor: Supervisor, directory: Directory, topology: Topology) -> Self {
        let (port, dns_port) = (topology.region.port, topology.region.dns_port);
        let wire = LiveBackend { port, name_server: None, dns_port, disks: PathBuf::new() };
        LiveFleet { supervisor, directory, topology: ArcSwap::from_pointee(topology), wire }
    }

    fn done(&self, instance: &str, done: bool) -> BoxFuture<'static, Result<(), FleetError>> {
        let known = self.supervisor.standing(instance).is_some();
        // What is down is as good as killed; what is unknown is a mistake.
        let result = if done || known { Ok(()) } else { Err(FleetError::NoInstance(instance.to_owned())) };
        Box::pin(ready(result))
    }

    fn somebody(&self, callee: &str) -> Option<String> {
        let of_service = self.directory.instances_of(callee).iter().cloned();
        let up = |name: &String| matches!(self.supervisor.standing(name), Some((Standing::Up, _)));
        std::iter::once(callee.to_owned()).chain(of_service).find(up)
    }
}

impl Fleet for LiveFleet {
    fn topology(&self) -> Arc<Topology> {
        self.topology.load_full()
    }

    fn instances(&self) -> Vec<String> {
        self.topology.load().services.values().flat_map(|service| service.instances.clone()).collect()
    }

    fn start<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        let started = self.supervisor.start(instance);
        let error = |cause| FleetError::Instance { instance: instance.to_owned(), cause };
        Box::pin(ready(started.map_err(error)))
    }

    fn kill<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        self.done(instance, self.supervisor.kill(instance))
    }

    fn pause<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        self.done(instance, self.supervisor.pause(instance))
    }

    fn resume<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        self.done(instance, self.supervisor.resume(instance))
    }

    fn command<'a>(&'a self, to: Recipient<'a>, command: Command) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(async move {
            if let Command::Set { path, value } = &command {
                let setting = Setting { path: path.clone(), value: value.clone() };
                let changed = self.topology.load().with(&setting);
                let changed = changed.map_err(|problems| FleetError::Setting(problems.to_string()))?;
                self.topology.store(Arc::new(changed));
            }
            let to = match to {
                Recipient::All => None,
                Recipient::Instance(name) => Some(name),
            };
            self.supervisor.command(to, &command).await.map(|_| ()).map_err(FleetError::Setting)
        })
    }

    fn call<'a>(
        &'a self,
        callee: &'a str,
        method: &'a str,
        request: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, Status>> {
        Box::pin(async move {
            eastfall_proto::call_by_name(method, &request, async |call| {
                let nobody = || Status::unavailable(format!("no instance of {callee} is running"));
                let instance = self.somebody(callee).ok_or_else(nobody)?;
                let address = self.directory.of_instance(&instance).first().copied().ok_or_else(nobody)?;
                let connection = self.wire.connect(address).await;
                let connection = connection.map_err(|error| Status::unavailable(error.to_string()))?;
                connection.handle(call).await
            })
            .await
        })
    }
}
