//! Containers in virtual time: what a start needs, what the pool hides and for how long.

use eastfall_proto::containers::*;
use eastfall_proto::error::reason;
use eastfall_topology::{Setting, Span};
use tonic::Status;

use crate::testing::Lab;

/// Containers on eight droplets of two places each, without DNS in the way.
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
calls.db = { timeout = "5s" }
calls.droplets = { timeout = "5s" }

[service.droplets]
kind = "droplets"
count = 8
slots = 2
ask-again = "10s"
calls.dwfm = { timeout = "30s" }

[service.ec2]
kind = "ec2-api"
calls.db = { timeout = "5s" }
calls.dwfm = { timeout = "5s" }

[service.fargate]
kind = "fargate"
instances = 2
pool = 4
every = "1s"
back-off = "2s"
longest-back-off = "10s"
calls.db = { timeout = "5s" }
calls.ec2 = { timeout = "10s" }

[service.ecs]
kind = "ecs"
every = "1s"
calls.db = { timeout = "5s" }
calls.fargate = { timeout = "5s" }

[service.eks]
kind = "eks"
every = "1s"
calls.db = { timeout = "5s" }
calls.ec2 = { timeout = "10s" }

[service.people]
kind = "customers"
rate = 0.0
mix = { "ecs.RunTask" = 1.0 }
calls.ecs = { timeout = "10s" }
calls.eks = { timeout = "10s" }
"#;

/// With a full pool.
fn started() -> Lab {
    let lab = Lab::start(REGION, 1);
    lab.run_for(Span::from_secs(20));
    assert_eq!(lab.gauge_of_all("warm"), 4.0, "the pool has been filled");
    lab
}

impl Lab {
    fn run_task(&self, token: &str, run_seconds: u32) -> Result<Task, Status> {
        let client = self.client("people", "ecs");
        let (family, client_token) = ("batch".to_owned(), token.to_owned());
        let request = RunTaskRequest { family, run_seconds, client_token };
        let answer = self.run(async move { client.call(&ecs_api::RUN_TASK, request).await });
        answer.map(|answer| answer.task.expect("a task"))
    }

    fn task(&self, id: &str) -> Task {
        let client = self.client("people", "ecs");
        let request = DescribeTasksRequest { task_ids: vec![id.to_owned()] };
        let answer = self.run(async move { client.call(&ecs_api::DESCRIBE_TASKS, request).await });
        answer.expect("an answer").tasks.remove(0)
    }

    fn scale_service(&self, service: &str, desired_count: u32) -> Result<(), Status> {
        let client = self.client("people", "ecs");
        let request = UpdateServiceRequest { service: service.to_owned(), desired_count };
        self.run(async move { client.call(&ecs_api::UPDATE_SERVICE, request).await }).map(drop)
    }

    fn running_tasks(&self, service: &str) -> u32 {
        let client = self.client("people", "ecs");
        let request = DescribeServicesRequest { service: service.to_owned() };
        let answer = self.run(async move { client.call(&ecs_api::DESCRIBE_SERVICES, request).await });
        answer.expect("it exists").running_count
    }

    /// The last values of a gauge in every instance, added up.
    fn gauge_of_all(&self, name: &str) -> f64 {
        let mut last = std::collections::BTreeMap::new();
        for report in self.reports() {
            if let eastfall_fabric::record::Report::Sample(sample) = report {
                for reading in sample.readings.iter().filter(|reading| &*reading.name == name) {
                    last.insert(sample.instance.clone(), reading.value);
                }
            }
        }
        last.values().sum()
    }

    fn throttle_launches(&self, rate: &str) {
        for (path, value) in [("launch-burst", "1"), ("launch-rate", rate)] {
            let setting = Setting { path: format!("service.ec2.{path}"), value: value.to_owned() };
            self.simulation.region().set(&setting).unwrap_or_else(|problems| panic!("{problems}"));
        }
    }
}

#[test]
fn a_task_runs_on_an_instance_of_its_own_until_its_containers_exit() {
    let lab = started();
    let task = lab.run_task("one", 10).expect("the pool is full");
    assert_eq!(lab.task(&task.task_id), task, "it is known");
    assert_eq!(lab.run_task("one", 10).expect("the same"), task, "a repeated request starts nothing");
    lab.run_for(Span::from_secs(12));
    assert_eq!(lab.task(&task.task_id).last_status(), TaskStatus::Stopped);
    lab.run_for(Span::from_secs(5));
    assert_eq!((lab.gauge_of_all("in-use"), lab.gauge_of_all("warm")), (0.0, 4.0), "the pool is as before");
    assert_eq!(lab.gauge_of_all("instances"), 4.0, "and the task's instance is gone");
}

#[test]
fn the_pool_hides_failing_launches_until_it_is_empty_and_is_filled_when_they_succeed() {
    let lab = started();
    lab.throttle_launches("0.0001");
    for number in 0..4 {
        lab.run_task(&number.to_string(), 0).expect("out of the pool");
    }
    // One launch was let in by the throttle's burst.
    lab.run_for(Span::from_secs(15));
    lab.run_task("burst", 0).expect("out of the pool");
    let status = lab.run_task("late", 0).expect_err("the pool is empty");
    assert_eq!(reason(&status).as_deref(), Some("Capacity is unavailable at this time"), "{status}");
    lab.throttle_launches("\"none\"");
    lab.run_for(Span::from_secs(30));
    assert_eq!(lab.gauge_of_all("warm"), 4.0, "filled again");
    lab.run_task("late", 0).expect("capacity is available again");
}

#[test]
fn without_the_store_no_task_starts_and_the_pool_stays_full() {
    let lab = started();
    lab.simulation.kill_instance("db");
    let status = lab.run_task("one", 0).expect_err("nothing can be written down");
    assert_eq!(reason(&status).as_deref(), Some("ServerException"), "{status}");
    lab.simulation.start_instance("db");
    lab.run_for(Span::from_secs(60));
    assert_eq!(lab.gauge_of_all("warm"), 4.0, "what was not written was not given away");
    lab.run_task("one", 0).expect("it is back");
}

#[test]
fn scaling_is_accepted_and_late_while_there_are_no_launches() {
    let lab = started();
    lab.throttle_launches("0.0001");
    lab.scale_service("web", 8).expect("a wish is only written down");
    lab.run_for(Span::from_secs(20));
    let behind = lab.running_tasks("web");
    assert!((4..8).contains(&behind), "what the pool had, and no more: {behind}");
    lab.throttle_launches("\"none\"");
    lab.run_for(Span::from_secs(40));
    assert_eq!(lab.running_tasks("web"), 8, "all that was wished for");
    lab.scale_service("web", 1).expect("a wish");
    lab.run_for(Span::from_secs(20));
    assert_eq!(lab.running_tasks("web"), 1, "and less again");
    assert_eq!(lab.gauge_of_all("in-use"), 1.0, "nothing is left behind");
}

#[test]
fn a_restarted_host_knows_its_instances_and_a_restarted_scheduler_its_tasks() {
    let lab = started();
    lab.scale_service("web", 3).expect("a wish");
    lab.run_for(Span::from_secs(20));
    for instance in ["fargate-1", "fargate-2", "ecs"] {
        lab.simulation.kill_instance(instance);
    }
    for instance in ["fargate-1", "fargate-2", "ecs"] {
        lab.simulation.start_instance(instance);
    }
    lab.run_for(Span::from_secs(20));
    assert_eq!(lab.running_tasks("web"), 3, "none was started twice");
    assert_eq!((lab.gauge_of_all("in-use"), lab.gauge_of_all("warm")), (3.0, 4.0), "none was forgotten");
}

#[test]
fn a_node_group_grows_and_shrinks_with_its_wish() {
    let lab = started();
    let client = lab.client("people", "eks");
    let request = CreateNodegroupRequest { nodegroup: "nodes".to_owned(), desired_size: 3 };
    let made = lab.run(async move { client.call(&eks_api::CREATE_NODEGROUP, request).await });
    assert_eq!(made.expect("made").status(), NodegroupStatus::Updating);
    let describe = || {
        let client = lab.client("people", "eks");
        let request = DescribeNodegroupRequest { nodegroup: "nodes".to_owned() };
        lab.run(async move { client.call(&eks_api::DESCRIBE_NODEGROUP, request).await }).expect("there")
    };
    lab.run_for(Span::from_secs(20));
    assert_eq!((describe().nodes, describe().status()), (3, NodegroupStatus::Active));
    let client = lab.client("people", "eks");
    let request = UpdateNodegroupConfigRequest { nodegroup: "nodes".to_owned(), desired_size: 1 };
    lab.run(async move { client.call(&eks_api::UPDATE_NODEGROUP_CONFIG, request).await }).expect("a wish");
    lab.run_for(Span::from_secs(20));
    assert_eq!(describe().nodes, 1, "two were terminated");
}
