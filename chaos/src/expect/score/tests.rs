//! Milestones and checks of made-up runs.

use super::super::evaluation_tests::Run;
use super::*;
use crate::expect::Milestone;
use crate::testing::expectations;

const MILESTONES: &str = r#"
[[milestone]]
id = "well"
system = "dwfm"
when = "first time after ill that dwfm.errors = 0"
published = "2025-01-02T00:00:00Z"

[[milestone]]
id = "ill"
system = "dwfm"
when = "first time that dwfm.errors > 0"
"#;

/// Ill from 20s to 40s after the run's start, well from 50s on.
fn run() -> Run {
    Run::new(&[("dwfm.errors", &[0.0, 1.0, 2.0, 1.0, 0.0, 0.0])])
}

/// The run's start, as the test scenario's times have it: ten minutes before the incident.
fn evaluated(text: &str) -> Result<Evaluation, Problems> {
    let (expectations, scenario) = expectations(text);
    evaluate(&expectations, &scenario.timeline, &run(), &BTreeMap::new())
}

fn check(lines: &str) -> CheckResult {
    let text = format!("{MILESTONES}[[check]]\nid = \"it\"\n{lines}");
    evaluated(&text).unwrap_or_else(|problems| panic!("{problems}")).checks.remove(0)
}

#[test]
fn milestones_are_found_whatever_their_order_and_scored_in_minutes() {
    let evaluation = evaluated(MILESTONES).expect("sound");
    let [well, ill] = evaluation.milestones.as_slice() else { panic!("two milestones") };
    assert_eq!(ill.at, Some(Moment::START + Span::from_secs(20)));
    assert_eq!(
        well.at,
        Some(Moment::START + Span::from_secs(50)),
        "after the other one, which stands below it"
    );
    let error = well.error_min.expect("it is published");
    assert!((error - (50.0 / 60.0 - 10.0)).abs() < 1e-9, "{error} minutes: nine minutes ten seconds early");
    assert_eq!(ill.error_min, None, "nothing is published");
}

#[test]
fn what_comes_after_something_that_never_came_never_comes() {
    let text = MILESTONES.replace("that dwfm.errors > 0", "that dwfm.errors > 9");
    let evaluation = evaluated(&text).expect("sound");
    assert!(evaluation.milestones.iter().all(|milestone| milestone.at.is_none()), "{evaluation:?}");
}

#[test]
fn a_check_of_a_milestone_passes_within_its_time_only() {
    let verdict = |between: &str| check(&format!("milestone = \"ill\"\nbetween = {between}")).verdict;
    assert_eq!(verdict(r#"["-10m", "-9m30s"]"#), Verdict::Passed, "20s into the run");
    assert_eq!(verdict(r#"["-9m40s", "-9m40s"]"#), Verdict::Passed, "both ends count");
    assert_eq!(verdict(r#"["-9m30s", "-9m"]"#), Verdict::Failed, "too early");
    assert_eq!(check("milestone = \"ill\"\nabsent = true").verdict, Verdict::Failed, "it came");
}

#[test]
fn a_run_that_ended_early_says_nothing_about_later() {
    let text = MILESTONES.replace("that dwfm.errors > 0", "that dwfm.errors > 9");
    let late = format!("{text}[[check]]\nid = \"it\"\nmilestone = \"ill\"\nbetween = [\"+0s\", \"+1h\"]");
    let result = evaluated(&late).expect("sound").checks.remove(0);
    assert_eq!(result.verdict, Verdict::Skipped, "{}", result.found);
    let early =
        format!("{text}[[check]]\nid = \"it\"\nmilestone = \"ill\"\nbetween = [\"-10m\", \"-9m30s\"]");
    let result = evaluated(&early).expect("sound").checks.remove(0);
    assert_eq!(result.verdict, Verdict::Failed, "{}", result.found);
}

#[test]
fn never_and_always_look_at_their_time_only() {
    let cases = [
        ("never = \"dwfm.errors > 2\"", Verdict::Passed),
        ("never = \"dwfm.errors > 1\"", Verdict::Failed),
        ("never = \"dwfm.errors > 0 for 30s\"", Verdict::Passed),
        ("never = \"dwfm.errors > 0 for 20s\"", Verdict::Failed),
        ("never = \"dwfm.errors > 0\"\nfrom = \"-9m10s\"", Verdict::Passed),
        ("always = \"dwfm.errors < 2\"", Verdict::Failed),
        ("always = \"dwfm.errors < 2\"\nto = \"-9m40s\"", Verdict::Passed),
        ("always = \"dwfm.errors > 0\"\nfrom = \"-9m40s\"\nto = \"-9m20s\"", Verdict::Passed),
        ("always = \"dwfm.errors > 9\"\nfrom = \"+1h\"", Verdict::Skipped),
    ];
    for (lines, verdict) in cases {
        let result = check(lines);
        assert_eq!(result.verdict, verdict, "{lines}: {}", result.found);
    }
}

#[test]
fn a_missing_series_is_an_error_with_the_nearest_if_the_run_has_the_system() {
    let error =
        evaluated("[[check]]\nid = \"it\"\nnever = \"dwfm.erors > 0\"").expect_err("misspelt").to_string();
    let expected =
        "expect.toml:3:9: check[it].never: the run has no series `dwfm.erors`; did you mean `dwfm.errors`?";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn what_a_run_has_no_system_for_is_skipped() {
    let text = "[[milestone]]\nid = \"m\"\nsystem = \"nlb\"\nwhen = \"first time that customers->nlb.failed > 0\"\n\
                [[check]]\nid = \"a\"\nmilestone = \"m\"\nabsent = true\n\
                [[check]]\nid = \"b\"\nnever = \"system.nlb.failed > 0\"";
    let evaluation = evaluated(text).expect("no mistake");
    assert!(evaluation.milestones[0].skipped, "{evaluation:?}");
    assert!(evaluation.checks.iter().all(|check| check.verdict == Verdict::Skipped), "{evaluation:?}");
    assert!(evaluation.passed(), "what can't be seen hasn't failed");
}

#[test]
fn a_window_of_its_own_rule_is_where_the_condition_holds() {
    let text = "[[window]]\nsystem = \"dwfm\"\nwhen = \"dwfm.errors > 0\"\n\
                [[window]]\nsystem = \"nlb\"\nwhen = \"nlb.errors > 0\"";
    let evaluation = evaluated(text).expect("sound");
    let at = |seconds| Moment::START + Span::from_secs(seconds);
    let window = Period { from: at(10), to: at(40) };
    let expected = WindowResult { system: "dwfm".to_owned(), windows: vec![window] };
    assert_eq!(evaluation.windows, [expected], "from the start of the first bad sample; the run has no nlb");
    let misspelt = text.replace("dwfm.errors", "dwfm.erors");
    let error = evaluated(&misspelt).expect_err("misspelt").to_string();
    assert!(error.contains("window[0].when: the run has no series `dwfm.erors`"), "{error}");
}

#[test]
fn the_systems_of_a_run_are_known_by_its_series() {
    let names = ["dwfm.queue", "lambda->dwfm.failed", "system.sts.requests"];
    let has = |series| has_system_of(&names, series);
    for series in ["dwfm.x", "lambda.x", "lambda->dwfm.x", "dwfm->lambda.x", "system.sts.x"] {
        assert!(has(series), "{series} is a mistake");
    }
    for series in ["dwf.x", "lambda->nlb.x", "nlb->dwfm.x", "system.st.x", "sts.x"] {
        assert!(!has(series), "{series} belongs to what isn't there");
    }
}

#[test]
fn milestones_made_in_code_that_wait_for_each_other_are_left_out() {
    let when =
        |after: &str| format!("first time after {after} that dwfm.errors > 0").parse().expect("a predicate");
    let milestones =
        vec![Milestone::new("a", "dwfm", when("b"), None), Milestone::new("b", "dwfm", when("a"), None)];
    let expectations = Expectations { milestones, ..Expectations::default() };
    let timeline = Timeline::new("2025-01-02T00:00:00Z", Span::ZERO).expect("a date");
    let evaluation = evaluate(&expectations, &timeline, &run(), &BTreeMap::new()).expect("sound");
    assert_eq!(evaluation.milestones, [], "no endless loop");
}
