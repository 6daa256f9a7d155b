//! A host's stub resolver: asks, waits, asks again, and keeps what it learned.
//!
//! Simultaneous identical questions are asked once, as caching stubs do: a thousand connections that break in the same
//! moment cost the name server one question a host. Failures (SERVFAIL, silence) are not kept, so each new connection
//! asks again; answers that there is nothing are kept ([`super::cache`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_topology::Resolver as Limits;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::cache::Cache;
use super::fault::Effect;
use super::{Answer, DnsError, DnsTransport, Question, RecordType, ResponseCode};
use crate::clock::Clock;
use crate::fault::FaultTable;

/// What a question came to: an answer (perhaps that there is nothing), or why there is none.
pub type Resolved = Result<Arc<Answer>, DnsError>;

/// A caching stub resolver. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    clock: Clock,
    transport: Arc<dyn DnsTransport>,
    faults: FaultTable,
    instance: String,
    service: String,
    state: Mutex<State>,
}

struct State {
    limits: Limits,
    cache: Cache,
    /// Weak: a question whose askers have all given up is forgotten, not resumed by the next one.
    asking: BTreeMap<Question, WeakShared<BoxFuture<'static, Resolved>>>,
}

impl Resolver {
    /// The resolver of a host of an instance; the faults that are in this instance's resolvers apply.
    pub fn new(
        clock: Clock,
        limits: Limits,
        transport: Arc<dyn DnsTransport>,
        faults: FaultTable,
        instance: &str,
        service: &str,
    ) -> Self {
        let state = Mutex::new(State { limits, cache: Cache::default(), asking: BTreeMap::new() });
        let (instance, service) = (instance.to_owned(), service.to_owned());
        Resolver(Arc::new(Inner { clock, transport, faults, instance, service, state }))
    }

    /// Puts other limits in force; what is kept already stays for as long as it was to.
    pub fn change(&self, limits: Limits) {
        self.0.state().limits = limits;
    }

    /// Forgets everything that was learned.
    pub fn clear(&self) {
        self.0.state().cache.clear();
    }

    /// The answer for a name, out of the cache or from the name server. Names that don't exist, or have no such record,
    /// are answers too: look at the records.
    ///
    /// # Errors
    /// If no server answered, or it answered that it can't.
    pub async fn resolve(&self, name: &str, record_type: RecordType) -> Resolved {
        let question = Question::new(name, record_type);
        if !self.0.faults.is_empty()
            && let Some(wrong) = self.0.wrong(&question).await
        {
            return wrong;
        }
        let wait = {
            let mut state = self.0.state();
            if let Some(answer) = state.cache.lookup(self.0.clock.now(), &question) {
                return Ok(answer);
            }
            match state.asking.get(&question).and_then(WeakShared::upgrade) {
                Some(wait) => wait,
                None => {
                    let wait: Shared<BoxFuture<'static, Resolved>> =
                        Arc::clone(&self.0).ask(question.clone()).boxed().shared();
                    if let Some(weak) = wait.downgrade() {
                        state.asking.insert(question, weak);
                    }
                    wait
                }
            }
        };
        wait.await
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a fault of this host's own resolver makes of a question, instead of the cache and the server.
    async fn wrong(&self, question: &Question) -> Option<Resolved> {
        let faults = self.faults.resolver_faults(&self.instance, &self.service, &question.name);
        let effect = Effect::of(&faults, question, || None);
        if !effect.late.is_zero() {
            self.clock.sleep(effect.late).await;
        }
        if effect.stale
            && let Some(answer) = self.state().cache.lookup_stale(question)
        {
            return Some(Ok(answer));
        }
        let instead = effect.instead?;
        if instead == Err(DnsError::NoReply) {
            let limits = self.state().limits.clone();
            self.clock.sleep(limits.timeout * u64::from(limits.attempts)).await;
        }
        Some(instead.and_then(usable).map(Arc::new))
    }

    async fn ask(self: Arc<Self>, question: Question) -> Resolved {
        let outcome = self.attempts(&question).await;
        let mut state = self.state();
        state.asking.remove(&question);
        let answer = Arc::new(outcome?);
        let State { limits, cache, .. } = &mut *state;
        cache.store(self.clock.now(), &question, Arc::clone(&answer), limits);
        Ok(answer)
    }

    async fn attempts(&self, question: &Question) -> Result<Answer, DnsError> {
        let limits = self.state().limits.clone();
        let mut last = DnsError::NoReply;
        for _ in 0..limits.attempts {
            let asking = self.attempt(question);
            match self
                .clock
                .timeout(limits.timeout, asking)
                .await
                .unwrap_or(Err(DnsError::NoReply))
                .and_then(usable)
            {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn attempt(&self, question: &Question) -> Result<Answer, DnsError> {
        let outcome = match self.transport.ask(question, false).await {
            Ok(answer) if answer.truncated => self.transport.ask(question, true).await,
            outcome => outcome,
        };
        if outcome == Err(DnsError::NoReply) {
            // Whoever knows already that nothing will come: a host on a network does not, and waits.
            std::future::pending::<()>().await;
        }
        outcome
    }
}

/// An answer that says something about the name, also that there is nothing.
fn usable(answer: Answer) -> Result<Answer, DnsError> {
    match answer.code {
        ResponseCode::NoError | ResponseCode::NxDomain => Ok(answer),
        code => Err(DnsError::Answered(code)),
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resolver({})", self.0.instance)
    }
}

#[cfg(test)]
#[path = "resolver/tests.rs"]
mod tests;
