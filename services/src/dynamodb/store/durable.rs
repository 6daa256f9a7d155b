//! The durable form of a store: each change as keys and values, and the way back at start.
//!
//! Keys begin with a letter for what they hold; names and encoded keys are length-prefixed, so that none can run into
//! the next. Streams are numbered big-endian, so that they load in order.

use super::*;

/// A key and what it holds now, or nothing if it is gone: what a [`Disk`](eastfall_fabric::disk::Disk) commits.
pub type Entry = (Vec<u8>, Option<Vec<u8>>);

const TABLE: u8 = b't';
const ROW: u8 = b'r';
const RECORD: u8 = b's';
const INTENT: u8 = b'x';
const DECISION: u8 = b'y';

impl Change {
    /// What becomes durable.
    pub fn durable(&self) -> Entry {
        match self {
            Change::Table(schema) => {
                let description = TableDescription::from(schema);
                (key(TABLE, &[schema.name().as_bytes()], &[]), Some(description.encode_to_vec()))
            }
            Change::Row { table, key: row_key, row } => (
                key(ROW, &[table.as_bytes(), &row_key.partition], &row_key.sort),
                row.as_ref().map(Row::durable),
            ),
            Change::Record { table, record } => {
                (record_key(table, record.sequence_number), Some(record.encode_to_vec()))
            }
            Change::Trim { table, sequence_number } => (record_key(table, *sequence_number), None),
            Change::Intent { transaction, request } => ledger_entry(INTENT, transaction, request.as_ref()),
            Change::Decision { transaction, request } => {
                ledger_entry(DECISION, transaction, request.as_ref())
            }
        }
    }
}

fn ledger_entry(kind: u8, transaction: &str, request: Option<&PrepareRequest>) -> Entry {
    (key(kind, &[], transaction.as_bytes()), request.map(|request| request.encode_to_vec()))
}

fn record_key(table: &str, sequence_number: u64) -> Vec<u8> {
    key(RECORD, &[table.as_bytes()], &sequence_number.to_be_bytes())
}

/// A kind, parts with their lengths, and a last part that needs none.
fn key(kind: u8, parts: &[&[u8]], last: &[u8]) -> Vec<u8> {
    let length = 1 + parts.iter().map(|part| 2 + part.len()).sum::<usize>() + last.len();
    let mut key = Vec::with_capacity(length);
    key.push(kind);
    for part in parts {
        key.extend_from_slice(&(part.len() as u16).to_be_bytes());
        key.extend_from_slice(part);
    }
    key.extend_from_slice(last);
    key
}

/// Takes a length-prefixed part off a key.
fn part(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = key.split_at_checked(2)?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(length.try_into().ok()?)))
}

impl Store {
    /// The store that these entries are the durable form of.
    ///
    /// # Errors
    /// If one of them is not an entry of a store.
    pub fn load(region: &str, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Store, String> {
        let mut store = Store::new(region);
        // Tables before what lies in them.
        let (tables, others): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(key, _)| key.first() == Some(&TABLE));
        for (key, value) in tables.into_iter().chain(others) {
            let change = store.read(&key, &value).ok_or_else(|| {
                format!(
                    "the durable entry {} is not one of a storage node; empty the run's folder",
                    key.escape_ascii()
                )
            })?;
            store.apply(vec![change]);
        }
        Ok(store)
    }

    fn read(&self, key: &[u8], value: &[u8]) -> Option<Change> {
        let (kind, rest) = key.split_first()?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let name = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(Arc::from);
        match *kind {
            TABLE => TableSchema::try_from(TableDescription::decode(value).ok()?).ok().map(Change::Table),
            ROW => {
                let (table, rest) = part(rest)?;
                let (partition, sort) = part(rest)?;
                let key = RowKey { partition: partition.into(), sort: sort.into() };
                let schema = self.table(std::str::from_utf8(table).ok()?).ok()?.schema();
                Some(Change::Row { table: schema.shared_name(), key, row: Some(Row::read(schema, value)?) })
            }
            RECORD => {
                Some(Change::Record { table: name(part(rest)?.0)?, record: Record::decode(value).ok()? })
            }
            INTENT => {
                let request = Some(PrepareRequest::decode(value).ok()?);
                Some(Change::Intent { transaction: text(rest)?, request })
            }
            DECISION => {
                let request = Some(PrepareRequest::decode(value).ok()?);
                Some(Change::Decision { transaction: text(rest)?, request })
            }
            _ => None,
        }
    }
}
