//! What spans say: of attempts and servers, of failures, faults and callers who went away.

use std::sync::{Arc, Mutex};

use eastfall_topology::time::Span;

use super::*;
use crate::rng::stream;

#[derive(Default)]
struct Kept(Mutex<Vec<SpanData>>);

impl Sink for Kept {
    fn take(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }
}

fn tracer(ratio: f64) -> (Arc<Tracer>, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let tracer = Tracer::new(Clock::virtual_time(), ratio, stream(1, "traces"), Arc::clone(&kept) as _);
    (tracer, kept)
}

fn call() -> Call {
    eastfall_proto::dynamodb::dynamo_db_api::GET_ITEM.call(Default::default())
}

fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

#[test]
fn attempts_are_siblings_and_the_server_is_beneath_its_own() {
    let (tracer, kept) = tracer(1.0);
    let mut call = call();
    let request = tracer.request(&mut call, "dynamodb");
    for number in 0..2 {
        let mut sent = call.clone();
        let mut attempt = tracer.attempt(&mut sent, "dynamodb", number);
        let mut server = tracer.serve(&sent);
        server.ended(&Err(Status::unavailable("overloaded")));
        attempt.ended(&Err(Status::unavailable("overloaded")));
    }
    drop(request);
    let kept = kept.0.lock().unwrap();
    let of = |kind| kept.iter().filter(move |span| span.kind == kind).collect::<Vec<_>>();
    let (requests, attempts, servers) = (of(SpanKind::Request), of(SpanKind::Attempt), of(SpanKind::Server));
    assert_eq!((requests.len(), attempts.len(), servers.len()), (1, 2, 2));
    assert_eq!(requests[0].parent, None);
    for (attempt, server) in attempts.iter().zip(&servers) {
        assert_eq!(attempt.parent, Some(requests[0].span_id), "siblings");
        assert_eq!(server.parent, Some(attempt.span_id));
        assert_eq!(server.trace_id, requests[0].trace_id);
        assert_eq!(attempt.name, "eastfall.dynamodb.v1.DynamoDb/GetItem");
        assert_eq!(attribute(attempt, "error.type"), Some(&Value::Text("UNAVAILABLE".to_owned())));
    }
    assert_eq!(attribute(attempts[1], "eastfall.attempt"), Some(&Value::Number(1)));
}

#[test]
fn a_span_that_nobody_ended_says_that_its_caller_went_away() {
    let (tracer, kept) = tracer(1.0);
    drop(tracer.request(&mut call(), "dynamodb"));
    let kept = kept.0.lock().unwrap();
    assert_eq!(attribute(&kept[0], "error.type"), Some(&Value::Text("CANCELLED".to_owned())));
    assert!(kept[0].error.is_some());
}

#[test]
fn an_answer_about_a_mistake_of_the_caller_is_no_error() {
    let (tracer, kept) = tracer(1.0);
    tracer.request(&mut call(), "dynamodb").ended(&Err(Status::not_found("no such item")));
    let kept = kept.0.lock().unwrap();
    assert_eq!((&kept[0].error, attribute(&kept[0], "error.type")), (&None, None));
    assert_eq!(
        attribute(&kept[0], "rpc.response.status_code"),
        Some(&Value::Text("NOT_FOUND".to_owned())),
        "but its status is told"
    );
}

#[test]
fn a_trace_is_kept_where_it_begins_or_not_at_all() {
    let (tracer, kept) = tracer(0.25);
    for _ in 0..1_000 {
        let mut call = call();
        let request = tracer.request(&mut call, "dynamodb");
        let _attempt = tracer.attempt(&mut call, "dynamodb", 0);
        drop(request);
    }
    let kept = kept.0.lock().unwrap();
    let traces: std::collections::BTreeSet<u128> = kept.iter().map(|span| span.trace_id).collect();
    assert_eq!(kept.len(), traces.len() * 2, "whole traces");
    assert!((200..300).contains(&traces.len()), "{} of 1000 at a ratio of 0.25", traces.len());
    let (none, kept) = self::tracer(0.0);
    drop(none.request(&mut call(), "dynamodb"));
    assert_eq!(kept.0.lock().unwrap().len(), 0);
}

#[test]
fn what_a_fault_did_is_on_the_attempt_that_met_it() {
    let (tracer, kept) = tracer(1.0);
    let mut call = call();
    let _request = tracer.request(&mut call, "dynamodb");
    let attempt = tracer.attempt(&mut call, "dynamodb", 0);
    call.context
        .trace
        .as_ref()
        .unwrap()
        .note("eastfall.fault", format!("is delayed by {}", Span::from_secs(3)));
    drop(attempt);
    let kept = kept.0.lock().unwrap();
    assert_eq!(attribute(&kept[0], "eastfall.fault"), Some(&Value::Text("is delayed by 3s".to_owned())));
}

#[tokio::test]
async fn calls_of_a_handler_are_beneath_it_even_if_it_passes_nothing_on() {
    let (tracer, kept) = tracer(1.0);
    let server = tracer.serve(&call());
    beneath(Arc::clone(server.context()), async { drop(tracer.request(&mut call(), "dynamodb")) }).await;
    drop(tracer.request(&mut call(), "dynamodb"));
    let kept = kept.0.lock().unwrap();
    assert_eq!(
        (kept[0].parent, kept[0].trace_id),
        (Some(server.context().span_id), server.context().trace_id)
    );
    assert_eq!(kept[1].parent, None, "outside, a trace begins");
}
