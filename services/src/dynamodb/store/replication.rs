//! Applying another region's changes: the last writer wins, whatever the order in which changes arrive.

use eastfall_proto::shared::Shared;

use super::*;
use crate::dynamodb::row::supersedes;

impl Store {
    /// Plans changes that were first made in another region; returns how many count and how many are superseded by
    /// what is here already. Applying them again changes nothing, so a replicator may repeat itself.
    ///
    /// # Errors
    /// `TransactionConflictException` if a transaction holds one of the items (none of the changes is then planned),
    /// `ValidationException` if a key does not fit or the table keeps no stream.
    pub fn apply_records(
        &self,
        table: &str,
        records: &[Shared<Record>],
    ) -> Result<(Vec<Change>, u32, u32), Status> {
        let table = self.table(table)?;
        if !table.schema().stream() {
            let name = table.schema().name();
            return Err(error::validation(format!(
                "table `{name}` keeps no stream, so it can't be replicated"
            )));
        }
        // Of several changes of one item only the last can count.
        let mut newest: BTreeMap<RowKey, &Record> = BTreeMap::new();
        for record in records {
            let key = table.schema().row_key(&record.key)?;
            match newest.get(&key) {
                Some(other) if !supersedes(origin(record), origin(other)) => {}
                _ => {
                    newest.insert(key, record);
                }
            }
        }
        let mut plan = Plan::new(self, 0);
        let mut applied = 0;
        for (key, record) in newest {
            if self.transactions.holds(&table.schema().shared_name(), &key) {
                return Err(error::conflict());
            }
            let held = table.row(&key).map(|row| (row.written_at(), row.region().as_ref()));
            if held.is_none_or(|held| supersedes(origin(record), held)) {
                let (item, at, region) =
                    (&record.new_image, record.written_at, record.region.as_str().into());
                plan.row(table, key, item, at, &region, || record.key.clone());
                applied += 1;
            }
        }
        Ok((plan.changes, applied, records.len() as u32 - applied))
    }
}

/// When and where a change was first made.
fn origin(record: &Record) -> (u64, &str) {
    (record.written_at, &record.region)
}
