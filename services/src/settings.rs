//! What services of every kind need: the parameters in force, the names of those they call, what came with a request.

use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::world::{StartError, World};
use eastfall_topology::{Params, Topology};
use tonic::Request;

/// The parameters in force. They are read anew only after the topology was swapped, so asking costs next to nothing.
pub struct Settings<P> {
    world: World,
    held: Mutex<(Arc<Topology>, Arc<P>)>,
}

impl<P: for<'a> From<&'a Params>> Settings<P> {
    /// The settings of a world's own service, which must be of the kind that `P` was declared for.
    pub fn new(world: &World) -> Self {
        Settings { world: world.clone(), held: Mutex::new((world.topology(), Arc::new(world.params()))) }
    }

    /// The parameters now in force.
    pub fn get(&self) -> Arc<P> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.world.region().is_in_force(&held.0) {
            *held = (self.world.topology(), Arc::new(self.world.params()));
        }
        Arc::clone(&held.1)
    }
}

/// The name of the one service of a kind that this world's service calls. Services are found by kind, not by name, so
/// that a topology may name them as it likes.
///
/// # Errors
/// If the service calls none of that kind, or several.
pub fn callee_of_kind(world: &World, kind: &str) -> Result<String, StartError> {
    let own = &world.instance().service;
    callee_of_kind_if_any(world, kind)?.ok_or_else(|| {
        StartError(format!(
            "service {own} calls no service of kind `{kind}`; add [service.{own}.calls.NAME] with the name of one"
        ))
    })
}

/// The same for a kind that a topology may do without.
///
/// # Errors
/// If the service calls several of that kind.
pub fn callee_of_kind_if_any(world: &World, kind: &str) -> Result<Option<String>, StartError> {
    let topology = world.topology();
    let own = &world.instance().service;
    let calls: Vec<String> =
        topology.services.get(own).map(|service| service.calls.keys().cloned().collect()).unwrap_or_default();
    let of_kind = |name: &String| topology.services.get(name).is_some_and(|service| service.kind == kind);
    let mut callees = calls.into_iter().filter(of_kind);
    match (callees.next(), callees.next()) {
        (callee, None) => Ok(callee),
        (one, Some(other)) => Err(StartError(format!(
            "service {own} calls both {} and {other}, which are of kind `{kind}`; take one of the edges away",
            one.unwrap_or_default()
        ))),
    }
}

/// How many instances a service has.
pub fn instance_count(world: &World, service: &str) -> usize {
    world.topology().services.get(service).map_or(0, |service| service.instances.len())
}

/// A request's deadline, attempt number and caller, and its message.
pub fn split<T>(request: Request<T>) -> (Context, T) {
    let context = request.extensions().get::<Context>().cloned().unwrap_or_default();
    (context, request.into_inner())
}
