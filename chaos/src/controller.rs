//! Plays a scenario against a running fleet: breaks what breaks, ends it in time, does what operators did.
//!
//! It works through [`Fleet`] and the world's clock alone, so the same code drives the simulation and real processes.
//! A step is an async function whose body reads as its life: wait, begin, act, hold, end. All steps run side by side in
//! one task, because they overlap; nothing else decides their order but the clock and the order of the file.
//!
//! What was broken and not yet mended when the run stops is mended then, so that paused processes can end.

mod act;
mod request;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use eastfall_fabric::Moment;
use eastfall_fabric::clock::Clock;
use eastfall_fabric::fault::Fault;
use eastfall_fabric::fleet::Fleet;
use eastfall_fabric::record::Recorder;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

pub use request::{Request, Wish};

use crate::scenario::{Act, Scenario, Step};

/// Where the controller writes what it does: events with a kind and fields.
pub trait Journal: Send + Sync {
    /// Something happened now.
    fn event(&self, kind: &str, fields: &[(&str, String)]);
}

impl Journal for Recorder {
    fn event(&self, kind: &str, fields: &[(&str, String)]) {
        Recorder::event(self, kind, fields);
    }
}

/// Drives one fleet.
pub struct Controller {
    fleet: Arc<dyn Fleet>,
    clock: Clock,
    journal: Arc<dyn Journal>,
    /// What is broken now, by the id that broke it.
    broken: Mutex<BTreeMap<String, Fault>>,
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// The step.
    pub id: String,
    /// When it began.
    pub began: Moment,
    /// Why it failed, if it did: one sentence for people.
    pub failed: Option<String>,
}

/// What the controller's loop wakes up for.
enum Turn {
    Stop,
    Wish(Option<Wish>),
    Done(Option<Played>),
}

impl Controller {
    /// A controller of this fleet.
    pub fn new(fleet: Arc<dyn Fleet>, clock: Clock, journal: Arc<dyn Journal>) -> Self {
        Controller { fleet, clock, journal, broken: Mutex::default() }
    }

    /// Plays a scenario, and does what comes in by `wishes` meanwhile, until `stop` is done or there is nothing left
    /// to do: every step is over and nobody can wish any more. Then mends what is still broken.
    ///
    /// Returns the steps that began, in the order in which they ended.
    pub async fn run(
        &self,
        scenario: &Scenario,
        mut wishes: mpsc::Receiver<Wish>,
        stop: impl Future<Output = ()>,
    ) -> Vec<Played> {
        let began = Mutex::new(Vec::new());
        let mut steps: FuturesUnordered<BoxFuture<'_, Option<Played>>> = FuturesUnordered::new();
        for step in &scenario.steps {
            steps.push(Box::pin(async { Some(self.play(step, &began).await) }));
        }
        let (mut stop, mut heard, mut wished) = (pin!(stop), true, 0_u32);
        let mut played = Vec::new();
        while heard || !steps.is_empty() {
            let turn = std::future::poll_fn(|context| {
                if stop.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Turn::Stop);
                }
                if heard && let Poll::Ready(wish) = wishes.poll_recv(context) {
                    return Poll::Ready(Turn::Wish(wish));
                }
                match steps.poll_next_unpin(context) {
                    Poll::Ready(Some(done)) => Poll::Ready(Turn::Done(done)),
                    _ => Poll::Pending,
                }
            });
            match turn.await {
                Turn::Stop => break,
                Turn::Wish(None) => heard = false,
                Turn::Wish(Some(wish)) => {
                    wished += 1;
                    let number = wished;
                    steps.push(Box::pin(async move {
                        self.grant(number, wish).await;
                        None
                    }));
                }
                Turn::Done(done) => played.extend(done),
            }
        }
        drop(steps);
        let unfinished = began.into_inner().unwrap_or_else(PoisonError::into_inner);
        let unfinished =
            unfinished.into_iter().filter(|step: &Played| played.iter().all(|done| done.id != step.id));
        let unfinished: Vec<Played> = unfinished.collect();
        played.extend(unfinished);
        self.mend_all().await;
        played
    }

    /// A step's life.
    async fn play(&self, step: &Step, began: &Mutex<Vec<Played>>) -> Played {
        self.clock.sleep_until(step.at).await;
        let mut played = Played { id: step.id.clone(), began: self.clock.now(), failed: None };
        began.lock().unwrap_or_else(PoisonError::into_inner).push(played.clone());
        self.event("step.started", &step.id, &[("kind", step.kind.to_string()), ("what", step.what.clone())]);
        let outcome = match &step.act {
            Act::Fault { fault, until } => self.break_until(&step.id, fault, *until).await,
            _ => self.try_until_done(step).await,
        };
        match &outcome {
            Ok(()) => self.event("step.ended", &step.id, &[]),
            Err(reason) => self.warn(&step.id, reason),
        }
        played.failed = outcome.err();
        played
    }

    /// Acts, and acts again after a failure as often as the step says.
    async fn try_until_done(&self, step: &Step) -> Result<(), String> {
        let mut attempt = 1;
        loop {
            let outcome = self.act(step).await;
            match (&outcome, step.retry) {
                (Err(reason), Some(retry)) if attempt < retry.attempts => {
                    let fields = [("attempt", attempt.to_string()), ("reason", reason.clone())];
                    self.event("step.retried", &step.id, &fields);
                    self.clock.sleep(retry.every).await;
                    attempt += 1;
                }
                _ => return outcome,
            }
        }
    }

    /// Breaks something, holds it broken, mends it.
    async fn break_until(&self, id: &str, fault: &Fault, until: Option<Moment>) -> Result<(), String> {
        self.break_it(id, fault).await?;
        self.hold_and_mend(id, fault, until).await
    }

    async fn hold_and_mend(&self, id: &str, fault: &Fault, until: Option<Moment>) -> Result<(), String> {
        match until.or_else(|| self.natural_end(fault)) {
            Some(until) => self.clock.sleep_until(until).await,
            // To the end of the run, or until somebody removes it.
            None => std::future::pending().await,
        }
        self.mend(id).await
    }

    /// When a fault ends that nobody ends: killed instances come back once their restart delay is over.
    fn natural_end(&self, fault: &Fault) -> Option<Moment> {
        let Fault::Kill { who } = fault else { return None };
        let topology = self.fleet.topology();
        let killed = topology.services.values().filter(|service| {
            service
                .instances
                .iter()
                .any(|instance| who.iter().any(|who| who.matches(instance, &service.name)))
        });
        killed.map(|service| self.clock.now() + service.restart_delay).max()
    }

    fn event(&self, kind: &str, id: &str, fields: &[(&str, String)]) {
        let mut all = vec![("id", id.to_owned())];
        all.extend_from_slice(fields);
        self.journal.event(kind, &all);
    }

    fn warn(&self, id: &str, reason: &str) {
        tracing::warn!(step = id, reason, incident_time = %self.clock.now(), "a step failed");
        self.event("step.failed", id, &[("reason", reason.to_owned())]);
    }

    fn broken(&self) -> MutexGuard<'_, BTreeMap<String, Fault>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
