//! Scenario files: one failing file for each rule, and the changes of a command line.

use eastfall_topology::{Problem, Source};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::testing::{region, scenario, scenario_text};

const STEPS: &str = r#"
[[step]]
id = "break.slow"
kind = "trigger"
at = "-8m"
fault = "latency 15s on dns-enactor-c->route53"
until = "23:57:30"
what = "it slows down"

[[step]]
id = "break.die"
kind = "trigger"
at = "+1m"
fault = "kill dwfm-1"
for = "30s"
what = "it dies"

[[step]]
id = "repair.back-off"
kind = "action"
at = "00:20"
set = { "service.dwfm.calls.dynamodb.retry.attempts" = 1, "service.dwfm.calls.dynamodb.retry.backoff" = "none" }
what = "they retry less"

[[step]]
id = "repair.call"
kind = "action"
at = "2025-01-02T01:00"
call = { service = "dns-tool", method = "eastfall.dnsautomation.v1.Operators/InstallRecordTree", body = { endpoint = "a.b" } }
retry = { every = "10s" }
what = "they mend it"

[[step]]
id = "repair.restart"
kind = "action"
at = "2025-01-02T01:00:00Z"
restart = { service = "dwfm", fraction = 0.5, spacing = "30s" }
what = "they restart half of it"

[[step]]
id = "over"
kind = "action"
at = "+1h30m"
what = "everybody goes home"
"#;

fn problems(steps: &str) -> Vec<String> {
    let text = scenario_text(steps);
    let source = Source { file: "scenario.toml", text: &text };
    match Scenario::load(source, &region()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

/// One step that is right but for one line.
fn step(lines: &str) -> Vec<String> {
    problems(&format!("[[step]]\nid = \"s\"\nwhat = \"it\"\n{lines}"))
}

#[test]
fn steps_are_read_with_their_times_and_acts() {
    let scenario = scenario(STEPS);
    let minute = |minutes| Moment::START + Span::from_mins(minutes);
    let times: Vec<_> = scenario.steps.iter().map(|step| (step.id.as_str(), step.at)).collect();
    let expected = [
        ("break.slow", minute(2)),
        ("break.die", minute(11)),
        ("repair.back-off", minute(30)),
        ("repair.call", minute(70)),
        ("repair.restart", minute(70)),
        ("over", minute(100)),
    ];
    assert_eq!(times, expected);
    let Act::Fault { until, .. } = &scenario.steps[0].act else { panic!("a fault") };
    assert_eq!(*until, Some(minute(7) + Span::from_secs(30)), "the next 23:57:30 after the step's start");
    let Act::Call(call) = &scenario.steps[3].act else { panic!("a call") };
    let request = eastfall_proto::dns_automation::InstallRecordTreeRequest::decode(call.request.as_slice());
    assert_eq!(request.expect("a request").endpoint, "a.b", "the body is encoded");
    let Act::Restart(restart) = &scenario.steps[4].act else { panic!("a restart") };
    assert_eq!(restart.instances(&region()), ["dwfm-1", "dwfm-2"], "half of four");
}

#[test]
fn every_rule_has_its_error_with_place_key_and_cure() {
    let at = "at = \"+1m\"\nkind = \"trigger\"\n";
    let cases: &[(&str, &str)] = &[
        (
            "kind = \"triger\"\nat = \"+1m\"",
            "scenario.toml:10:8: step[s].kind: `triger` is no kind of step; did you mean `trigger`?",
        ),
        ("kind = \"outcome\"\nat = \"+1m\"", "an outcome has to emerge"),
        ("kind = \"trigger\"\nat = \"noon\"", "step[s].at: `noon` is no time; write 02:25"),
        ("kind = \"trigger\"\nat = \"-11m\"", "2025-01-01T23:49:00+00:00 is before the run begins"),
        ("kind = \"trigger\"\nat = \"+3h\"", "this is after the run's end"),
        ("kind = \"trigger\"", "`at` is missing"),
        (&format!("{at}falt = \"kill dwfm\""), "`falt` is no key of this table; did you mean `fault`?"),
        (&format!("{at}fault = 5"), "this is a number, not a text in quotes"),
        (&format!("{at}fault = \"kil dwfm\""), "`kil` is no fault; did you mean `kill`?"),
        (
            &format!("{at}fault = \"kill dwmf\""),
            "`dwmf` is no service or instance of this topology; did you mean `dwfm`?",
        ),
        (
            &format!("{at}fault = \"black-hole dynamodb->dwfm\""),
            "`dynamodb->dwfm` is no way of this topology",
        ),
        (
            &format!("{at}fault = \"black-hole dwfm->dynamodb/GetItm\""),
            "`GetItm` is no method of any API; did you mean `GetItem`?",
        ),
        (&format!("{at}fault = \"kill dwfm\"\nfor = \"0s\""), "this is no time at all"),
        (&format!("{at}fault = \"kill dwfm\"\nuntil = \"-1m\""), "it ends before it begins"),
        (
            &format!("{at}fault = \"kill dwfm\"\nfor = \"1m\"\nuntil = \"+5m\""),
            "`for` and `until` both say when it ends",
        ),
        (&format!("{at}for = \"1m\""), "only a fault has an end"),
        (
            &format!("{at}fault = \"kill dwfm\"\nset = {{ \"a.b\" = 1 }}"),
            "a step does one thing, and this one has fault and set",
        ),
        (
            &format!("{at}set = {{ service.dwfm.title = \"x\" }}"),
            "`service` is no path of a value; write the whole path in quotes",
        ),
        (&format!("{at}set = {{ \"service.dwmf.title\" = \"x\" }}"), "dwmf"),
        (&format!("{at}set = {{}}"), "nothing is set"),
        (
            &format!(
                "{at}call = {{ service = \"dns-tol\", method = \"eastfall.dnsautomation.v1.Operators/InstallRecordTree\" }}"
            ),
            "`dns-tol` is no service or instance of this topology; did you mean `dns-tool`?",
        ),
        (
            &format!(
                "{at}call = {{ service = \"dns-tool\", method = \"eastfall.dnsautomation.v1.Operators/InstallTree\" }}"
            ),
            "is no method of any API; did you mean `eastfall.dnsautomation.v1.Operators/InstallRecordTree`?",
        ),
        (
            &format!(
                "{at}call = {{ service = \"dns-tool\", method = \"eastfall.dnsautomation.v1.Operators/InstallRecordTree\", body = {{ endpont = \"a\" }} }}"
            ),
            "step[s].call.body.endpont: `endpont` is no field of eastfall.dnsautomation.v1.InstallRecordTreeRequest; did you mean `endpoint`?",
        ),
        (
            &format!(
                "{at}call = {{ service = \"dns-tool\", method = \"eastfall.dnsautomation.v1.Operators/InstallRecordTree\", body = {{ endpoint = 5 }} }}"
            ),
            "step[s].call.body: invalid type",
        ),
        (&format!("{at}restart = {{ fraction = 0.5 }}"), "a restart is of one service or of instances"),
        (&format!("{at}restart = {{ service = \"dwfm\", fraction = 1.5 }}"), "1.5 is not within"),
        (
            &format!("{at}restart = {{ instances = [\"dwfm-9\"] }}"),
            "`dwfm-9` is no instance of this topology; did you mean `dwfm-1`?",
        ),
        (
            &format!("{at}fault = \"kill dwfm\"\nretry = {{ every = \"1s\" }}"),
            "`retry` goes with set, call and restart",
        ),
        (
            &format!("{at}set = {{ \"service.dwfm.title\" = \"x\" }}\nretry = {{ attempts = 3 }}"),
            "`every` is missing",
        ),
    ];
    for (lines, expected) in cases {
        let found = step(lines);
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{lines}\nshould say: {expected}\nsays: {found:#?}"
        );
        assert_eq!(found.len(), 1, "one mistake, one problem: {found:#?}");
    }
}

#[test]
fn all_errors_come_at_once() {
    let text =
        "id = \"x\"\ntitle = \"\"\nstarts = \"yesterday\"\nends = \"+1h\"\nextra = 1\n[[step]]\nid = \"s\"\n";
    let found =
        Scenario::draft(Source { file: "s.toml", text }).unchecked().expect_err("much is wrong").to_string();
    for expected in [
        "s.toml:2:9: title: this is empty",
        "`topology` is missing",
        "s.toml:3:10: starts: `yesterday`",
        "s.toml:5:1: extra",
        "step[s]: `kind` is missing",
        "step[s]: `at` is missing",
        "step[s]: `what` is missing",
    ] {
        assert!(found.contains(expected), "{expected} is missing in\n{found}");
    }
}

#[test]
fn an_error_of_syntax_comes_alone() {
    let source = Source { file: "s.toml", text: "id = \"x\"\ntitle = \nstarts" };
    let found = Scenario::draft(source).unchecked().expect_err("no TOML");
    assert!(found.0.iter().all(|problem| problem.message.starts_with("not TOML")), "{found}");
    assert!(found.0[0].origin.starts_with("s.toml:2:"), "{found}");
}

#[test]
fn settings_are_checked_on_top_of_each_other() {
    let set = |at: &str, path: &str, value: &str| {
        format!(
            "[[step]]\nid = \"{path}-{at}\"\nkind = \"action\"\nat = \"{at}\"\nwhat = \"it\"\nset = {{ \"service.dwfm.calls.dynamodb.retry.{path}\" = \"{value}\" }}\n"
        )
    };
    // max-delay of 50ms is below the first base-delay, and above the second.
    let right = set("+2m", "max-delay", "50ms") + &set("+1m", "base-delay", "10ms");
    assert_eq!(problems(&right), Vec::<String>::new());
    let wrong = set("+1m", "max-delay", "50ms") + &set("+2m", "base-delay", "10ms");
    let found = problems(&wrong);
    assert!(found.len() == 1 && found[0].starts_with("scenario.toml:12:7:"), "{found:#?}");
}

#[test]
fn a_scenario_can_change_its_topology_for_itself() {
    let set = "[set]\nonly = [\"dwfm\"]\n\"service.dwfm.calls.dynamodb.timeout\" = \"3s\"\n";
    let text = scenario_text(set);
    let draft = Scenario::draft(Source { file: "scenario.toml", text: &text });
    let settings: Vec<String> = draft.settings().map(Setting::to_string).collect();
    assert_eq!(settings, ["only=[\"dwfm\"]", "service.dwfm.calls.dynamodb.timeout=\"3s\""]);
    let problem = |origin: &str| Problem {
        origin: origin.to_owned(),
        key: "only".to_owned(),
        message: "is wrong".to_owned(),
        cure: String::new(),
        nearest: None,
    };
    let told = draft.located(Problems(vec![problem("--set only=[\"dwfm\"]"), problem("--set a.b=1")]));
    let line = 1 + text[..text.find("only").expect("it is there")].matches('\n').count();
    assert!(told.0[0].origin.starts_with(&format!("scenario.toml:{line}:")), "where it is written: {told}");
    assert_eq!(told.0[1].origin, "--set a.b=1", "what others set is theirs");
}

#[test]
fn two_steps_cannot_have_one_id() {
    let one = "[[step]]\nid = \"s\"\nkind = \"action\"\nat = \"+1m\"\nwhat = \"it\"\n";
    let found = problems(&[one, one].concat());
    assert!(found.len() == 1 && found[0].contains("another step has this id"), "{found:#?}");
}

fn edits(without: &[&str], without_operators: bool, shifts: &[&str]) -> Edits {
    let without = without.iter().map(ToString::to_string).collect();
    let shifts = shifts.iter().map(|shift| shift.parse().expect("a shift")).collect();
    Edits { without, without_operators, shifts }
}

fn ids(scenario: &Scenario) -> Vec<&str> {
    scenario.steps.iter().map(|step| step.id.as_str()).collect()
}

#[test]
fn a_step_or_a_group_can_be_left_out() {
    let scenario = scenario(STEPS);
    let without = |edits| scenario.edit(&edits).expect("known ids");
    assert_eq!(ids(&without(edits(&["repair"], false, &[]))), ["break.slow", "break.die", "over"]);
    assert_eq!(
        ids(&without(edits(&["break.slow", "repair.call", "repair.restart", "repair.back-off"], false, &[]))),
        ["break.die", "over"]
    );
    assert_eq!(ids(&without(edits(&[], true, &[]))), ["break.slow", "break.die"], "without operators");
}

#[test]
fn a_shifted_group_moves_with_its_ends_and_its_order() {
    let scenario = scenario(STEPS);
    let shifted =
        scenario.edit(&edits(&[], false, &["break=+1h30m", "repair.restart=-10m"])).expect("known ids");
    assert_eq!(
        ids(&shifted),
        ["repair.back-off", "repair.restart", "repair.call", "break.slow", "over", "break.die"]
    );
    let before = scenario.steps.iter().find(|step| step.id == "break.slow").expect("it is there");
    let after = shifted.steps.iter().find(|step| step.id == "break.slow").expect("it is there");
    let (Act::Fault { until: Some(before), .. }, Act::Fault { until: Some(after), .. }) =
        (&before.act, &after.act)
    else {
        panic!("faults with an end")
    };
    assert_eq!(*after, *before + Span::from_mins(90), "its end moves too");
}

#[test]
fn an_unknown_step_is_an_error_with_the_nearest() {
    let scenario = scenario(STEPS);
    let error = |edits| scenario.edit(&edits).expect_err("unknown").to_string();
    let found = error(edits(&["break.slwo"], false, &["repiar=+1h"]));
    assert!(
        found.contains("--without break.slwo: `break.slwo` is no step or group; did you mean `break.slow`?"),
        "{found}"
    );
    assert!(
        found.contains("--shift repiar=+1h: `repiar` is no step or group; did you mean `repair`?"),
        "{found}"
    );
    let outside = error(edits(&[], false, &["break.slow=-1h", "over=+1h"]));
    assert!(outside.contains("`break.slow` would happen outside the run"), "{outside}");
    assert!(outside.contains("`over` would happen outside the run"), "{outside}");
}

#[test]
fn a_share_of_instances_is_rounded_up_and_exact() {
    let restart = |fraction, count: usize| {
        let names = (0..count).map(|index| index.to_string()).collect();
        let who = RestartOf::Instances(names);
        Restart { who, fraction, spacing: Span::ZERO, down: None }.instances(&region()).len()
    };
    assert_eq!((restart(0.1, 30), restart(0.5, 3), restart(0.01, 4), restart(1.0, 7)), (3, 2, 1, 7));
}

proptest! {
    #[test]
    fn a_broken_file_never_panics_and_points_into_itself(at in 0_usize..2000, cut in 0_usize..12, junk in "[a-z\"=\\[\\]{}.é0-9\n]{0,6}") {
        let mut text = scenario_text(STEPS);
        let at = at.min(text.len());
        text.replace_range(at..(at + cut).min(text.len()), &junk);
        let source = Source { file: "s.toml", text: &text };
        if let Err(problems) = Scenario::load(source, &region()) {
            prop_assert!(!problems.0.is_empty(), "an error says what is wrong");
            for problem in problems.0 {
                let mut parts = problem.origin.split(':').skip(1).map(|part| part.parse::<usize>());
                let (line, column) = (parts.next().expect("a line").expect("a number"), parts.next().expect("a column").expect("a number"));
                let length = text.split('\n').nth(line - 1).map(|line| line.chars().count());
                prop_assert!(length.is_some_and(|length| column <= length + 1), "{problem} lies outside the file");
            }
        }
    }
}
