//! Who gets a place on the fleet, and what it does to keep its size.

use eastfall_proto::lambda::InvocationType::{Async, Sync};
use eastfall_proto::lambda::lambda_api;
use eastfall_topology::Span;
use tonic::Code;

use super::{counted, gauge, invocation, invoke, set, started};
use crate::testing::Lab;

/// How many of ten synchronous invocations, two seconds apart, succeed while far more events wait than there is room for.
fn sync_successes(lab: &Lab) -> usize {
    let client = lab.client("people", "lambda");
    lab.run(async move {
        for _ in 0..60 {
            client.call(&lambda_api::INVOKE, invocation(1, Async)).await.expect("accepted");
        }
    });
    lab.run_for(Span::from_secs(2));
    let attempt = |_: &usize| {
        let outcome = invoke(lab, 1, Sync);
        lab.run_for(Span::from_millis(100));
        if let Err(status) = &outcome {
            assert_eq!(status.code(), Code::ResourceExhausted, "throttled: {status}");
        }
        outcome.is_ok()
    };
    (0..10).filter(attempt).count()
}

#[test]
fn asynchronous_work_takes_the_room_of_synchronous_work_unless_it_is_throttled() {
    let unprotected = sync_successes(&started(""));
    let protected = sync_successes(&started("async-share = 0.5"));
    assert!(unprotected < 10, "{unprotected} of 10 succeed although the queue holds every slot");
    assert_eq!(protected, 10, "half of the slots are out of the queue's reach");
}

#[test]
fn throttled_events_wait_and_are_all_run_when_the_throttle_is_taken_off() {
    let lab = started("async-share = 0.0");
    for _ in 0..8 {
        invoke(&lab, 1, Async).expect("accepted");
    }
    lab.run_for(Span::from_secs(60));
    assert_eq!(counted(&lab, "async-done"), 0.0, "no room for them");
    assert!(counted(&lab, "throttled-async") < 50.0, "and they don't knock once each all the time");
    set(&lab, "service.fleet.async-share", "1.0");
    lab.run_for(Span::from_secs(30));
    assert_eq!(counted(&lab, "async-done"), 8.0, "none was lost");
}

#[test]
fn workers_are_instances_of_ec2_and_missing_ones_wait_for_launches() {
    let lab = started("");
    assert_eq!(gauge(&lab, "instances"), 2.0, "they run on droplets");
    set(&lab, "service.ec2.launch-burst", "1");
    set(&lab, "service.ec2.launch-rate", "0.0001");
    set(&lab, "service.fleet.fixed-workers", "5");
    lab.run_for(Span::from_mins(2));
    assert!(counted(&lab, "launches-failed") > 0.0, "launches are throttled");
    assert_eq!((gauge(&lab, "workers"), gauge(&lab, "desired")), (3.0, 5.0), "under-scaled by two");
    set(&lab, "service.ec2.launch-rate", "\"none\"");
    lab.run_for(Span::from_secs(30));
    assert_eq!(gauge(&lab, "workers"), 5.0, "launched as soon as that is possible");
}

#[test]
fn a_fleet_that_comes_back_knows_its_workers() {
    let lab = started("");
    lab.simulation.kill_instance("fleet");
    lab.simulation.start_instance("fleet");
    lab.run_for(Span::from_secs(20));
    assert_eq!((gauge(&lab, "workers"), gauge(&lab, "instances")), (2.0, 2.0), "none was launched anew");
    invoke(&lab, 1, Sync).expect("they work");
}

#[test]
fn the_fleet_follows_its_load_both_ways() {
    let bounds = "minimum-workers = 2\nmaximum-workers = 4\nscale-in-after = \"30s\"";
    let lab = started(bounds);
    set(&lab, "service.fleet.fixed-workers", "\"none\"");
    set(&lab, "service.fleet.target-share", "0.3");
    let client = lab.client("people", "lambda");
    lab.run(async move {
        for _ in 0..100 {
            client.call(&lambda_api::INVOKE, invocation(1, Async)).await.expect("accepted");
        }
    });
    // The estimate of the demand remembers some ten looks: what was there before counts for a while.
    lab.run_for(Span::from_secs(50));
    let busy = gauge(&lab, "desired");
    assert!(busy > 2.0, "{busy} workers are desired while all slots are in use");
    lab.run_for(Span::from_mins(10));
    assert_eq!((gauge(&lab, "desired"), gauge(&lab, "workers")), (2.0, 2.0), "and fewer when nothing is");
}
