//! `[service.NAME]`: the keys every service has; the rest is in the files beside this one.

use super::names::is_suffix;
use super::policy::{Defaults, Presets};
use super::{ANY_SPAN, capacity, edges, operations, params};
use crate::read::value::{Fault, Readable, read_texts, read_within};
use crate::read::{Fields, Reading};
use crate::tree::{Node, Table, Value};
use crate::{KindSchema, Params, Resolver, Service, Span};
use indexmap::IndexMap;
use std::collections::BTreeMap;

/// What one service may know of another before either is read: names, kinds and operations.
pub(super) type Outline<'t> = IndexMap<&'t str, Outlined<'t>>;

/// One service's line of the outline.
pub(super) struct Outlined<'t> {
    /// Its kind, if that is known.
    pub(super) kind: Option<&'t KindSchema>,
    /// The operations the file gives it.
    pub(super) operations: Vec<&'t str>,
}

/// What the reading of a service needs from the rest of the file.
pub(super) struct Context<'t> {
    pub(super) kinds: &'t [KindSchema],
    pub(super) presets: Presets,
    pub(super) defaults: Defaults,
    pub(super) outline: Outline<'t>,
    /// Somebody answers DNS.
    pub(super) has_dns: bool,
}

/// The most instances one service may have.
const MOST_INSTANCES: u64 = 100_000;

/// Collects names, kinds and operations without judging them.
pub(super) fn outline<'t>(root: &'t Table, kinds: &'t [KindSchema]) -> Outline<'t> {
    let services = root.get("service").and_then(Node::table).into_iter().flatten();
    let outlined = |node: &'t Node| {
        let key = |key: &str| node.table().and_then(|table| table.get(key));
        let kind = key("kind").and_then(Node::text);
        let operations = key("operations").and_then(Node::table).into_iter().flatten();
        Outlined {
            kind: kinds.iter().find(|schema| Some(schema.name) == kind),
            operations: operations.map(|(name, _)| name.as_str()).collect(),
        }
    };
    services.map(|(name, node)| (name.as_str(), outlined(node))).collect()
}

/// Reads all services; instances may not share a name, since a name is an address and a file.
pub(super) fn services(top: &mut Fields<'_, '_>, context: &Context<'_>) -> IndexMap<String, Service> {
    let mut services = IndexMap::new();
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    let reading = top.reading();
    let entries = top.entries("service");
    for (name, node) in entries {
        let service = service(reading, name, node, context);
        for instance in &service.instances {
            if let Some(owner) = owners.insert(instance.clone(), name.as_str()) {
                let message = format!("instance `{instance}` is one of service `{owner}` too");
                let fault = Fault::new(message, "rename the service or its instances");
                reading.fault(&node.origin, &format!("service.{name}.instances"), fault);
                break;
            }
        }
        services.insert(name.clone(), service);
    }
    services
}

fn service(reading: &Reading, name: &str, node: &Node, context: &Context<'_>) -> Service {
    let path = format!("service.{name}");
    let mut fields = Fields::of_node(reading, &path, node);
    if let Err(fault) = super::names::check_name(name) {
        reading.fault(&node.origin, &path, fault);
    }
    let schema = kind(&mut fields, context.kinds);
    let system = fields.value("system", name.to_owned());
    let title = fields.value("title", name.to_owned());
    let instances = instances(&mut fields, name);
    let addresses = fields.within("addresses", 1, 1..=1000);
    let resolver = service_resolver(&mut fields, context);
    let capacity = capacity::capacity(&mut fields);
    let calls = edges::calls(&mut fields, name, context);
    let operations = match schema {
        Some(schema) if schema.has_operations => operations::operations(&mut fields, context),
        Some(_) => IndexMap::new(),
        None => {
            fields.node("operations");
            IndexMap::new()
        }
    };
    let scaled = fields.value("scaled", true);
    let restart_delay = fields.within("restart-delay", Span::from_secs(10), ANY_SPAN);
    let (kind, params) = match schema {
        Some(schema) => (schema.name.to_owned(), params::params(&mut fields, schema)),
        None => (String::new(), Params::default()),
    };
    // Without a known kind nobody knows which keys are its parameters.
    if schema.is_some() {
        fields.finish();
    }
    let name = name.to_owned();
    Service {
        name,
        kind,
        system,
        title,
        instances,
        addresses,
        resolver,
        capacity,
        operations,
        calls,
        params,
        restart_delay,
        scaled,
    }
}

fn kind<'k>(fields: &mut Fields<'_, '_>, kinds: &'k [KindSchema]) -> Option<&'k KindSchema> {
    fields.must_have("kind");
    let schema = fields.read("kind", |node| {
        let name = String::read(node)?;
        let schema = kinds.iter().find(|schema| schema.name == name);
        schema.ok_or_else(|| Fault::unknown("kind", &name, kinds.iter().map(|schema| schema.name)))
    })?;
    fields.reading().note(fields.path_of("kind"), &schema.name);
    Some(schema)
}

/// `instances = 3` or `instances = ["a", "b"]`, as full names.
fn instances(fields: &mut Fields<'_, '_>, service: &str) -> Vec<String> {
    let names = fields.read("instances", |node| match &node.value {
        Value::List(_) => named_instances(node, service),
        _ => Ok(match read_within(node, &(1..=MOST_INSTANCES))? {
            1 => vec![service.to_owned()],
            count => (1..=count).map(|number| format!("{service}-{number}")).collect(),
        }),
    });
    let names = names.unwrap_or_else(|| vec![service.to_owned()]);
    fields.reading().note(fields.path_of("instances"), &names.len());
    names
}

fn named_instances(node: &Node, service: &str) -> Result<Vec<String>, Fault> {
    let suffixes = read_texts(node)?;
    if suffixes.is_empty() || suffixes.len() as u64 > MOST_INSTANCES {
        let message = format!("{} instances are out of range", suffixes.len());
        return Err(Fault::new(message, format!("name 1 to {MOST_INSTANCES}")));
    }
    if let Some(bad) = suffixes.iter().find(|suffix| !is_suffix(suffix)) {
        return Err(Fault::new(
            format!("`{bad}` is not a name"),
            "use at most 63 lower-case letters, digits and hyphens, no hyphen first or last",
        ));
    }
    let mut sorted: Vec<&String> = suffixes.iter().collect();
    sorted.sort();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Fault::new(format!("`{}` is named twice", twice[0]), "name each instance once"));
    }
    Ok(suffixes.iter().map(|suffix| format!("{service}-{suffix}")).collect())
}

/// A service's own resolver over `[defaults.resolver]`.
fn service_resolver(fields: &mut Fields<'_, '_>, context: &Context<'_>) -> Resolver {
    let path = fields.path_of("resolver");
    let own = fields.node("resolver");
    if let Some(node) = own {
        Fields::of_node(fields.reading(), &path, node);
    }
    let merged = context.defaults.under_resolver(own.and_then(Node::table));
    resolver(Fields::new(fields.reading(), &path, fields.origin_of("resolver"), &merged))
}

/// Reads a resolver.
pub(super) fn resolver(mut fields: Fields<'_, '_>) -> Resolver {
    let default = Resolver::default();
    let resolver = Resolver {
        positive_max: fields.within("positive-max", default.positive_max, ANY_SPAN),
        negative_max: fields.within("negative-max", default.negative_max, ANY_SPAN),
        positive_min: fields.within("positive-min", default.positive_min, ANY_SPAN),
        timeout: fields.within("timeout", default.timeout, Span::from_nanos(1)..=Span::from_mins(60)),
        attempts: fields.within("attempts", default.attempts, 1..=100),
    };
    let message = format!("{} is above positive-max {}", resolver.positive_min, resolver.positive_max);
    let ordered = resolver.positive_min <= resolver.positive_max;
    fields.require(ordered, "positive-min", message, "lower positive-min or raise positive-max");
    fields.finish();
    resolver
}
