//! The callee's side of a call: capacity and queue, and the record of what was served.
//!
//! Every call runs in a task of the callee's. A caller that gives up drops its wait, not the work: the server goes on,
//! as real ones do, and its answer counts as late.

use std::pin::pin;
use std::sync::{Arc, Weak};

use eastfall_topology::time::{Moment, Span};
use eastfall_topology::{Distribution, Topology};
use futures_util::future::{Either, select};
use tokio::sync::oneshot;
use tonic::Status;

use crate::call::{Api, Call, CallFuture, Handler, Outcome, SharedHandler};
use crate::capacity::Station;
use crate::record::ServerRecorder;
use crate::world::{Watcher, World};

/// A service time of its own for a call, given what it asks for; none for the service's usual one.
pub type Costs = Arc<dyn Fn(&Call) -> Option<Distribution> + Send + Sync>;

/// How an instance serves its APIs.
#[derive(Clone, Default)]
pub struct Serving {
    /// Service times by call.
    pub costs: Option<Costs>,
    /// The kind keeps its work in a queue of its own ([`crate::capacity::line`]), by the service's capacity. Then no
    /// station stands before the handlers, and a handler whose caller is gone is dropped, as with a stream that was
    /// reset: what it put into the queue stays there.
    pub own_queue: bool,
}

/// An instance's server: what it serves, behind its capacity.
pub struct Server {
    world: World,
    apis: Vec<(&'static Api, SharedHandler)>,
    station: Option<Station>,
    serving: Serving,
    recorder: ServerRecorder,
}

impl Server {
    pub(crate) fn new(
        world: &World,
        apis: Vec<(&'static Api, SharedHandler)>,
        serving: Serving,
    ) -> Arc<Self> {
        let capacity = world.service(|service| service.capacity.clone()).flatten();
        let station = capacity
            .filter(|_| !serving.own_queue)
            .map(|capacity| Station::new(world.clock(), world.rng("service-times"), capacity));
        let recorder = world.record().server();
        let server = Arc::new(Server { world: world.clone(), apis, station, serving, recorder });
        let watcher: Weak<Server> = Arc::downgrade(&server);
        world.region().watch(watcher);
        server
    }

    /// What is served here.
    pub fn apis(&self) -> &[(&'static Api, SharedHandler)] {
        &self.apis
    }

    async fn answer(&self, call: Call) -> Outcome {
        let method = call.method;
        let instance = &self.world.instance().name;
        let Some((_, handler)) = self.apis.iter().find(|(api, _)| api.name == method.service) else {
            return Err(Status::unimplemented(format!("{} is not served by {instance}", method.path)));
        };
        let deadline = call.context.deadline.map(Moment::from_nanos);
        let arrived = self.world.now();
        if let Some(station) = &self.station {
            let own_cost = self.serving.costs.as_ref().and_then(|costs| costs(&call));
            let slow = self.world.region().faults.slow_factor(instance, &self.world.instance().service);
            match station.visit(deadline, own_cost.as_ref(), slow).await {
                Ok(visit) => self.recorder.waited(visit.waited),
                Err(refusal) => {
                    self.recorder.refused();
                    return Err(refusal);
                }
            }
        }
        let outcome = handler.handle(call).await;
        let now = self.world.now();
        self.recorder.served(arrived, now, deadline.is_some_and(|deadline| deadline < now));
        outcome
    }

    /// Answers in a task of the callee's. `latency` passes there before and after: a request under way is delivered
    /// whether or not its sender still waits.
    pub(crate) fn answer_over(self: &Arc<Self>, latency: Span, call: Call) -> oneshot::Receiver<Outcome> {
        let (mut answer, wait) = oneshot::channel();
        let server = Arc::clone(self);
        self.world.spawn(async move {
            if !latency.is_zero() {
                server.world.sleep(latency).await;
            }
            let outcome = if server.serving.own_queue {
                let gone = pin!(answer.closed());
                match select(pin!(server.answer(call)), gone).await {
                    Either::Left((outcome, _)) => outcome,
                    Either::Right(((), _)) => return,
                }
            } else {
                server.answer(call).await
            };
            if !latency.is_zero() && !answer.is_closed() {
                server.world.sleep(latency).await;
            }
            // Nobody there to hear it is no error: the caller gave up.
            let _ = answer.send(outcome);
        });
        wait
    }

    /// How many requests wait for a worker, if the fabric keeps the queue.
    pub fn queue_length(&self) -> Option<usize> {
        self.station.as_ref().map(Station::queue_length)
    }
}

/// A server as a handler of calls: what a wire ends in.
pub(crate) struct Entrance {
    pub(crate) server: Arc<Server>,
    /// Modelled latency of the way, each way; none on a real wire, which has its own.
    pub(crate) latency: Span,
}

impl Handler for Entrance {
    fn handle(&self, call: Call) -> CallFuture {
        let wait = self.server.answer_over(self.latency, call);
        Box::pin(async move { wait.await.unwrap_or_else(|_| Err(connection_reset())) })
    }
}

/// What a caller sees when its peer dies in the middle of a call.
pub(crate) fn connection_reset() -> Status {
    Status::unavailable("the connection was reset")
}

impl Watcher for Server {
    fn changed(&self, topology: &Topology) {
        let service = topology.services.get(&self.world.instance().service);
        if let (Some(station), Some(capacity)) = (&self.station, service.and_then(|s| s.capacity.clone())) {
            station.set_capacity(capacity);
        }
    }
}
