//! Applying another region's changes: the last writer wins, whatever the order in which changes arrive.

use eastfall_proto::shared::Shared;

use super::*;

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
        let mut newest: BTreeMap<RowKey, (&Record, Row)> = BTreeMap::new();
        for record in records {
            let key = table.schema().row_key(&record.key)?;
            let (item, region) = (record.new_image.clone(), record.region.clone());
            let row = Row { item, written_at: record.written_at, region };
            match newest.get(&key) {
                Some((_, other)) if !row.supersedes(other) => {}
                _ => {
                    newest.insert(key, (record, row));
                }
            }
        }
        let mut plan = Plan::new(self, 0);
        let mut applied = 0;
        for (key, (record, row)) in newest {
            if self.transactions.holds(&table.schema().shared_name(), &key) {
                return Err(error::conflict());
            }
            if table.row(&key).is_none_or(|existing| row.supersedes(existing)) {
                plan.row(table, key, row, |_, _| record.key.clone());
                applied += 1;
            }
        }
        Ok((plan.changes, applied, records.len() as u32 - applied))
    }
}
