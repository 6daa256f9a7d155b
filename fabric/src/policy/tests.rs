//! Whole stacks in virtual time: a callee that follows a script, and callers that say what became of their calls.

mod cases;
mod dialogues;
mod order;
mod recording;
mod replacing;

use std::sync::{Arc, Mutex};

use eastfall_topology::{Backoff, Breaker, Concurrency, Hedge, Jitter, Policy, Retry, RetryOn, Span, Trip};
use tonic::{Code, Status};

use super::Stack;
use super::observer::{Observer, lock};
use crate::call::{Call, CallFuture, Codec, Handler, Method, Outcome, Payload, Rpc};
use crate::clock::Clock;
use crate::engine::sim;
use crate::record::{Origin, Recorder, Report, Tally};
use crate::rng::stream;

static METHOD: Method = Method {
    service: "test.Test",
    name: "Call",
    path: "/test.Test/Call",
    index: 0,
    codec: &Codec::of::<(), ()>(),
};
const CALL: Rpc<(), ()> = Rpc::new(&METHOD);
const CLOCK: Clock = Clock::virtual_time();

/// What a callee does with a call: how long it takes, and how it ends.
#[derive(Clone, Copy)]
struct Does(u64, Result<(), Code>);

const ANSWERS: Does = Does(0, Ok(()));
const FAILS: Does = Does(0, Err(Code::Unavailable));
const HANGS: Does = Does(1_000_000, Ok(()));

/// A callee that writes down when it was called, and as which attempt.
struct Callee {
    script: Box<dyn Fn(usize) -> Does + Send + Sync>,
    calls: Mutex<Vec<Arrival>>,
}

/// Times in milliseconds since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arrival {
    at: u64,
    attempt: u32,
    deadline: Option<u64>,
}

impl Handler for Callee {
    fn handle(&self, call: Call) -> CallFuture {
        let mut calls = lock(&self.calls);
        let deadline = call.context.deadline.map(|deadline| deadline / 1_000_000);
        calls.push(Arrival { at: now_ms(), attempt: call.context.attempt, deadline });
        let Does(delay, end) = (self.script)(calls.len() - 1);
        Box::pin(async move {
            if delay > 0 {
                CLOCK.sleep(Span::from_millis(delay)).await;
            }
            end.map(Payload::new).map_err(|code| Status::new(code, "callee: can't"))
        })
    }
}

/// An edge: a stack, and the callee behind it.
#[derive(Clone)]
struct Edge {
    stack: Arc<Stack>,
    callee: Arc<Callee>,
    recorder: Recorder,
    events: Arc<Mutex<Vec<String>>>,
}

impl Edge {
    /// `script` says what the callee does with its n-th call, from 0.
    fn new(policy: &Policy, script: impl Fn(usize) -> Does + Send + Sync + 'static) -> Edge {
        Edge::seeded(1, policy, script)
    }

    fn seeded(seed: u64, policy: &Policy, script: impl Fn(usize) -> Does + Send + Sync + 'static) -> Edge {
        let callee = Arc::new(Callee { script: Box::new(script), calls: Mutex::default() });
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        let origin =
            Origin { system: "caller".into(), service: "caller".into(), instance: "caller-1".into() };
        let recorder = Recorder::new(CLOCK, origin, Span::MAX);
        let observer = Observer {
            clock: CLOCK,
            recorder: recorder.edge("caller", "callee"),
            on_event: Some(Arc::new(move |kind, _: &[_]| lock(&log).push(format!("{} {kind}", now_ms())))),
            tracing: None,
        };
        let stack = Stack::observed(observer, stream(seed, "policies"), policy, Arc::clone(&callee) as _);
        Edge { stack: Arc::new(stack), callee, recorder, events }
    }

    /// What became of a call: `ok`, or who failed it (`callee`, `timeout`, `breaker` ...).
    async fn call(&self) -> String {
        who(&self.stack.call(CALL.call(()), CLOCK.now()).await)
    }

    /// Sends a call that nobody waits for.
    fn start(&self) {
        let edge = self.clone();
        sim::spawn(sim::Owner(0), Box::pin(async move { drop(edge.call().await) }));
    }

    /// When the callee was called.
    fn arrivals(&self) -> Vec<u64> {
        lock(&self.callee.calls).iter().map(|arrival| arrival.at).collect()
    }

    /// How often the callee was called.
    fn sent(&self) -> usize {
        lock(&self.callee.calls).len()
    }

    /// What was recorded since it was last asked for.
    fn tally(&self) -> Tally {
        let reports = self.recorder.take(CLOCK.now());
        let tally = reports.into_iter().find_map(|report| match report {
            Report::Edge(edge) => Some(edge.tally),
            _ => None,
        });
        tally.unwrap_or_default()
    }

    fn events(&self) -> Vec<String> {
        lock(&self.events).clone()
    }
}

fn who(outcome: &Outcome) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(status) => status.message().split(':').next().unwrap_or_default().to_owned(),
    }
}

fn now_ms() -> u64 {
    CLOCK.now().as_nanos() / 1_000_000
}

async fn pause(millis: u64) {
    CLOCK.sleep(Span::from_millis(millis)).await;
}

/// Runs a test's body in virtual time; it has to end.
fn play<T: Send + 'static>(body: impl Future<Output = T> + Send + 'static) -> T {
    sim::block_on(body).expect("the test waits for something that never happens")
}

/// So many attempts with a fixed pause between them (in milliseconds), without jitter.
fn retry(attempts: u32, pause: u64) -> Option<Retry> {
    let delay = Span::from_millis(pause);
    Some(Retry {
        attempts,
        backoff: Backoff::Fixed,
        jitter: Jitter::None,
        base_delay: delay,
        max_delay: delay,
        multiplier: 2.0,
        throttle_base_delay: None,
        retry_on: vec![RetryOn::Unavailable, RetryOn::DeadlineExceeded, RetryOn::ResourceExhausted],
    })
}

/// Opens after so many failures in a row, for so many seconds, with one probe.
fn breaker(failures: u32, open_for: u64) -> Option<Breaker> {
    Some(Breaker {
        trip: Trip::ConsecutiveFailures { failures },
        slow_call: None,
        open_for: Span::from_secs(open_for),
        half_open_calls: 1,
    })
}

fn shed(limit: u32) -> Option<Concurrency> {
    Some(Concurrency::Fixed { limit, queue: false })
}

fn queue(limit: u32) -> Option<Concurrency> {
    Some(Concurrency::Fixed { limit, queue: true })
}

fn hedge(after: u64) -> Option<Hedge> {
    Some(Hedge { after: Span::from_millis(after), at_most: 1 })
}

fn millis(millis: u64) -> Option<Span> {
    Some(Span::from_millis(millis))
}
