//! The topology that says what a service graph says.
//!
//! A mock service has no limit of its own: it sleeps and calls as many times at once as it is asked. So the services have no
//! workers, a `sleep` is a step's sleep, and whoever wants to see one overloaded adds `workers` and a `service-time`.

use std::fmt::Write as _;
use std::path::Path;

use eastfall_topology::Span;
use indexmap::IndexSet;

use super::graph::{Graph, Service};
use super::script::{Call, Command};

/// The one operation of every imported service.
const OPERATION: &str = "serve";

/// The most bytes that a generic service's requests can carry.
const LARGEST: u64 = 300_000;

/// The file's text, and all notes.
pub(super) fn topology(file: &str, graph: &Graph, rate: f64) -> (String, Vec<String>) {
    let mut notes = graph.notes.clone();
    let entrypoints = entrypoints(file, graph, &mut notes);
    let mut body = String::new();
    for service in &graph.services {
        body += &service_table(file, service, &mut notes);
    }
    let names: IndexSet<&str> = graph.services.iter().map(|service| service.name.as_str()).collect();
    for entrypoint in entrypoints {
        body += &customers(&names, entrypoint, rate);
    }
    let mut text = format!(
        "# Made from {file}, a service graph of Istio's isotope, by `eastfall topology import`.\n\
         #\n\
         # Isotope's services have no limit of their own: add `workers` and a `service-time` where one should be overloaded. Its\n\
         # calls wait for ever and are never retried: add policies under [defaults.calls]. An errorRate is a chance here, and a\n\
         # regular count there.\n"
    );
    if !notes.is_empty() {
        text += "#\n# Not represented:\n";
        for note in &notes {
            // Writing to a String does not fail.
            let _ = writeln!(text, "# - {}", note.replace(['\n', '\r'], " "));
        }
    }
    let _ = write!(text, "\n[region]\nname = {}\n{body}", quoted(&region(file)));
    (text, notes)
}

/// The services that customers ask: those marked, or else those that nobody calls.
fn entrypoints<'g>(file: &str, graph: &'g Graph, notes: &mut Vec<String>) -> Vec<&'g Service> {
    let marked: Vec<&Service> = graph.services.iter().filter(|service| service.entrypoint).collect();
    if !marked.is_empty() {
        return marked;
    }
    let calls = || graph.services.iter().flat_map(|service| service.script.iter().flat_map(Command::calls));
    let uncalled = graph.services.iter().filter(|service| calls().all(|call| call.service != service.name));
    let uncalled: Vec<&Service> = uncalled.collect();
    let names: Vec<&str> = uncalled.iter().map(|service| service.name.as_str()).collect();
    notes.push(format!(
        "{file}: isEntrypoint: no service is marked, so customers ask those that nobody calls: {}",
        names.join(", ")
    ));
    uncalled
}

fn service_table(file: &str, service: &Service, notes: &mut Vec<String>) -> String {
    let Service { name, replicas, error_share, script, .. } = service;
    let mut text = format!("\n[service.{name}]\nkind = \"service\"\n");
    if *replicas > 1 {
        let _ = writeln!(text, "instances = {replicas}");
    }
    let calls: Vec<&Call> = script.iter().flat_map(Command::calls).collect();
    let sizes: IndexSet<u64> = calls.iter().map(|call| call.size.clamp(1, LARGEST)).collect();
    if let Some(largest) = sizes.iter().max() {
        let _ = writeln!(text, "item-bytes = {largest}");
    }
    if sizes.len() > 1 {
        notes.push(format!(
            "{file}: services.{name}.script: its calls have sizes of their own; all have the largest here"
        ));
    }
    if calls.iter().any(|call| call.size > LARGEST) {
        notes.push(format!(
            "{file}: services.{name}.script: calls of more than {LARGEST} bytes have {LARGEST} here"
        ));
    }
    for callee in calls.iter().map(|call| &call.service).collect::<IndexSet<_>>() {
        let _ = writeln!(text, "calls.{callee} = {{}}");
    }
    let _ = writeln!(text, "\n[service.{name}.operations.{OPERATION}]");
    if *error_share > 0.0 {
        let _ = writeln!(text, "error-share = {error_share}");
    }
    text + &script_keys(script)
}

/// A script in the simplest words that say it.
fn script_keys(script: &[Command]) -> String {
    let only_calls = |commands: &[Command]| -> Option<Vec<Call>> {
        let call =
            |command: &Command| if let Command::Call(call) = command { Some(call.clone()) } else { None };
        commands.iter().map(call).collect()
    };
    if script.is_empty() {
        return String::new();
    }
    if let Some(calls) = only_calls(script) {
        return format!("calls = {}\n", call_list(&calls, ""));
    }
    if let [Command::AtOnce(commands)] = script
        && let Some(calls) = only_calls(commands)
    {
        return format!("parallel = true\ncalls = {}\n", call_list(&calls, ""));
    }
    let steps: Vec<String> = script.iter().map(|command| format!("    {},\n", step(command))).collect();
    format!("steps = [\n{}]\n", steps.concat())
}

fn step(command: &Command) -> String {
    let single = std::slice::from_ref(command);
    let commands = if let Command::AtOnce(commands) = command { commands } else { single };
    // Sleeps that begin together are over with the longest.
    let sleep = commands
        .iter()
        .filter_map(|command| if let Command::Sleep(span) = command { Some(*span) } else { None });
    let sleep: Option<Span> = sleep.max();
    let calls: Vec<Call> = commands.iter().flat_map(Command::calls).cloned().collect();
    let keys = [
        sleep.map(|sleep| format!("sleep = \"{sleep}\"")),
        (!calls.is_empty()).then(|| format!("calls = {}", call_list(&calls, "    "))),
    ];
    let keys: Vec<String> = keys.into_iter().flatten().collect();
    if keys.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", keys.join(", ")) }
}

fn call_list(calls: &[Call], indent: &str) -> String {
    let call = |call: &Call| {
        let sometimes = if call.probability < 1.0 {
            format!(", probability = {}", call.probability)
        } else {
            String::new()
        };
        format!("{{ service = \"{}\", operation = \"{OPERATION}\"{sometimes} }}", call.service)
    };
    match calls {
        [only] => format!("[{}]", call(only)),
        several => {
            let lines: Vec<String> =
                several.iter().map(|one| format!("{indent}    {},\n", call(one))).collect();
            format!("[\n{}{indent}]", lines.concat())
        }
    }
}

fn customers(taken: &IndexSet<&str>, entrypoint: &Service, rate: f64) -> String {
    let service = &entrypoint.name;
    let mut name = format!("customers-{service}");
    // A name can't be longer than a DNS label, and not one that a service has.
    name.truncate(60);
    while taken.contains(name.as_str()) || name.ends_with('-') {
        name.push('x');
    }
    format!(
        "\n[service.{name}]\nkind = \"customers\"\nrate = {rate:?}\nmix = {{ \"{service}/{OPERATION}\" = 1.0 }}\ncalls.{service} = {{}}\n"
    )
}

/// The region's name: that of the file.
fn region(file: &str) -> String {
    Path::new(file).file_stem().map_or("isotope".into(), |stem| stem.to_string_lossy()).into_owned()
}

/// As a TOML text.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
