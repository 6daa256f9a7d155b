//! Managed Airflow in virtual time.

use eastfall_proto::airflow::*;
use eastfall_proto::error::reason;
use eastfall_topology::Span;
use tonic::Status;

use crate::testing::Lab;

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
start-delay = "0s"
calls.db = { timeout = "5s" }
calls.droplets = { timeout = "5s" }
[service.droplets]
kind = "droplets"
count = 4
calls.dwfm = { timeout = "30s" }
[service.ec2]
kind = "ec2-api"
calls.db = { timeout = "5s" }
calls.dwfm = { timeout = "5s" }
[service.fargate]
kind = "fargate"
pool = 2
every = "1s"
calls.db = { timeout = "5s" }
calls.ec2 = { timeout = "5s" }
[service.mwaa]
kind = "mwaa"
every = "1s"
run-time = "10s"
runs-a-worker = 2
calls.db = { timeout = "5s" }
calls.fargate = { timeout = "5s" }
[service.people]
kind = "customers"
rate = 0.0
mix = { "mwaa.TriggerDag" = 1.0 }
calls.mwaa = { timeout = "10s" }
"#;

impl Lab {
    fn environment(&self) -> GetEnvironmentResponse {
        let client = self.client("people", "mwaa");
        let request = CreateEnvironmentRequest { name: "nightly".to_owned(), min_workers: 1 };
        self.run(async move { client.call(&airflow_api::CREATE_ENVIRONMENT, request).await }).expect("made")
    }

    fn trigger(&self) -> Result<(), Status> {
        let client = self.client("people", "mwaa");
        let request = TriggerDagRequest { environment: "nightly".to_owned(), dag: "etl".to_owned() };
        self.run(async move { client.call(&airflow_api::TRIGGER_DAG, request).await }).map(drop)
    }

    fn runs_ended(&self) -> f64 {
        self.last_and_sum("runs-ended").expect("a series").1
    }
}

#[test]
fn an_environment_gets_a_scheduler_and_workers_and_its_runs_end() {
    let lab = Lab::start(REGION, 1);
    lab.run_for(Span::from_secs(10));
    assert_eq!(lab.environment().status(), EnvironmentStatus::Creating);
    for _ in 0..6 {
        lab.trigger().expect("queued");
    }
    lab.run_for(Span::from_secs(12));
    assert!(lab.runs_ended() < 6.0, "one worker does two at once");
    lab.run_for(Span::from_secs(60));
    assert_eq!(lab.runs_ended(), 6.0, "all of them, once each");
    let after = lab.environment();
    assert_eq!((after.status(), after.workers), (EnvironmentStatus::Available, 1), "as few as it may have");
}

#[test]
fn without_new_tasks_runs_are_accepted_and_wait() {
    let lab = Lab::start(REGION, 1);
    lab.run_for(Span::from_secs(10));
    lab.simulation.kill_instance("fargate");
    lab.environment();
    lab.trigger().expect("queued all the same");
    lab.run_for(Span::from_secs(60));
    assert_eq!((lab.runs_ended(), lab.last_and_sum("runs-waiting").expect("a series").0), (0.0, 1.0));
    lab.simulation.start_instance("fargate");
    lab.run_for(Span::from_secs(60));
    assert_eq!(lab.runs_ended(), 1.0, "late, and done");
}

#[test]
fn without_the_store_nothing_is_queued() {
    let lab = Lab::start(REGION, 1);
    lab.run_for(Span::from_secs(10));
    lab.environment();
    lab.simulation.kill_instance("db");
    let status = lab.trigger().expect_err("it can't be written down");
    assert_eq!(reason(&status).as_deref(), Some("InternalServerException"), "{status}");
}
