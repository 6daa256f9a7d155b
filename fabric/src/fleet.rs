//! The fleet as its controller sees it: instances that can be started, killed, stopped, told and called.
//!
//! The simulation and the live supervisor both implement [`Fleet`], so that one scenario runs in both, and the
//! controller can't tell which it is in.

use std::sync::Arc;

use eastfall_topology::Topology;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::fault::Fault;

/// What the controller tells an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Changes one value of the topology, policies included, while calls are in flight.
    Set {
        /// Dotted path, such as `service.dwfm.calls.dynamodb.retry.backoff`.
        path: String,
        /// The value as in `--set`.
        value: String,
    },
    /// Puts a fault in force.
    AddFault {
        /// Names it, so that it can be removed.
        id: String,
        /// What breaks; never a kill or a pause, which are done to an instance and not told to it.
        fault: Fault,
    },
    /// Ends a fault; no error if it isn't in force.
    RemoveFault {
        /// As it was added.
        id: String,
    },
    /// Ends the instance in good order.
    Stop,
}

/// Whom a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient<'a> {
    /// Every instance, also those that are started later: they begin with the settings and faults then in force.
    All,
    /// One instance by name.
    Instance(&'a str),
}

/// Why the fleet did not do as it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// No instance has this name.
    #[error("there is no instance `{0}`; `eastfall status` lists them")]
    NoInstance(String),
    /// A setting broke a rule of the topology, or could not be put in force.
    #[error("{0}")]
    Setting(String),
    /// The instance could not be started, stopped or reached.
    #[error("{instance}: {cause}")]
    Instance {
        /// Its name.
        instance: String,
        /// What went wrong, and the cure if there is one.
        cause: String,
    },
}

/// A running fleet.
pub trait Fleet: Send + Sync {
    /// The topology in force.
    fn topology(&self) -> Arc<Topology>;

    /// Every instance by name, running or not, in the order of the topology.
    fn instances(&self) -> Vec<String>;

    /// Starts an instance that is down; nothing happens if it runs.
    fn start<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>>;

    /// Ends an instance at once, as kill -9 does. It stays down until it is started: only instances that die by
    /// themselves are the supervisor's to bring back. Nothing happens if it is down.
    fn kill<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>>;

    /// Stops an instance, as SIGSTOP does: it keeps its connections and its memory, and nothing in it moves.
    fn pause<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>>;

    /// Lets a paused instance go on.
    fn resume<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>>;

    /// Tells one instance or all. For all, the command is in force everywhere when this returns.
    fn command<'a>(&'a self, to: Recipient<'a>, command: Command) -> BoxFuture<'a, Result<(), FleetError>>;

    /// Calls a method of a service (any running instance of it) or of an instance, from outside the region and
    /// outside its faults. `method` is a path such as `/eastfall.service.v1.Service/Perform`, messages are encoded.
    fn call<'a>(
        &'a self,
        callee: &'a str,
        method: &'a str,
        request: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, Status>>;
}
