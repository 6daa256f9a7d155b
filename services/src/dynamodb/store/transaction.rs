//! A node's part in transactions that span nodes: two phases, with a durable intent.
//!
//! The first participant's durable decision is the transaction's fate. Until it is made, nothing of the transaction
//! can be seen; from then on all of it will be, whoever dies. A transaction that has not been decided when it expires
//! never will be: after that moment the first participant refuses to prepare or decide it, so whoever finds a part of
//! it lying about (its coordinator was killed) may ask and finish it. The nodes' clocks agree, being one clock.

use super::*;
use eastfall_proto::dynamodb::Unfinished;

/// Transactions that are not settled.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ledger {
    intents: BTreeMap<String, Intent>,
    /// By table and key, the transaction that holds it.
    locks: BTreeMap<(Arc<str>, RowKey), String>,
    /// Committed, decided here, and not known to be finished everywhere.
    decisions: BTreeMap<String, PrepareRequest>,
}

#[derive(Clone, Debug, PartialEq)]
struct Intent {
    request: PrepareRequest,
    writes: Vec<Write>,
}

impl Ledger {
    /// True if some transaction holds the item.
    pub(super) fn holds(&self, table: &Arc<str>, key: &RowKey) -> bool {
        !self.locks.is_empty() && self.locks.contains_key(&(Arc::clone(table), key.clone()))
    }

    pub(super) fn set_decision(&mut self, transaction: String, request: Option<PrepareRequest>) {
        match request {
            Some(request) => self.decisions.insert(transaction, request),
            None => self.decisions.remove(&transaction),
        };
    }
}

impl Store {
    fn writes(&self, request: &PrepareRequest) -> Result<Vec<Write>, Status> {
        let write = |item: &eastfall_proto::dynamodb::TransactWriteItem| {
            Write::new(self.table(super::super::write::table_of(item)?)?.schema(), item.clone())
        };
        request.items.iter().map(write).collect()
    }

    pub(super) fn set_intent(&mut self, transaction: String, request: Option<PrepareRequest>) {
        if let Some(old) = self.transactions.intents.remove(&transaction) {
            for write in old.writes {
                self.transactions.locks.remove(&(write.table, write.key));
            }
        }
        // An intent was checked when it was planned, and tables don't change.
        if let Some(request) = request
            && let Ok(writes) = self.writes(&request)
        {
            for write in &writes {
                let place = (Arc::clone(&write.table), write.key.clone());
                self.transactions.locks.insert(place, transaction.clone());
            }
            self.transactions.intents.insert(transaction, Intent { request, writes });
        }
    }

    /// Phase one: plans to hold this node's part of a transaction, or to commit it if there is no other part. Returns
    /// a cancellation reason for each item, empty where there is none; nothing is planned if there is any.
    ///
    /// # Errors
    /// `TransactionConflictException` if the transaction has expired.
    pub fn prepare(&self, now: u64, request: &PrepareRequest) -> Result<(Vec<Change>, Vec<String>), Status> {
        if request.expires <= now {
            return Err(error::conflict());
        }
        if self.transactions.intents.contains_key(&request.transaction) {
            return Ok((Vec::new(), vec![String::new(); request.items.len()]));
        }
        let mut plan = Plan::new(self, now);
        let mut reason =
            |item: &eastfall_proto::dynamodb::TransactWriteItem| -> Result<&'static str, Status> {
                let schema = self.table(super::super::write::table_of(item)?)?.schema();
                let write = Write::new(schema, item.clone())?;
                if self.transactions.holds(&write.table, &write.key) {
                    return Ok(error::TRANSACTION_CONFLICT);
                }
                plan.write(&write, ReturnValues::None).map(|_| "")
            };
        let reasons: Vec<String> = request
            .items
            .iter()
            .map(|item| match reason(item) {
                Ok(reason) => reason,
                Err(status) if status.code() == tonic::Code::FailedPrecondition => {
                    error::CONDITIONAL_CHECK_FAILED
                }
                Err(_) => error::VALIDATION,
            })
            .map(str::to_owned)
            .collect();
        let refused = reasons.iter().any(|reason| !reason.is_empty());
        let changes = match (refused, request.participants.len()) {
            (true, _) => Vec::new(),
            (false, ..=1) => plan.changes,
            (false, _) => {
                let transaction = request.transaction.clone();
                vec![Change::Intent { transaction, request: Some(request.clone()) }]
            }
        };
        Ok((changes, reasons))
    }

    /// Phase two, at the first participant: plans the commit, unless it is too late. Says whether it is committed.
    ///
    /// # Errors
    /// `InternalServerError` if a write that was checked can't be made any more, which can't happen.
    pub fn decide(&self, now: u64, transaction: &str) -> Result<(Vec<Change>, bool), Status> {
        if self.transactions.decisions.contains_key(transaction) {
            return Ok((Vec::new(), true));
        }
        match self.transactions.intents.get(transaction) {
            Some(intent) if now < intent.request.expires => {
                let mut changes = self.settle(now, transaction, true)?;
                let request = PrepareRequest { items: Vec::new(), ..intent.request.clone() };
                changes
                    .push(Change::Decision { transaction: transaction.to_owned(), request: Some(request) });
                Ok((changes, true))
            }
            _ => Ok((self.settle(now, transaction, false)?, false)),
        }
    }

    /// What became of an expired transaction, asked of its first participant: if it was not decided, that is now
    /// impossible. Says whether it is committed.
    ///
    /// # Errors
    /// `TransactionConflictException` if it has not expired yet.
    pub fn resolve(&self, now: u64, transaction: &str) -> Result<(Vec<Change>, bool), Status> {
        if self.transactions.decisions.contains_key(transaction) {
            return Ok((Vec::new(), true));
        }
        match self.transactions.intents.get(transaction) {
            Some(intent) if now < intent.request.expires => Err(error::conflict()),
            _ => Ok((self.settle(now, transaction, false)?, false)),
        }
    }

    /// Phase three: plans to apply or drop this node's part; nothing if that has been done.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn settle(&self, now: u64, transaction: &str, commit: bool) -> Result<Vec<Change>, Status> {
        let Some(intent) = self.transactions.intents.get(transaction) else { return Ok(Vec::new()) };
        let mut plan = Plan::new(self, now);
        if commit {
            for write in &intent.writes {
                // The items have been held since the conditions were checked, so they hold still.
                let written = plan.write(write, ReturnValues::None);
                written.map_err(|status| error::internal(status.message()))?;
            }
        }
        plan.changes.push(Change::Intent { transaction: transaction.to_owned(), request: None });
        Ok(plan.changes)
    }

    /// Plans to forget a decision that all participants have followed.
    pub fn forget(&self, transaction: &str) -> Vec<Change> {
        let known = self.transactions.decisions.contains_key(transaction);
        let forget = || Change::Decision { transaction: transaction.to_owned(), request: None };
        known.then(forget).into_iter().collect()
    }

    /// Transactions that have expired without being finished: whoever coordinated them is gone.
    pub fn unfinished(&self, now: u64) -> Vec<Unfinished> {
        let intents = self.transactions.intents.values().map(|intent| &intent.request);
        intents
            .chain(self.transactions.decisions.values())
            .filter(|request| request.expires <= now)
            .map(|request| Unfinished {
                transaction: request.transaction.clone(),
                participants: request.participants.clone(),
            })
            .collect()
    }
}
