//! The file as a tree in which every value knows where it was written, so that an error can say so even after
//! settings have been applied and policies have been merged from three places.

use crate::{Problem, Source};
use indexmap::IndexMap;
use std::fmt;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// A table: names to values, in the order of the file.
pub(crate) type Table = IndexMap<String, Node>;

/// A value and where it was written; in a table that is where its key stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

/// Where something was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Origin {
    /// In a file; both count from 1, columns in characters.
    File { file: Arc<str>, line: usize, column: usize },
    /// In a setting, or elsewhere outside any file.
    Outside(Arc<str>),
}

/// What was written.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
}

impl Node {
    /// The table, if it is one.
    pub(crate) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The keys that belong to one word of a tag: (tag, word, keys). Choosing another word leaves them behind.
const VARIANTS: [(&str, &str, &[&str]); 14] = [
    ("kind", "token-bucket", &["capacity", "retry-cost", "timeout-cost", "success-refund"]),
    ("kind", "grpc", &["max-tokens", "failure-cost", "success-refund"]),
    ("kind", "ratio", &["window", "min-per-second", "ratio"]),
    ("kind", "fixed", &["limit", "queue"]),
    (
        "kind",
        "adaptive",
        &["min", "max", "update-interval", "minimum-interval", "minimum-samples", "buffer", "percentile"],
    ),
    ("trip", "consecutive-failures", &["failures"]),
    ("trip", "failure-rate-count", &["calls", "minimum", "rate"]),
    ("trip", "failure-rate-time", &["window", "minimum", "rate"]),
    ("discipline", "codel", &["target", "interval"]),
    ("distribution", "constant", &["value"]),
    ("distribution", "exponential", &["mean"]),
    ("distribution", "uniform", &["low", "high"]),
    ("distribution", "log-normal", &["median", "sigma"]),
    ("distribution", "pareto", &["minimum", "alpha"]),
];

/// Reads a file. Every syntax error is reported; with any of them, what was understood is not worth checking.
pub(crate) fn parse(source: Source<'_>) -> Result<Table, Vec<Problem>> {
    let places = Places::new(source);
    let (table, errors) = DeTable::parse_recoverable(source.text);
    let mut problems: Vec<Problem> = errors
        .iter()
        .map(|error| Problem {
            origin: places.at(error.span().map_or(0, |span| span.start)).to_string(),
            key: String::new(),
            message: format!("not TOML: {}", error.message().replace('\n', ", ")),
            cure: "correct the syntax".to_owned(),
            nearest: None,
        })
        .collect();
    let table = convert_table(table.get_ref(), &mut |offset| places.at(offset), &mut problems);
    if problems.is_empty() { Ok(table) } else { Err(problems) }
}

/// Reads a value written outside a file: as TOML if it is TOML, as text otherwise, so that words need no quotes.
pub(crate) fn parse_value(text: &str, origin: &Origin) -> Node {
    let as_text = || Node { origin: origin.clone(), value: Value::Text(text.to_owned()) };
    match DeValue::parse(text) {
        Ok(value) if !value.get_ref().is_datetime() => {
            let mut problems = Vec::new();
            let node = convert(value.get_ref(), origin.clone(), &mut |_| origin.clone(), &mut problems);
            if problems.is_empty() { node } else { as_text() }
        }
        _ => as_text(),
    }
}

/// Lays `upper` over `lower`, key by key, tables inside tables too.
pub(crate) fn merge(lower: &mut Table, upper: &Table) {
    for (key, node) in upper {
        drop_other_variants(lower, key, node);
        match (lower.get_mut(key).map(|below| &mut below.value), &node.value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            _ => {
                lower.insert(key.clone(), node.clone());
            }
        }
    }
}

/// Puts a value at a path, making the tables on the way; what isn't a table there gives way to one.
pub(crate) fn put(table: &mut Table, path: &[String], node: Node) {
    let Some((key, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        drop_other_variants(table, key, &node);
        table.insert(key.clone(), node);
        return;
    }
    let empty = || Node { origin: node.origin.clone(), value: Value::Table(Table::new()) };
    let next = table.entry(key.clone()).or_insert_with(empty);
    if !matches!(next.value, Value::Table(_) | Value::List(_)) {
        *next = empty();
    }
    match &mut next.value {
        Value::Table(table) => put(table, rest, node),
        Value::List(list) => put_in_list(list, rest, node),
        _ => {}
    }
}

/// Goes on inside a list, whose elements are named by their index; an index that isn't there changes nothing.
fn put_in_list(list: &mut [Node], path: &[String], node: Node) {
    let Some((index, rest)) = path.split_first() else { return };
    let Some(element) = index.parse::<usize>().ok().and_then(|index| list.get_mut(index)) else { return };
    match &mut element.value {
        _ if rest.is_empty() => *element = node,
        Value::Table(table) => put(table, rest, node),
        Value::List(list) => put_in_list(list, rest, node),
        _ => {
            let mut table = Table::new();
            put(&mut table, rest, node);
            element.value = Value::Table(table);
        }
    }
}

/// What is at a path.
pub(crate) fn find<'t>(table: &'t Table, path: &[String]) -> Option<&'t Node> {
    let (key, rest) = path.split_first()?;
    let mut node = table.get(key)?;
    for name in rest {
        node = match &node.value {
            Value::Table(table) => table.get(name)?,
            Value::List(list) => list.get(name.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(node)
}

/// When `node` chooses another word for the tag `key`, the keys of the word chosen before go.
fn drop_other_variants(table: &mut Table, key: &str, node: &Node) {
    let keys = |value: &Value| match value {
        Value::Text(word) => {
            VARIANTS.iter().find(|(tag, of, _)| *tag == key && of == word).map(|found| found.2)
        }
        _ => None,
    };
    let Some(before) = table.get(key).and_then(|node| keys(&node.value)) else { return };
    let after = keys(&node.value).unwrap_or_default();
    table.retain(|name, _| !before.contains(&name.as_str()) || after.contains(&name.as_str()));
}

fn convert_table(
    table: &DeTable<'_>,
    place: &mut dyn FnMut(usize) -> Origin,
    problems: &mut Vec<Problem>,
) -> Table {
    // The parser sorts by name; people (and reports) want the order of the file.
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut converted = Table::with_capacity(entries.len());
    for (key, value) in entries {
        let origin = place(key.span().start);
        converted.insert(key.get_ref().to_string(), convert(value.get_ref(), origin, place, problems));
    }
    converted
}

fn convert(
    value: &DeValue<'_>,
    origin: Origin,
    place: &mut dyn FnMut(usize) -> Origin,
    problems: &mut Vec<Problem>,
) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => {
                problems.push(Problem {
                    origin: origin.to_string(),
                    key: String::new(),
                    message: format!("not TOML: {number} doesn't fit into 64 bits"),
                    cure: "write a smaller number".to_owned(),
                    nearest: None,
                });
                Value::Integer(0)
            }
        },
        // What a float can't hold becomes infinite, which no range allows.
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Array(array) => Value::List(
            array
                .iter()
                .map(|element| {
                    let origin = place(element.span().start);
                    convert(element.get_ref(), origin, place, problems)
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(table, place, problems)),
    };
    Node { origin, value }
}

/// Byte offsets to lines and columns.
struct Places<'a> {
    file: Arc<str>,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(source: Source<'a>) -> Self {
        let starts = source.text.match_indices('\n').map(|(offset, _)| offset + 1);
        let line_starts = std::iter::once(0).chain(starts).collect();
        Places { file: source.file.into(), text: source.text, line_starts }
    }

    fn at(&self, offset: usize) -> Origin {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts[line - 1];
        let column = self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1);
        Origin::File { file: Arc::clone(&self.file), line, column }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Origin::Outside(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Node {
    /// As it was written, short enough for a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Text(text) => write!(f, "`{text}`"),
            Value::Integer(number) => write!(f, "`{number}`"),
            Value::Float(number) => write!(f, "`{number:?}`"),
            Value::Boolean(truth) => write!(f, "`{truth}`"),
            Value::List(_) => f.write_str("a list"),
            Value::Table(_) => f.write_str("a table"),
        }
    }
}
