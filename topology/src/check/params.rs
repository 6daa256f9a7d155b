//! A kind's own parameters, read by its schema.
//!
//! The default and the range of a schema are TOML text and pass the same reader as the file's values. A schema that
//! contradicts itself (a default out of its own range) is reported like any other problem, at the kind's name.

use super::capacity::read_distribution;
use super::{ANY_SPAN, COMMON_KEYS};
use crate::read::value::{Fault, Readable, is_off, read_texts, read_within, read_word};
use crate::read::{Fields, Reading};
use crate::tree::{Node, Origin, Value, parse_value};
use crate::{Curve, KindSchema, ParamSchema, ParamType, ParamValue, Params, Span};
use indexmap::IndexMap;

pub(super) fn params(fields: &mut Fields<'_, '_>, kind: &KindSchema) -> Params {
    let mut values = IndexMap::new();
    for schema in kind.params {
        let path = fields.path_of(schema.key);
        let declared = Origin::Outside(format!("kind `{}`", kind.name).into());
        if COMMON_KEYS.contains(&schema.key) {
            let fault = Fault::new("every service has this key", "give the kind's parameter another name");
            fields.reading().fault(&declared, &path, fault);
        }
        let default = schema.default.map(|text| parse_value(text, &declared));
        if default.is_none() {
            fields.must_have(schema.key);
        }
        let Some(node) = fields.node(schema.key).or(default.as_ref()) else { continue };
        if let Some(value) = read(fields.reading(), &path, node, schema, &declared) {
            fields.reading().note(path, &value);
            values.insert(schema.key, value);
        }
    }
    Params::new(kind.name, values)
}

fn read(
    reading: &Reading,
    path: &str,
    node: &Node,
    schema: &ParamSchema,
    declared: &Origin,
) -> Option<ParamValue> {
    let value = read_as(reading, path, node, &schema.kind)?;
    if let Some((low, high)) = schema.range {
        let bound = |text: &str| read_as(reading, path, &parse_value(text, declared), &schema.kind);
        let (low, high) = (bound(low)?, bound(high)?);
        if !is_within(&value, &low, &high) {
            let fault =
                Fault::new(format!("{value} is out of range"), format!("write a value from {low} to {high}"));
            reading.fault(&node.origin, path, fault);
            return None;
        }
    }
    Some(value)
}

/// Reads a value as a parameter's type; what is wrong is noted.
fn read_as(reading: &Reading, path: &str, node: &Node, kind: &ParamType) -> Option<ParamValue> {
    let value = match kind {
        ParamType::Optional(_) if is_off(node) => Ok(ParamValue::Nothing),
        ParamType::Optional(inside) => return read_as(reading, path, node, inside),
        ParamType::Distribution => {
            return read_distribution(reading, path, node).map(ParamValue::Distribution);
        }
        ParamType::Span => read_within(node, &ANY_SPAN).map(ParamValue::Span),
        ParamType::Integer(most) => read_within(node, &(0..=*most)).map(ParamValue::Integer),
        ParamType::Float => f64::read(node).map(ParamValue::Float),
        ParamType::Boolean => bool::read(node).map(ParamValue::Boolean),
        ParamType::Text => String::read(node).map(ParamValue::Text),
        ParamType::Texts => read_texts(node).map(ParamValue::Texts),
        ParamType::Word(words) => read_word(node, words).map(|word| ParamValue::Text(word.to_owned())),
        ParamType::Curve => read_curve(node).map(ParamValue::Curve),
        ParamType::Mix => read_mix(node).map(ParamValue::Mix),
    };
    value.map_err(|fault| reading.fault(&node.origin, path, fault)).ok()
}

fn is_within(value: &ParamValue, low: &ParamValue, high: &ParamValue) -> bool {
    match (value, low, high) {
        (ParamValue::Span(value), ParamValue::Span(low), ParamValue::Span(high)) => {
            (low..=high).contains(&value)
        }
        (ParamValue::Integer(value), ParamValue::Integer(low), ParamValue::Integer(high)) => {
            (low..=high).contains(&value)
        }
        (ParamValue::Float(value), ParamValue::Float(low), ParamValue::Float(high)) => {
            (low..=high).contains(&value)
        }
        // Nothing is in every range; the other types have no order.
        _ => true,
    }
}

/// `[["00:00", 0.6], ["09:30", 1.2]]`.
fn read_curve(node: &Node) -> Result<Curve, Fault> {
    let cure = "write points of a time of day and a factor, such as [[\"00:00\", 0.6], [\"09:30\", 1.2]]";
    let wrong = |what: &dyn std::fmt::Display| Fault::new(format!("{what} is not a rate over the day"), cure);
    let Value::List(list) = &node.value else { return Err(wrong(node)) };
    let mut points = Vec::new();
    for point in list {
        let Value::List(pair) = &point.value else { return Err(wrong(point)) };
        let [time, factor] = pair.as_slice() else { return Err(wrong(point)) };
        let clock = time.text().and_then(|text| text.parse::<jiff::civil::Time>().ok());
        let clock = clock.ok_or_else(|| Fault::new(format!("{time} is not a time of day"), cure))?;
        let seconds = (clock.hour() as u64 * 60 + clock.minute() as u64) * 60 + clock.second() as u64;
        points.push((Span::from_secs(seconds), f64::read(factor)?));
    }
    Curve::try_new(points).map_err(|rule| Fault::new(rule, cure))
}

/// `{ read = 0.7, write = 0.3 }`.
fn read_mix(node: &Node) -> Result<IndexMap<String, f64>, Fault> {
    let cure = "write weights by name, such as { read = 0.7, write = 0.3 }, none below 0 and one above";
    let table = node.table().ok_or_else(|| Fault::new(format!("{node} is not a table of weights"), cure))?;
    let mut mix = IndexMap::new();
    for (name, node) in table {
        let weight = f64::read(node)?;
        if weight < 0.0 {
            return Err(Fault::new(format!("weight {weight} of `{name}` is below 0"), cure));
        }
        mix.insert(name.clone(), weight);
    }
    let sum: f64 = mix.values().sum();
    if sum > 0.0 && sum.is_finite() {
        Ok(mix)
    } else {
        Err(Fault::new(format!("the weights sum to {sum}"), cure))
    }
}
