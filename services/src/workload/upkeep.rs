//! Requests to what customers run their own systems with: Managed Airflow, Outposts, Support Center, CloudWatch.

use eastfall_proto::airflow::{airflow_api, *};
use eastfall_proto::cloudwatch::{cloud_watch_api, *};
use eastfall_proto::outposts::{outposts_api, *};
use eastfall_proto::support::{support_api, *};

use super::{Draw, Operation, operation};

/// Environments, and metrics with an alarm each, that customers have (assumption).
const FEW: u64 = 6;
const METRICS: u64 = 20;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(&["mwaa"], &airflow_api::CREATE_ENVIRONMENT, |draw| CreateEnvironmentRequest {
            name: few("environment", draw),
            min_workers: 1,
        }),
        operation(&["mwaa"], &airflow_api::GET_ENVIRONMENT, |draw| GetEnvironmentRequest {
            name: few("environment", draw),
        }),
        operation(&["mwaa"], &airflow_api::TRIGGER_DAG, |draw| TriggerDagRequest {
            environment: few("environment", draw),
            dag: "nightly".to_owned(),
        }),
        operation(&["outposts"], &outposts_api::CREATE_ORDER, |draw| CreateOrderRequest {
            order_id: format!("order-{}", draw.token()),
        }),
        operation(&["outposts"], &outposts_api::GET_ORDER, |draw| GetOrderRequest {
            order_id: format!("order-{}", draw.key()),
        }),
        operation(&["support"], &support_api::CREATE_CASE, |draw| CreateCaseRequest {
            account: account(draw),
            subject: "is it us or is it you".to_owned(),
            client_token: draw.token(),
        }),
        operation(&["support"], &support_api::DESCRIBE_CASES, |draw| DescribeCasesRequest {
            account: account(draw),
        }),
        operation(&["cloudwatch"], &cloud_watch_api::PUT_METRIC_DATA, |draw| PutMetricDataRequest {
            metric: metric(draw),
            values: vec![(draw.key() % 100) as f64],
        }),
        operation(&["cloudwatch"], &cloud_watch_api::GET_METRIC_DATA, |draw| GetMetricDataRequest {
            metric: metric(draw),
            minutes: 60,
        }),
        operation(&["cloudwatch"], &cloud_watch_api::PUT_METRIC_ALARM, |draw| {
            let metric = metric(draw);
            let (threshold, evaluation_periods) = (90.0, 3);
            PutMetricAlarmRequest { alarm: format!("{metric}-high"), metric, threshold, evaluation_periods }
        }),
        operation(&["cloudwatch"], &cloud_watch_api::DESCRIBE_ALARMS, |draw| DescribeAlarmsRequest {
            alarms: vec![format!("{}-high", metric(draw))],
        }),
    ]
}

fn few(what: &str, draw: &mut Draw<'_>) -> String {
    format!("{what}-{}", draw.key() % FEW)
}

fn account(draw: &mut Draw<'_>) -> String {
    format!("account-{}", draw.key())
}

fn metric(draw: &mut Draw<'_>) -> String {
    format!("metric-{}", draw.key() % METRICS)
}
