//! What a change must be to be considered at all, and why batches are refused.

use eastfall_fabric::dns::{canonical, make_canonical};
use eastfall_proto::route53::{Change, RecordSet, RecordType};

use super::{MAX_CHANGES, is_within};

/// Why the store does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A name that DNS can't have.
    #[error(
        "{0} is not a DNS name: labels of 1 to 63 letters, digits, hyphens and underscores, 253 characters in all"
    )]
    BadName(String),
    /// The zone exists already.
    #[error("hosted zone {0} already exists")]
    ZoneExists(String),
    /// There is no such zone.
    #[error("no hosted zone found with name {0}")]
    NoSuchZone(String),
    /// There are no changes, or too many.
    #[error("a batch has 1 to {MAX_CHANGES} changes, not {0}")]
    BatchSize(usize),
    /// A change can't be made.
    #[error("change {number} of the batch: {why}")]
    Change {
        /// Position in the batch, from 1.
        number: usize,
        /// The rule it breaks.
        why: String,
    },
    /// A newer plan was applied already.
    #[error("generation {newer} is recorded for {name}, which is newer than {generation}")]
    Superseded {
        /// The name under which generations are recorded.
        name: String,
        /// The generation of the batch.
        generation: u64,
        /// The recorded one.
        newer: u64,
    },
}

/// A name in canonical form that DNS can have.
pub(super) fn name(name: &str) -> Result<(), Refusal> {
    // In one pass: a batch may have a thousand names.
    let (mut sound, mut label) = (name.len() <= 253, 0);
    for byte in name.bytes() {
        if byte == b'.' {
            sound &= label > 0;
            label = 0;
        } else {
            label += 1;
            sound &= label <= 63 && (byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        }
    }
    if sound && label > 0 { Ok(()) } else { Err(Refusal::BadName(name.to_owned())) }
}

/// A batch has at least one change and not too many.
pub(super) fn size(changes: &[Change]) -> Result<(), Refusal> {
    if (1..=MAX_CHANGES).contains(&changes.len()) { Ok(()) } else { Err(Refusal::BatchSize(changes.len())) }
}

/// A sentence about a record, as the real service writes it.
pub(super) fn about(record: &RecordSet, what: &str) -> String {
    let set = if record.set_identifier.is_empty() {
        String::new()
    } else {
        format!(", set {}", record.set_identifier)
    };
    format!("resource record set [name {}, type {}{set}] {what}", record.name, record.r#type().as_str_name())
}

/// The record of a change with canonical names, sound in itself.
pub(super) fn record(zone: &str, change: &Change) -> Result<RecordSet, String> {
    let mut record = change.record.clone().ok_or("names no record")?;
    make_canonical(&mut record.name);
    if let Some(alias) = &mut record.alias {
        make_canonical(&mut alias.name);
    }
    name(&record.name).map_err(|refusal| refusal.to_string())?;
    if !is_within(&record.name, zone) {
        return Err(about(&record, &format!("is not in zone {zone}")));
    }
    if record.set_identifier.is_empty() != record.weight.is_none() {
        return Err(about(&record, "needs a set identifier and a weight, or neither"));
    }
    if record.weight.is_some_and(|weight| weight > 255) {
        return Err(about(&record, "has a weight above 255"));
    }
    match &record.alias {
        Some(_) if !record.values.is_empty() => return Err(about(&record, "has values and an alias")),
        Some(alias) if !is_within(&alias.name, zone) => {
            return Err(about(&record, &format!("is an alias to a name outside zone {zone}")));
        }
        Some(_) => {}
        None => values(&record)?,
    }
    Ok(record)
}

fn values(record: &RecordSet) -> Result<(), String> {
    if record.values.is_empty() {
        return Err(about(record, "has neither values nor an alias"));
    }
    let sound = |value: &String| match record.r#type() {
        RecordType::A => value.parse::<std::net::Ipv4Addr>().is_ok(),
        RecordType::Aaaa => value.parse::<std::net::Ipv6Addr>().is_ok(),
        RecordType::Txt => value.len() <= 4000,
        RecordType::Cname => record.values.len() == 1 && name(&canonical(value)).is_ok(),
        RecordType::Unspecified => false,
    };
    match record.values.iter().find(|value| !sound(value)) {
        Some(value) => Err(about(record, &format!("has the value {value:?}, which its type can't have"))),
        None => Ok(()),
    }
}
