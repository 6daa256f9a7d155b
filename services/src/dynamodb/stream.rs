//! A table's change stream: every change in order, numbered, kept for a day.

use std::collections::VecDeque;

use eastfall_proto::dynamodb::Record;
use eastfall_proto::shared::Shared;
use tonic::Status;

use super::error;

/// The records of one table on one node (a shard), oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    records: VecDeque<Shared<Record>>,
}

impl Stream {
    /// The number the next record gets.
    pub fn next(&self) -> u64 {
        self.records.back().map_or(1, |record| record.sequence_number + 1)
    }

    /// Adds the newest record.
    pub(super) fn push(&mut self, record: Record) {
        self.records.push_back(record.into());
    }

    /// Forgets the oldest record.
    pub(super) fn pop(&mut self) {
        self.records.pop_front();
    }

    /// The records that were written before a moment (nanoseconds), oldest first. The newest record never counts: it
    /// keeps the numbering.
    pub fn written_before(&self, moment: u64) -> impl Iterator<Item = &Record> {
        let all_but_newest = self.records.len().saturating_sub(1);
        let kept = self.records.iter().take(all_but_newest);
        kept.map(|record| &**record).take_while(move |record| record.written_at < moment)
    }

    /// Up to `limit` records after a sequence number, and whether there are more. After 0: from the oldest kept.
    ///
    /// # Errors
    /// `TrimmedDataAccessException` if records right after that number are no longer kept.
    pub fn after(&self, sequence_number: u64, limit: usize) -> Result<(Vec<Shared<Record>>, bool), Status> {
        let oldest = self.records.front().map_or(1, |record| record.sequence_number);
        if sequence_number > 0 && sequence_number + 1 < oldest {
            return Err(error::trimmed(oldest));
        }
        // Numbers have no gaps, so a record's place follows from its number.
        let from = ((sequence_number + 1).saturating_sub(oldest) as usize).min(self.records.len());
        let records: Vec<Shared<Record>> = self.records.range(from..).take(limit).cloned().collect();
        let more = from + records.len() < self.records.len();
        Ok((records, more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(numbers: std::ops::RangeInclusive<u64>) -> Stream {
        let mut stream = Stream::default();
        for sequence_number in numbers {
            stream.push(Record { sequence_number, written_at: sequence_number * 10, ..Record::default() });
        }
        stream
    }

    fn numbers(records: &[Shared<Record>]) -> Vec<u64> {
        records.iter().map(|record| record.sequence_number).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let (records, more) = stream(1..=5).after(2, 2).expect("kept");
        assert_eq!((numbers(&records), more), (vec![3, 4], true));
        let (records, more) = stream(1..=5).after(4, 2).expect("kept");
        assert_eq!((numbers(&records), more), (vec![5], false));
        let (records, more) = stream(1..=5).after(5, 2).expect("kept");
        assert_eq!((numbers(&records), more), (vec![], false));
    }

    #[test]
    fn a_reader_that_comes_too_late_is_told_so() {
        let trimmed = stream(4..=6);
        assert_eq!(numbers(&trimmed.after(0, 9).expect("from the oldest").0), [4, 5, 6]);
        assert_eq!(numbers(&trimmed.after(3, 9).expect("nothing lost").0), [4, 5, 6]);
        assert!(
            trimmed.after(2, 9).expect_err("3 is lost").message().contains("begins at sequence number 4")
        );
    }

    #[test]
    fn the_newest_record_is_kept_whatever_its_age() {
        assert_eq!(stream(1..=3).written_before(u64::MAX).count(), 2);
        assert_eq!(stream(1..=3).written_before(20).count(), 1);
        assert_eq!(Stream::default().written_before(u64::MAX).count(), 0);
    }
}
