//! The faults in force, as every call on its way meets them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use eastfall_topology::time::Span;
use rand::RngExt as _;
use tonic::Status;

use super::selector::glob;
use super::{DnsFault, Edge, Fault};
use crate::call::Method;
use crate::rng::Rng;

/// What the faults in force do to one call.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Nothing.
    Pass,
    /// It goes out so much later.
    Delay(Span),
    /// It fails with this status and never reaches its callee.
    Fail(Status),
    /// It is never answered.
    BlackHole,
}

/// The faults in force in one process (live) or one run (virtual time). Cheap to clone; all clones are one table.
#[derive(Clone)]
pub struct FaultTable(Arc<Inner>);

struct Inner {
    /// Whether there is any fault at all, so that a healthy run pays one load a call.
    any: AtomicBool,
    active: ArcSwap<Vec<Active>>,
    /// Draws shares and jitter; also held while the list is changed.
    rng: Mutex<Rng>,
}

#[derive(Clone)]
struct Active {
    id: Arc<str>,
    fault: Arc<Fault>,
}

/// Removes its fault when it is dropped.
#[must_use = "the fault is removed when its guard is dropped"]
#[derive(Debug)]
pub struct FaultGuard {
    table: FaultTable,
    id: String,
}

// === impl FaultTable ===

impl FaultTable {
    /// An empty table that draws shares and jitter from this stream.
    pub fn new(rng: Rng) -> Self {
        let (any, active) = (AtomicBool::new(false), ArcSwap::default());
        FaultTable(Arc::new(Inner { any, active, rng: Mutex::new(rng) }))
    }

    /// Puts a fault in force, in place of the one with this id if there is one.
    pub fn add(&self, id: &str, fault: Fault) {
        self.change(|active| {
            active.retain(|other| &*other.id != id);
            active.push(Active { id: id.into(), fault: Arc::new(fault) });
        });
    }

    /// Ends a fault; whether it was in force.
    pub fn remove(&self, id: &str) -> bool {
        let mut removed = false;
        self.change(|active| {
            let before = active.len();
            active.retain(|other| &*other.id != id);
            removed = active.len() < before;
        });
        removed
    }

    /// Puts a fault in force until the guard is dropped.
    pub fn hold(&self, id: &str, fault: Fault) -> FaultGuard {
        self.add(id, fault);
        FaultGuard { table: self.clone(), id: id.to_owned() }
    }

    /// The faults in force with their ids, in the order in which they came.
    pub fn active(&self) -> Vec<(String, Fault)> {
        self.0
            .active
            .load()
            .iter()
            .map(|active| (active.id.to_string(), Fault::clone(&active.fault)))
            .collect()
    }

    /// Whether nothing is in force.
    pub fn is_empty(&self) -> bool {
        !self.0.any.load(Ordering::Acquire)
    }

    /// What becomes of a call. Delays add up; the first fault that fails or swallows the call decides.
    pub fn verdict(
        &self,
        caller_instance: &str,
        caller_service: &str,
        callee_instance: &str,
        callee_service: &str,
        method: &Method,
    ) -> Verdict {
        if self.is_empty() {
            return Verdict::Pass;
        }
        let (caller, callee) = ((caller_instance, caller_service), (callee_instance, callee_service));
        let meant = |on: &Edge| on.matches(caller, callee) && on.takes(method);
        let mut delay = Span::ZERO;
        for Active { id, fault } in self.0.active.load().iter() {
            match &**fault {
                Fault::Latency { latency, jitter, on } if meant(on) => {
                    delay += self.spread(*latency, *jitter)
                }
                Fault::Error { code, share, on } if meant(on) && self.draw() < *share => {
                    return Verdict::Fail(Status::new(*code, format!("injected fault {id}: {fault}")));
                }
                Fault::BlackHole { on } if meant(on) => return Verdict::BlackHole,
                Fault::Partition { left, right } if parted(left, right, caller, callee) => {
                    return Verdict::BlackHole;
                }
                _ => {}
            }
        }
        if delay.is_zero() { Verdict::Pass } else { Verdict::Delay(delay) }
    }

    /// Whether nothing at all gets from one instance to another: no connection can be made, no DNS query arrives.
    /// Black holes for a single method don't count.
    pub fn cut(
        &self,
        caller_instance: &str,
        caller_service: &str,
        callee_instance: &str,
        callee_service: &str,
    ) -> bool {
        let (caller, callee) = ((caller_instance, caller_service), (callee_instance, callee_service));
        !self.is_empty()
            && self.0.active.load().iter().any(|active| match &*active.fault {
                Fault::BlackHole { on } => on.method.is_none() && on.matches(caller, callee),
                Fault::Partition { left, right } => parted(left, right, caller, callee),
                _ => false,
            })
    }

    /// How many times longer everything takes on an instance; 1 without a fault. Several multiply.
    pub fn slow_factor(&self, instance: &str, service: &str) -> f64 {
        if self.is_empty() {
            return 1.0;
        }
        let active = self.0.active.load();
        let factors = active.iter().filter_map(|active| match &*active.fault {
            Fault::Slow { factor, who } if who.iter().any(|who| who.matches(instance, service)) => {
                Some(factor)
            }
            _ => None,
        });
        factors.product()
    }

    /// What the authority does wrong with a DNS name (lower case, no final dot), to whoever asks.
    pub fn authority_faults(&self, name: &str) -> Vec<DnsFault> {
        self.dns_faults(name, None)
    }

    /// What the resolver of an instance does wrong with a DNS name (lower case, no final dot).
    pub fn resolver_faults(&self, instance: &str, service: &str, name: &str) -> Vec<DnsFault> {
        self.dns_faults(name, Some((instance, service)))
    }

    fn dns_faults(&self, name: &str, resolver: Option<(&str, &str)>) -> Vec<DnsFault> {
        if self.is_empty() {
            return Vec::new();
        }
        let active = self.0.active.load();
        let faults = active.iter().filter_map(|active| match &*active.fault {
            Fault::Dns { fault, name: pattern, resolvers } if glob(pattern, name) => {
                let here = match resolver {
                    None => resolvers.is_empty() && *fault != DnsFault::Stale,
                    Some((instance, service)) => {
                        let everybody = resolvers.is_empty() && *fault == DnsFault::Stale;
                        everybody || resolvers.iter().any(|who| who.matches(instance, service))
                    }
                };
                here.then_some(*fault)
            }
            _ => None,
        });
        faults.collect()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Active>)) {
        let _writing = self.0.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let mut active = Vec::clone(&self.0.active.load());
        change(&mut active);
        self.0.any.store(!active.is_empty(), Ordering::Release);
        self.0.active.store(Arc::new(active));
    }

    /// Uniform in 0..1.
    fn draw(&self) -> f64 {
        self.0.rng.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// Uniform within `jitter` of `latency`.
    fn spread(&self, latency: Span, jitter: Span) -> Span {
        if jitter.is_zero() {
            return latency;
        }
        latency.saturating_sub(jitter) + jitter.mul_f64(2.0 * self.draw())
    }
}

fn parted(left: &[super::Selector], right: &[super::Selector], a: (&str, &str), b: (&str, &str)) -> bool {
    let on = |side: &[super::Selector], who: (&str, &str)| side.iter().any(|s| s.matches(who.0, who.1));
    (on(left, a) && on(right, b)) || (on(right, a) && on(left, b))
}

impl fmt::Debug for FaultTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultTable").field(&self.active()).finish()
    }
}

// === impl FaultGuard ===

impl Drop for FaultGuard {
    fn drop(&mut self) {
        self.table.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use eastfall_proto::dynamodb::dynamo_db_api::{GET_ITEM, PUT_ITEM};

    fn table(faults: &[&str]) -> FaultTable {
        let table = FaultTable::new(stream(1, "faults"));
        for fault in faults {
            table.add(fault, fault.parse().expect(fault));
        }
        table
    }

    fn verdict(table: &FaultTable, caller: &str, callee: &str) -> String {
        let service =
            |instance: &str| instance.rsplit_once('-').map_or(instance, |(service, _)| service).to_owned();
        format!("{:?}", table.verdict(caller, &service(caller), callee, &service(callee), GET_ITEM.method()))
    }

    #[test]
    fn nothing_happens_without_a_fault_or_once_it_is_removed() {
        let table = table(&["black-hole *->*"]);
        assert_eq!(verdict(&table, "a-1", "b-1"), "BlackHole", "in force");
        assert!(table.remove("black-hole *->*"), "it was in force");
        assert_eq!(verdict(&table, "a-1", "b-1"), "Pass", "removed");
        assert!(table.is_empty(), "the fast way out is open again");
    }

    #[test]
    fn delays_add_up_and_only_on_their_way() {
        let table = table(&["latency 1s on a->b", "latency 500ms on a-1->*", "latency 1h on b->a"]);
        assert_eq!(verdict(&table, "a-1", "b-1"), "Delay(Span(1500000000))", "both");
        assert_eq!(verdict(&table, "a-2", "b-1"), "Delay(Span(1000000000))", "the service's only");
        assert_eq!(verdict(&table, "c-1", "b-1"), "Pass", "another caller");
    }

    #[test]
    fn the_first_fault_that_ends_a_call_decides() {
        let table = table(&["latency 1s on a->b", "error internal on a->b", "black-hole a->b"]);
        assert!(verdict(&table, "a-1", "b-1").contains("Internal"), "the error came before the black hole");
    }

    #[test]
    fn a_partition_cuts_both_ways_and_leaves_its_sides_whole() {
        let table = table(&["partition a, b | c"]);
        for (from, to) in [("a-1", "c-1"), ("c-1", "b-1")] {
            assert_eq!(verdict(&table, from, to), "BlackHole", "{from} to {to}");
        }
        assert_eq!(verdict(&table, "a-1", "b-1"), "Pass", "the same side");
        assert!(table.cut("c-1", "c", "a-1", "a"), "no connection either");
    }

    #[test]
    fn a_fault_of_one_method_leaves_the_others_and_connecting_alone() {
        let table = table(&["black-hole a->b/GetItem"]);
        assert_eq!(verdict(&table, "a-1", "b-1"), "BlackHole", "the method");
        let other = table.verdict("a-1", "a", "b-1", "b", PUT_ITEM.method());
        assert!(matches!(other, Verdict::Pass), "another method: {other:?}");
        assert!(!table.cut("a-1", "a", "b-1", "b"), "connections can be made");
    }

    #[test]
    fn a_share_fails_its_share_and_jitter_stays_within_its_bounds() {
        let table = table(&["error unavailable 30% on a->b", "latency 100ms jitter 20ms on a->b"]);
        let (mut failed, mut low, mut high) = (0, f64::MAX, 0.0_f64);
        for _ in 0..10_000 {
            match table.verdict("a-1", "a", "b-1", "b", GET_ITEM.method()) {
                Verdict::Fail(_) => failed += 1,
                Verdict::Delay(span) => {
                    low = low.min(span.as_millis_f64());
                    high = high.max(span.as_millis_f64());
                }
                other => panic!("{other:?}"),
            }
        }
        assert!((2_850..3_150).contains(&failed), "{failed} of 10,000 at 30%");
        assert!((80.0..81.0).contains(&low) && (119.0..=120.0).contains(&high), "{low} to {high} ms");
    }

    #[test]
    fn slow_factors_multiply() {
        let table = table(&["slow 2x a", "slow 3x a-1"]);
        assert_eq!((table.slow_factor("a-1", "a"), table.slow_factor("a-2", "a")), (6.0, 2.0));
        assert_eq!(table.slow_factor("b-1", "b"), 1.0, "nobody meant");
    }

    #[test]
    fn dns_faults_are_at_the_authority_unless_resolvers_are_named() {
        let table = table(&["dns empty *.example", "dns nxdomain a.example at web", "dns stale a.example"]);
        assert_eq!(table.authority_faults("a.example"), [DnsFault::Empty]);
        assert_eq!(table.authority_faults("a.other"), []);
        assert_eq!(table.resolver_faults("web-1", "web", "a.example"), [DnsFault::NxDomain, DnsFault::Stale]);
        assert_eq!(
            table.resolver_faults("app-1", "app", "a.example"),
            [DnsFault::Stale],
            "stale is for everybody"
        );
    }

    #[test]
    fn a_guard_removes_its_fault_when_dropped() {
        let table = table(&[]);
        let guard = table.hold("it", "black-hole a->b".parse().expect("a fault"));
        assert_eq!(table.active().len(), 1, "held");
        drop(guard);
        assert!(table.is_empty(), "dropped");
    }
}
