//! How the graph is drawn.

use super::sample;

#[test]
fn the_text_shows_layers_from_the_customers_down() {
    let text = sample(&[]).graph_text();
    let expected = "test-1: 4 services, 7 instances, 2 edges

layer 1
  dns (zone)
  users (crowd)
    -> web  web.test-1.example.com, timeout 1s, deadline 5s, 4 attempts (exponential), breaker at 7 failures in a row

layer 2
  web (service), 3 instances, 8 workers, mean 2ms
    -> store  timeout 500ms, deadline 5s

layer 3
  store (service), 2 instances, 2 workers, mean 1ms
";
    assert_eq!(text, expected);
}

#[test]
fn systems_that_call_each_other_have_a_place_too() {
    let text = super::changed("operations.get = {}", "calls.web = {}\noperations.get = {}")
        .replace("calls.web = { endpoint", "calls.dns = { endpoint");
    let topology = super::try_load(&text, &[]).expect("a circle of services, not of operations");
    let drawn = topology.graph_text();
    for name in ["dns (", "users (", "web (", "store ("] {
        assert!(drawn.contains(name), "{name} is missing in\n{drawn}");
    }
}

#[test]
fn dot_quotes_what_people_wrote() {
    let dot = sample(&["service.store.title=The \"old\" store"]).graph_dot();
    assert!(dot.starts_with("digraph \"test-1\" {"), "{dot}");
    assert!(dot.contains(r#""store" [label="The \"old\" store\n2 x service"];"#), "{dot}");
    assert!(dot.contains("\"users\" -> \"web\" [label=\"web.test-1.example.com\\ntimeout 1s"), "{dot}");
}
