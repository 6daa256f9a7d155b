//! The zones on a disk: one entry a zone, a record, and a recorded generation.

use eastfall_proto::route53::{HostedZone, RecordSet};
use prost::Message as _;

use super::{Key, Staged, Stored, Zone, Zones};

/// A key and what it holds, or nothing for one that is deleted.
type Write = (Vec<u8>, Option<Vec<u8>>);

// Zones sort before what belongs to them, so that one pass reads everything.
const ZONE: u8 = b'0';
const RECORD: u8 = b'1';
const GENERATION: u8 = b'2';

/// What makes a new zone durable.
pub(in crate::route53) fn zone(zone: &Zone) -> Vec<Write> {
    vec![zone_entry(&zone.name, zone.negative_ttl, zone.serial)]
}

/// What makes a batch durable.
pub(in crate::route53) fn changes(staged: &Staged) -> Vec<Write> {
    let zone = staged.zone.as_str();
    let mut writes = vec![zone_entry(zone, staged.negative_ttl, staged.serial)];
    writes.extend(staged.records.iter().map(|(key, record)| {
        let parts = [zone, &key.reversed, &key.record_type.to_string(), &key.set_identifier];
        (entry(RECORD, &parts), record.as_ref().map(|record| record.encode_to_vec()))
    }));
    writes.extend(staged.generation.iter().map(|(name, generation)| {
        (entry(GENERATION, &[zone, name]), Some(generation.to_be_bytes().to_vec()))
    }));
    writes
}

/// The zones that a disk holds.
///
/// # Errors
/// If an entry can't be read: the sentence names it.
pub(in crate::route53) fn read(entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Zones, String> {
    let mut zones = Zones::default();
    for (key, value) in entries {
        read_entry(&mut zones, &key, &value).ok_or_else(|| {
            let key = String::from_utf8_lossy(&key).replace('\0', " ");
            format!("the zones on the disk can't be read: entry {key:?} is damaged; delete the run's folder")
        })?;
    }
    Ok(zones)
}

fn read_entry(zones: &mut Zones, key: &[u8], value: &[u8]) -> Option<()> {
    let (kind, rest) = key.split_first()?;
    let parts: Vec<&str> = std::str::from_utf8(rest).ok()?.split('\0').collect();
    let name = *parts.first()?;
    if *kind == ZONE {
        let hosted = HostedZone::decode(value).ok()?;
        let zone = zones.new_zone(name, hosted.negative_ttl).ok()?;
        zones.0.insert(name.to_owned(), Zone { serial: hosted.serial, ..zone });
        return Some(());
    }
    let zone = zones.0.get_mut(name)?;
    match *kind {
        RECORD => {
            let record = RecordSet::decode(value).ok()?;
            zone.records.insert(Key::of(&record), Stored(record.into()));
        }
        GENERATION => {
            zone.generations.insert((*parts.get(1)?).to_owned(), u64::from_be_bytes(value.try_into().ok()?));
        }
        _ => return None,
    }
    Some(())
}

fn zone_entry(name: &str, negative_ttl: u32, serial: u32) -> Write {
    let hosted = HostedZone { name: name.to_owned(), negative_ttl, serial, record_count: 0 };
    (entry(ZONE, &[name]), Some(hosted.encode_to_vec()))
}

/// Names, types and set identifiers with a zero byte between them, which none of them has.
fn entry(kind: u8, parts: &[&str]) -> Vec<u8> {
    let mut key = Vec::with_capacity(parts.iter().map(|part| 1 + part.len()).sum());
    for (position, part) in parts.iter().enumerate() {
        key.push(if position == 0 { kind } else { 0 });
        key.extend_from_slice(part.as_bytes());
    }
    key
}
