//! YAML as a tree in which every value knows its line, and no more of YAML than a service graph needs.

use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};

/// A value and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// From 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Any scalar, as text.
    Text(String),
    List(Vec<Node>),
    /// In the order of the file.
    Table(Vec<(String, Node)>),
}

/// Reads a file of one document.
///
/// # Errors
/// A line number and what is wrong there.
pub(super) fn parse(text: &str) -> Result<Node, (usize, String)> {
    let documents = MarkedYaml::load_from_str(text)
        .map_err(|error| (error.marker().line(), format!("not YAML: {}", error.info())))?;
    match &documents[..] {
        [] => Err((1, "the file is empty".to_owned())),
        [only] => node(only),
        [_, second, ..] => Err((second.span.start.line(), "a second document; a graph is one".to_owned())),
    }
}

fn node(yaml: &MarkedYaml<'_>) -> Result<Node, (usize, String)> {
    let line = yaml.span.start.line();
    let value = match &yaml.data {
        YamlData::Value(scalar) => Value::Text(text(scalar)),
        YamlData::Representation(text, ..) => Value::Text(text.to_string()),
        YamlData::Sequence(list) => Value::List(list.iter().map(node).collect::<Result<_, _>>()?),
        YamlData::Mapping(table) => {
            let entry = |(key, value): (&MarkedYaml<'_>, &MarkedYaml<'_>)| match node(key)? {
                Node { value: Value::Text(key), .. } => Ok((key, node(value)?)),
                Node { line, .. } => Err((line, "a key must be a word".to_owned())),
            };
            Value::Table(table.iter().map(entry).collect::<Result<_, _>>()?)
        }
        YamlData::Tagged(_, inner) => return node(inner),
        YamlData::Alias(_) | YamlData::BadValue => {
            return Err((line, "can't be understood as YAML".to_owned()));
        }
    };
    Ok(Node { line, value })
}

fn text(scalar: &Scalar<'_>) -> String {
    match scalar {
        Scalar::Null => String::new(),
        Scalar::Boolean(truth) => truth.to_string(),
        Scalar::Integer(number) => number.to_string(),
        Scalar::FloatingPoint(number) => number.to_string(),
        Scalar::String(text) => text.to_string(),
    }
}
