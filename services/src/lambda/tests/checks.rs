//! Health checks of workers, with NLB's part in the test's hands: it says that so many targets fail.

use std::sync::{Arc, Mutex};

use eastfall_fabric::world::{Kind, World};
use eastfall_proto::nlb::nlb_server::Nlb;
use eastfall_proto::nlb::*;
use eastfall_topology::Span;
use tonic::{Request, Response, Status};

use super::{REGION, counted, gauge, invoke, set};
use crate::testing::Lab;

eastfall_topology::params! {
    /// A load balancer whose checks find what the test wants.
    struct ChecksParams for "nlb-health" {
        /// So many of the targets, those registered first, fail their checks.
        failing: u32 = 0, range 0..=100;
    }
}

struct Checks {
    world: World,
    targets: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl Nlb for Checks {
    async fn register_targets(
        &self,
        request: Request<RegisterTargetsRequest>,
    ) -> Result<Response<RegisterTargetsResponse>, Status> {
        self.targets.lock().expect("targets").extend(request.into_inner().instance_ids);
        Ok(Response::new(RegisterTargetsResponse {}))
    }

    async fn deregister_targets(
        &self,
        request: Request<DeregisterTargetsRequest>,
    ) -> Result<Response<DeregisterTargetsResponse>, Status> {
        let gone = request.into_inner().instance_ids;
        self.targets.lock().expect("targets").retain(|target| !gone.contains(target));
        Ok(Response::new(DeregisterTargetsResponse {}))
    }

    async fn describe_target_health(
        &self,
        _request: Request<DescribeTargetHealthRequest>,
    ) -> Result<Response<DescribeTargetHealthResponse>, Status> {
        let failing = self.world.params::<ChecksParams>().failing as usize;
        let targets = self.targets.lock().expect("targets").clone();
        let health = |(place, instance_id): (usize, String)| {
            let state = if place < failing { TargetState::Unhealthy } else { TargetState::Healthy };
            TargetHealth { instance_id, state: state as i32, ..TargetHealth::default() }
        };
        let targets = targets.into_iter().enumerate().map(health).collect();
        Ok(Response::new(DescribeTargetHealthResponse { targets }))
    }

    async fn list_serving(
        &self,
        _request: Request<ListServingRequest>,
    ) -> Result<Response<ListServingResponse>, Status> {
        Err(Status::unimplemented("nodes of the load balancer are no part of these tests"))
    }
}

async fn serve(world: World) -> Result<(), eastfall_fabric::world::StartError> {
    let checks = Arc::new(Checks { world: world.clone(), targets: Mutex::default() });
    world.serve(vec![(&nlb_api::API, nlb_api::handler(checks))]).await
}

/// A region in which workers are checked every five seconds.
fn checked() -> Lab {
    let mut kinds = crate::kinds();
    kinds.retain(|kind| kind.schema.name != ChecksParams::SCHEMA.name);
    kinds.push(Kind { schema: ChecksParams::SCHEMA, start: |world| Box::pin(serve(world)) });
    let fleet = "kind = \"lambda-fleet\"\nhealth-every = \"5s\"\nunhealthy-after = \"20s\"\nunhealthy-within = \"1m\"\nminimum-in-service = 0.0\ncalls.checks = {}";
    let region = REGION.replace("kind = \"lambda-fleet\"", fleet);
    let lab = Lab::start_with(&format!("{region}\n[service.checks]\nkind = \"nlb-health\"\n"), 1, kinds);
    lab.run_for(Span::from_secs(30));
    assert_eq!(gauge(&lab, "workers"), 2.0, "both are registered and healthy");
    lab
}

#[test]
fn a_worker_whose_checks_fail_is_terminated_and_replaced_by_a_real_launch() {
    let lab = checked();
    let launched = counted(&lab, "launches");
    set(&lab, "service.checks.failing", "1");
    lab.run_for(Span::from_secs(10));
    assert_eq!(gauge(&lab, "workers"), 2.0, "it goes on working");
    assert_eq!(counted(&lab, "workers-replaced"), 0.0, "for it is not given up yet");
    lab.run_for(Span::from_secs(18));
    assert_eq!(counted(&lab, "workers-replaced"), 1.0, "now it is");
    set(&lab, "service.checks.failing", "0");
    lab.run_for(Span::from_secs(30));
    assert_eq!(counted(&lab, "launches"), launched + 1.0, "one was launched in its place");
    assert_eq!((gauge(&lab, "workers"), gauge(&lab, "instances")), (2.0, 2.0), "and the old one is gone");
    invoke(&lab, 1, eastfall_proto::lambda::InvocationType::Sync).expect("there is room again");
}

#[test]
fn while_launches_are_throttled_replaced_workers_are_missing() {
    let lab = checked();
    set(&lab, "service.ec2.launch-burst", "1");
    set(&lab, "service.ec2.launch-rate", "0.0001");
    set(&lab, "service.checks.failing", "2");
    lab.run_for(Span::from_secs(40));
    set(&lab, "service.checks.failing", "0");
    lab.run_for(Span::from_mins(2));
    assert_eq!(counted(&lab, "workers-replaced"), 2.0, "both were sound and are gone");
    assert!(gauge(&lab, "workers") < 2.0, "one token was left");
    set(&lab, "service.ec2.launch-rate", "\"none\"");
    lab.run_for(Span::from_secs(30));
    assert_eq!(gauge(&lab, "workers"), 2.0, "back when launches are");
}

#[test]
fn the_automation_leaves_a_minimum_in_service() {
    let lab = checked();
    set(&lab, "service.fleet.minimum-in-service", "0.5");
    set(&lab, "service.ec2.launch-burst", "1");
    set(&lab, "service.ec2.launch-rate", "0.0001");
    // The one token that is there is spent on the first worker that is replaced.
    set(&lab, "service.checks.failing", "2");
    lab.run_for(Span::from_mins(5));
    assert_eq!(gauge(&lab, "workers"), 1.0, "half of two stay, however ill they look");
}

#[test]
fn with_the_automation_off_no_worker_is_lost() {
    let lab = checked();
    set(&lab, "service.fleet.replace-unhealthy", "false");
    set(&lab, "service.checks.failing", "2");
    lab.run_for(Span::from_mins(5));
    assert_eq!(counted(&lab, "workers-replaced"), 0.0, "none was terminated");
    assert_eq!(gauge(&lab, "workers"), 2.0, "sound workers go on working, whatever the checks say");
}
