//! A table's key schema, and keys as bytes that sort as their values do.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use eastfall_proto::dynamodb::attribute_value::Value;
use eastfall_proto::dynamodb::{AttributeValue, KeyAttribute, KeyType, TableDescription};
use smallvec::SmallVec;
use tonic::Status;

use super::error::validation;
use super::number::Number;
use super::value::Item;

/// Longest partition key in bytes (published).
const PARTITION_KEY_LIMIT: usize = 2048;
/// Longest sort key in bytes (published).
const SORT_KEY_LIMIT: usize = 1024;

/// How a table names its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    name: Arc<str>,
    partition: (String, KeyType),
    sort: Option<(String, KeyType)>,
    stream: bool,
    time_to_live: Option<String>,
}

/// A key as bytes. Short ones lie where the key is, so that looking one up follows no pointer for each comparison.
pub type KeyBytes = SmallVec<[u8; 16]>;

/// An item's place in a table: first by partition key, then by sort key.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The partition key, encoded.
    pub partition: KeyBytes,
    /// The sort key, encoded; empty in tables without one.
    pub sort: KeyBytes,
}

// === impl TableSchema ===

impl TableSchema {
    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The table's name, for those who keep it.
    pub fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Changes are kept as a stream.
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// The attribute that says from when on an item may be deleted, in nanoseconds of incident time.
    pub fn time_to_live(&self) -> Option<&str> {
        self.time_to_live.as_deref()
    }

    /// Items are ordered by a sort key within their partition key.
    pub fn has_sort_key(&self) -> bool {
        self.sort.is_some()
    }

    /// True for an attribute that is part of the key.
    pub fn is_key(&self, attribute: &str) -> bool {
        self.names().any(|name| name == attribute)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.partition).chain(&self.sort).map(|(name, _)| name.as_str())
    }

    /// Where an item belongs.
    ///
    /// # Errors
    /// `ValidationException` if a key attribute is missing, of the wrong type, empty or too long.
    pub fn row_key(&self, item: &Item) -> Result<RowKey, Status> {
        let part = |(name, key_type): &(String, KeyType), limit| {
            let value =
                item.get(name).ok_or_else(|| validation(format!("key attribute `{name}` is missing")))?;
            encode(name, value, *key_type, limit)
        };
        Ok(RowKey {
            partition: part(&self.partition, PARTITION_KEY_LIMIT)?,
            sort: self.sort.as_ref().map(|sort| part(sort, SORT_KEY_LIMIT)).transpose()?.unwrap_or_default(),
        })
    }

    /// Where a key points; it must be the key and nothing else.
    ///
    /// # Errors
    /// `ValidationException` as for [`Self::row_key`], or if there are more attributes.
    pub fn exact_key(&self, key: &Item) -> Result<RowKey, Status> {
        match key.keys().find(|name| !self.is_key(name)) {
            Some(name) => {
                Err(validation(format!("`{name}` is not part of the key of table `{}`", self.name)))
            }
            None => self.row_key(key),
        }
    }

    /// The key attributes of an item.
    pub fn key_of(&self, item: &Item) -> Item {
        self.names().filter_map(|name| Some((name.to_owned(), item.get(name)?.clone()))).collect()
    }

    /// A partition key's value, encoded.
    ///
    /// # Errors
    /// `ValidationException` if it is of the wrong type, empty or too long.
    pub fn partition_key(&self, value: &AttributeValue) -> Result<KeyBytes, Status> {
        encode(&self.partition.0, value, self.partition.1, PARTITION_KEY_LIMIT)
    }

    /// A sort key's value, encoded.
    ///
    /// # Errors
    /// `ValidationException` if the table has none, or the value is of the wrong type, empty or too long.
    pub fn sort_key(&self, value: &AttributeValue) -> Result<KeyBytes, Status> {
        let (name, key_type) =
            self.sort.as_ref().ok_or_else(|| validation(format!("table `{}` has no sort key", self.name)))?;
        encode(name, value, *key_type, SORT_KEY_LIMIT)
    }
}

fn encode(name: &str, value: &AttributeValue, key_type: KeyType, limit: usize) -> Result<KeyBytes, Status> {
    let bytes: KeyBytes = match (&value.value, key_type) {
        (Some(Value::S(text)), KeyType::String) => KeyBytes::from_slice(text.as_bytes()),
        (Some(Value::B(bytes)), KeyType::Binary) => KeyBytes::from_slice(bytes),
        (Some(Value::N(text)), KeyType::Number) => {
            let number: Number =
                text.parse().map_err(|error| validation(format!("key attribute `{name}` {error}")))?;
            number.ordered_bytes().into()
        }
        _ => {
            let wanted = letter(key_type);
            return Err(validation(format!("key attribute `{name}` is of another type than {wanted}")));
        }
    };
    match bytes.len() {
        0 => Err(validation(format!("key attribute `{name}` is empty"))),
        length if length > limit => {
            Err(validation(format!("key attribute `{name}` is longer than {limit} bytes")))
        }
        _ => Ok(bytes),
    }
}

fn letter(key_type: KeyType) -> &'static str {
    match key_type {
        KeyType::String => "S",
        KeyType::Number => "N",
        KeyType::Binary => "B",
    }
}

impl TryFrom<TableDescription> for TableSchema {
    type Error = Status;

    fn try_from(description: TableDescription) -> Result<TableSchema, Status> {
        let attribute = |attribute: KeyAttribute| {
            if attribute.name.is_empty() {
                return Err(validation("a key attribute needs a name"));
            }
            Ok((attribute.name.clone(), attribute.r#type()))
        };
        let name = description.table_name;
        // Published: 3 to 255 letters, digits, `_`, `-` and `.`.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !(3..=255).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(validation(format!(
                "`{name}` is not a table name: 3 to 255 letters, digits, hyphens, underscores and dots"
            )));
        }
        let partition =
            description.partition_key.ok_or_else(|| validation("a table needs a partition key"))?;
        let schema = TableSchema {
            name: name.into(),
            partition: attribute(partition)?,
            sort: description.sort_key.map(attribute).transpose()?,
            stream: description.stream,
            time_to_live: Some(description.time_to_live).filter(|attribute| !attribute.is_empty()),
        };
        match &schema.sort {
            Some((sort, _)) if *sort == schema.partition.0 => {
                Err(validation(format!("`{sort}` can't be both partition key and sort key")))
            }
            _ => Ok(schema),
        }
    }
}

impl From<&TableSchema> for TableDescription {
    fn from(schema: &TableSchema) -> TableDescription {
        let attribute = |(name, key_type): &(String, KeyType)| KeyAttribute {
            name: name.clone(),
            r#type: *key_type as i32,
        };
        TableDescription {
            table_name: schema.name().to_owned(),
            partition_key: Some(attribute(&schema.partition)),
            sort_key: schema.sort.as_ref().map(attribute),
            stream: schema.stream,
            time_to_live: schema.time_to_live.clone().unwrap_or_default(),
        }
    }
}

impl FromStr for TableSchema {
    type Err = String;

    /// Reads `leases(droplet)`, `orders(customer, number:N)`, `profiles(user) stream` and `tokens(token) expires=end`; a
    /// key attribute is a string unless `:N` or `:B` says otherwise.
    fn from_str(text: &str) -> Result<TableSchema, String> {
        let error = |why: &str| {
            format!(
                "table `{text}`: {why}; write it as `NAME(PARTITION-KEY, SORT-KEY:N) stream expires=ATTRIBUTE`, sort \
                     key, type, `stream` and `expires` only where wanted"
            )
        };
        let (name, rest) = text.split_once('(').ok_or_else(|| error("the key is missing"))?;
        let (keys, options) = rest.split_once(')').ok_or_else(|| error("the key is not closed"))?;
        let (mut stream, mut time_to_live) = (false, String::new());
        for option in options.split_whitespace() {
            match (option, option.strip_prefix("expires=")) {
                ("stream", _) => stream = true,
                (_, Some(attribute)) if !attribute.is_empty() => time_to_live = attribute.to_owned(),
                (other, _) => return Err(error(&format!("`{other}` is not an option"))),
            }
        }
        let mut attributes = keys.split(',').map(|key| {
            let (name, key_type) = key.split_once(':').unwrap_or((key, "S"));
            let key_type = match key_type.trim() {
                "S" => KeyType::String,
                "N" => KeyType::Number,
                "B" => KeyType::Binary,
                other => return Err(error(&format!("`{other}` is none of the types S, N and B"))),
            };
            Ok(KeyAttribute { name: name.trim().to_owned(), r#type: key_type as i32 })
        });
        let partition_key = attributes.next().transpose()?;
        let sort_key = attributes.next().transpose()?;
        if attributes.next().is_some() {
            return Err(error("a key has at most two attributes"));
        }
        let table_name = name.trim().to_owned();
        TableSchema::try_from(TableDescription { table_name, partition_key, sort_key, stream, time_to_live })
            .map_err(|status| error(status.message()))
    }
}

impl fmt::Display for TableSchema {
    /// Writes what [`FromStr`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}:{}", self.name, self.partition.0, letter(self.partition.1))?;
        if let Some((name, key_type)) = &self.sort {
            write!(f, ", {name}:{}", letter(*key_type))?;
        }
        f.write_str(if self.stream { ") stream" } else { ")" })?;
        self.time_to_live.iter().try_for_each(|attribute| write!(f, " expires={attribute}"))
    }
}

// === impl RowKey ===

impl Clone for RowKey {
    // As one copy of bytes each: smallvec's own goes byte by byte.
    fn clone(&self) -> RowKey {
        RowKey { partition: KeyBytes::from_slice(&self.partition), sort: KeyBytes::from_slice(&self.sort) }
    }
}

impl RowKey {
    /// The number of the partition it lies in, of so many. All items of one partition key lie together; the hash is
    /// the same on every machine and in every run.
    pub fn partition_number(&self, table: &str, partitions: u32) -> u32 {
        partition_number(table, &self.partition, partitions)
    }
}

/// The number of the partition that an encoded partition key lies in, of so many.
pub fn partition_number(table: &str, partition_key: &[u8], partitions: u32) -> u32 {
    // FNV-1a with a separator that no table name has, then SplitMix64's finaliser: FNV alone leaves patterns.
    let bytes = table.bytes().chain([0]).chain(partition_key.iter().copied());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((hash ^ (hash >> 31)) % u64::from(partitions.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::value::{number, string};

    #[test]
    fn a_table_is_read_back_as_it_was_written() {
        for text in [
            "leases(droplet:S)",
            "orders(customer:S, number:N)",
            "blobs(digest:B) stream",
            "tokens(token:S) expires=end",
        ] {
            let schema: TableSchema = text.parse().expect("a valid table");
            assert_eq!(schema.to_string(), text);
            assert_eq!(
                TableSchema::try_from(TableDescription::from(&schema)).expect("valid"),
                schema,
                "{text}"
            );
        }
    }

    #[test]
    fn a_table_that_is_written_wrongly_names_the_mistake() {
        for (text, why) in [
            ("leases", "the key is missing"),
            ("leases(droplet", "the key is not closed"),
            ("leases()", "a key attribute needs a name"),
            ("leases(a, b, c)", "at most two attributes"),
            ("leases(a, a)", "both partition key and sort key"),
            ("leases(a:X)", "none of the types"),
            ("leases(a) streaming", "`streaming` is not an option"),
            ("l s(a)", "is not a table name"),
        ] {
            let error = text.parse::<TableSchema>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_is_all_of_the_key_and_nothing_but_the_key() {
        let schema: TableSchema = "orders(customer, number:N)".parse().expect("a valid table");
        let key = |pairs: &[(&str, AttributeValue)]| -> Item {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let cases = [
            (key(&[("customer", string("c"))]), "`number` is missing"),
            (key(&[("customer", number(1)), ("number", number(1))]), "another type than S"),
            (key(&[("customer", string("")), ("number", number(1))]), "is empty"),
            (key(&[("customer", string("c".repeat(3000))), ("number", number(1))]), "longer than 2048"),
            (
                key(&[("customer", string("c")), ("number", number(1)), ("x", number(1))]),
                "`x` is not part of the key",
            ),
        ];
        for (key, why) in cases {
            let error = schema.exact_key(&key).expect_err(why);
            assert!(error.message().contains(why), "{}", error.message());
        }
    }

    #[test]
    fn partitions_are_filled_evenly() {
        let mut counts = [0_u32; 16];
        for key in 0..16_000 {
            counts[partition_number("leases", format!("droplet-{key}").as_bytes(), 16) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}
