//! Network Manager in virtual time, with the droplets and the DWFM that it works for.

use eastfall_proto::ec2::*;
use eastfall_topology::{Setting, Span};

use crate::testing::Lab;

/// A zone in which a change takes each of two paths one second, and twice that with ten in line.
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
workers = 100
service-time = "1ms"
check-period = "10s"
lease = "35s"
check-time = "1ms"
start-delay = "0s"
heartbeat = "100ms"
hand-over = "100ms"
announce = false
calls.db = { timeout = "5s" }
calls.droplets = { timeout = "5s" }
calls.network = { timeout = "5s" }

[service.droplets]
kind = "droplets"
count = 100
slots = 10
calls.dwfm = { timeout = "30s" }

[service.network]
kind = "network-manager"
workers = 1
service-time = "1s"
paths = 2
spread = 0.5
knee = 10.0
flush = "10ms"
calls.db = { timeout = "5s" }
calls.droplets = { timeout = "5s" }

[service.ec2]
kind = "ec2-api"
calls.db = { timeout = "5s" }
calls.dwfm = { timeout = "5s" }

[service.people]
kind = "ec2-customers"
rate = 0.0
calls.ec2 = { timeout = "60s" }
calls.droplets = { timeout = "5s" }
"#;

impl Lab {
    fn launched(&self, count: u32) -> Vec<String> {
        let client = self.client("people", "ec2");
        let request = RunInstancesRequest { count, ..RunInstancesRequest::default() };
        let answer = self.run(async move { client.call(&ec2_api::RUN_INSTANCES, request).await });
        answer.expect("there is room").instances.into_iter().map(|instance| instance.instance_id).collect()
    }

    fn is_reachable(&self, id: &str) -> bool {
        let client = self.client("people", "ec2");
        let request = DescribeInstancesRequest { instance_ids: vec![id.to_owned()] };
        let answer = self.run(async move { client.call(&ec2_api::DESCRIBE_INSTANCES, request).await });
        answer.expect("it is known").instances[0].reachable
    }

    fn modify(&self, id: &str) -> bool {
        let client = self.client("people", "ec2");
        let request = ModifyInstanceNetworkRequest { instance_id: id.to_owned() };
        let answer = self.run(async move { client.call(&ec2_api::MODIFY_INSTANCE_NETWORK, request).await });
        answer.expect("it runs").applied
    }

    /// Which of two paths bring a packet to an instance.
    fn delivers(&self, id: &str) -> Vec<bool> {
        let client = self.client("people", "droplets");
        let packets = (0..2).map(|path| Packet { instance_id: id.to_owned(), path }).collect();
        let request = DeliverRequest { packets };
        let answer = self.run(async move { client.call(&droplets_api::DELIVER, request).await });
        answer.expect("the droplets are there").answered
    }

    fn now_is(&self, path: &str, value: &str) {
        let setting = Setting { path: path.to_owned(), value: value.to_owned() };
        self.simulation.region().set(&setting).unwrap_or_else(|problems| panic!("{problems}"));
    }

    fn last(&self, name: &str) -> f64 {
        self.last_and_sum(name).unwrap_or_else(|| panic!("no series {name}")).0
    }

    fn sum(&self, name: &str) -> f64 {
        self.last_and_sum(name).unwrap_or_else(|| panic!("no series {name}")).1
    }

    /// How many seconds pass before so many changes are known everywhere.
    fn seconds_until_propagated(&self, changes: u32) -> u32 {
        self.forget();
        (1..10_000)
            .find(|_| {
                self.run_for(Span::from_secs(1));
                self.sum("changes-propagated") >= f64::from(changes)
            })
            .unwrap_or_else(|| panic!("{changes} changes never get everywhere"))
    }
}

#[test]
fn a_launched_instance_is_reachable_within_seconds() {
    let lab = Lab::start(REGION, 1);
    let id = lab.launched(1).remove(0);
    assert!(!lab.is_reachable(&id), "the network does not know it yet");
    assert_eq!(lab.delivers(&id), [false, false], "and packets are lost");
    lab.run_for(Span::from_secs(3));
    assert_eq!(lab.delivers(&id), [true, true], "every path knows it");
    assert!(lab.is_reachable(&id), "and the API says so");
}

#[test]
fn paths_learn_of_an_instance_at_different_moments() {
    let lab = Lab::start(REGION, 1);
    let last = lab.launched(20).remove(19);
    lab.run_for(Span::from_secs(30));
    assert_eq!(
        lab.delivers(&last),
        [true, false],
        "the quick path knows the last of twenty, the slow one not"
    );
    assert!(!lab.is_reachable(&last), "so it is not said to be reachable");
}

#[test]
fn a_line_four_times_as_long_takes_far_more_than_four_times_as_long() {
    let seconds = |count| {
        let lab = Lab::start(REGION, 1);
        lab.launched(count);
        f64::from(lab.seconds_until_propagated(count))
    };
    let (short, long) = (seconds(20), seconds(80));
    // The slow path takes 1.5 s for each; n changes in line cost 1 + n / 10 times as much: 61 s against 606 s.
    assert!((short - 61.0).abs() < 6.0, "20 changes took {short} s");
    assert!((long - 606.0).abs() < 30.0, "80 changes took {long} s");
}

#[test]
fn several_changes_of_an_instance_are_told_as_one_when_coalesced() {
    let seconds = |coalesce| {
        let lab = Lab::start(REGION, 1);
        lab.now_is("service.network.coalesce", coalesce);
        let id = lab.launched(1).remove(0);
        lab.run_for(Span::from_secs(5));
        for _ in 0..20 {
            assert!(lab.modify(&id), "its droplet has a lease");
        }
        lab.seconds_until_propagated(20)
    };
    let (each, newest) = (seconds("false"), seconds("true"));
    assert!(newest * 5 < each, "{newest} s coalesced, {each} s one by one");
}

#[test]
fn the_cut_leaves_changes_with_dwfm_until_later() {
    let lab = Lab::start(REGION, 1);
    lab.now_is("service.network.admission", "0.1");
    lab.launched(20);
    lab.run_for(Span::from_secs(20));
    assert!(lab.last("network-changes-held") > 10.0, "held: {}", lab.last("network-changes-held"));
    assert!(lab.last("backlog") < 5.0, "in line: {}", lab.last("backlog"));
    lab.now_is("service.network.admission", "\"none\"");
    lab.run_for(Span::from_secs(120));
    assert_eq!(lab.last("network-changes-held"), 0.0, "all was handed over");
    assert_eq!(lab.sum("changes-propagated"), 20.0, "nothing was lost and nothing counted twice");
}

#[test]
fn changes_pile_up_without_leases_and_are_released_with_them() {
    let lab = Lab::start(REGION, 1);
    let ids = lab.launched(5);
    lab.run_for(Span::from_secs(30));
    let faults = &lab.simulation.region().faults;
    faults.add("unheard", "black-hole droplets->dwfm".parse().expect("a fault"));
    lab.simulation.kill_instance("droplets");
    lab.simulation.start_instance("droplets");
    lab.run_for(Span::from_secs(40));
    let before = lab.sum("changes-propagated");
    for _ in 0..4 {
        assert!(ids.iter().all(|id| !lab.modify(id)), "accepted, to wait for the lease");
    }
    lab.run_for(Span::from_secs(30));
    assert_eq!(lab.last("changes-pending"), 20.0, "in DWFM's books");
    assert_eq!(lab.sum("changes-propagated"), before, "the network hears of none");
    faults.remove("unheard");
    lab.run_for(Span::from_secs(400));
    assert_eq!(lab.last("changes-pending"), 0.0, "applied");
    assert_eq!(lab.sum("changes-propagated"), before + 20.0, "and brought onto every path");
}

#[test]
fn droplets_that_come_back_are_announced_to_the_network() {
    let lab = Lab::start(&REGION.replace("announce = false", "announce = true"), 1);
    lab.run_for(Span::from_secs(5));
    lab.simulation.kill_instance("droplets");
    lab.simulation.start_instance("droplets");
    let before = lab.sum("changes-propagated");
    lab.run_for(Span::from_mins(120));
    let established = lab.sum("leases-established");
    assert!(established > 0.0, "who was dead has no lease and asks for one");
    assert_eq!(lab.sum("changes-propagated"), before + established, "one change each");
}

#[test]
fn what_was_accepted_survives_kills_on_both_sides() {
    let lab = Lab::start(REGION, 1);
    let ids = lab.launched(10);
    lab.run_for(Span::from_secs(3));
    for instance in ["network", "dwfm"] {
        lab.simulation.kill_instance(instance);
        lab.simulation.start_instance(instance);
    }
    lab.run_for(Span::from_secs(60));
    assert!(ids.iter().all(|id| lab.is_reachable(id)), "all ten can be reached");
}

#[test]
fn an_instance_that_ends_is_forgotten_and_no_longer_reached() {
    let lab = Lab::start(REGION, 1);
    let id = lab.launched(1).remove(0);
    lab.run_for(Span::from_secs(5));
    let client = lab.client("people", "ec2");
    let request = TerminateInstancesRequest { instance_ids: vec![id.clone()] };
    lab.run(async move { client.call(&ec2_api::TERMINATE_INSTANCES, request).await }).expect("accepted");
    lab.run_for(Span::from_secs(5));
    assert_eq!(lab.delivers(&id), [false, false], "nobody is there");
    assert!(!lab.is_reachable(&id), "and the API says so");
    assert_eq!(lab.sum("changes-propagated"), 2.0, "its start and its end");
}
