//! Judging alarms.

use std::sync::Arc;

use eastfall_proto::cloudwatch::{Alarm, AlarmState, Datapoint};
use tonic::Status;

use super::{ALARMS, Desk};
use crate::dynamodb::update::set;
use crate::dynamodb::value::{Item, number, parsed, text};

pub(super) fn read(row: &Item) -> Option<Alarm> {
    Some(Alarm {
        alarm: text(row, "alarm")?.to_owned(),
        metric: text(row, "metric")?.to_owned(),
        state: parsed(row, "state").unwrap_or(0),
    })
}

/// The state for the last minutes: ALARM if all of them are above the threshold, OK if one is not, and no judgement
/// without all of them.
fn judge(points: &[Datapoint], threshold: f64, periods: usize) -> AlarmState {
    if points.len() < periods {
        return AlarmState::InsufficientData;
    }
    let above = |point: &Datapoint| point.count > 0 && point.sum / point.count as f64 > threshold;
    let all = points[points.len() - periods..].iter().all(above);
    if all { AlarmState::Alarm } else { AlarmState::Ok }
}

/// Whole minutes that data may need until it can be read: the one it is of, and the one in which it is written.
const LATE: u32 = 2;

impl Desk {
    /// Judges this instance's alarms, for ever.
    pub(super) async fn judge_alarms(self: Arc<Self>) {
        let own = self.world.instance().index.to_string();
        let mut known: Vec<Item> = Vec::new();
        loop {
            self.world.sleep(self.settings.get().judge_every).await;
            // Alarms that were known stay known; what they are about can't be read either.
            if let Ok(rows) = self.tables.all_of(ALARMS, &own).await {
                known = rows;
            }
            let mut tally = [0_u32; 3];
            for row in &mut known {
                let state = self.judge_one(row).await.unwrap_or(AlarmState::InsufficientData);
                tally[state as usize] += 1;
                if parsed::<i32>(row, "state") != Some(state as i32) {
                    row.insert("state".to_owned(), number(state as i32));
                    self.changed(row, state).await;
                }
            }
            let record = self.world.record();
            record.gauge("alarms-insufficient-data", f64::from(tally[AlarmState::InsufficientData as usize]));
            record.gauge("alarms-ok", f64::from(tally[AlarmState::Ok as usize]));
            record.gauge("alarms-in-alarm", f64::from(tally[AlarmState::Alarm as usize]));
        }
    }

    async fn judge_one(&self, row: &Item) -> Result<AlarmState, Status> {
        let periods: u32 = parsed(row, "periods").unwrap_or(1);
        let threshold: f64 = parsed(row, "threshold").unwrap_or(f64::MAX);
        let Some(metric) = text(row, "metric") else { return Ok(AlarmState::InsufficientData) };
        let mut points = self.read(&self.tables, metric, periods + LATE).await?;
        // A minute that is not over has not got all its data.
        points.retain(|point| point.minute < self.minute());
        Ok(judge(&points, threshold, periods as usize))
    }

    async fn changed(&self, row: &Item, state: AlarmState) {
        let Some(alarm) = text(row, "alarm") else { return };
        let fields = [("alarm", alarm.to_owned()), ("state", state.as_str_name().to_owned())];
        self.world.record().event("alarm-state", &fields);
        // If it can't be written it is judged, and written, again.
        let state = vec![set("state", number(state as i32))];
        let _ = self.tables.update(ALARMS, self.alarm_key(alarm), state).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(minute: u64, mean: f64) -> Datapoint {
        Datapoint { minute, sum: mean * 2.0, count: 2 }
    }

    #[test]
    fn all_minutes_above_make_an_alarm_and_one_that_is_not_makes_it_ok() {
        let high = [point(1, 1.0), point(2, 9.0), point(3, 9.0)];
        assert_eq!(judge(&high, 5.0, 2), AlarmState::Alarm, "the last two are above");
        assert_eq!(judge(&high, 5.0, 3), AlarmState::Ok, "the first of the three is not");
    }

    #[test]
    fn too_few_minutes_are_insufficient_data() {
        assert_eq!(judge(&[point(1, 9.0)], 5.0, 2), AlarmState::InsufficientData);
        assert_eq!(judge(&[], 5.0, 1), AlarmState::InsufficientData);
    }
}
