//! EC2 in virtual time: the API, what leases are for, and the lease law on the real DWFM.

use eastfall_proto::ec2::*;
use eastfall_proto::error::reason;
use eastfall_topology::{Setting, Span};
use tonic::{Code, Status};

use crate::testing::Lab;

mod law;

/// A zone with one DWFM host, without DNS in the way; nothing waits for anything but the lease work.
const REGION: &str = r#"
[region]
name = "test"

[service.db]
kind = "dynamodb"
calls.store = {}
[service.store]
kind = "dynamodb-storage"

[service.dwfm]
kind = "dwfm"
workers = 1
service-time = "1s"
check-period = "10s"
lease = "35s"
check-time = "1ms"
start-delay = "0s"
heartbeat = "100ms"
restart-delay = "1s"
calls.db = { timeout = "5s" }
calls.droplets = { timeout = "5s" }

[service.droplets]
kind = "droplets"
count = 8
slots = 2
ask-again = "10s"
health-check = "100ms"
calls.dwfm = { timeout = "30s", retry = { attempts = 100, backoff = "none", retry-on = ["deadline-exceeded"] } }

[service.ec2]
kind = "ec2-api"
calls.db = { timeout = "5s" }
calls.dwfm = { timeout = "5s" }

[service.people]
kind = "ec2-customers"
rate = 0.0
calls.ec2 = { timeout = "10s" }
"#;

impl Lab {
    fn launch(&self, count: u32, token: &str) -> Result<Vec<Instance>, Status> {
        let client = self.client("people", "ec2");
        let (owner, client_token) = ("me".to_owned(), token.to_owned());
        let request = RunInstancesRequest { count, owner, client_token, ..RunInstancesRequest::default() };
        let answer = self.run(async move { client.call(&ec2_api::RUN_INSTANCES, request).await });
        answer.map(|answer| answer.instances)
    }

    fn describe(&self, id: &str) -> Result<Instance, Status> {
        let client = self.client("people", "ec2");
        let request = DescribeInstancesRequest { instance_ids: vec![id.to_owned()] };
        let answer = self.run(async move { client.call(&ec2_api::DESCRIBE_INSTANCES, request).await });
        answer.map(|mut answer| answer.instances.remove(0))
    }

    fn terminate(&self, id: &str) -> InstanceState {
        let client = self.client("people", "ec2");
        let request = TerminateInstancesRequest { instance_ids: vec![id.to_owned()] };
        let answer = self.run(async move { client.call(&ec2_api::TERMINATE_INSTANCES, request).await });
        answer.expect("accepted").instances[0].state()
    }

    /// The last value of a gauge.
    fn gauge(&self, name: &str) -> f64 {
        self.last_and_sum(name).unwrap_or_else(|| panic!("no series {name}")).0
    }

    /// All that was counted so far.
    fn counted(&self, name: &str) -> f64 {
        self.last_and_sum(name).unwrap_or_else(|| panic!("no series {name}")).1
    }

    fn set(&self, path: &str, value: &str) {
        let setting = Setting { path: path.to_owned(), value: value.to_owned() };
        self.simulation.region().set(&setting).unwrap_or_else(|problems| panic!("{problems}"));
    }

    /// The store is out of reach for so long.
    fn without_store(&self, span: Span) {
        self.simulation.kill_instance("db");
        self.run_for(span);
        self.simulation.start_instance("db");
    }
}

#[test]
fn an_instance_is_launched_described_and_terminated() {
    let lab = Lab::start(REGION, 1);
    let instance = lab.launch(1, "").expect("there is room").remove(0);
    assert_eq!(instance.state(), InstanceState::Running);
    assert_eq!(lab.describe(&instance.instance_id).expect("it is known"), instance);
    lab.run_for(Span::from_secs(1));
    assert_eq!(lab.gauge("instances"), 1.0, "it runs on a droplet");
    assert_eq!(lab.terminate(&instance.instance_id), InstanceState::Terminated);
    lab.run_for(Span::from_secs(1));
    assert_eq!(lab.gauge("instances"), 0.0, "and no longer");
}

#[test]
fn a_launch_repeated_with_its_token_launches_nothing() {
    let lab = Lab::start(REGION, 1);
    let first = lab.launch(2, "token").expect("there is room");
    assert_eq!(lab.launch(2, "token").expect("the same answer"), first);
    lab.run_for(Span::from_secs(1));
    assert_eq!(lab.gauge("instances"), 2.0, "not four");
}

#[test]
fn a_full_zone_has_insufficient_capacity_and_launches_none_of_several() {
    let lab = Lab::start(REGION, 1);
    lab.launch(14, "").expect("there is room for 16");
    let status = lab.launch(3, "").expect_err("two places are left");
    assert_eq!(reason(&status).as_deref(), Some("InsufficientInstanceCapacity"), "{status}");
    assert_eq!(lab.launch(2, "").expect("they are still free").len(), 2);
}

#[test]
fn launches_above_the_throttle_exceed_the_request_limit() {
    let lab = Lab::start(REGION, 1);
    lab.set("service.ec2.launch-burst", "1");
    lab.set("service.ec2.launch-rate", "0.1");
    lab.launch(1, "").expect("the first has a token");
    let status = lab.launch(1, "").expect_err("the second has none");
    assert_eq!(reason(&status).as_deref(), Some("RequestLimitExceeded"), "{status}");
    assert_eq!(status.code(), Code::ResourceExhausted, "SDKs back off");
    lab.set("service.ec2.launch-rate", "\"none\"");
    lab.launch(1, "").expect("the throttle is off");
}

#[test]
fn groups_that_replace_first_keep_what_they_have_while_launches_fail() {
    for (replace_first, kept) in [(true, true), (false, false)] {
        let people =
            format!("rate = 0.1\nlifetime = \"1m\"\ntry-again = \"10s\"\nreplace-first = {replace_first}");
        let lab = Lab::start(&REGION.replace("rate = 0.0", &people), 1);
        lab.run_for(Span::from_mins(8));
        let there = || lab.last_of("people", "instances").expect("a gauge");
        let before = there();
        assert!((2.0..12.0).contains(&before), "{before} of six on average");
        lab.set("service.ec2.launch-burst", "1");
        lab.set("service.ec2.launch-rate", "0.0001");
        lab.run_for(Span::from_mins(3));
        assert_eq!(there() >= before, kept, "replace-first {replace_first}: {} of {before}", there());
        lab.set("service.ec2.launch-rate", "\"none\"");
        lab.run_for(Span::from_mins(3));
        assert!(there() < 14.0, "replace-first {replace_first}: {} once launches work again", there());
    }
}

#[test]
fn without_the_store_the_api_fails_leases_run_out_and_what_runs_goes_on() {
    let lab = Lab::start(REGION, 1);
    let instance = lab.launch(1, "").expect("there is room").remove(0);
    lab.without_store(Span::from_secs(60));
    assert_eq!(lab.gauge("leased"), 0.0, "no lease outlives its store");
    assert_eq!(lab.gauge("instances"), 1.0, "what runs goes on running");
    let status = lab.launch(1, "").expect_err("droplets have no lease yet");
    assert_eq!(reason(&status).as_deref(), Some("InsufficientInstanceCapacity"), "{status}");
    assert_eq!(lab.terminate(&instance.instance_id), InstanceState::ShuttingDown, "it waits for the lease");
    lab.run_for(Span::from_secs(60));
    assert_eq!(lab.gauge("leased"), 8.0, "eight seconds of work");
    let state = lab.describe(&instance.instance_id).expect("it is known").state();
    assert_eq!(state, InstanceState::Terminated, "the lease has released the termination");
    lab.launch(1, "").expect("launches work again");
}

#[test]
fn an_unreachable_store_is_an_internal_error_of_the_api() {
    let lab = Lab::start(REGION, 1);
    lab.simulation.kill_instance("db");
    let status = lab.launch(1, "").expect_err("nothing can be written down");
    assert_eq!(reason(&status).as_deref(), Some("InternalError"), "{status}");
}

#[test]
fn a_host_that_was_killed_knows_leases_and_waiting_changes_from_the_store() {
    let lab = Lab::start(REGION, 1);
    let instance = lab.launch(1, "").expect("there is room").remove(0);
    lab.run_for(Span::from_secs(15));
    lab.simulation.kill_instance("dwfm");
    lab.simulation.start_instance("dwfm");
    lab.run_for(Span::from_secs(2));
    assert_eq!(lab.gauge("leased"), 8.0, "the droplets did not notice");
    lab.launch(1, "").expect("the host knows who has a lease");
    lab.run_for(Span::from_secs(60));
    assert_eq!(lab.counted("leases-lost"), 0.0, "and renews them");

    lab.without_store(Span::from_secs(60));
    assert_eq!(lab.terminate(&instance.instance_id), InstanceState::ShuttingDown, "it waits for the lease");
    lab.simulation.kill_instance("dwfm");
    lab.simulation.start_instance("dwfm");
    lab.run_for(Span::from_secs(60));
    let state = lab.describe(&instance.instance_id).expect("it is known").state();
    assert_eq!(state, InstanceState::Terminated, "the restarted host has applied it");
}

#[test]
fn droplets_whose_agents_restart_ask_for_leases_and_keep_their_instances() {
    let lab = Lab::start(REGION, 1);
    lab.launch(3, "").expect("there is room");
    lab.simulation.kill_instance("droplets");
    lab.simulation.start_instance("droplets");
    lab.run_for(Span::from_millis(500));
    assert_eq!((lab.gauge("leased"), lab.gauge("instances")), (0.0, 3.0));
    lab.run_for(Span::from_secs(10));
    assert_eq!((lab.gauge("leased"), lab.gauge("instances")), (8.0, 3.0));
}
