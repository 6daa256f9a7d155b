//! Expectations files: one failing file for each rule.

use super::*;
use crate::testing::{REFERENCE, scenario};

fn read(text: &str) -> Result<Expectations, Problems> {
    let reference = Reference::read(Source { file: "reference.toml", text: REFERENCE }).expect("a reference");
    let scenario =
        scenario("[[step]]\nid = \"dns.restored\"\nkind = \"action\"\nat = \"+1h\"\nwhat = \"it\"\n");
    Expectations::read(Source { file: "expect.toml", text }, &scenario, Some(&reference))
}

#[test]
fn published_times_and_systems_come_from_the_reference() {
    let text = "[[milestone]]\nid = \"dns.endpoint-empty\"\nwhen = \"first time that a > 0\"";
    let expectations = read(text).expect("sound");
    let milestone = &expectations.milestones[0];
    assert_eq!(milestone.system, "route53");
    assert_eq!(milestone.published, "2025-01-02T00:00:00Z".parse().ok());
    assert_eq!(expectations.windows.len(), 1, "the reference's window");
}

#[test]
fn a_window_is_published_or_recognised_or_both() {
    let text = "[[window]]\nsystem = \"nlb\"\nwhen = \"nlb.errors > 0 for 1m\"\n\
                [[window]]\nsystem = \"sts\"\nfrom = \"2025-01-02T00:00:00Z\"\nwhen = \"sts.errors > 0\"\n\
                [[window]]\nsystem = \"mwaa\"\nwhat = \"named without a time\"";
    let expectations = read(text).expect("sound");
    let published: Vec<&str> = expectations.windows.iter().map(|window| window.system.as_str()).collect();
    assert_eq!(published, ["dynamodb", "sts", "mwaa"], "the reference's first");
    let rules: Vec<String> =
        expectations.window_rules.iter().map(|rule| format!("{}: {}", rule.system, rule.when())).collect();
    assert_eq!(rules, ["nlb: nlb.errors > 0 for 1m", "sts: sts.errors > 0"]);
}

#[test]
fn a_check_bears_out_its_milestone_or_what_it_says() {
    let text = "[[milestone]]\nid = \"m\"\nsystem = \"s\"\nwhen = \"first time that a > 0\"\n\
                [[check]]\nid = \"a\"\nmilestone = \"m\"\nabsent = true\n\
                [[check]]\nid = \"b\"\nnever = \"a > 0\"\nabout = \"dns.endpoint-empty\"\n\
                [[check]]\nid = \"c\"\nnever = \"a > 0\"";
    let expectations = read(text).expect("sound");
    let facts: Vec<_> = expectations.checks.iter().map(Check::fact).collect();
    assert_eq!(facts, [Some("m"), Some("dns.endpoint-empty"), None]);
}

#[test]
fn every_rule_has_its_error_with_place_key_and_cure() {
    let milestone = |lines: &str| format!("[[milestone]]\nid = \"m\"\nsystem = \"s\"\n{lines}");
    let check = |lines: &str| {
        format!(
            "[[milestone]]\nid = \"m\"\nsystem = \"s\"\nwhen = \"first time that a > 0\"\n[[check]]\nid = \"c\"\n{lines}"
        )
    };
    let cases = [
        (milestone(""), "milestone[m]: `when` is missing"),
        (milestone("when = \"fist time that a > 0\""), "expect.toml:4:8: milestone[m].when: at letter 1 of `fist time that a > 0`: `fist` is not expected here"),
        (milestone("when = \"first time after dns.restord that a > 0\""), "`dns.restord` is no step or milestone; did you mean `dns.restored`?"),
        (milestone("when = \"first time after m that a > 0\""), "`m` waits for itself"),
        (milestone("when = \"first time that a > 0\"\nkind = \"action\""), "a milestone is an outcome"),
        (milestone("when = \"first time that a > 0\"\npublished = \"02:25\""), "`02:25` is no date with an offset"),
        (milestone("when = \"first time that a > 0\"\nwhy = 1"), "`why` is no key of this table"),
        ("[[milestone]]\nid = \"dns.restored\"\nsystem = \"s\"\nwhen = \"first time that a > 0\"".into(), "there is another step or milestone `dns.restored`"),
        ("[[milestone]]\nid = \"dns.alarms\"\nwhen = \"first time that a > 0\"".into(), "the reference says that `dns.alarms` is an input (action)"),
        ("[[milestone]]\nid = \"dns.endpoint-empty\"\nwhen = \"first time that a > 0\"\npublished = \"2025-01-02T00:00:00Z\"".into(), "the reference has the published time"),
        (check(""), "a check has one rule"),
        (check("never = \"a > 0\"\nalways = \"a > 0\""), "a check has one rule"),
        (check("milestone = \"n\"\nabsent = true"), "`n` is no milestone; the only one is `m`"),
        (check("milestone = \"m\""), "it must come within a time, or not at all"),
        (check("milestone = \"m\"\nbetween = [\"+1h\"]"), "these are not two times"),
        (check("milestone = \"m\"\nbetween = [\"+1h\", \"+30m\"]"), "the second time is before the first"),
        (check("milestone = \"m\"\nbetween = [\"+1h\", \"soon\"]"), "check[c].between: `soon` is no time"),
        (check("milestone = \"m\"\nabsent = true\nfrom = \"+1h\""), "this goes with `never` and `always`"),
        (check("never = \"a > 0\"\nabsent = true"), "this goes with `milestone`"),
        (check("never = \"a\""), "`a` is a number, and a truth is wanted"),
        (check("never = \"a > 0\"\n[[check]]\nid = \"c\"\nnever = \"a > 0\""), "another check has this id"),
        (check("never = \"a > 0\"\nabout = \"dns.alarm\""), "`dns.alarm` is no fact of the reference; did you mean `dns.alarms`?"),
        ("[[window]]\nsystem = \"s\"\nwhen = \"a\"".into(), "window[0].when: at letter 1 of `a`"),
        ("[[window]]\nsystem = \"s\"\nwhen = \"a > 0\"\n[[window]]\nsystem = \"s\"\nwhen = \"b > 0\"".into(), "another window says how those of `s` are recognised"),
        ("[[window]]\nsystem = \"s\"\nfrom = \"2025-01-02T00:00:00Z\"\nto = \"2025-01-01T00:00:00Z\"".into(), "the window ends before it begins"),
    ];
    for (text, expected) in cases {
        let problems = read(&text).expect_err(&text).0;
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{text}\nshould say: {expected}\nsays: {found:#?}"
        );
        assert_eq!(found.len(), 1, "one mistake, one problem: {found:#?}");
    }
}

#[test]
fn the_reference_a_file_names_can_be_asked_for_first() {
    let source = Source { file: "expect.toml", text: "reference = \"reference/x.toml\"\nbroken = 1" };
    assert_eq!(Expectations::reference(source), Some("reference/x.toml".to_owned()));
}
