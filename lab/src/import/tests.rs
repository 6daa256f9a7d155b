//! Graphs of the shapes that isotope publishes samples of (one service, chain, canonical, tree, mesh), written anew.

use eastfall_topology::{Operation, Service, Span, Topology};

use super::*;

fn imported(text: &str) -> (Topology, Imported) {
    let imported =
        isotope(Path::new("graphs/mine.yaml"), text, 25.0).unwrap_or_else(|failure| panic!("{failure}"));
    let source = Source { file: "mine.toml", text: &imported.topology };
    let topology =
        Topology::load(source, &[], &schemas(), 1.0).unwrap_or_else(|problems| panic!("{problems}"));
    (topology, imported)
}

fn operation(service: &Service) -> &Operation {
    &service.operations["serve"]
}

/// Whom an operation calls, in order.
fn callees(service: &Service) -> Vec<&str> {
    operation(service).all_calls().map(|call| call.service.as_str()).collect()
}

fn refused(text: &str) -> Vec<String> {
    let Err(Failure(told)) = isotope(Path::new("mine.yaml"), text, 25.0) else { panic!("accepted: {text}") };
    told.lines().map(str::to_owned).collect()
}

#[test]
fn one_service_gets_customers() {
    let (topology, imported) = imported("services:\n- name: shop\n  isEntrypoint: true\n");
    let names: Vec<&str> = topology.services.keys().map(String::as_str).collect();
    assert_eq!(names, ["shop", "customers-shop"]);
    assert_eq!(topology.value("service.customers-shop.rate").as_deref(), Some("25"));
    assert_eq!(topology.region.name, "mine");
    assert_eq!(imported.notes, Vec::<String>::new(), "nothing is left out");
}

#[test]
fn a_chain_calls_one_after_the_other() {
    let text = "\
services:
- name: front
  isEntrypoint: true
  errorRate: 0.5%
  script:
  - call: middle
- name: middle
  numReplicas: 3
  script:
  - call: back
  - call: back
- name: back
";
    let (topology, _) = imported(text);
    assert_eq!(callees(&topology.services["middle"]), ["back", "back"]);
    assert_eq!(topology.services["middle"].instances.len(), 3);
    assert_eq!(operation(&topology.services["front"]).error_share, 0.005);
    assert!(!operation(&topology.services["middle"]).parallel, "in sequence");
    assert!(topology.services["back"].capacity.is_none(), "a mock service has no limit");
}

#[test]
fn a_tree_calls_its_branches_at_once() {
    let branches = "- - call: left\n  - call: right\n";
    let text = format!(
        "defaults:\n  numReplicas: 2\n  requestSize: 2 KB\nservices:\n\
         - name: root\n  isEntrypoint: true\n  script:\n  {}\n- name: left\n- name: right\n",
        branches.trim_end().replace('\n', "\n  ")
    );
    let (topology, imported) = imported(&text);
    let root = &topology.services["root"];
    assert!(operation(root).parallel, "{}", imported.topology);
    assert_eq!((callees(root), root.instances.len()), (vec!["left", "right"], 2));
    assert_eq!(topology.value("service.root.item-bytes").as_deref(), Some("2048"));
}

#[test]
fn what_goes_at_once_and_what_follows_are_steps() {
    // Some at once, a wait, then another: the shape of isotope's canonical graph and of its documentation's example.
    let text = "\
apiVersion: v1alpha1
kind: MockServiceGraph
services:
- name: gate
  isEntrypoint: true
  script:
  - - call: users
    - call: { service: goods, probability: 20 }
    - sleep: 5ms
    - sleep: 3ms
  - sleep: 10ms
  - call: users
- name: users
- name: goods
  script:
  - call: users
";
    let (topology, _) = imported(text);
    let steps = &operation(&topology.services["gate"]).steps;
    let sleeps: Vec<Option<Span>> = steps.iter().map(|step| step.sleep.map(|sleep| sleep.mean())).collect();
    assert_eq!(sleeps, [Some(Span::from_millis(5)), Some(Span::from_millis(10)), None]);
    let calls: Vec<usize> = steps.iter().map(|step| step.calls.len()).collect();
    assert_eq!(calls, [2, 0, 1]);
    assert_eq!(steps[0].calls[1].probability, 0.2);
}

#[test]
fn a_mesh_in_which_many_call_many_is_read_whole() {
    let services = (0..30).map(|number| {
        let calls: String =
            (number + 1..30).step_by(3).map(|callee| format!("  - call: svc-{callee}\n")).collect();
        let script = if calls.is_empty() { String::new() } else { format!("  script:\n{calls}") };
        format!("- name: svc-{number}\n{script}")
    });
    let (topology, imported) = imported(&format!("services:\n{}", services.collect::<String>()));
    assert_eq!(topology.services.len(), 31, "and customers of the one that nobody calls");
    assert_eq!(callees(&topology.services["svc-20"]), ["svc-21", "svc-24", "svc-27"]);
    assert_eq!(imported.notes.len(), 1, "{:?}", imported.notes);
    assert!(imported.notes[0].contains("nobody calls: svc-0"), "{:?}", imported.notes);
}

#[test]
fn a_default_script_holds_for_those_without_one() {
    let text = "services:\n- name: a\n  isEntrypoint: true\n- name: b\n  script: []\ndefaults:\n  script:\n  - call: b\n";
    let (topology, _) = imported(text);
    assert_eq!((callees(&topology.services["a"]), callees(&topology.services["b"])), (vec!["b"], vec![]));
}

#[test]
fn what_is_left_out_is_said_with_its_line_in_the_topology_too() {
    let text = "\
defaults:
  responseSize: 1 KB
  numRbacPolicies: 3
services:
- name: a
  isEntrypoint: true
  namespace: demo
  type: grpc
  script:
  - call:
      service: b
      hostname: b.global:8080
      size: 1 MB
  - call: b
- name: b
  type: http
";
    let (_, imported) = imported(text);
    let expected = [
        "graphs/mine.yaml:2: defaults.responseSize",
        "graphs/mine.yaml:3: defaults.numRbacPolicies",
        "graphs/mine.yaml:7: services.a.namespace",
        "graphs/mine.yaml:12: services.a.script.call.hostname",
        "graphs/mine.yaml:16: services.b.type",
        "graphs/mine.yaml: services.a.script: its calls have sizes",
        "graphs/mine.yaml: services.a.script: calls of more than",
    ];
    assert_eq!(imported.notes.len(), expected.len(), "{:#?}", imported.notes);
    for (note, begins) in imported.notes.iter().zip(expected) {
        assert!(note.starts_with(begins), "{note} does not begin with {begins}");
        assert!(imported.topology.contains(&format!("# - {note}\n")), "{}", imported.topology);
    }
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let text = "\
kind: Deployment
services:
- name: front
  errorRate: 200%
  script:
  - call: bakc
  - sleep: soon
  - wait: 3s
  - - - call: back
- name: back
- name: Back_2
- numReplicas: 2
";
    let told = refused(text);
    let expected = [
        "mine.yaml:1: kind: `Deployment` is not",
        "mine.yaml:4: services.front.errorRate: `200%` is no percentage",
        "mine.yaml:7: services.front.script: `soon` is no length of time",
        "mine.yaml:8: services.front.script: unknown command `wait`",
        "mine.yaml:9: services.front.script: a list in a list in a list",
        "mine.yaml:11: services.name: `Back_2` is no name",
        "mine.yaml:12: services: a service has no name",
        "mine.yaml:6: services.front.script: there is no service `bakc`; did you mean `back`?",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (line, begins) in told.iter().zip(expected) {
        assert!(line.starts_with(begins), "{line} does not begin with {begins}");
    }
}

#[test]
fn a_circle_and_what_is_no_yaml_are_refused() {
    let circle = "services:\n- name: a\n  script:\n  - call: b\n- name: b\n  script:\n  - call: a\n  isEntrypoint: true\n";
    let told = refused(circle);
    assert!(told.iter().any(|line| line.contains("a.serve -> b.serve -> a.serve")), "{told:?}");
    for text in ["", "services: [", "- a\n- b\n", "services:\n- name: a\n---\nx: 1\n"] {
        assert!(refused(text)[0].starts_with("mine.yaml:"), "{text:?}");
    }
}
