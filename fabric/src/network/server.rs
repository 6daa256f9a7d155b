//! The callee's side of a call: capacity and queue, and the record of what was served.
//!
//! Every call runs in a task of the callee's. A caller that gives up drops its wait, not the work: the server goes on,
//! as real ones do, and the time of its workers that this takes counts as wasted. With `queue.cancel-abandoned` it
//! notices and stops, also in the middle of the work; what a handler has awaited by then is done, the rest is not.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use eastfall_topology::time::{Moment, Span};
use eastfall_topology::{Capacity, Distribution, Topology};
use futures_util::future::{Either, select};
use tokio::sync::oneshot;
use tonic::Status;

use crate::call::{Api, Call, CallFuture, Context, Handler, Outcome, SharedHandler};
use crate::capacity::Station;
use crate::record::{Ending, Fate, ServerRecorder};
use crate::trace::{self, OpenSpan, Tracer, Value};
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
    /// reset; what becomes of the work that it queued is the kind's business.
    pub own_queue: bool,
}

/// An instance's server: what it serves, behind its capacity.
pub struct Server {
    world: World,
    apis: Vec<(&'static Api, SharedHandler)>,
    station: Option<Station>,
    serving: Serving,
    recorder: ServerRecorder,
    /// Whether latencies are wanted. Asked once: in virtual time they never are.
    keeps_latencies: bool,
    tracer: Option<Arc<Tracer>>,
    /// Work whose caller has gone is cancelled. A flag of its own, since every call asks.
    cancels: AtomicBool,
}

impl Server {
    pub(crate) fn new(
        world: &World,
        apis: Vec<(&'static Api, SharedHandler)>,
        serving: Serving,
    ) -> Arc<Self> {
        let capacity = world.service(|service| service.capacity.clone()).flatten();
        let cancels = AtomicBool::new(serving.own_queue || cancels(capacity.as_ref()));
        let recorder = world.record().server();
        let station = capacity.filter(|_| !serving.own_queue).map(|capacity| {
            Station::new(world.clock(), world.rng("service-times"), capacity, recorder.clone())
        });
        let keeps_latencies = recorder.keeps_latencies();
        let server = Arc::new(Server {
            world: world.clone(),
            apis,
            station,
            serving,
            recorder,
            keeps_latencies,
            tracer: world.region().tracer(),
            cancels,
        });
        let watcher: Weak<Server> = Arc::downgrade(&server);
        world.region().watch(watcher);
        server
    }

    /// What is served here.
    pub fn apis(&self) -> &[(&'static Api, SharedHandler)] {
        &self.apis
    }

    /// Does a call's work, and notes in `work` how far it got.
    async fn answer(&self, call: Call, work: &mut Work) -> Outcome {
        let method = call.method;
        let instance = &self.world.instance().name;
        let Some((_, handler)) = self.apis.iter().find(|(api, _)| api.name == method.service) else {
            work.fate = Some(Fate::Refused);
            return Err(Status::unimplemented(format!("{} is not served by {instance}", method.path)));
        };
        if let Some(station) = &self.station {
            let place = match station.enter(work.deadline).await {
                Ok(place) => place,
                Err(refusal) => {
                    work.fate = Some(Fate::Refused);
                    return Err(refusal);
                }
            };
            // Asked when the work begins: a fault that ended while it waited slows nothing down any more.
            let own_cost = self.serving.costs.as_ref().and_then(|costs| costs(&call));
            let slow = self.world.region().faults.slow_factor(instance, &self.world.instance().service);
            work.began = Some(place.begins());
            if let (true, Some(trace)) = (slow != 1.0, &call.context.trace) {
                trace.note("eastfall.fault", format!("is served {slow} times as slowly"));
            }
            self.recorder.waited(place.waited());
            work.served = Some(place.serve(own_cost.as_ref(), slow).await.served);
        }
        let outcome = handler.handle(call).await;
        work.fate = Some(Fate::Served);
        outcome
    }

    /// The same, until the caller has gone; nothing if that was first. An answer of that very moment is an answer.
    async fn answer_while_wanted(
        &self,
        call: Call,
        work: &mut Work,
        answer: &mut oneshot::Sender<Outcome>,
    ) -> Option<Outcome> {
        // `select` asks the work first, always: which of two wins at one moment is no matter of chance.
        match select(pin!(self.answer(call, work)), pin!(answer.closed())).await {
            Either::Left((outcome, _)) => Some(outcome),
            Either::Right(((), _)) => None,
        }
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
            let mut work = Work::new(&call.context, server.world.now());
            let mut span = server.tracer.as_ref().map(|tracer| Box::new(tracer.serve(&call)));
            let outcome = if let Some(span) = &span {
                let mut call = call;
                call.context.trace = Some(Arc::clone(span.context()));
                let answering = server.answer_as_told(call, &mut work, &mut answer);
                Box::pin(trace::beneath(Arc::clone(span.context()), answering)).await
            } else if server.cancels.load(Ordering::Relaxed) {
                // In a box, so that the tasks of servers that don't cancel stay small.
                Box::pin(server.answer_while_wanted(call, &mut work, &mut answer)).await
            } else {
                Some(server.answer(call, &mut work).await)
            };
            if let Some(mut span) = span.take() {
                server.close(&mut span, &work, outcome.as_ref(), answer.is_closed());
            }
            let ending = outcome.as_ref().map_or(Ending::TimedOut, Ending::of);
            server.record(work, ending, answer.is_closed());
            let Some(outcome) = outcome else { return };
            if !latency.is_zero() && !answer.is_closed() {
                server.world.sleep(latency).await;
            }
            // Nobody there to hear it is no error: the caller gave up.
            let _ = answer.send(outcome);
        });
        wait
    }

    /// The same as servers of this capacity do it.
    async fn answer_as_told(
        &self,
        call: Call,
        work: &mut Work,
        answer: &mut oneshot::Sender<Outcome>,
    ) -> Option<Outcome> {
        if self.cancels.load(Ordering::Relaxed) {
            self.answer_while_wanted(call, work, answer).await
        } else {
            Some(self.answer(call, work).await)
        }
    }

    /// Says on a call's span what became of it.
    fn close(&self, span: &mut OpenSpan, work: &Work, outcome: Option<&Outcome>, abandoned: bool) {
        if let Some(began) = work.began {
            span.set("eastfall.queued_s", || Value::Float(began.since(work.arrived).as_secs_f64()));
        }
        span.set("eastfall.in_vain", || Value::Flag(abandoned));
        if let Some(outcome) = outcome {
            span.ended(outcome);
        }
    }

    /// Records the end of a call's work; `abandoned` if its caller no longer waits.
    fn record(&self, work: Work, ending: Ending, abandoned: bool) {
        let now = self.world.now();
        let fate = work.fate.unwrap_or(Fate::Cancelled);
        let in_vain = abandoned || work.deadline.is_some_and(|deadline| deadline < now);
        self.recorder.ended(fate, now.since(work.arrived), in_vain);
        if self.keeps_latencies {
            self.recorder.answered(work.caller.as_ref(), ending, now.since(work.arrived));
        }
        let so_far = || work.began.map_or(Span::ZERO, |began| now.since(began));
        let worker = work.served.unwrap_or_else(so_far);
        // What was refused, or left the queue, took no worker's time.
        if in_vain && (fate == Fate::Served || !worker.is_zero()) {
            self.recorder.wasted(work.caller.as_ref(), worker);
        }
    }

    /// How many requests wait for a worker, if the fabric keeps the queue.
    pub fn queue_length(&self) -> Option<usize> {
        self.station.as_ref().map(Station::queue_length)
    }
}

/// How far the work for a call has got.
struct Work {
    caller: Option<Arc<str>>,
    deadline: Option<Moment>,
    arrived: Moment,
    /// When a worker began.
    began: Option<Moment>,
    /// How much of a worker's time it took in all.
    served: Option<Span>,
    /// None as long as it goes on.
    fate: Option<Fate>,
}

impl Work {
    fn new(context: &Context, arrived: Moment) -> Work {
        let deadline = context.deadline.map(Moment::from_nanos);
        Work { caller: context.caller.clone(), deadline, arrived, began: None, served: None, fate: None }
    }
}

/// Whether servers of this capacity cancel work whose caller has gone.
fn cancels(capacity: Option<&Capacity>) -> bool {
    capacity.is_some_and(|capacity| capacity.queue.cancel_abandoned)
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
        let capacity = service.and_then(|service| service.capacity.as_ref());
        self.cancels.store(self.serving.own_queue || cancels(capacity), Ordering::Relaxed);
        if let (Some(station), Some(capacity)) = (&self.station, capacity) {
            station.set_capacity(capacity.clone());
        }
    }
}
