//! One queue: its messages, and who may see them when. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eastfall_proto::sqs::Message;
use eastfall_topology::{Moment, Span};
use tokio::sync::Notify;

/// A standard queue: every message at least once, in about the order in which they were sent.
#[derive(Default)]
pub(super) struct Queue {
    messages: BTreeMap<u64, Held>,
    /// Every message by when it can be seen.
    turns: BTreeSet<(Moment, u64)>,
    /// Told of every message that comes.
    pub(super) arrived: Arc<Notify>,
}

struct Held {
    body: Vec<u8>,
    sent: Moment,
    receives: u32,
    visible_at: Moment,
}

/// A delivery of a message: the message's number, and the how manieth delivery it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    number: u64,
    delivery: u32,
}

impl Receipt {
    /// Reads a receipt handle.
    pub(super) fn parse(handle: &str) -> Option<Receipt> {
        let (number, delivery) = handle.split_once('-')?;
        Some(Receipt { number: u64::from_str_radix(number, 16).ok()?, delivery: delivery.parse().ok()? })
    }

    fn handle(self) -> String {
        format!("{:x}-{}", self.number, self.delivery)
    }
}

/// A message's identifier.
pub(super) fn message_id(number: u64) -> String {
    format!("m-{number:x}")
}

impl Queue {
    /// Adds a message that can be seen from `sent` on.
    pub(super) fn add(&mut self, number: u64, body: Vec<u8>, sent: Moment) {
        self.turns.insert((sent, number));
        self.messages.insert(number, Held { body, sent, receives: 0, visible_at: sent });
        self.arrived.notify_one();
    }

    /// Hands out up to `most` messages that can be seen now, and hides them for so long.
    pub(super) fn receive(&mut self, now: Moment, most: usize, hidden_for: Span) -> Vec<Message> {
        let visible = self.turns.range(..=(now, u64::MAX)).take(most).copied();
        let taken: Vec<(Moment, u64)> = visible.collect();
        let mut handed_out = Vec::with_capacity(taken.len());
        for (turn, number) in taken {
            let Some(held) = self.messages.get_mut(&number) else { continue };
            held.receives += 1;
            held.visible_at = now + hidden_for;
            self.turns.remove(&(turn, number));
            self.turns.insert((held.visible_at, number));
            handed_out.push(Message {
                message_id: message_id(number),
                receipt_handle: Receipt { number, delivery: held.receives }.handle(),
                body: held.body.clone(),
                approximate_receive_count: held.receives,
                sent_timestamp: held.sent.as_nanos(),
            });
        }
        handed_out
    }

    /// The number of the message that a receipt is for, unless it was deleted or delivered again since.
    pub(super) fn number(&self, receipt: Receipt) -> Option<u64> {
        let held = self.messages.get(&receipt.number)?;
        (held.receives == receipt.delivery).then_some(receipt.number)
    }

    /// Deletes a message.
    pub(super) fn delete(&mut self, number: u64) {
        if let Some(held) = self.messages.remove(&number) {
            self.turns.remove(&(held.visible_at, number));
        }
    }

    /// When the next message can be seen.
    pub(super) fn next_turn(&self) -> Option<Moment> {
        self.turns.first().map(|(turn, _)| *turn)
    }

    /// Those sent before a moment.
    pub(super) fn sent_before(&self, moment: Moment) -> Vec<u64> {
        // Numbers go up with time, so the old ones come first.
        let old = self.messages.iter().take_while(|(_, held)| held.sent < moment);
        old.map(|(number, _)| *number).collect()
    }

    /// When the oldest message was sent.
    pub(super) fn oldest(&self) -> Option<Moment> {
        self.messages.values().next().map(|held| held.sent)
    }

    /// All messages.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Those that were received and can't be seen now.
    pub(super) fn hidden(&self, now: Moment) -> usize {
        self.turns.range((now, u64::MAX)..).filter(|(turn, _)| *turn > now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What somebody does to a queue.
    #[derive(Clone, Debug)]
    enum Deed {
        Send,
        Receive(usize),
        /// Deletes what was received, with the receipt of so many deliveries ago.
        Delete(usize),
        Wait(u64),
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            Just(Deed::Send),
            (1usize..5).prop_map(Deed::Receive),
            (0usize..10).prop_map(Deed::Delete),
            (0u64..20).prop_map(Deed::Wait),
        ]
    }

    proptest! {
        #[test]
        fn what_is_not_deleted_is_delivered_again_and_what_is_deleted_never(
            deeds in prop::collection::vec(deed(), 1..200),
        ) {
            let hidden_for = Span::from_secs(10);
            let (mut queue, mut now, mut sent) = (Queue::default(), Moment::START, 0);
            let (mut receipts, mut deleted) = (Vec::new(), BTreeSet::new());
            for deed in deeds {
                match deed {
                    Deed::Send => {
                        queue.add(sent, Vec::new(), now);
                        sent += 1;
                    }
                    Deed::Receive(most) => {
                        for message in queue.receive(now, most, hidden_for) {
                            let receipt = Receipt::parse(&message.receipt_handle).expect("a receipt");
                            prop_assert!(!deleted.contains(&receipt.number), "{receipt:?} was deleted");
                            receipts.push(receipt);
                        }
                    }
                    Deed::Delete(ago) => {
                        let receipt = receipts.iter().rev().nth(ago).copied();
                        if let Some(number) = receipt.and_then(|receipt| queue.number(receipt)) {
                            queue.delete(number);
                            deleted.insert(number);
                        }
                    }
                    Deed::Wait(seconds) => now += Span::from_secs(seconds),
                }
                prop_assert_eq!(queue.len() as u64, sent - deleted.len() as u64, "kept until deleted");
                prop_assert!(queue.hidden(now) <= queue.len(), "only messages are hidden");
            }
            now += hidden_for;
            let left = queue.receive(now, usize::MAX, hidden_for);
            prop_assert_eq!(left.len() as u64, sent - deleted.len() as u64, "all of them come back");
        }
    }
}
