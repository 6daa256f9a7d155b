//! Kind `cloudwatch`: metrics by the minute, and alarms on them.
//!
//! Data is accepted in memory and written down once a minute, added up by metric: producers don't notice that the store
//! is gone until the room for what waits is used up. Alarms read what was written, so without the store an alarm has
//! nothing to judge and says so: INSUFFICIENT_DATA, neither OK nor ALARM. Whoever watches alarms alone sees an outage of
//! the store as silence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::cloudwatch::cloud_watch_server::CloudWatch;
use eastfall_proto::cloudwatch::*;
use eastfall_proto::error::api_error;
use eastfall_topology::Span;
use tonic::{Code, Request, Response, Status};

use crate::dynamodb::update::increase;
use crate::dynamodb::value::{Item, item, number, parsed, string, text};
use crate::groups::host_of;
use crate::settings::{Settings, instance_count, split};
use crate::tables::Tables;

mod alarms;
#[cfg(test)]
mod tests;

eastfall_topology::params! {
    /// Metrics and alarms.
    pub struct CloudWatchParams for "cloudwatch" offers
        ["PutMetricData", "GetMetricData", "PutMetricAlarm", "DescribeAlarms"] {
        /// How often what was accepted is written down (assumption; published: metrics have a resolution of a minute).
        write_every: Span = "1m", range "1s"..="1h";
        /// Sums by metric and minute that an instance keeps for the store at most; beyond, data is refused
        /// (assumption: some hours' worth).
        most_waiting: u32 = 20000, range 1..=100000000, scaled by load;
        /// How often alarms are judged (published: every minute for alarms of standard resolution).
        judge_every: Span = "1m", range "1s"..="1h";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: CloudWatchParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// The domain of CloudWatch's error names.
const DOMAIN: &str = "monitoring.amazonaws.com";
/// Sums and counts by metric and minute.
const METRICS: &str = "cloudwatch-metrics";
/// Alarms by the instance that judges them.
const ALARMS: &str = "cloudwatch-alarms";
const SCHEMAS: [&str; 2] = ["cloudwatch-metrics(metric,minute)", "cloudwatch-alarms(judge,alarm)"];
/// Minutes that one request may ask for (published: 1,440 data points).
const MOST_MINUTES: u32 = 1440;
/// Values of one request (published: 150 a metric).
const MOST_VALUES: usize = 150;

async fn start(world: World) -> Result<(), StartError> {
    let desk = Arc::new(Desk {
        settings: Settings::new(&world),
        tables: Tables::of(&world)?,
        waiting: Mutex::default(),
        world: world.clone(),
    });
    world.record().count("data-refused", 0);
    let preparing = Arc::clone(&desk);
    world.spawn(async move {
        preparing.tables.prepare(&preparing.world, &SCHEMAS).await;
        preparing.world.spawn(Arc::clone(&preparing).judge_alarms());
        preparing.write_down().await;
    });
    world.serve(vec![(&cloud_watch_api::API, cloud_watch_api::handler(desk))]).await
}

/// A sum of values, and how many they were.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sum {
    sum: f64,
    count: u64,
}

struct Desk {
    world: World,
    settings: Settings<CloudWatchParams>,
    tables: Tables,
    /// What is not written down yet, by metric and minute.
    waiting: Mutex<BTreeMap<(String, u64), Sum>>,
}

fn internal(status: &Status) -> Status {
    api_error(Code::Internal, DOMAIN, "InternalServiceError", status.message())
}

fn invalid(message: &str) -> Status {
    api_error(Code::InvalidArgument, DOMAIN, "InvalidParameterValue", message)
}

/// Minutes sort as text, so they are written with leading zeros.
fn minute_key(minute: u64) -> String {
    format!("{minute:08}")
}

impl Desk {
    /// The minute it is, since the run began.
    fn minute(&self) -> u64 {
        self.world.now().as_nanos() / Span::from_mins(1).as_nanos()
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<(String, u64), Sum>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, request: PutMetricDataRequest) -> Result<(), Status> {
        if request.metric.is_empty() || !(1..=MOST_VALUES).contains(&request.values.len()) {
            return Err(invalid("name a metric and give 1 to 150 values"));
        }
        if !request.values.iter().all(|value| value.is_finite()) {
            return Err(invalid("a value is not a number"));
        }
        let key = (request.metric, self.minute());
        let mut waiting = self.waiting();
        if waiting.len() >= self.settings.get().most_waiting as usize && !waiting.contains_key(&key) {
            self.world.record().count("data-refused", 1);
            return Err(api_error(Code::ResourceExhausted, DOMAIN, "Throttling", "rate exceeded"));
        }
        let sum = waiting.entry(key).or_default();
        sum.sum += request.values.iter().sum::<f64>();
        sum.count += request.values.len() as u64;
        Ok(())
    }

    /// Writes down what waits, for ever. Several instances add to the same minute, so it is added and not put; an addition
    /// whose answer was lost may count twice, as is known of the real one's at-least-once.
    async fn write_down(&self) {
        loop {
            self.world.sleep(self.settings.get().write_every).await;
            let batch = std::mem::take(&mut *self.waiting());
            let mut failed = false;
            for ((metric, minute), sum) in batch {
                // What one row could not reach, another would not either: until the next round.
                failed = failed || self.add(&metric, minute, sum).await.is_err();
                if failed {
                    let mut waiting = self.waiting();
                    let kept = waiting.entry((metric, minute)).or_default();
                    kept.sum += sum.sum;
                    kept.count += sum.count;
                }
            }
            self.world.record().gauge("waiting", self.waiting().len() as f64);
        }
    }

    async fn add(&self, metric: &str, minute: u64, sum: Sum) -> Result<(), Status> {
        let key = item([("metric", string(metric)), ("minute", string(minute_key(minute)))]);
        let actions = vec![increase("sum", sum.sum), increase("count", sum.count)];
        self.tables.update(METRICS, key, actions).await
    }

    /// The last rows of a metric, oldest first.
    async fn read(&self, tables: &Tables, metric: &str, minutes: u32) -> Result<Vec<Datapoint>, Status> {
        let rows = tables.some_of(METRICS, metric, minutes, true).await?;
        let from = (self.minute() + 1).saturating_sub(u64::from(minutes));
        let points = rows.iter().filter_map(datapoint).filter(|point| point.minute >= from);
        let mut points: Vec<Datapoint> = points.collect();
        points.reverse();
        Ok(points)
    }

    fn alarm_key(&self, alarm: &str) -> Item {
        let judges = instance_count(&self.world, &self.world.instance().service);
        item([("judge", string(host_of(alarm, judges).to_string())), ("alarm", string(alarm))])
    }

    async fn put_alarm(&self, context: &Context, request: PutMetricAlarmRequest) -> Result<(), Status> {
        let PutMetricAlarmRequest { alarm, metric, threshold, evaluation_periods } = request;
        if alarm.is_empty() || metric.is_empty() || !(1..=60).contains(&evaluation_periods) {
            return Err(invalid("an alarm needs a name, a metric and 1 to 60 evaluation periods"));
        }
        if !threshold.is_finite() {
            return Err(invalid("the threshold is not a number"));
        }
        let mut row = self.alarm_key(&alarm);
        row.insert("metric".to_owned(), string(&metric));
        row.insert("threshold".to_owned(), number(threshold));
        row.insert("periods".to_owned(), number(evaluation_periods));
        row.insert("state".to_owned(), number(AlarmState::InsufficientData as i32));
        let written = self.tables.within(context).put(ALARMS, row).await;
        written.map_err(|status| internal(&status))
    }
}

fn datapoint(row: &Item) -> Option<Datapoint> {
    Some(Datapoint {
        minute: text(row, "minute")?.parse().ok()?,
        sum: parsed(row, "sum")?,
        count: parsed(row, "count")?,
    })
}

#[async_trait::async_trait]
impl CloudWatch for Desk {
    async fn put_metric_data(
        &self,
        request: Request<PutMetricDataRequest>,
    ) -> Result<Response<PutMetricDataResponse>, Status> {
        self.accept(request.into_inner())?;
        Ok(Response::new(PutMetricDataResponse {}))
    }

    async fn get_metric_data(
        &self,
        request: Request<GetMetricDataRequest>,
    ) -> Result<Response<GetMetricDataResponse>, Status> {
        let (context, request) = split(request);
        if !(1..=MOST_MINUTES).contains(&request.minutes) {
            return Err(invalid("ask for 1 to 1440 minutes"));
        }
        let read = self.read(&self.tables.within(&context), &request.metric, request.minutes).await;
        let datapoints = read.map_err(|status| internal(&status))?;
        Ok(Response::new(GetMetricDataResponse { datapoints }))
    }

    async fn put_metric_alarm(
        &self,
        request: Request<PutMetricAlarmRequest>,
    ) -> Result<Response<PutMetricAlarmResponse>, Status> {
        let (context, request) = split(request);
        self.put_alarm(&context, request).await?;
        Ok(Response::new(PutMetricAlarmResponse {}))
    }

    async fn describe_alarms(
        &self,
        request: Request<DescribeAlarmsRequest>,
    ) -> Result<Response<DescribeAlarmsResponse>, Status> {
        let (context, request) = split(request);
        let mut alarms = Vec::with_capacity(request.alarms.len());
        for name in &request.alarms {
            let row = self.tables.within(&context).get(ALARMS, self.alarm_key(name)).await;
            alarms.extend(alarms::read(&row.map_err(|status| internal(&status))?));
        }
        Ok(Response::new(DescribeAlarmsResponse { alarms }))
    }
}
