//! Items and attribute values: how to write them, how large they count.

use std::collections::BTreeMap;

use eastfall_proto::dynamodb::AttributeValue;
use eastfall_proto::dynamodb::attribute_value::Value;

/// An item: its attributes by name.
pub type Item = BTreeMap<String, AttributeValue>;

/// A string.
pub fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue { value: Some(Value::S(text.into())) }
}

/// A number.
pub fn number(number: impl ToString) -> AttributeValue {
    AttributeValue { value: Some(Value::N(number.to_string())) }
}

/// Bytes.
pub fn bytes(bytes: Vec<u8>) -> AttributeValue {
    AttributeValue { value: Some(Value::B(bytes)) }
}

/// An item of these attributes.
pub fn item<const COUNT: usize>(attributes: [(&str, AttributeValue); COUNT]) -> Item {
    Item::from(attributes.map(|(name, value)| (name.to_owned(), value)))
}

/// The text of a string attribute.
pub fn text<'a>(item: &'a Item, attribute: &str) -> Option<&'a str> {
    match item.get(attribute)?.value.as_ref()? {
        Value::S(text) => Some(text),
        _ => None,
    }
}

/// The number of a number attribute.
pub fn parsed<T: std::str::FromStr>(item: &Item, attribute: &str) -> Option<T> {
    match item.get(attribute)?.value.as_ref()? {
        Value::N(text) => text.parse().ok(),
        _ => None,
    }
}

/// Size in bytes as DynamoDB counts it for limits and throughput: names plus values (published).
pub fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &AttributeValue) -> usize {
    match &value.value {
        Some(Value::S(text)) => text.len(),
        // Published: about one byte for two digits and one more.
        Some(Value::N(text)) => text.len().div_ceil(2) + 1,
        Some(Value::B(bytes)) => bytes.len(),
        Some(Value::Bool(_) | Value::Null(_)) | None => 1,
        Some(Value::L(list)) => 3 + list.values.iter().map(|value| value_size(value) + 1).sum::<usize>(),
        Some(Value::M(map)) => 3 + size(&map.values) + map.values.len(),
        Some(Value::Ss(set)) => set.values.iter().map(String::len).sum(),
    }
}
