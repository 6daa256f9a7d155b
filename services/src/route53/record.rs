//! Short ways to write records and changes of the control API.

use eastfall_proto::route53::change::Action;
use eastfall_proto::route53::{AliasTarget, Change, RecordSet, RecordType};

/// A simple record with values.
pub fn simple(name: &str, record_type: RecordType, ttl: u32, values: &[&str]) -> RecordSet {
    let values = values.iter().map(|&value| value.to_owned()).collect();
    RecordSet { name: name.to_owned(), r#type: record_type as i32, ttl, values, ..RecordSet::default() }
}

/// An alias to another name of the zone.
pub fn alias(name: &str, record_type: RecordType, target: &str) -> RecordSet {
    let alias = Some(AliasTarget { name: target.to_owned() });
    RecordSet { name: name.to_owned(), r#type: record_type as i32, alias, ..RecordSet::default() }
}

/// The record as one of a weighted name.
pub fn weighted(record: RecordSet, set_identifier: &str, weight: u32) -> RecordSet {
    RecordSet { set_identifier: set_identifier.to_owned(), weight: Some(weight), ..record }
}

/// A change that fails if the record is there.
pub fn create(record: RecordSet) -> Change {
    Change { action: Action::Create as i32, record: Some(record) }
}

/// A change that fails unless the record is there, exactly so.
pub fn delete(record: RecordSet) -> Change {
    Change { action: Action::Delete as i32, record: Some(record) }
}

/// A change that makes the record so, whatever was there.
pub fn upsert(record: RecordSet) -> Change {
    Change { action: Action::Upsert as i32, record: Some(record) }
}
