//! Messages that are handed on by sharing them.
//!
//! A store that answers with what it holds would copy it for every answer, and a record with its maps is a dozen
//! allocations. That adds up where the same records are read over and over: a replicator that can't write reads its next
//! batch every few seconds until it can, in the shipped scenario for two and a half hours. On the wire a shared message is
//! the message.

use std::ops::Deref;
use std::sync::Arc;

use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};

/// A message that many may hold: cloning it copies a pointer. Which messages are shared, `build.rs` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shared<M>(Arc<M>);

impl<M> From<M> for Shared<M> {
    fn from(message: M) -> Self {
        Shared(Arc::new(message))
    }
}

impl<M> Deref for Shared<M> {
    type Target = M;
    fn deref(&self) -> &M {
        &self.0
    }
}

impl<M: Message + Clone + Default> Message for Shared<M> {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        self.0.encode_raw(buffer);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        Arc::make_mut(&mut self.0).merge_field(tag, wire_type, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    fn clear(&mut self) {
        *self = Shared::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::{GetRecordsResponse, Record};

    #[test]
    fn on_the_wire_a_shared_message_is_the_message() {
        let record = Record { sequence_number: 7, region: "us-east-1".to_owned(), ..Record::default() };
        let shared = Shared::from(record.clone());
        assert_eq!(shared.encode_to_vec(), record.encode_to_vec());
        let list = GetRecordsResponse { records: vec![shared.clone(), shared], more: true, read_at: 3 };
        let read = GetRecordsResponse::decode(list.encode_to_vec().as_slice()).expect("what was written");
        assert_eq!(read, list);
        assert_eq!(*read.records[1], record);
    }
}
