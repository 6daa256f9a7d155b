//! CloudWatch in virtual time.

use eastfall_proto::cloudwatch::*;
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
[service.cloudwatch]
kind = "cloudwatch"
write-every = "10s"
judge-every = "20s"
most-waiting = 3
calls.db = { timeout = "1s" }
[service.people]
kind = "customers"
rate = 0.0
mix = { "cloudwatch.PutMetricData" = 1.0 }
calls.cloudwatch = { timeout = "10s" }
"#;

impl Lab {
    fn put_metric(&self, metric: &str, values: &[f64]) -> Result<(), Status> {
        let client = self.client("people", "cloudwatch");
        let request = PutMetricDataRequest { metric: metric.to_owned(), values: values.to_vec() };
        self.run(async move { client.call(&cloud_watch_api::PUT_METRIC_DATA, request).await }).map(drop)
    }

    fn metric_data(&self, metric: &str) -> Vec<Datapoint> {
        let client = self.client("people", "cloudwatch");
        let request = GetMetricDataRequest { metric: metric.to_owned(), minutes: 60 };
        let answer = self.run(async move { client.call(&cloud_watch_api::GET_METRIC_DATA, request).await });
        answer.expect("an answer").datapoints
    }

    fn alarm(&self) -> AlarmState {
        let client = self.client("people", "cloudwatch");
        let request = DescribeAlarmsRequest { alarms: vec!["high".to_owned()] };
        let answer = self.run(async move { client.call(&cloud_watch_api::DESCRIBE_ALARMS, request).await });
        answer.expect("an answer").alarms[0].state()
    }

    fn put_alarm(&self) {
        let client = self.client("people", "cloudwatch");
        let (alarm, metric) = ("high".to_owned(), "load".to_owned());
        let request = PutMetricAlarmRequest { alarm, metric, threshold: 5.0, evaluation_periods: 1 };
        let made = self.run(async move { client.call(&cloud_watch_api::PUT_METRIC_ALARM, request).await });
        made.expect("made");
    }

    /// A value each ten seconds, for some minutes.
    fn load_metric(&self, value: f64, minutes: u32) {
        for _ in 0..minutes * 6 {
            self.put_metric("load", &[value]).expect("accepted");
            self.run_for(Span::from_secs(10));
        }
    }
}

#[test]
fn values_are_added_up_by_the_minute() {
    let lab = Lab::start(REGION, 1);
    lab.put_metric("load", &[1.0, 2.0]).expect("accepted");
    lab.put_metric("load", &[4.0]).expect("accepted");
    lab.run_for(Span::from_secs(70));
    lab.put_metric("load", &[8.0]).expect("accepted");
    lab.run_for(Span::from_secs(15));
    let point = |minute, sum, count| Datapoint { minute, sum, count };
    assert_eq!(lab.metric_data("load"), [point(0, 7.0, 3), point(1, 8.0, 1)]);
}

#[test]
fn an_alarm_follows_its_metric_and_knows_when_it_can_not_know() {
    let lab = Lab::start(REGION, 1);
    lab.put_alarm();
    assert_eq!(lab.alarm(), AlarmState::InsufficientData, "there is no data");
    lab.load_metric(1.0, 3);
    assert_eq!(lab.alarm(), AlarmState::Ok);
    lab.load_metric(9.0, 3);
    assert_eq!(lab.alarm(), AlarmState::Alarm);
    lab.simulation.kill_instance("db");
    lab.run_for(Span::from_mins(2));
    let silent = lab.last_and_sum("alarms-insufficient-data").expect("a series").0;
    assert_eq!(silent, 1.0, "what can't be read can't be judged");
}

#[test]
fn data_is_accepted_without_the_store_until_there_is_no_room_and_none_of_it_is_lost() {
    let lab = Lab::start(REGION, 1);
    lab.run_for(Span::from_secs(15));
    lab.simulation.kill_instance("db");
    for metric in ["a", "b", "c"] {
        lab.put_metric(metric, &[1.0]).expect("there is room");
    }
    let status = lab.put_metric("d", &[1.0]).expect_err("there is none");
    assert_eq!(eastfall_proto::error::reason(&status).as_deref(), Some("Throttling"), "{status}");
    lab.simulation.start_instance("db");
    lab.run_for(Span::from_secs(30));
    assert_eq!(lab.metric_data("c").len(), 1, "it was written in the end");
    lab.put_metric("d", &[1.0]).expect("there is room again");
}
