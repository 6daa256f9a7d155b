//! What survives `kill -9`: a durable, ordered key-value store of an instance.
//!
//! The stand-ins keep their working state in memory and write every change through before they acknowledge it; at start
//! they load it back. Live, a disk is a fjall database in the run folder, and a commit has reached the operating system
//! when it returns: it survives the death of the process, which is what the lab inflicts, though not of the machine.
//! In virtual time it is a map that belongs to the run and not to the instance, so killing the instance leaves it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::FixedState;
use indexmap::IndexMap;

/// A key and what it holds, or nothing for a key that is deleted.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// A key and what it holds.
pub type Entry = (Vec<u8>, Vec<u8>);

/// The map under a disk of the simulator.
///
/// By hash, since it is written all the time and read in order only when an instance starts.
pub(crate) type MemoryDisk = Arc<Mutex<IndexMap<Vec<u8>, Vec<u8>, FixedState>>>;

/// A durable store; clones are handles to the same one.
#[derive(Clone)]
pub struct Disk(Store);

#[derive(Clone)]
enum Store {
    Memory(MemoryDisk),
    File { database: fjall::Database, items: fjall::Keyspace },
}

/// Why a disk can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the durable store {what}: {cause}")]
pub struct DiskError {
    what: String,
    cause: fjall::Error,
}

impl Disk {
    pub(crate) fn memory(map: MemoryDisk) -> Self {
        Disk(Store::Memory(map))
    }

    /// Opens the store in a folder, made if it does not exist.
    ///
    /// # Errors
    /// If the folder can't be made or read, or another process has it open.
    pub fn open(folder: &Path) -> Result<Self, DiskError> {
        let error = |cause| DiskError { what: format!("in {} can't be opened", folder.display()), cause };
        let database = fjall::Database::builder(folder).worker_threads(1).open().map_err(error)?;
        let items = database.keyspace("items", fjall::KeyspaceCreateOptions::default).map_err(error)?;
        Ok(Disk(Store::File { database, items }))
    }

    /// Everything that was committed, by key.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn load(&self) -> Result<Vec<Entry>, DiskError> {
        match &self.0 {
            Store::Memory(map) => {
                let map = map.lock().unwrap_or_else(PoisonError::into_inner);
                let mut entries: Vec<Entry> =
                    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                entries.sort_unstable();
                Ok(entries)
            }
            Store::File { items, .. } => items
                .iter()
                .map(|entry| entry.into_inner().map(|(key, value)| (key.to_vec(), value.to_vec())))
                .collect::<Result<_, _>>()
                .map_err(|cause| DiskError { what: "can't be read".to_owned(), cause }),
        }
    }

    /// Writes a batch, all or nothing; it is durable when this returns.
    ///
    /// # Errors
    /// If the store can't be written; then nothing of the batch counts.
    pub async fn commit(&self, batch: Vec<Write>) -> Result<(), DiskError> {
        match &self.0 {
            Store::Memory(map) => {
                let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
                for (key, value) in batch {
                    match value {
                        Some(value) => map.insert(key, value),
                        None => map.swap_remove(&key),
                    };
                }
                Ok(())
            }
            Store::File { database, items } => {
                let mut writes = database.batch().durability(Some(fjall::PersistMode::Buffer));
                for (key, value) in batch {
                    match value {
                        Some(value) => writes.insert(items, key, value),
                        None => writes.remove(items, key),
                    }
                }
                writes.commit().map_err(|cause| DiskError { what: "can't be written".to_owned(), cause })
            }
        }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sim;

    fn block_on<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
        sim::block_on(future).expect("it ends")
    }

    #[test]
    fn what_was_committed_is_there_when_the_store_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::open(folder.path()).expect("open");
        block_on(async move {
            let put = |key: &[u8], value: &[u8]| (key.to_vec(), Some(value.to_vec()));
            disk.commit(vec![put(b"a", b"1"), put(b"b", b"2")]).await.expect("commit");
            disk.commit(vec![(b"a".to_vec(), None)]).await.expect("commit");
        });
        let disk = Disk::open(folder.path()).expect("open again");
        assert_eq!(disk.load().expect("load"), [(b"b".to_vec(), b"2".to_vec())]);
    }
}
