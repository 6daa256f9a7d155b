//! Dialogues between a resolver and a name server that follows a script.

use super::super::{Record, RecordData, Soa};
use super::*;
use crate::engine::sim;
use crate::rng::stream;
use eastfall_topology::time::Span;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

const NAME: &str = "dynamodb.us-east-1.amazonaws.com";
const CLOCK: Clock = Clock::virtual_time();

/// What the server does with the next question; the last step repeats.
#[derive(Clone)]
enum Step {
    Say(Answer),
    Truncated(Answer),
    Silence,
}

struct Script {
    steps: Vec<Step>,
    asked: AtomicUsize,
    over_tcp: AtomicUsize,
}

impl DnsTransport for Script {
    fn ask<'a>(&'a self, _: &'a Question, over_tcp: bool) -> BoxFuture<'a, Result<Answer, DnsError>> {
        Box::pin(async move {
            if over_tcp {
                self.over_tcp.fetch_add(1, Ordering::Relaxed);
            }
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            CLOCK.sleep(Span::from_millis(1)).await;
            match self.steps[number.min(self.steps.len() - 1)].clone() {
                Step::Say(answer) => Ok(answer),
                Step::Truncated(answer) => Ok(Answer { truncated: !over_tcp, ..answer }),
                Step::Silence => Err(DnsError::NoReply),
            }
        })
    }
}

fn no_faults() -> FaultTable {
    FaultTable::new(stream(1, "faults"))
}

fn resolver(steps: Vec<Step>) -> (Resolver, Arc<Script>) {
    let script = Arc::new(Script { steps, asked: AtomicUsize::new(0), over_tcp: AtomicUsize::new(0) });
    let transport: Arc<dyn DnsTransport> = script.clone();
    (Resolver::new(CLOCK, Limits::default(), transport, no_faults(), "web-1", "web"), script)
}

fn here() -> Answer {
    let data = RecordData::A(Ipv4Addr::LOCALHOST);
    Answer::of(vec![Record { name: NAME.into(), ttl: Span::from_secs(5), data }])
}

fn gone() -> Answer {
    let (ttl, minimum) = (Span::from_mins(15), Span::from_mins(15));
    let soa = Soa { zone: NAME.into(), primary: "ns".into(), contact: "x".into(), serial: 1, ttl, minimum };
    Answer::nothing(ResponseCode::NoError, Some(soa))
}

fn failure() -> Answer {
    Answer::nothing(ResponseCode::ServFail, None)
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    sim::block_on(future).expect("it ends")
}

#[test]
fn clients_recover_as_late_as_the_negative_answer_expires() {
    let (resolver, script) = resolver(vec![Step::Say(gone()), Step::Say(here())]);
    run(async move {
        let empty = resolver.resolve(NAME, RecordType::A).await.expect("an answer");
        assert!(!empty.has(RecordType::A), "the record is gone");
        CLOCK.sleep(Span::from_secs(899)).await;
        let still = resolver.resolve(NAME, RecordType::A).await.expect("an answer");
        assert!(!still.has(RecordType::A), "the record is back, the resolver does not know");
        assert_eq!(script.asked.load(Ordering::Relaxed), 1, "it does not even ask");
        CLOCK.sleep(Span::from_secs(1)).await;
        let back = resolver.resolve(NAME, RecordType::A).await.expect("an answer");
        assert!(back.has(RecordType::A), "after fifteen minutes it asks again");
    });
}

#[test]
fn silence_and_servfail_are_tried_again_and_not_kept() {
    let (resolver, script) =
        resolver(vec![Step::Silence, Step::Silence, Step::Say(failure()), Step::Say(here())]);
    run(async move {
        let silent = resolver.resolve(NAME, RecordType::A).await;
        assert_eq!(silent, Err(DnsError::NoReply));
        assert_eq!(CLOCK.now().since_start(), Span::from_secs(4), "two attempts of two seconds each");
        let second = resolver.resolve(NAME, RecordType::A).await.expect("the second attempt is answered");
        assert!(second.has(RecordType::A));
        assert_eq!(script.asked.load(Ordering::Relaxed), 4);
    });
}

#[test]
fn a_server_that_fails_every_time_is_reported_as_such() {
    let (resolver, _) = resolver(vec![Step::Say(failure())]);
    let outcome = run(async move { resolver.resolve(NAME, RecordType::A).await });
    assert_eq!(outcome, Err(DnsError::Answered(ResponseCode::ServFail)));
}

#[test]
fn simultaneous_questions_are_asked_once() {
    let (resolver, script) = resolver(vec![Step::Say(here())]);
    run(async move {
        let askers = (0..1000).map(|_| resolver.resolve(NAME, RecordType::A));
        let answers = futures_util::future::join_all(askers).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(script.asked.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_question_that_everybody_gave_up_is_asked_afresh() {
    let (resolver, script) = resolver(vec![Step::Silence, Step::Say(here())]);
    run(async move {
        let given_up = CLOCK.timeout(Span::from_millis(500), resolver.resolve(NAME, RecordType::A)).await;
        assert!(given_up.is_err(), "its caller has no time to wait");
        CLOCK.sleep(Span::from_secs(60)).await;
        let before = CLOCK.now();
        assert!(resolver.resolve(NAME, RecordType::A).await.is_ok());
        assert_eq!(
            CLOCK.now().since(before),
            Span::from_millis(1),
            "it did not wait for the first question's time-out"
        );
        assert_eq!(script.asked.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_truncated_answer_is_fetched_over_tcp() {
    let (resolver, script) = resolver(vec![Step::Truncated(here())]);
    run(async move {
        let answer = resolver.resolve(NAME, RecordType::A).await.expect("an answer");
        assert!(!answer.truncated && answer.has(RecordType::A));
        assert_eq!(script.over_tcp.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_stale_resolver_serves_what_has_expired() {
    let (resolver, _) = resolver(vec![Step::Say(here()), Step::Say(gone())]);
    let faults = resolver.0.faults.clone();
    run(async move {
        resolver.resolve(NAME, RecordType::A).await.expect("an answer");
        CLOCK.sleep(Span::from_mins(1)).await;
        faults.add("stale", format!("dns stale {NAME} at web").parse().expect("a fault"));
        assert!(resolver.resolve(NAME, RecordType::A).await.expect("an answer").has(RecordType::A), "stale");
        faults.remove("stale");
        assert!(
            !resolver.resolve(NAME, RecordType::A).await.expect("an answer").has(RecordType::A),
            "mended"
        );
    });
}

#[test]
fn a_fault_of_one_resolver_is_not_asked_and_not_kept() {
    let (resolver, script) = resolver(vec![Step::Say(here())]);
    let faults = resolver.0.faults.clone();
    run(async move {
        faults.add("gone", format!("dns nxdomain {NAME} at web-1").parse().expect("a fault"));
        let wrong = resolver.resolve(NAME, RecordType::A).await.expect("an answer");
        assert_eq!((wrong.code, script.asked.load(Ordering::Relaxed)), (ResponseCode::NxDomain, 0));
        faults.remove("gone");
        faults.add("silent", format!("dns timeout {NAME} at web-1").parse().expect("a fault"));
        assert_eq!(resolver.resolve(NAME, RecordType::A).await, Err(DnsError::NoReply));
        assert_eq!(CLOCK.now().since_start(), Span::from_secs(4), "as long as two unanswered attempts take");
        faults.remove("silent");
        assert!(
            resolver.resolve(NAME, RecordType::A).await.expect("an answer").has(RecordType::A),
            "at once"
        );
    });
}

#[test]
fn other_limits_count_from_the_next_answer_on() {
    let (resolver, script) = resolver(vec![Step::Say(gone())]);
    run(async move {
        resolver.change(Limits { negative_max: Span::from_secs(5), ..Limits::default() });
        resolver.resolve(NAME, RecordType::A).await.expect("an answer");
        CLOCK.sleep(Span::from_secs(5)).await;
        resolver.resolve(NAME, RecordType::A).await.expect("an answer");
        assert_eq!(script.asked.load(Ordering::Relaxed), 2, "kept for five seconds, not fifteen minutes");
        resolver.clear();
        resolver.resolve(NAME, RecordType::A).await.expect("an answer");
        assert_eq!(script.asked.load(Ordering::Relaxed), 3, "nothing is left after a restart");
    });
}
