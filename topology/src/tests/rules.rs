//! One failing file for each rule on regions, services, capacities and operations.

use super::{breaks, changed, problems_of, try_load};

#[test]
fn an_unknown_key_is_refused() {
    breaks(
        "slowdown = 0.01",
        "slow-down = 0.01",
        "service.web.slow-down: unknown key `slow-down`; did you mean `slowdown`?",
    );
    breaks("[record]", "[recrod]", "recrod: unknown key `recrod`; did you mean `record`?");
    breaks("error-share = 0.001", "error-rate = 1", "service.store.operations.put.error-rate: unknown key");
    breaks(
        "[defaults.resolver]\nnegative-max",
        "[defaults.resolver]\nnegative",
        "defaults.resolver.negative: unknown key",
    );
}

#[test]
fn a_problem_points_at_line_and_column() {
    let problems = problems_of(
        "  { service = \"store\", operation = \"put\", count = 2 }",
        "  { service = \"store\", operation = \"put\", count = 0 }",
    );
    assert_eq!(
        problems,
        ["topology.toml:46:43: service.web.operations.write.calls.1.count: 0 is out of range; \
          write a value from 1 to 1000"]
    );
}

#[test]
fn a_syntax_error_is_told_with_its_place() {
    let problems = problems_of("name = \"test-1\"", "name = \"test-1");
    assert!(problems[0].starts_with("topology.toml:2:"), "{problems:?}");
    assert!(problems[0].contains("not TOML"), "{problems:?}");
    let twice = problems_of("name = \"test-1\"", "name = \"test-1\"\nname = \"test-2\"");
    assert!(twice[0].starts_with("topology.toml:3:1: not TOML: duplicate key"), "{twice:?}");
    let huge = problems_of("arrivals = 50", "arrivals = 99999999999999999999");
    assert!(huge[0].contains("doesn't fit into 64 bits"), "{huge:?}");
}

#[test]
fn steps_stand_in_place_of_calls() {
    let calls = "calls = [{ service = \"store\", operation = \"get\" }]";
    let steps = "steps = [{ sleep = \"5ms\" }, { calls = [{ service = \"store\", operation = \"get\" }] }]";
    let topology = try_load(&changed(calls, steps), &[]).expect("steps alone");
    let read = &topology.services["web"].operations["read"];
    assert_eq!((read.calls.len(), read.steps.len(), read.all_calls().count()), (0, 2, 1));
    let both = format!("{calls}\n{steps}");
    breaks(calls, &both, "service.web.operations.read.steps: `steps` say all there is to say");
    breaks(calls, "steps = 3", "service.web.operations.read.steps: `3` is not a list");
    let misspelt = steps.replace("\"get\"", "\"gte\"");
    breaks(
        calls,
        &misspelt,
        "service.web.operations.read.steps.1.calls.0.operation: unknown operation `gte`",
    );
}

#[test]
fn an_unknown_kind_is_refused() {
    breaks(
        "kind = \"crowd\"",
        "kind = \"crwod\"",
        "service.users.kind: unknown kind `crwod`; did you mean `crowd`?",
    );
    breaks("kind = \"zone\"", "title = \"x\"", "service.dns.kind: `kind` is missing");
}

#[test]
fn a_wrong_type_is_refused() {
    breaks("instances = 3", "instances = true", "service.web.instances: `true` is not a whole number");
    breaks("instances = 3", "instances = -3", "service.web.instances: `-3` is not a whole number");
    breaks("title = \"The store\"", "title = 5", "service.store.title: `5` is not a text");
    breaks(
        "parallel = true",
        "parallel = \"yes\"",
        "service.web.operations.write.parallel: `yes` is neither true",
    );
    breaks("slowdown = 0.01", "slowdown = nan", "service.web.slowdown: `NaN` is not a number");
    breaks("operations.get = {}", "operations.get = 1", "service.store.operations.get: `1` is not a table");
}

#[test]
fn a_bad_duration_is_refused() {
    breaks(
        "sample = \"5s\"",
        "sample = \"5\"",
        "record.sample: `5` is not a length of time; write a number and a unit",
    );
    breaks("sample = \"5s\"", "sample = 5", "record.sample: `5` is not a length of time");
    breaks("sample = \"5s\"", "sample = \"0s\"", "record.sample: 0s is out of range");
}

#[test]
fn a_region_needs_a_name() {
    breaks("name = \"test-1\"", "", "region.name: `name` is missing");
}

#[test]
fn ports_are_in_range_and_differ() {
    breaks("name = \"test-1\"", "name = \"x\"\nport = 0", "region.port: 0 is out of range");
    breaks("name = \"test-1\"", "name = \"x\"\nport = 70000", "region.port: `70000` is out of range");
    breaks("name = \"test-1\"", "name = \"x\"\nport = 5300", "region.dns-port: 5300 is `port` too");
}

#[test]
fn who_answers_dns_exists() {
    breaks(
        "dns-service = \"dns\"",
        "dns-service = \"dsn\"",
        "region.dns-service: unknown service `dsn`; did you mean `dns`?",
    );
}

#[test]
fn an_endpoint_is_a_dns_name_that_somebody_answers() {
    let endpoint = "web.test-1.example.com";
    for bad in ["127.0.0.1", "web..com", "https://web", "web.example.com:443", "-web.com", "web.com."] {
        breaks(endpoint, bad, &format!("service.users.calls.web.endpoint: `{bad}` is not a DNS name"));
    }
    breaks(
        "dns-service = \"dns\"\n",
        "",
        "service.users.calls.web.endpoint: nobody answers DNS in this region",
    );
}

#[test]
fn a_file_without_services_is_refused() {
    let problems = try_load("[region]\nname = \"x\"", &[]).expect_err("no services");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].message, "the file has no services");
    let nothing = try_load("", &[]).expect_err("nothing at all");
    assert_eq!(nothing.len(), 2, "an empty file lacks a region's name too: {nothing:?}");
}

#[test]
fn a_service_name_is_plain() {
    let text = changed("[service.dns]", "[service.\"DNS 1\"]")
        .replace("dns-service = \"dns\"", "dns-service = \"DNS 1\"");
    let problems = try_load(&text, &[]).expect_err("a name with a blank");
    assert_eq!(problems[0].message, "`DNS 1` is not a name", "{problems:?}");
}

#[test]
fn instances_are_counted_and_named_once() {
    breaks(
        "instances = 3",
        "instances = 0",
        "service.web.instances: 0 is out of range; write a value from 1 to 100000",
    );
    breaks("instances = 3", "instances = 100001", "service.web.instances: 100001 is out of range");
    breaks("[\"a\", \"b\"]", "[]", "service.store.instances: 0 instances are out of range");
    breaks("[\"a\", \"b\"]", "[\"a\", \"a\"]", "service.store.instances: `a` is named twice");
    breaks("[\"a\", \"b\"]", "[\"a\", \"B\"]", "service.store.instances: `B` is not a name");
    let clash = "[service.web-2]\nkind = \"zone\"\n\n[service.dns]";
    breaks("[service.dns]", clash, "service.web.instances: instance `web-2` is one of service `web-2` too");
}

#[test]
fn capacity_is_whole_or_absent() {
    breaks("workers = 2", "workers = 0", "service.store.workers: 0 is out of range");
    breaks("workers = 2\n", "", "service.store.service-time: `service-time` needs `workers`");
    breaks("service-time = \"1ms\"", "", "service.store.workers: `workers` need a `service-time`");
    breaks("limit = 100", "limit = 0", "service.web.queue.limit: 0 is out of range");
    breaks(
        "\"codel\"",
        "\"code\"",
        "service.web.queue.discipline: unknown word `code`; did you mean `codel`?",
    );
    breaks(
        "discipline = \"codel\"",
        "discipline = \"lifo\"",
        "service.web.queue.target: unknown key `target`",
    );
    breaks("slowdown = 0.01", "slowdown = -1", "service.web.slowdown: -1 is out of range");
}

#[test]
fn a_distribution_has_its_own_keys_and_a_mean() {
    let written = "{ distribution = \"exponential\", mean = \"2ms\" }";
    let key = "service.web.service-time";
    for (bad, expected) in [
        ("{ mean = \"2ms\" }", ".distribution: `distribution` is missing"),
        ("{ distribution = \"normal\", mean = \"2ms\" }", ".distribution: unknown word `normal`"),
        ("{ distribution = \"exponential\" }", ".mean: `mean` is missing"),
        ("{ distribution = \"exponential\", mean = \"0s\" }", ".mean: 0s is out of range"),
        ("{ distribution = \"exponential\", mean = \"2ms\", sigma = 1 }", ".sigma: unknown key"),
        ("{ distribution = \"uniform\", low = \"2ms\", high = \"1ms\" }", ".high: 1ms is below low 2ms"),
        ("{ distribution = \"pareto\", minimum = \"2ms\", alpha = 1 }", ".alpha: 1 is out of range"),
        ("{ distribution = \"log-normal\", median = \"2ms\", sigma = 9 }", ".sigma: 9 is out of range"),
        ("\"999d\"", ": 999d is out of range"),
    ] {
        breaks(written, bad, &format!("{key}{expected}"));
    }
}

#[test]
fn a_resolver_keeps_no_longer_than_its_longest() {
    let bad = "[defaults.resolver]\npositive-min = \"2d\"";
    breaks("[defaults.resolver]", bad, "defaults.resolver.positive-min: 2d is above positive-max 1d");
    breaks(
        "[defaults.resolver]",
        "[defaults.resolver]\nattempts = 0",
        "defaults.resolver.attempts: 0 is out of range",
    );
}

#[test]
fn a_callee_exists_and_is_another_service() {
    breaks(
        "calls.store = {",
        "calls.web = {}\ncalls.store = {",
        "service.web.calls.web: a service can't call itself",
    );
    breaks(
        "calls.store = {",
        "calls.stroe = {}\ncalls.store = {",
        "service.web.calls.stroe: unknown service `stroe`; did you mean `store`?",
    );
}

#[test]
fn an_operation_calls_what_is_there() {
    breaks(
        "\"put\", count",
        "\"putt\", count",
        "service.web.operations.write.calls.1.operation: unknown operation `putt`; did you mean `put`?",
    );
    breaks(
        "service = \"store\", operation = \"put\"",
        "service = \"stor\", operation = \"put\"",
        "service.web.operations.write.calls.1.service: unknown callee `stor`; did you mean `store`?",
    );
    breaks(
        "operation = \"put\", count",
        "count",
        "service.web.operations.write.calls.1.operation: `operation` is missing",
    );
    let listed =
        "calls.dns = {}\noperations.get = { calls = [{ service = \"dns\", operation = \"resolv\" }] }";
    breaks(
        "operations.get = {}",
        listed,
        "service.store.operations.get.calls.0.operation: unknown operation `resolv`; did you mean `resolve`?",
    );
}

#[test]
fn shares_and_probabilities_are_from_0_to_1() {
    breaks(
        "probability = 0.5",
        "probability = 1.5",
        "service.web.operations.write.calls.0.probability: 1.5 is out of range; write a value from 0 to 1",
    );
    breaks(
        "error-share = 0.001",
        "error-share = -0.1",
        "service.store.operations.put.error-share: -0.1 is out of range",
    );
    breaks("sample = \"5s\"", "window-share = 5", "record.window-share: 5 is out of range");
}

#[test]
fn a_generic_service_has_operations_and_no_other_kind_has() {
    let lonely = "[service.lonely]\nkind = \"service\"\n\n[service.dns]";
    breaks("[service.dns]", lonely, "service.lonely.operations: the service has no operations");
    breaks(
        "kind = \"zone\"",
        "kind = \"zone\"\noperations.get = {}",
        "service.dns.operations: unknown key `operations`",
    );
}

#[test]
fn calls_in_a_circle_are_refused_required_or_not() {
    for required in ["true", "false"] {
        let back = format!(
            "calls.web = {{}}\n\
             operations.get = {{ calls = [{{ service = \"web\", operation = \"read\", required = {required} }}] }}"
        );
        breaks(
            "operations.get = {}",
            &back,
            "service.store.operations.get: the calls go round in a circle: store.get -> web.read -> store.get",
        );
    }
    let beside = "calls.web = {}\noperations.get = {}\n\
                  operations.list = { calls = [{ service = \"web\", operation = \"read\" }] }";
    let fine = try_load(&changed("operations.get = {}", beside), &[]);
    assert!(fine.is_ok(), "services may call each other as long as operations don't: {fine:?}");
}
