//! What a key of a table holds: an item, and which write put it there.
//!
//! Items lie in memory as they lie on disk, encoded. Most are written far more often than they are read (a lease is
//! renewed every few minutes for weeks), whoever reads one gets a copy anyway, and as names and values an item is a dozen
//! allocations.

use std::sync::Arc;

use eastfall_proto::dynamodb::AttributeValue;
use prost::Message as _;
use prost::encoding;

use super::key::TableSchema;
use super::value::{self, Item};

/// What a key holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The attributes, encoded; none where the item was removed and the table, being replicated, remembers that.
    attributes: Box<[u8]>,
    /// What they count, in bytes.
    size: usize,
    /// When the item's time to live ends, in nanoseconds of incident time.
    ends: Option<u64>,
    written_at: u64,
    region: Arc<str>,
}

/// The durable form. Its first field is encoded as a row has it.
#[derive(Clone, PartialEq, prost::Message)]
struct Durable {
    #[prost(btree_map = "string, message", tag = "1")]
    item: Item,
    #[prost(uint64, tag = "2")]
    written_at: u64,
    #[prost(string, tag = "3")]
    region: String,
}

impl Row {
    /// A row of an item, or without attributes the memory of a removal. `written_at` is in nanoseconds of incident time and
    /// strictly ascending for a key, `region` the one it was first written in.
    pub fn new(schema: &TableSchema, item: &Item, written_at: u64, region: &Arc<str>) -> Row {
        Row {
            attributes: encoded(item),
            size: value::size(item),
            ends: schema.time_to_live().and_then(|attribute| value::parsed(item, attribute)),
            written_at,
            region: Arc::clone(region),
        }
    }

    /// True unless this is the memory of a removal.
    pub fn holds_item(&self) -> bool {
        !self.attributes.is_empty()
    }

    /// The item, unless this is the memory of a removal.
    pub fn item(&self) -> Option<Item> {
        // What was encoded here can be decoded.
        self.holds_item().then(|| Durable::decode(&*self.attributes).unwrap_or_default().item)
    }

    /// The item's size in bytes, as DynamoDB counts it.
    pub fn size(&self) -> usize {
        self.size
    }

    /// When the item's time to live ends, in nanoseconds of incident time.
    pub fn ends(&self) -> Option<u64> {
        self.ends
    }

    /// When it was written, in nanoseconds of incident time.
    pub fn written_at(&self) -> u64 {
        self.written_at
    }

    /// The region it was first written in.
    pub fn region(&self) -> &Arc<str> {
        &self.region
    }

    /// What becomes durable.
    pub fn durable(&self) -> Vec<u8> {
        let length = self.attributes.len()
            + encoding::uint64::encoded_len(2, &self.written_at)
            + encoding::key_len(3)
            + encoding::encoded_len_varint(self.region.len() as u64)
            + self.region.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&self.attributes);
        encoding::uint64::encode(2, &self.written_at, &mut bytes);
        encoding::encode_key(3, encoding::WireType::LengthDelimited, &mut bytes);
        encoding::encode_varint(self.region.len() as u64, &mut bytes);
        bytes.extend_from_slice(self.region.as_bytes());
        bytes
    }

    /// Reads what [`Row::durable`] wrote; nothing if it is not that.
    pub fn read(schema: &TableSchema, bytes: &[u8]) -> Option<Row> {
        let Durable { item, written_at, region } = Durable::decode(bytes).ok()?;
        Some(Row::new(schema, &item, written_at, &region.into()))
    }
}

/// Of two writes of a key, by when and where they were made, the later wins; of two at the same moment, that of the greater
/// region name, so that all regions agree.
pub fn supersedes(one: (u64, &str), other: (u64, &str)) -> bool {
    one > other
}

/// The attributes as field 1 of a message: what the generated `Item` makes of them, without needing to own them.
fn encoded(item: &Item) -> Box<[u8]> {
    use encoding::{message, string};
    let length = encoding::btree_map::encoded_len(string::encoded_len, message::encoded_len, 1, item);
    let mut bytes = Vec::with_capacity(length);
    encoding::btree_map::encode(
        string::encode,
        string::encoded_len,
        message::encode::<AttributeValue>,
        message::encoded_len,
        1,
        item,
        &mut bytes,
    );
    bytes.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::value::{bytes, item, number, string};

    fn schema() -> TableSchema {
        "orders(customer, number:N) expires=end".parse().expect("a valid table")
    }

    #[test]
    fn a_row_is_read_back_from_its_durable_form() {
        let order = item([
            ("customer", string("c")),
            ("number", number(-7)),
            ("end", number(12)),
            ("blob", bytes(vec![0, 255])),
        ]);
        for (order, written_at) in [(order, 3), (Item::new(), 1)] {
            let row = Row::new(&schema(), &order, written_at, &"us-east-1".into());
            let durable = Durable { item: order.clone(), written_at, region: "us-east-1".to_owned() };
            assert_eq!(row.durable(), durable.encode_to_vec(), "as the message encodes it");
            assert_eq!(Row::read(&schema(), &row.durable()), Some(row.clone()));
            assert_eq!(row.item(), (!order.is_empty()).then_some(order));
        }
        assert_eq!(Row::read(&schema(), b"\xff"), None);
    }

    #[test]
    fn a_row_knows_its_size_and_its_end() {
        let order = item([("customer", string("c")), ("end", number(12))]);
        let row = Row::new(&schema(), &order, 0, &"r".into());
        assert_eq!((row.size(), row.ends()), (value::size(&order), Some(12)));
    }

    #[test]
    fn of_two_writes_the_later_wins_and_at_the_same_moment_the_greater_region() {
        assert!(supersedes((2, "a"), (1, "b")) && !supersedes((1, "b"), (2, "a")));
        assert!(supersedes((1, "b"), (1, "a")) && !supersedes((1, "a"), (1, "b")));
        assert!(!supersedes((1, "a"), (1, "a")), "a write does not supersede itself");
    }
}
