//! The control plane, invocations, the queue.

use eastfall_proto::error::reason;
use eastfall_proto::lambda::InvocationType::{Async, Sync};
use eastfall_proto::lambda::*;
use eastfall_topology::Span;
use tonic::Code;

use super::{ask, counted, gauge, invoke, set, started};

#[test]
fn a_function_is_made_changed_and_invoked() {
    let lab = started("");
    let name = || "mine".to_owned();
    let make = || CreateFunctionRequest { function_name: name() };
    ask(&lab, "lambda", &lambda_api::CREATE_FUNCTION, make()).expect("it is new");
    let status = ask(&lab, "lambda", &lambda_api::CREATE_FUNCTION, make()).expect_err("it is there");
    assert_eq!(reason(&status).as_deref(), Some("ResourceConflictException"), "{status}");
    let update = UpdateFunctionCodeRequest { function_name: name() };
    ask(&lab, "lambda", &lambda_api::UPDATE_FUNCTION_CODE, update).expect("it is there");
    let get = GetFunctionRequest { function_name: name() };
    let function = ask(&lab, "lambda", &lambda_api::GET_FUNCTION, get).expect("it is there").function;
    assert_eq!(function.expect("a function").revision, 2, "changed once");
    let run = InvokeRequest { function_name: name(), ..InvokeRequest::default() };
    let answer = ask(&lab, "lambda", &lambda_api::INVOKE, run).expect("there is room");
    assert_eq!(answer.status_code, 200, "it has run");
}

#[test]
fn without_the_store_warm_functions_run_cold_ones_fail_and_none_is_made() {
    let lab = started("");
    invoke(&lab, 1, Sync).expect("the store is there");
    lab.simulation.kill_instance("db");
    lab.run_for(Span::from_secs(60));
    invoke(&lab, 1, Sync).expect("its environment and what is known of it are still there");
    let status = invoke(&lab, 2, Sync).expect_err("its code can't be found");
    assert_eq!(reason(&status).as_deref(), Some("ServiceException"), "{status}");
    let make = CreateFunctionRequest { function_name: "mine".to_owned() };
    let status = ask(&lab, "lambda", &lambda_api::CREATE_FUNCTION, make).expect_err("nothing can be written");
    assert_eq!(status.code(), Code::Internal, "{status}");
    lab.simulation.start_instance("db");
    lab.run_for(Span::from_secs(5));
    invoke(&lab, 2, Sync).expect("the store is back");
}

#[test]
fn an_asynchronous_invocation_is_accepted_at_once_and_run_later() {
    let lab = started("");
    assert_eq!(invoke(&lab, 1, Async).expect("accepted"), 202, "nobody waits for it");
    assert_eq!(counted(&lab, "async-done"), 0.0, "it has not run yet");
    lab.run_for(Span::from_secs(10));
    assert_eq!(counted(&lab, "async-done"), 1.0, "but now");
    assert_eq!(gauge(&lab, "async-backlog"), 0.0, "and the queue is empty");
}

#[test]
fn accepted_events_survive_a_kill() {
    let lab = started("");
    set(&lab, "service.fleet.async-share", "0.0");
    for function in 1..=5 {
        invoke(&lab, function, Async).expect("accepted");
    }
    lab.simulation.kill_instance("lambda");
    lab.simulation.start_instance("lambda");
    lab.run_for(Span::from_secs(20));
    assert_eq!(gauge(&lab, "async-backlog"), 5.0, "all wait for the throttle's end");
    set(&lab, "service.fleet.async-share", "1.0");
    lab.run_for(Span::from_secs(30));
    assert_eq!(counted(&lab, "async-done"), 5.0, "and are run then");
}

#[test]
fn a_queue_above_its_limit_takes_no_more() {
    let lab = started("async-share = 0.0");
    set(&lab, "service.lambda.async-backlog-limit", "2");
    invoke(&lab, 1, Async).expect("the first");
    invoke(&lab, 1, Async).expect("the second");
    let status = invoke(&lab, 1, Async).expect_err("two wait");
    assert_eq!(reason(&status).as_deref(), Some("TooManyRequestsException"), "{status}");
}

#[test]
fn an_event_that_cannot_be_run_for_too_long_is_given_up_and_counted() {
    let lab = started("async-share = 0.0");
    set(&lab, "service.lambda.event-age", "\"1m\"");
    invoke(&lab, 1, Async).expect("accepted");
    lab.run_for(Span::from_secs(90));
    assert_eq!(counted(&lab, "async-given-up"), 1.0, "after a minute");
    assert_eq!(gauge(&lab, "async-backlog"), 0.0, "nothing is left of it");
}
