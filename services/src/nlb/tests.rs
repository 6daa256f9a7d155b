//! NLB in virtual time: checks of instances that the network knows little of, zone failover, forwarding.

use eastfall_proto::ec2::*;
use eastfall_proto::nlb::*;
use eastfall_proto::route53::{RecordType, TestDnsAnswerRequest, route53_api};
use eastfall_proto::service::{PerformRequest, service_api};
use eastfall_topology::{Setting, Span};
use tonic::{Code, Status};

use crate::testing::Lab;

/// Two zones, each with one checker. The network learns at once, unless a test slows it down.
const REGION: &str = r#"
[region]
name = "test"
dns-service = "records"

[service.records]
kind = "route53"
[service.db]
kind = "dynamodb"
calls.store = {}
[service.store]
kind = "dynamodb-storage"

[service.dwfm]
kind = "dwfm"
instances = ["az1", "az2"]
workers = 100
service-time = "1ms"
check-period = "100s"
lease = "1h"
check-time = "1ms"
start-delay = "0s"
hand-over = "10ms"
calls.db = { timeout = "5s" }
calls.droplets = { timeout = "5s" }
calls.network = { timeout = "5s" }

[service.droplets]
kind = "droplets"
instances = ["az1", "az2"]
count = 100
slots = 10
calls.dwfm = { timeout = "30s" }

[service.network]
kind = "network-manager"
instances = ["az1", "az2"]
workers = 1000
service-time = "1ms"
paths = 2
spread = 0.0
knee = 1000000.0
flush = "10ms"
calls.db = { timeout = "5s" }
calls.droplets = { timeout = "5s" }

[service.ec2]
kind = "ec2-api"
calls.db = { timeout = "5s" }
calls.dwfm = { timeout = "5s" }

[service.health]
kind = "nlb-health"
load-balancers = ["web"]
workers = 1
service-time = "10ms"
check-interval = "5s"
check-timeout = "2s"
healthy-threshold = 2
unhealthy-threshold = 2
change-time = "100ms"
stale-after = "20s"
evaluate = "1s"
round = "100ms"
calls.ec2 = { timeout = "5s" }
calls.nodes = { timeout = "2s" }
calls.droplets = { timeout = "5s" }
calls.records = { timeout = "5s" }

[service.nodes]
kind = "nlb"
instances = ["az1", "az2"]
addresses = 2
workers = 10
service-time = "1ms"
poll = "1s"
forwards = ["shop.test.amazonaws.com=shop"]
calls.health = { timeout = "5s" }
calls.droplets = { timeout = "5s" }

[service.shop]
kind = "service"
instances = 2
operations.buy = {}

[service.people]
kind = "customers"
rate = 0.0
table = "web"
mix = { "nodes.Connect" = 1.0 }
resolver = { negative-max = "1s" }
calls.nodes = { endpoint = "web.elb.test.amazonaws.com", timeout = "5s", connections = { reuse = false } }
calls.shop = { endpoint = "shop.test.amazonaws.com", timeout = "5s", connections = { reuse = false } }
calls.health = { timeout = "5s" }
calls.records = { timeout = "5s" }
calls.ec2 = { timeout = "5s" }
"#;

impl Lab {
    fn turn(&self, path: &str, value: &str) {
        let setting = Setting { path: path.to_owned(), value: value.to_owned() };
        self.simulation.region().set(&setting).unwrap_or_else(|problems| panic!("{problems}"));
    }

    /// From now on the network learns of no new instance.
    fn unknown(&self) {
        self.turn("service.network.service-time", "\"1000h\"");
    }

    /// From now on one of two paths learns of new instances within an hour or so, and the other in a week.
    fn half_known(&self) {
        self.turn("service.network.spread", "0.99");
        self.turn("service.network.service-time", "\"100h\"");
    }

    /// Launches instances in a zone and brings them behind the load balancer.
    fn targets(&self, zone: &str, count: u32) -> Vec<String> {
        let (ec2, health) = (self.client("people", "ec2"), self.client("people", "health"));
        let availability_zone = zone.to_owned();
        let request = RunInstancesRequest { count, availability_zone, ..RunInstancesRequest::default() };
        self.run(async move {
            let launched = ec2.call(&ec2_api::RUN_INSTANCES, request).await.expect("there is room").instances;
            let instance_ids: Vec<String> =
                launched.into_iter().map(|instance| instance.instance_id).collect();
            let load_balancer = "web".to_owned();
            let request = RegisterTargetsRequest { load_balancer, instance_ids: instance_ids.clone() };
            health.call(&nlb_api::REGISTER_TARGETS, request).await.expect("they run");
            instance_ids
        })
    }

    fn states(&self) -> Vec<TargetState> {
        let health = self.client("people", "health");
        let request = DescribeTargetHealthRequest { load_balancer: "web".to_owned() };
        let answer = self.run(async move { health.call(&nlb_api::DESCRIBE_TARGET_HEALTH, request).await });
        answer.expect("it is known").targets.iter().map(TargetHealth::state).collect()
    }

    fn connect(&self) -> Result<String, Status> {
        let nodes = self.client("people", "nodes");
        let request = ConnectRequest { load_balancer: "web".to_owned() };
        self.run(async move { nodes.call(&nlb_node_api::CONNECT, request).await })
            .map(|answer| answer.instance_id)
    }

    /// How many addresses a name has.
    fn addresses(&self, name: &str) -> usize {
        let records = self.client("people", "records");
        let request = TestDnsAnswerRequest { name: name.to_owned(), r#type: RecordType::A as i32 };
        let answer = self.run(async move { records.call(&route53_api::TEST_DNS_ANSWER, request).await });
        answer.expect("the record store answers").values.len()
    }

    fn buy(&self) -> Result<(), Status> {
        let shop = self.client("people", "shop");
        let request = PerformRequest { operation: "buy".to_owned(), body: Vec::new() };
        self.run(async move { shop.call(&service_api::PERFORM, request).await }).map(drop)
    }

    fn seconds(&self, seconds: u64) {
        self.run_for(Span::from_secs(seconds));
    }

    fn total(&self, name: &str) -> f64 {
        self.last_and_sum(name).unwrap_or_else(|| panic!("no series {name}")).1
    }
}

const WEB: &str = "web.elb.test.amazonaws.com";

#[test]
fn a_target_gets_connections_once_its_checks_have_passed() {
    let lab = Lab::start(REGION, 1);
    assert_eq!(lab.addresses(WEB), 2, "a node in each zone");
    let ids = [lab.targets("az1", 1), lab.targets("az2", 1)].concat();
    assert_eq!(lab.states(), [TargetState::Initial; 2]);
    assert_eq!(lab.connect().expect_err("nobody serves yet").code(), Code::Unavailable);
    lab.seconds(15);
    assert_eq!(lab.states(), [TargetState::Healthy; 2]);
    let reached = lab.connect().expect("both serve");
    assert!(ids.contains(&reached), "{reached} is one of {ids:?}");
}

#[test]
fn an_instance_that_the_network_does_not_know_fails_its_checks() {
    let lab = Lab::start(REGION, 1);
    lab.unknown();
    lab.targets("az1", 1);
    lab.seconds(30);
    assert_eq!(lab.states(), [TargetState::Unhealthy], "it runs, and nothing reaches it");
}

#[test]
fn an_instance_known_on_some_paths_alternates() {
    let lab = Lab::start(REGION, 1);
    lab.half_known();
    lab.turn("service.health.workers", "100");
    lab.targets("az1", 10);
    // The quick path needs an hour for each; there are workers enough for all at once.
    lab.seconds(3700);
    lab.forget();
    lab.seconds(600);
    let (checks, failed) = (lab.total("health-checks"), lab.total("health-checks-failed"));
    // Ten of fourteen that are checked are targets, and half of their checks fail.
    assert!((0.3..0.42).contains(&(failed / checks)), "{failed} of {checks} checks failed");
    let changes = lab.total("verdicts-changed");
    assert!(changes > 50.0, "sound instances changed their state {changes} times in ten minutes");
}

#[test]
fn checks_without_an_answer_make_those_of_sound_targets_late() {
    let lab = Lab::start(REGION, 1);
    lab.targets("az1", 5);
    lab.seconds(20);
    assert_eq!(lab.states(), [TargetState::Healthy; 5]);
    lab.unknown();
    // Each holds the zone's one checker for 2 s of every 5.
    lab.targets("az1", 20);
    lab.forget();
    lab.seconds(300);
    assert!(lab.last_and_sum("check-delay-seconds").expect("a series").0 > 20.0, "checks wait");
    let sound = |states: &[TargetState]| states[..5].iter().filter(|s| **s == TargetState::Healthy).count();
    let seen: Vec<usize> = (0..60)
        .map(|_| {
            lab.seconds(5);
            sound(&lab.states())
        })
        .collect();
    assert!(seen.contains(&0), "sound targets count as failing while their checks are late: {seen:?}");
    assert!(seen.iter().any(|healthy| *healthy > 0), "and come back when they are made: {seen:?}");
}

/// Six sound targets in each zone, then so many in the first that nothing reaches.
fn with_unreachable(settings: &[(&str, &str)], count: u32) -> Lab {
    let lab = Lab::start(REGION, 1);
    lab.turn("service.health.workers", "100");
    settings.iter().for_each(|(path, value)| lab.turn(path, value));
    lab.targets("az1", 6);
    lab.targets("az2", 6);
    lab.seconds(20);
    assert_eq!(lab.addresses(WEB), 2, "all is well");
    lab.unknown();
    lab.targets("az1", count);
    lab.seconds(60);
    lab
}

#[test]
fn a_zone_in_which_most_targets_fail_leaves_dns_and_comes_back_without_failover() {
    let lab = with_unreachable(&[], 10);
    assert_eq!(lab.addresses(WEB), 1, "the zone is out, with the six sound targets in it");
    lab.turn("service.health.failover", "false");
    lab.seconds(10);
    assert_eq!(lab.addresses(WEB), 2, "all zones are in");
    assert!((0..20).all(|_| lab.connect().is_ok()), "and only those who answer their checks serve");
}

#[test]
fn a_few_failing_targets_take_no_zone_out() {
    assert_eq!(with_unreachable(&[], 4).addresses(WEB), 2, "four of ten");
}

#[test]
fn the_velocity_limit_keeps_the_zone_in() {
    let lab = with_unreachable(&[("service.health.velocity-limit", "0.2")], 10);
    assert_eq!(lab.addresses(WEB), 2, "one of four zones would be more than a fifth");
    assert!(lab.total("withdrawals-limited") > 0.0, "it was wanted");
}

#[test]
fn what_is_left_in_dns_is_overloaded_by_what_was_withdrawn() {
    let refused = |targets| {
        // The nodes of a zone take ten connections a second; fifteen come.
        let region = REGION
            .replace("poll = \"1s\"", "poll = \"1s\"\nconnection-rate = 10.0\nsaved = \"1s\"")
            .replace("rate = 0.0\ntable", "rate = 15.0\nstart-delay = \"100s\"\ntable");
        let lab = Lab::start(&region, 1);
        lab.turn("service.health.workers", "100");
        lab.targets("az1", 6);
        lab.targets("az2", 6);
        lab.seconds(20);
        lab.unknown();
        if targets > 0 {
            lab.targets("az1", targets);
        }
        lab.seconds(100);
        lab.forget();
        lab.seconds(120);
        1.0 - lab.total("connections") / lab.total("arrivals")
    };
    let (two, one) = (refused(0), refused(10));
    assert!(two < 0.05, "two zones carry the load: {two:.2} fail");
    assert!(one > 0.25, "one can't: {one:.2} fail");
}

#[test]
fn a_dead_node_leaves_dns() {
    let lab = Lab::start(REGION, 1);
    lab.seconds(5);
    lab.simulation.kill_instance("nodes-az1");
    lab.seconds(20);
    assert_eq!(lab.addresses(WEB), 1, "two checks of it have failed");
}

#[test]
fn nodes_go_on_without_the_health_checks_and_targets_outlive_a_restart() {
    let lab = Lab::start(REGION, 1);
    lab.targets("az1", 1);
    lab.targets("az2", 1);
    lab.seconds(20);
    lab.simulation.kill_instance("health");
    lab.seconds(100);
    assert!((0..10).all(|_| lab.connect().is_ok()), "nodes serve whom they knew");
    lab.simulation.start_instance("health");
    lab.seconds(2);
    assert_eq!(lab.states(), [TargetState::Healthy; 2], "registered and known to be sound");
}

#[test]
fn a_target_that_is_taken_out_is_no_longer_connected_to() {
    let lab = Lab::start(REGION, 1);
    let ids = [lab.targets("az1", 2), lab.targets("az2", 1)].concat();
    lab.seconds(20);
    let health = lab.client("people", "health");
    let request =
        DeregisterTargetsRequest { load_balancer: "web".to_owned(), instance_ids: vec![ids[0].clone()] };
    lab.run(async move { health.call(&nlb_api::DEREGISTER_TARGETS, request).await }).expect("known");
    lab.seconds(5);
    assert!((0..20).all(|_| lab.connect().expect("two are left") != ids[0]), "not to {}", ids[0]);
}

#[test]
fn connections_to_a_service_are_forwarded_to_its_instances() {
    let lab = Lab::start(REGION, 1);
    lab.seconds(5);
    lab.buy().expect("a call through the node");
    lab.simulation.kill_instance("shop-1");
    lab.seconds(30);
    assert!((0..10).all(|_| lab.buy().is_ok()), "the dead instance serves no more");
    lab.simulation.kill_instance("shop-2");
    assert_eq!(lab.buy().expect_err("nobody is there").code(), Code::Unavailable);
}

#[test]
fn connections_beyond_the_nodes_capacity_are_not_forwarded() {
    let lab = Lab::start(REGION, 1);
    lab.seconds(5);
    lab.turn("service.nodes.connection-rate", "0.001");
    // What was saved up, and no more.
    let made = (0..50).filter(|_| lab.buy().is_ok()).count();
    assert!((5..=10).contains(&made), "five for each zone, not {made}");
}
