//! A node's answers to whoever coordinates a transaction.

use super::*;

impl Node {
    /// Phase one.
    pub async fn prepare(&self, request: PrepareRequest) -> Result<PrepareResponse, Status> {
        let places = self.read(|store| {
            let place = |item: &TransactWriteItem| {
                let table = write::table_of(item)?;
                Ok((table.to_owned(), write::key_of(store.table(table)?.schema(), item)?))
            };
            request.items.iter().map(place).collect::<Result<Vec<_>, Status>>()
        })?;
        distinct(places.iter().map(|(table, key)| (&**table, key)))?;
        let partitions: Vec<u32> = places.iter().map(|(table, key)| self.partition(table, key)).collect();
        let throttled = partitions.iter().map(|partition| self.admit(Unit::Write, *partition).is_err());
        let reasons: Vec<String> = throttled
            .map(|refused| if refused { error::THROTTLING.to_owned() } else { String::new() })
            .collect();
        if reasons.iter().any(|reason| !reason.is_empty()) {
            return Ok(PrepareResponse { reasons });
        }
        for partition in partitions {
            // Published: a transactional write costs two units, one to prepare and one to commit.
            self.charge(Unit::Write, partition, 2.0);
        }
        let reasons = self.write(|store, now| store.prepare(now, &request)).await?;
        Ok(PrepareResponse { reasons })
    }

    /// Phase two, at the first participant.
    pub async fn decide(&self, request: DecideRequest) -> Result<DecideResponse, Status> {
        let committed = self.write(|store, now| store.decide(now, &request.transaction)).await?;
        Ok(DecideResponse { committed })
    }

    /// What became of an expired transaction, at the first participant.
    pub async fn resolve(&self, request: ResolveRequest) -> Result<ResolveResponse, Status> {
        let committed = self.write(|store, now| store.resolve(now, &request.transaction)).await?;
        Ok(ResolveResponse { committed })
    }

    /// Phase three.
    pub async fn finish(&self, request: FinishRequest) -> Result<FinishResponse, Status> {
        let plan = |store: &Store, now| Ok((store.settle(now, &request.transaction, request.commit)?, ()));
        self.write(plan).await?;
        Ok(FinishResponse {})
    }

    /// The end of a committed transaction, at the first participant.
    pub async fn forget(&self, request: ForgetRequest) -> Result<ForgetResponse, Status> {
        self.write(|store, _| Ok((store.forget(&request.transaction), ()))).await?;
        Ok(ForgetResponse {})
    }

    /// Transactions whose coordinator is gone.
    pub async fn list_unfinished(&self, _: ListUnfinishedRequest) -> Result<ListUnfinishedResponse, Status> {
        let now = self.world.now().as_nanos();
        Ok(ListUnfinishedResponse { transactions: self.read(|store| store.unfinished(now)) })
    }
}
