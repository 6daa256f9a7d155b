//! The resilience policies of an edge, as tower layers around a call.
//!
//! What a caller does when its callee is slow, failing or gone decides whether a failure stays where it began. So each
//! mechanism is a file of its own that begins with the failure it prevents, and the one it brings about when overdone;
//! [`Stack`] puts them around a transport in one order, which is written down, with the reasons, in `layers` and
//! nowhere else.
//!
//! All of it runs on the world's clock and on seeded random numbers, in virtual time as live. State (budgets, breakers,
//! limits, throttles) has the scope of a stack: one caller host on one edge.
//!
//! | mechanism | file |
//! |---|---|
//! | overall deadline | [`deadline`] |
//! | retries, their pauses, their budget | [`retry`], [`retry::backoff`], [`retry::budget`] |
//! | hedging | [`hedge`] |
//! | circuit breaker | [`breaker`] |
//! | concurrency: shed, queue, adapt | [`concurrency`] |
//! | rate limit | [`rate`] |
//! | client throttle | [`throttle`] |
//! | a span for each attempt, if anybody traces | [`tracing`] |
//! | time-out of an attempt, telling the callee the deadline | [`timeout`] |

pub mod attempt;
pub mod breaker;
pub mod concurrency;
pub mod deadline;
pub mod gate;
pub mod hedge;
pub mod observer;
pub mod rate;
pub mod recording;
pub mod retry;
mod state;
#[cfg(test)]
mod tests;
pub mod throttle;
pub mod timeout;
pub mod tracing;
pub mod transport;
mod window;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use eastfall_topology::Policy;
use eastfall_topology::time::Moment;
use futures_util::FutureExt as _;
use tower::{Service, ServiceBuilder, ServiceExt as _};

pub use self::breaker::BreakerState;
pub use self::observer::{EdgeTracing, Observer, OnEvent};

use self::attempt::{Attempt, AttemptResult, Failure};
use self::deadline::DeadlineLayer;
use self::gate::GateLayer;
use self::hedge::HedgeLayer;
use self::observer::lock;
use self::state::{Random, State};
use self::timeout::TimeoutLayer;
use self::tracing::TraceLayer;
use self::transport::Transport;
use crate::call::{Call, Outcome, Payload, SharedHandler};
use crate::clock::Clock;
use crate::record::{EdgeRecorder, Ending};
use crate::rng::Rng;

/// The policies of one caller host on one edge, around a transport.
pub struct Stack {
    observer: Arc<Observer>,
    random: Random,
    transport: Transport,
    built: ArcSwap<Built>,
    /// Held while the policy is replaced, so that two replacements don't each keep half of the state.
    replacing: Mutex<()>,
}

/// The layers of one policy, and the state they share with those of the next.
struct Built {
    policy: Policy,
    state: State,
    layers: Box<dyn Layers>,
}

impl Stack {
    /// A stack for a policy. `rng` is its own stream, for jitter and throttle; `transport` sends what they let pass.
    pub fn new(
        clock: Clock,
        rng: Rng,
        policy: &Policy,
        recorder: EdgeRecorder,
        transport: SharedHandler,
    ) -> Self {
        let observer = Observer { clock, recorder, on_event: None, tracing: None };
        Stack::observed(observer, rng, policy, transport)
    }

    /// The same, with an observer that may have somebody to tell of changes of state (`breaker.opened` with `reason` and
    /// `open_for`, `breaker.half-open` and `breaker.closed`), and a tracer.
    pub fn observed(observer: Observer, rng: Rng, policy: &Policy, transport: SharedHandler) -> Self {
        let observer = Arc::new(observer);
        let random = Random::new(rng);
        let transport = Transport(transport);
        let state = State::new(policy, None, &observer, &random);
        let built = ArcSwap::from_pointee(Built::new(policy, state, &observer, &random, &transport));
        Stack { observer, random, transport, built, replacing: Mutex::new(()) }
    }

    /// Sends a call under the policies and records the request and each of its attempts.
    ///
    /// Latency counts from `intended`, when an open-loop caller meant to send it; others pass the present. A request
    /// whose future is dropped has timed out: its caller gave up.
    ///
    /// # Errors
    /// The status of the last attempt, or of the policy that refused to send: `unavailable` (breaker, throttle),
    /// `resource-exhausted` (limit, rate) or `deadline-exceeded`, with a message that begins with the policy's name.
    pub async fn call(&self, mut call: Call, intended: Moment) -> Outcome {
        let started = self.observer.now();
        let tracing = self.observer.tracing.as_ref();
        let mut span = tracing.map(|tracing| Box::new(tracing.tracer.request(&mut call, &tracing.callee)));
        let mut request =
            RequestRecord { observer: &self.observer, intended, started, ending: Ending::TimedOut };
        // The guard of the swap must not be held while waiting: a policy that is replaced is kept alive by its calls.
        let sent = self.built.load().layers.send(Attempt::first(call));
        let result = sent.await;
        request.ending = result.as_ref().map_or_else(Failure::ending, |_| Ending::Ok);
        let outcome = result.map_err(Failure::into);
        if let Some(span) = &mut span {
            span.ended_with(request.ending, outcome.as_ref().err());
        }
        outcome
    }

    /// Puts another policy in force. Calls under way end under the old one; the state of budget, breaker, limits and
    /// throttle is kept where their settings are the same.
    pub fn replace(&self, policy: &Policy) {
        let _one_at_a_time = lock(&self.replacing);
        let old = self.built.load_full();
        if old.policy != *policy {
            let state = State::new(policy, Some(&old.state), &self.observer, &self.random);
            self.built.store(Arc::new(Built::new(
                policy,
                state,
                &self.observer,
                &self.random,
                &self.transport,
            )));
        }
    }

    /// Whether the breaker lets calls flow, if there is a breaker.
    pub fn breaker(&self) -> Option<BreakerState> {
        self.built.load().state.breaker.as_ref().map(|breaker| breaker.state())
    }

    /// How many calls may be under way at present, if an adaptive limit says so.
    pub fn adaptive_limit(&self) -> Option<u32> {
        self.built.load().state.adaptive().map(|adaptive| adaptive.limit())
    }
}

impl Built {
    fn new(
        policy: &Policy,
        state: State,
        observer: &Arc<Observer>,
        random: &Random,
        transport: &Transport,
    ) -> Self {
        let layers = layers(policy, &state, observer, random, transport.clone());
        Built { policy: policy.clone(), state, layers }
    }
}

/// The order of the layers, outermost first. A policy that is absent is no layer, just a branch.
fn layers(
    policy: &Policy,
    state: &State,
    observer: &Arc<Observer>,
    random: &Random,
    transport: Transport,
) -> Box<dyn Layers> {
    let clock = observer.clock;
    let service = ServiceBuilder::new()
        // Around all attempts and the pauses between them: it is the time the caller waits in all.
        .layer(DeadlineLayer::new(observer, policy.deadline))
        // Around all that follows, so that each attempt asks breaker and limits anew and holds no slot while it pauses.
        .option_layer(state.retry(policy, random, observer))
        // Within a retry: it races one attempt against its double, and each of the two passes all that follows.
        .option_layer(policy.hedge.map(|hedge| HedgeLayer::new(clock, hedge)))
        // Before the limits: calls to a callee that is down must fail at once, not wait for a slot or spend a token.
        .layer(GateLayer::new(state.breaker.as_ref()))
        // Before the rate: a call that finds no slot has not started and spends no token. One of these three, or none.
        .layer(GateLayer::new(state.bulkhead()))
        .option_layer(state.queue())
        .layer(GateLayer::new(state.adaptive()))
        // Before the throttle, which is to count only what the others would let through.
        .layer(GateLayer::new(state.rate.as_ref()))
        // Next to the wire: what it counts as a request is either sent or rejected by itself.
        .layer(GateLayer::new(state.throttle.as_ref()))
        // Within all that refuses, so that an attempt is what was sent; around the time-out, so that it has an ending.
        .layer(GateLayer::new(Some(&state.recording)))
        // Next to the time-out, whose end is the attempt's.
        .layer(TraceLayer::new(observer))
        // Innermost: it starts when the attempt is sent, and everybody around sees it as an ending.
        .layer(TimeoutLayer::new(clock, policy.timeout, policy.propagate_deadline))
        .service(transport);
    Box::new(Mutex::new(service))
}

/// Layers whose type is forgotten: each policy makes another.
trait Layers: Send + Sync {
    fn send(&self, attempt: Attempt) -> Pin<Box<dyn Future<Output = AttemptResult> + Send>>;
}

impl<S> Layers for Mutex<S>
where
    S: Service<Attempt, Response = Payload, Error = Failure> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    fn send(&self, attempt: Attempt) -> Pin<Box<dyn Future<Output = AttemptResult> + Send>> {
        let mut service = lock(self);
        // All of our layers are ready at any time: what waits, waits in the call. So one service will do for all calls, and a
        // call's future goes into its box without another around it that would wait for the service.
        match service.ready().now_or_never() {
            Some(Ok(ready)) => Box::pin(ready.call(attempt)),
            Some(Err(failure)) => Box::pin(std::future::ready(Err(failure))),
            None => Box::pin(service.clone().oneshot(attempt)),
        }
    }
}

/// Records a request when it ends, and when nobody waits for its end.
struct RequestRecord<'a> {
    observer: &'a Observer,
    intended: Moment,
    started: Moment,
    ending: Ending,
}

impl Drop for RequestRecord<'_> {
    fn drop(&mut self) {
        self.observer.recorder.request(self.ending, self.intended, self.started, self.observer.now());
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("policy", &self.built.load().policy).finish_non_exhaustive()
    }
}
