//! Applies a setting to the file's tree, before anything is checked, so that a setting passes the same checks.
//!
//! Settings change what is there. A service, an edge, an operation or a preset that the file doesn't have is most
//! likely misspelt, so it is an error and not a new one; other keys may be new and are judged by the checks.

use crate::check::COMMON_KEYS;
use crate::read::value::Fault;
use crate::tree::{Node, Origin, Table, Value, find, parse_value, put};
use crate::{KindSchema, Problem, Setting};

/// A path with more names than this is a mistake: the deepest valid one has half as many.
const LONGEST_PATH: usize = 16;

/// Applies a setting.
pub(crate) fn apply(root: &mut Table, setting: &Setting, kinds: &[KindSchema]) -> Result<(), Problem> {
    let origin = Origin::Outside(format!("--set {setting}").into());
    let paths = expand(root, setting, kinds).map_err(|Fault { message, cure, nearest }| Problem {
        origin: origin.to_string(),
        key: setting.path.clone(),
        message,
        cure,
        nearest,
    })?;
    let node = parse_value(&setting.value, &origin);
    for path in paths {
        put(root, &path, node.clone());
    }
    Ok(())
}

/// The paths a setting's path stands for; never none.
fn expand(root: &Table, setting: &Setting, kinds: &[KindSchema]) -> Result<Vec<Vec<String>>, Fault> {
    let pattern: Vec<&str> = setting.path.split('.').map(str::trim).collect();
    if pattern.len() > LONGEST_PATH || pattern.iter().any(|name| name.is_empty()) {
        return Err(Fault::new(
            format!("not a path of 1 to {LONGEST_PATH} names"),
            "write names joined by dots, such as service.web.instances",
        ));
    }
    let mut paths = vec![Vec::new()];
    for name in &pattern {
        let mut longer = Vec::new();
        let mut missed: Vec<String> = Vec::new();
        for path in &paths {
            let names = names_at(root, path);
            if *name == "*" {
                longer.extend(names.iter().map(|found| extended(path, found)));
            } else if !must_exist(root, path) || names.iter().any(|found| found == name) {
                longer.push(extended(path, name));
            } else {
                missed.extend(names);
            }
        }
        if longer.is_empty() {
            return Err(match *name {
                "*" => no_match(),
                name => Fault::unknown("name", name, missed.iter().map(String::as_str)),
            });
        }
        paths = longer;
    }
    if pattern.get(1) == Some(&"*") {
        paths.retain(|path| can_take(root, path, kinds));
    }
    if paths.is_empty() { Err(no_match()) } else { Ok(paths) }
}

fn no_match() -> Fault {
    Fault::new("nothing matches the `*`", "name what the file has, or take the setting out")
}

fn extended(path: &[String], name: &str) -> Vec<String> {
    path.iter().cloned().chain(std::iter::once(name.to_owned())).collect()
}

/// The names below a path; elements of a list are named by their index.
fn names_at(root: &Table, path: &[String]) -> Vec<String> {
    match find(root, path).map(|node| &node.value) {
        _ if path.is_empty() => root.keys().cloned().collect(),
        Some(Value::Table(table)) => table.keys().cloned().collect(),
        Some(Value::List(list)) => (0..list.len()).map(|index| index.to_string()).collect(),
        _ => Vec::new(),
    }
}

/// Where names are the user's own, a setting can't make a new one; nor can it make a list longer.
fn must_exist(root: &Table, path: &[String]) -> bool {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(names.as_slice(), ["service" | "preset"] | ["service", _, "calls" | "operations"])
        || matches!(find(root, path), Some(Node { value: Value::List(_), .. }))
}

/// Whether a service chosen by a `*` has a place for the key.
fn can_take(root: &Table, path: &[String], kinds: &[KindSchema]) -> bool {
    let [top, service, key, ..] = path else { return true };
    if top != "service" || COMMON_KEYS.contains(&key.as_str()) {
        return true;
    }
    let kind = find(root, &[top.clone(), service.clone(), "kind".to_owned()]).and_then(Node::text);
    kinds.iter().any(|schema| Some(schema.name) == kind && schema.param(key).is_some())
}
