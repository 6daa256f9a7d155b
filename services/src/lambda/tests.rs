//! Lambda in virtual time, on a real EC2: functions, the queue, the fleet, the pollers.

use eastfall_fabric::call::Rpc;
use eastfall_fabric::record::{Aggregate, Report};
use eastfall_fabric::world::Kind;
use eastfall_proto::lambda::*;
use eastfall_topology::{Setting, Span};
use tonic::Status;

use crate::testing::Lab;

mod checks;
mod fleet;
mod functions;
mod pollers;

/// A zone of EC2, two workers with two slots each, and everything that uses them. Functions run for 2 s.
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
calls.dwfm = { timeout = "30s" }
[service.ec2]
kind = "ec2-api"
calls.db = { timeout = "5s" }
calls.dwfm = { timeout = "5s" }

[service.sqs]
kind = "sqs"
calls.db = { timeout = "5s" }
[service.kinesis]
kind = "kinesis"
calls.db = { timeout = "5s" }

[service.lambda]
kind = "lambda"
functions-of-before = 10
metadata-ttl = "10s"
longest-throttle-pause = "2s"
longest-pause = "10s"
restart-delay = "1s"
calls.db = { timeout = "5s" }
calls.fleet = { timeout = "1m" }

[service.fleet]
kind = "lambda-fleet"
fixed-workers = 2
slots = 2
duration = "2s"
item-duration = "1s"
cold-start = "500ms"
keep-warm = "5m"
scale-every = "10s"
start-delay = "2s"
restart-delay = "1s"
calls.db = { timeout = "5s" }
calls.ec2 = { timeout = "10s" }

[service.pollers]
kind = "lambda-pollers"
instances = ["a", "b"]
sqs-pollers = 2
sqs-queues = 1
sqs-batch = 2
sqs-visibility = "30s"
kinesis-streams = 1
kinesis-poll-every = "1s"
kinesis-lease = "20s"
renew-every = "5s"
gives-up-after = "30s"
try-again = "2s"
start-delay = "3s"
restart-delay = "1s"
calls.db = { timeout = "2s" }
calls.sqs = { timeout = "30s" }
calls.kinesis = { timeout = "5s" }
calls.fleet = { timeout = "5m" }

[service.people]
kind = "customers"
rate = 0.0
mix = { "lambda.Invoke" = 1.0 }
calls.lambda = { timeout = "30s" }
calls.sqs = { timeout = "30s" }
calls.kinesis = { timeout = "30s" }
"#;

/// A region whose workers are there, with one more line for its fleet if need be.
fn started(fleet: &str) -> Lab {
    started_with(fleet, crate::kinds())
}

fn started_with(fleet: &str, kinds: Vec<Kind>) -> Lab {
    let region = REGION.replace("kind = \"lambda-fleet\"", &format!("kind = \"lambda-fleet\"\n{fleet}"));
    let lab = Lab::start_with(&region, 1, kinds);
    lab.run_for(Span::from_secs(20));
    assert_eq!(gauge(&lab, "workers"), 2.0, "both workers were launched and are in service");
    lab
}

fn ask<Req, Resp>(lab: &Lab, callee: &str, rpc: &'static Rpc<Req, Resp>, request: Req) -> Result<Resp, Status>
where
    Req: Send + Sync + 'static,
    Resp: Clone + Send + Sync + 'static,
{
    let client = lab.client("people", callee);
    lab.run(async move { client.call(rpc, request).await })
}

fn invocation(function: u32, invocation_type: InvocationType) -> InvokeRequest {
    InvokeRequest {
        function_name: format!("function-{function}"),
        invocation_type: invocation_type as i32,
        payload: Vec::new(),
    }
}

fn invoke(lab: &Lab, function: u32, invocation_type: InvocationType) -> Result<u32, Status> {
    let request = invocation(function, invocation_type);
    ask(lab, "lambda", &lambda_api::INVOKE, request).map(|answer| answer.status_code)
}

/// The last value of a gauge, of all instances together.
fn gauge(lab: &Lab, name: &str) -> f64 {
    let reports = lab.reports();
    let samples = reports.iter().filter_map(|report| match report {
        Report::Sample(sample) => Some(sample),
        _ => None,
    });
    let named = samples.flat_map(|sample| {
        let readings = sample.readings.iter().filter(|reading| &*reading.name == name);
        readings.map(|reading| (sample.at, reading))
    });
    let named: Vec<_> = named.collect();
    let last = named.iter().map(|(at, _)| *at).max().unwrap_or_else(|| panic!("no series {name}"));
    let values = named.iter().filter(|(at, _)| *at == last).map(|(_, reading)| reading);
    values.fold(0.0, |together, reading| match reading.aggregate {
        Aggregate::Maximum => reading.value.max(together),
        _ => reading.value + together,
    })
}

/// All that was counted so far.
fn counted(lab: &Lab, name: &str) -> f64 {
    lab.last_and_sum(name).unwrap_or_else(|| panic!("no series {name}")).1
}

fn set(lab: &Lab, path: &str, value: &str) {
    let setting = Setting { path: path.to_owned(), value: value.to_owned() };
    lab.simulation.region().set(&setting).unwrap_or_else(|problems| panic!("{problems}"));
}
