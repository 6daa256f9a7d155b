//! A bulkhead that sheds: above the limit a call fails at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Code;

use crate::policy::attempt::{Attempt, Refusal};
use crate::policy::gate::{End, Gate};
use crate::policy::observer::Observer;

/// So many slots; a call that finds none free is refused.
#[derive(Debug)]
pub struct Bulkhead {
    slots: Arc<Semaphore>,
    observer: Arc<Observer>,
}

impl Bulkhead {
    /// A bulkhead over these slots.
    pub fn new(slots: &Arc<Semaphore>, observer: &Arc<Observer>) -> Self {
        Bulkhead { slots: Arc::clone(slots), observer: Arc::clone(observer) }
    }
}

impl Gate for Bulkhead {
    type Permit = OwnedSemaphorePermit;

    fn admit(&self, _: &Attempt) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.slots).try_acquire_owned().map_err(|_| {
            self.observer.refuse("limit", Code::ResourceExhausted, "too many calls are under way")
        })
    }

    fn settle(&self, slot: OwnedSemaphorePermit, _: End) {
        drop(slot);
    }
}
