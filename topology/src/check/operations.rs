//! `operations` of a generic service and the calls they make.

use super::SHARE;
use super::capacity::distribution;
use super::names::check_name;
use super::services::{Context, Outlined};
use crate::read::Fields;
use crate::read::value::{Fault, Readable};
use crate::tree::{Node, Table, Value};
use crate::{Operation, OperationCall, Step};
use indexmap::IndexMap;

pub(super) fn operations(fields: &mut Fields<'_, '_>, context: &Context<'_>) -> IndexMap<String, Operation> {
    let callees: Vec<String> = fields
        .node("calls")
        .and_then(Node::table)
        .map(|calls: &Table| calls.keys().cloned().collect())
        .unwrap_or_default();
    let entries = fields.entries("operations");
    let path = fields.path_of("operations");
    if entries.is_empty() {
        fields.fault("operations", Fault::new("the service has no operations", "add operations.NAME = {}"));
    }
    let mut operations = IndexMap::new();
    for (name, node) in entries {
        let path = format!("{path}.{name}");
        if let Err(fault) = check_name(name) {
            fields.reading().fault(&node.origin, &path, fault);
        }
        let mut fields = Fields::of_node(fields.reading(), &path, node);
        let operation = Operation {
            service_time: distribution(&mut fields, "service-time"),
            parallel: fields.value("parallel", false),
            calls: calls(&mut fields, &callees, context),
            steps: steps(&mut fields, &callees, context),
            error_share: fields.within("error-share", 0.0, SHARE),
        };
        let both = !operation.steps.is_empty() && (!operation.calls.is_empty() || operation.parallel);
        fields.require(!both, "steps", "`steps` say all there is to say", "take `calls` and `parallel` out");
        fields.finish();
        operations.insert(name.clone(), operation);
    }
    operations
}

fn steps(fields: &mut Fields<'_, '_>, callees: &[String], context: &Context<'_>) -> Vec<Step> {
    list(fields, "steps", "[{ sleep = \"5ms\" }, { calls = [...] }]", |mut fields| {
        let step =
            Step { sleep: distribution(&mut fields, "sleep"), calls: calls(&mut fields, callees, context) };
        fields.finish();
        step
    })
}

fn calls(fields: &mut Fields<'_, '_>, callees: &[String], context: &Context<'_>) -> Vec<OperationCall> {
    let example = "[{ service = \"store\", operation = \"get\" }]";
    list(fields, "calls", example, |fields| call(fields, callees, context))
}

/// A list of tables, if it is there.
fn list<'r, 't, T>(
    fields: &mut Fields<'r, 't>,
    key: &str,
    example: &str,
    each: impl Fn(Fields<'r, 't>) -> T,
) -> Vec<T> {
    let path = fields.path_of(key);
    let Some(node) = fields.node(key) else { return Vec::new() };
    let Value::List(list) = &node.value else {
        fields.fault(
            key,
            Fault::new(format!("{node} is not a list"), format!("write a list, such as {example}")),
        );
        return Vec::new();
    };
    let entries = list.iter().enumerate();
    entries
        .map(|(index, node)| each(Fields::of_node(fields.reading(), &format!("{path}.{index}"), node)))
        .collect()
}

fn call(mut fields: Fields<'_, '_>, callees: &[String], context: &Context<'_>) -> OperationCall {
    fields.must_have("service");
    let service = fields.read("service", |node| {
        let name = String::read(node)?;
        if callees.contains(&name) {
            return Ok(name);
        }
        let mut fault = Fault::unknown("callee", &name, callees.iter().map(String::as_str));
        fault.cure = "add it to this service's calls, or call one that is there".to_owned();
        Err(fault)
    });
    fields.must_have("operation");
    let operation = fields.read("operation", |node| {
        let name = String::read(node)?;
        match service.as_ref().and_then(|service| context.outline.get(service.as_str())) {
            Some(callee) if !offers(callee, &name) => {
                Err(Fault::unknown("operation", &name, offered(callee)))
            }
            _ => Ok(name),
        }
    });
    for (key, name) in [("service", &service), ("operation", &operation)] {
        fields.reading().note(fields.path_of(key), &name.as_deref().unwrap_or_default());
    }
    let call = OperationCall {
        service: service.unwrap_or_default(),
        operation: operation.unwrap_or_default(),
        required: fields.value("required", true),
        probability: fields.within("probability", 1.0, SHARE),
        count: fields.within("count", 1, 1..=1000),
    };
    fields.finish();
    call
}

/// The operations that are known of a callee: those in the file, or those its kind lists.
fn offered<'t>(callee: &Outlined<'t>) -> Vec<&'t str> {
    match callee.kind {
        Some(kind) if !kind.has_operations => kind.offers.to_vec(),
        _ => callee.operations.clone(),
    }
}

fn offers(callee: &Outlined<'_>, operation: &str) -> bool {
    let unlisted = callee.kind.is_none_or(|kind| !kind.has_operations && kind.offers.is_empty());
    unlisted || offered(callee).contains(&operation)
}
