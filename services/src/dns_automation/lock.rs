//! The lock of an endpoint: a TXT record, taken by compare-and-swap.
//!
//! DynamoDB can't be the lock of its own DNS, so the record store is: one batch deletes the value that was read and
//! creates another, and the store makes all of it or nothing. Every value is used once, so whoever acts on a value that
//! is no longer there always loses, however old it is. A lock whose holder is dead is free again when its lease is up.

use eastfall_fabric::Moment;
use eastfall_proto::route53::Change;

use super::names::lock_record;
use crate::route53::record::{create, delete};

/// A value of the lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lock {
    /// Nobody's.
    Free {
        /// Makes the value unique.
        nonce: String,
    },
    /// Somebody's.
    Held {
        /// Who has it.
        by: String,
        /// Until when nobody else may take it.
        until: Moment,
        /// Makes the value unique.
        nonce: String,
    },
}

impl Lock {
    /// As the record says it.
    pub fn text(&self) -> String {
        match self {
            Lock::Free { nonce } => format!("free nonce={nonce}"),
            Lock::Held { by, until, nonce } => {
                format!("held by={by} until={} nonce={nonce}", until.as_nanos())
            }
        }
    }

    /// Read back. A text that is no lock counts as free by whoever reads it: it was written by hand.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(nonce) = text.strip_prefix("free nonce=") {
            return Some(Lock::Free { nonce: nonce.to_owned() });
        }
        let (by, rest) = text.strip_prefix("held by=")?.split_once(" until=")?;
        let (until, nonce) = rest.split_once(" nonce=")?;
        let until = Moment::from_nanos(until.parse().ok()?);
        Some(Lock::Held { by: by.to_owned(), until, nonce: nonce.to_owned() })
    }

    /// True if `me` may take it at `now`: nobody has it, or its lease is up, or it is mine from a call whose answer I
    /// never got.
    pub fn is_open_to(&self, me: &str, now: Moment) -> bool {
        match self {
            Lock::Free { .. } => true,
            Lock::Held { by, until, .. } => by == me || now >= *until,
        }
    }

    /// The value that frees this one.
    pub fn freed(&self) -> Lock {
        let (Lock::Free { nonce } | Lock::Held { nonce, .. }) = self;
        Lock::Free { nonce: nonce.clone() }
    }
}

/// The changes that put `to` in the place of `from`, or fail if that is not there any more.
pub fn swap(endpoint: &str, from: Option<&str>, to: &str) -> Vec<Change> {
    let from = from.map(|value| delete(lock_record(endpoint, value)));
    from.into_iter().chain([create(lock_record(endpoint, to))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_fabric::Span;
    use proptest::prelude::*;

    fn held(until: u64) -> Lock {
        Lock::Held { by: "dns-enactor-a".into(), until: Moment::from_nanos(until), nonce: "7".into() }
    }

    #[test]
    fn a_held_lock_is_open_to_its_holder_and_after_its_lease_to_all() {
        let lock = held(10);
        let before = Moment::from_nanos(9);
        assert!(!lock.is_open_to("dns-enactor-b", before), "held");
        assert!(lock.is_open_to("dns-enactor-a", before), "its own");
        assert!(lock.is_open_to("dns-enactor-b", before + Span::from_nanos(1)), "the lease is up");
        assert!(lock.freed().is_open_to("dns-enactor-b", before), "free");
    }

    proptest! {
        #[test]
        fn a_lock_is_read_back_as_it_was_written(by in "[a-z0-9-]{1,20}", until: u64, nonce in "[a-z0-9-]{1,20}", free: bool) {
            let until = Moment::from_nanos(until);
            let lock = if free { Lock::Free { nonce } } else { Lock::Held { by, until, nonce } };
            prop_assert_eq!(Lock::parse(&lock.text()), Some(lock));
        }
    }
}
