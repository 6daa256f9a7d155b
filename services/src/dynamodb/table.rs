//! One table on one storage node: items in the order of their keys, and how they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds as _};

use eastfall_proto::dynamodb::sort_condition::Test;
use eastfall_proto::dynamodb::{Item as ItemMessage, QueryRequest, QueryResponse, SortCondition};
use foldhash::fast::FixedState;
use indexmap::IndexMap;
use tonic::Status;

use super::error::validation;
use super::key::{KeyBytes, RowKey, TableSchema};
use super::row::Row;
use super::stream::Stream;
use super::value::Item;

/// A page of a query ends at so many bytes (published: 1 MB).
const PAGE: usize = 1 << 20;

/// Between which sort keys a query looks.
type SortBounds = (Bound<KeyBytes>, Bound<KeyBytes>);

/// One table: its schema, its rows, its stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    schema: TableSchema,
    /// Changed through [`Table::put`] and [`Table::remove`] only, which count. By hash, since most requests name a key.
    pub(super) rows: IndexMap<RowKey, Row, FixedState>,
    /// The sort keys of each partition key, in order, if the table has sort keys: what queries go by.
    order: BTreeMap<KeyBytes, BTreeSet<KeyBytes>>,
    /// Rows that hold an item.
    items: usize,
    /// Those whose time to live ends, by its end in nanoseconds.
    endings: BTreeSet<(u64, RowKey)>,
    pub(super) stream: Stream,
}

impl Table {
    /// An empty table.
    pub fn new(schema: TableSchema) -> Self {
        Table {
            schema,
            rows: IndexMap::default(),
            order: BTreeMap::new(),
            items: 0,
            endings: BTreeSet::new(),
            stream: Stream::default(),
        }
    }

    /// How it names its items.
    pub fn schema(&self) -> &TableSchema {
        &self.schema
    }

    /// Its changes.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// What a key holds, the memory of a removal included.
    pub fn row(&self, key: &RowKey) -> Option<&Row> {
        self.rows.get(key)
    }

    /// The item with this key.
    pub fn item(&self, key: &RowKey) -> Option<Item> {
        self.row(key).and_then(Row::item)
    }

    /// The rows whose time to live is over at a moment (nanoseconds), in the order in which it ended.
    pub(super) fn expired(&self, now: u64) -> impl Iterator<Item = (&RowKey, &Row)> {
        let over = self.endings.iter().take_while(move |(end, _)| *end <= now);
        over.filter_map(|(_, key)| self.rows.get_key_value(key))
    }

    /// Has a key hold this row.
    pub(super) fn put(&mut self, key: RowKey, row: Row) {
        self.items += usize::from(row.holds_item());
        let end = row.ends();
        let before = match self.rows.get_mut(&key) {
            Some(present) => Some(std::mem::replace(present, row)),
            None => {
                if self.schema.has_sort_key() {
                    self.order.entry(key.partition.clone()).or_default().insert(key.sort.clone());
                }
                self.rows.insert(key.clone(), row)
            }
        };
        self.items -= usize::from(before.as_ref().is_some_and(Row::holds_item));
        self.forget_end(before, &key);
        self.endings.extend(end.map(|end| (end, key)));
    }

    /// Has a key hold nothing, not even the memory of a removal.
    pub(super) fn remove(&mut self, key: &RowKey) {
        let before = self.rows.swap_remove(key);
        if let Some(sorts) = self.order.get_mut(&key.partition) {
            sorts.remove(&key.sort);
            if sorts.is_empty() {
                self.order.remove(&key.partition);
            }
        }
        self.items -= usize::from(before.as_ref().is_some_and(Row::holds_item));
        self.forget_end(before, key);
    }

    fn forget_end(&mut self, before: Option<Row>, key: &RowKey) {
        if let Some(end) = before.and_then(|row| row.ends()) {
            self.endings.remove(&(end, key.clone()));
        }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items
    }

    /// True if there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items of one partition key, in the order of their sort keys: one page, and where the next one begins.
    ///
    /// # Errors
    /// `ValidationException` if a key does not fit the schema.
    pub fn query(&self, query: &QueryRequest) -> Result<QueryResponse, Status> {
        let partition =
            query.partition.as_ref().ok_or_else(|| validation("a query needs a partition key"))?;
        let partition = self.schema.partition_key(partition)?;
        let (mut low, mut high) = match &query.sort {
            Some(sort) => self.sort_bounds(sort)?,
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        if !query.exclusive_start_key.is_empty() {
            let start = self.schema.exact_key(&query.exclusive_start_key)?;
            if start.partition != partition {
                return Err(validation("the exclusive start key has another partition key"));
            }
            let bound = if query.descending { &mut high } else { &mut low };
            *bound = Bound::Excluded(start.sort);
        }
        let rows = self.within(partition, low, high);
        let limit = if query.limit == 0 { usize::MAX } else { query.limit as usize };
        let page = if query.descending { page(rows.rev(), limit) } else { page(rows, limit) };
        Ok(QueryResponse {
            last_evaluated_key: match (page.more, page.items.last()) {
                (true, Some(last)) => self.schema.key_of(last),
                _ => Item::new(),
            },
            items: page.items.into_iter().map(|attributes| ItemMessage { attributes }).collect(),
        })
    }

    /// The rows of a partition key that hold items, by sort key.
    fn within(
        &self,
        partition: KeyBytes,
        low: Bound<KeyBytes>,
        high: Bound<KeyBytes>,
    ) -> impl DoubleEndedIterator<Item = &Row> {
        // Without sort keys there is one item at most, and its sort key is empty.
        let alone = (!self.schema.has_sort_key()).then(KeyBytes::new);
        let alone = alone.filter(|sort| (low.as_ref(), high.as_ref()).contains(sort));
        let sorts = self.order.get(&partition).filter(|_| is_range(&low, &high));
        let range =
            sorts.into_iter().flat_map(move |sorts| sorts.range((low.clone(), high.clone())).cloned());
        range
            .chain(alone)
            .filter_map(move |sort| self.row(&RowKey { partition: partition.clone(), sort }))
            .filter(|row| row.holds_item())
    }

    fn sort_bounds(&self, sort: &SortCondition) -> Result<SortBounds, Status> {
        let encode = |value| self.schema.sort_key(value);
        Ok(match sort.test.as_ref().ok_or_else(|| validation("the sort condition says nothing"))? {
            Test::Equal(value) => {
                let key = encode(value)?;
                (Bound::Included(key.clone()), Bound::Included(key))
            }
            Test::Less(value) => (Bound::Unbounded, Bound::Excluded(encode(value)?)),
            Test::LessOrEqual(value) => (Bound::Unbounded, Bound::Included(encode(value)?)),
            Test::Greater(value) => (Bound::Excluded(encode(value)?), Bound::Unbounded),
            Test::GreaterOrEqual(value) => (Bound::Included(encode(value)?), Bound::Unbounded),
            Test::Between(between) => match (&between.low, &between.high) {
                (Some(low), Some(high)) => (Bound::Included(encode(low)?), Bound::Included(encode(high)?)),
                _ => return Err(validation("`between` needs both ends")),
            },
            Test::BeginsWith(value) => {
                use eastfall_proto::dynamodb::attribute_value::Value;
                if let Some(Value::N(_)) = value.value {
                    return Err(validation("numbers don't begin with one another"));
                }
                let prefix = encode(value)?;
                let after = after_prefix(&prefix).map_or(Bound::Unbounded, Bound::Excluded);
                (Bound::Included(prefix), after)
            }
        })
    }
}

/// The first bytes after all that begin with a prefix; none if there is no end.
fn after_prefix(prefix: &[u8]) -> Option<KeyBytes> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut after = KeyBytes::from(&prefix[..=last]);
    after[last] += 1;
    Some(after)
}

/// False where `BTreeSet::range` would panic: the low end lies beyond the high one.
fn is_range(low: &Bound<KeyBytes>, high: &Bound<KeyBytes>) -> bool {
    match (low, high) {
        (Bound::Included(low), Bound::Included(high)) => low <= high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => {
            low < high
        }
        _ => true,
    }
}

struct Page {
    items: Vec<Item>,
    more: bool,
}

fn page<'a>(mut rows: impl Iterator<Item = &'a Row>, limit: usize) -> Page {
    let (mut items, mut bytes) = (Vec::new(), 0);
    while items.len() < limit && bytes < PAGE {
        let Some(row) = rows.next() else { return Page { items, more: false } };
        bytes += row.size();
        items.extend(row.item());
    }
    Page { more: rows.next().is_some(), items }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::value::{self, bytes, item, number, string};
    use eastfall_proto::dynamodb::Between;
    use proptest::prelude::*;

    fn orders(numbers: impl IntoIterator<Item = i64>) -> Table {
        let mut table = Table::new("orders(customer, number:N)".parse().expect("a valid table"));
        for order in numbers {
            for customer in ["a", "b", "b\0"] {
                let item = item([("customer", string(customer)), ("number", number(order))]);
                let key = table.schema.row_key(&item).expect("a valid key");
                put(&mut table, key, &item);
            }
        }
        table
    }

    fn put(table: &mut Table, key: RowKey, item: &Item) {
        let row = Row::new(&table.schema, item, 0, &"r".into());
        table.put(key, row);
    }

    fn of_b(sort: Option<Test>) -> QueryRequest {
        let sort = sort.map(|test| SortCondition { test: Some(test) });
        QueryRequest { partition: Some(string("b")), sort, ..QueryRequest::default() }
    }

    fn found(table: &Table, query: &QueryRequest) -> Vec<i64> {
        let response = table.query(query).expect("a valid query");
        response.items.iter().map(|item| value::parsed(&item.attributes, "number").expect("number")).collect()
    }

    #[test]
    fn a_query_sees_its_own_partition_key_in_order() {
        let table = orders([3, -2, 10]);
        assert_eq!(found(&table, &of_b(None)), [-2, 3, 10]);
        assert_eq!(found(&table, &QueryRequest { descending: true, ..of_b(None) }), [10, 3, -2]);
    }

    #[test]
    fn without_sort_keys_a_partition_key_has_one_item_at_most() {
        let mut table = Table::new("profiles(user)".parse().expect("a valid table"));
        let user = item([("user", string("b"))]);
        let key = table.schema.row_key(&user).expect("a valid key");
        let count = |table: &Table, query: &QueryRequest| table.query(query).expect("valid").items.len();
        assert_eq!(count(&table, &of_b(None)), 0);
        put(&mut table, key.clone(), &user);
        assert_eq!(count(&table, &of_b(None)), 1);
        let next = QueryRequest { exclusive_start_key: user, ..of_b(None) };
        assert_eq!(count(&table, &next), 0, "and no next page");
        table.remove(&key);
        assert_eq!(count(&table, &of_b(None)), 0);
    }

    #[test]
    fn items_are_counted_and_memories_of_removals_are_not() {
        let mut table = orders([1, 2]);
        let keys: Vec<RowKey> = table.rows.keys().cloned().collect();
        assert_eq!(table.len(), 6, "two orders each of three customers");
        let held = table.row(&keys[0]).expect("a row").clone();
        let removed = Row::new(&table.schema, &Item::new(), 1, &"r".into());
        for (row, expected) in [(held.clone(), 6), (removed.clone(), 5), (removed.clone(), 5), (held, 6)] {
            table.put(keys[0].clone(), row);
            assert_eq!(table.len(), expected);
        }
        table.put(keys[1].clone(), removed);
        keys.iter().for_each(|key| table.remove(key));
        assert!(table.is_empty(), "removed rows don't count, whatever they held");
    }

    #[test]
    fn sort_conditions_have_the_ends_they_name() {
        let table = orders(0..=5);
        let at = |at: i64| number(at);
        let between = |low, high| Test::Between(Between { low: Some(at(low)), high: Some(at(high)) });
        for (test, expected) in [
            (Test::Equal(at(3)), vec![3]),
            (Test::Less(at(2)), vec![0, 1]),
            (Test::LessOrEqual(at(2)), vec![0, 1, 2]),
            (Test::Greater(at(4)), vec![5]),
            (Test::GreaterOrEqual(at(4)), vec![4, 5]),
            (between(1, 3), vec![1, 2, 3]),
            (between(3, 1), vec![]),
        ] {
            assert_eq!(found(&table, &of_b(Some(test.clone()))), expected, "{test:?}");
        }
    }

    #[test]
    fn a_prefix_of_the_highest_bytes_has_no_end() {
        let mut table = Table::new("blobs(owner, digest:B)".parse().expect("a valid table"));
        for digest in [vec![0xfe, 0xff], vec![0xff], vec![0xff, 0xff, 1]] {
            let item = item([("owner", string("o")), ("digest", bytes(digest))]);
            let key = table.schema.row_key(&item).expect("valid");
            put(&mut table, key, &item);
        }
        let count = |prefix: Vec<u8>| {
            let sort = Some(SortCondition { test: Some(Test::BeginsWith(bytes(prefix))) });
            let query = QueryRequest { partition: Some(string("o")), sort, ..QueryRequest::default() };
            table.query(&query).expect("a valid query").items.len()
        };
        assert_eq!((count(vec![0xfe]), count(vec![0xff]), count(vec![0xff, 0xff])), (1, 2, 1));
    }

    #[test]
    fn a_page_ends_at_a_mebibyte() {
        let mut table = orders([]);
        for order in 0..4 {
            let item = item([
                ("customer", string("b")),
                ("number", number(order)),
                ("text", string("x".repeat(400_000))),
            ]);
            let key = table.schema.row_key(&item).expect("valid");
            put(&mut table, key, &item);
        }
        let response = table.query(&of_b(None)).expect("a valid query");
        assert_eq!(response.items.len(), 3);
        assert!(!response.last_evaluated_key.is_empty(), "there is more");
    }

    #[test]
    fn a_key_of_the_wrong_kind_is_refused() {
        let wrong: [(QueryRequest, &str); 3] = [
            (QueryRequest { partition: Some(number(1)), ..QueryRequest::default() }, "another type than S"),
            (of_b(Some(Test::BeginsWith(number(1)))), "don't begin with"),
            (
                QueryRequest {
                    exclusive_start_key: item([("customer", string("a")), ("number", number(1))]),
                    ..of_b(None)
                },
                "another partition key",
            ),
        ];
        for (query, why) in wrong {
            let error = orders([1]).query(&query).expect_err(why);
            assert!(error.message().contains(why), "{}", error.message());
        }
    }

    proptest! {
        #[test]
        fn pages_together_are_the_whole(
            numbers in proptest::collection::btree_set(-50_i64..50, 0..40),
            limit in 1_u32..10,
            descending: bool,
        ) {
            let table = orders(numbers.iter().copied());
            let mut query = QueryRequest { limit, descending, ..of_b(None) };
            let mut seen: Vec<i64> = Vec::new();
            loop {
                let response = table.query(&query).expect("a valid query");
                let numbers = response.items.iter().map(|item| value::parsed::<i64>(&item.attributes, "number"));
                seen.extend(numbers.map(|number| number.expect("a number")));
                if response.last_evaluated_key.is_empty() {
                    break;
                }
                query.exclusive_start_key = response.last_evaluated_key;
            }
            let mut expected: Vec<i64> = numbers.into_iter().collect();
            if descending {
                expected.reverse();
            }
            prop_assert_eq!(seen, expected);
        }
    }
}
