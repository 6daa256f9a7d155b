//! Scripts: what a mock service does with a request.

use eastfall_topology::Span;

use super::graph::Reader;
use super::values::{duration, probability, size};
use super::yaml::{Node, Value};

/// A step of a script.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    /// Waits.
    Sleep(Span),
    /// Calls another service and waits for its answer.
    Call(Call),
    /// Does all of these at once, and waits for all of them.
    AtOnce(Vec<Command>),
}

/// A call of another service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) service: String,
    /// Bytes of the request.
    pub(super) size: u64,
    /// The share of requests that make it, 0..=1.
    pub(super) probability: f64,
    /// Where it stands.
    pub(super) line: usize,
}

impl Command {
    /// The calls in it.
    pub(super) fn calls(&self) -> Vec<&Call> {
        match self {
            Command::Sleep(_) => Vec::new(),
            Command::Call(call) => vec![call],
            Command::AtOnce(commands) => commands.iter().flat_map(Command::calls).collect(),
        }
    }
}

/// Reads a script; `default_size` is that of calls that don't say.
pub(super) fn script(reader: &mut Reader<'_>, path: &str, node: &Node, default_size: u64) -> Vec<Command> {
    let list = reader.list(path, node);
    let mut commands = Vec::new();
    for node in list {
        commands.extend(match &node.value {
            Value::List(list) => {
                let at_once = list.iter().filter_map(|node| match &node.value {
                    Value::List(_) => {
                        reader.problem(
                            node.line,
                            path,
                            "a list in a list in a list; at once goes one level deep",
                        );
                        None
                    }
                    _ => command(reader, path, node, default_size),
                });
                Some(Command::AtOnce(at_once.collect()))
            }
            _ => command(reader, path, node, default_size),
        });
    }
    commands
}

/// `sleep: 10ms`, `call: b` or `call: { service: b, ... }`
fn command(reader: &mut Reader<'_>, path: &str, node: &Node, default_size: u64) -> Option<Command> {
    let entries = reader.table(path, node);
    let [(key, value)] = entries else {
        reader.problem(node.line, path, "a command is one key, `sleep` or `call`");
        return None;
    };
    match key.as_str() {
        "sleep" => Some(Command::Sleep(reader.value(path, value, Span::ZERO, duration))),
        "call" => call(reader, path, value, default_size).map(Command::Call),
        other => {
            reader.problem(
                node.line,
                path,
                format!("unknown command `{other}`; there are `sleep` and `call`"),
            );
            None
        }
    }
}

fn call(reader: &mut Reader<'_>, path: &str, node: &Node, default_size: u64) -> Option<Call> {
    let mut call = Call { service: String::new(), size: default_size, probability: 1.0, line: node.line };
    if let Value::Text(service) = &node.value {
        call.service.clone_from(service);
    } else {
        let path = format!("{path}.call");
        for (key, node) in reader.table(&path, node) {
            let path = format!("{path}.{key}");
            match key.as_str() {
                "service" => {
                    call.service = reader.value(&path, node, String::new(), |text| Ok(text.to_owned()))
                }
                // The code says `size`, an example in its documentation `payloadSize`.
                "size" | "payloadSize" => call.size = reader.value(&path, node, 0, size),
                "probability" => call.probability = reader.value(&path, node, 1.0, probability),
                "hostname" => {
                    reader.note(node.line, &path, "services find each other by name, in one region")
                }
                "extra-header" => reader.note(node.line, &path, "calls carry no headers of one's own"),
                _ => reader.note(node.line, &path, "has no counterpart"),
            }
        }
    }
    if call.service.is_empty() {
        reader.problem(node.line, path, "a call names no service; write call: NAME");
        return None;
    }
    Some(call)
}
