//! Whatever is done to a file, checking it ends, in a graph or in problems that point into it.

use super::{KINDS, SAMPLE, try_load};
use crate::{Problem, Setting, Source, Topology};
use proptest::prelude::*;

/// One thing done to a text.
#[derive(Clone, Debug)]
enum Mutation {
    /// A line is taken out.
    DropLine(usize),
    /// A line is there twice.
    RepeatLine(usize),
    /// Two lines change places.
    SwapLines(usize, usize),
    /// A character becomes another.
    ReplaceCharacter(usize, char),
    /// What follows the first `=` of a line becomes something else.
    ReplaceValue(usize, &'static str),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let values = prop::sample::select(vec![
        "-1",
        "0",
        "1e400",
        "nan",
        "\"none\"",
        "\"9s\"",
        "true",
        "[]",
        "{}",
        "[[1]]",
        "2020-01-01",
        "\"é\"",
        "{ service = 1 }",
        "9223372036854775807",
    ]);
    prop_oneof![
        any::<usize>().prop_map(Mutation::DropLine),
        any::<usize>().prop_map(Mutation::RepeatLine),
        (any::<usize>(), any::<usize>()).prop_map(|(one, other)| Mutation::SwapLines(one, other)),
        (any::<usize>(), prop::sample::select(vec!['"', '=', '.', '[', '}', 'x', '\n', 'é', '0', '#']))
            .prop_map(|(place, character)| Mutation::ReplaceCharacter(place, character)),
        (any::<usize>(), values).prop_map(|(line, value)| Mutation::ReplaceValue(line, value)),
    ]
}

fn mutated(text: &str, mutation: &Mutation) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let count = lines.len().max(1);
    match mutation {
        Mutation::DropLine(line) if !lines.is_empty() => drop(lines.remove(line % count)),
        Mutation::RepeatLine(line) if !lines.is_empty() => {
            lines.insert(line % count, lines[line % count].clone())
        }
        Mutation::SwapLines(one, other) if !lines.is_empty() => lines.swap(one % count, other % count),
        Mutation::ReplaceValue(line, value) if !lines.is_empty() => {
            if let Some((key, _)) = lines[line % count].clone().split_once('=') {
                lines[line % count] = format!("{key}= {value}");
            }
        }
        Mutation::ReplaceCharacter(place, character) => {
            let mut characters: Vec<char> = text.chars().collect();
            let length = characters.len().max(1);
            if let Some(found) = characters.get_mut(place % length) {
                *found = *character;
            }
            return characters.into_iter().collect();
        }
        _ => {}
    }
    lines.join("\n")
}

/// The line and column that a problem points at.
fn place(problem: &Problem) -> Option<(usize, usize)> {
    let (line, column) = problem.origin.strip_prefix("topology.toml:")?.split_once(':')?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_mutated_file_is_read_or_its_problems_point_into_it(mutations in prop::collection::vec(mutation(), 1..6)) {
        let text = mutations.iter().fold(SAMPLE.to_owned(), |text, mutation| mutated(&text, mutation));
        if let Err(problems) = try_load(&text, &[]) {
            prop_assert!(!problems.is_empty(), "an error says what is wrong");
            for problem in &problems {
                let place = place(problem);
                prop_assert!(place.is_some(), "not a place in the file: {problem}");
                let (line, column) = place.unwrap_or_default();
                let width = text.split('\n').nth(line - 1).map(|line| line.chars().count());
                let inside = width.is_some_and(|width| (1..=width + 1).contains(&column));
                prop_assert!(inside, "outside the file: {problem}");
                prop_assert!(!problem.to_string().contains('\n'), "more than one line: {problem}");
            }
        }
    }

    #[test]
    fn any_setting_is_applied_or_refused_by_name(path in "[a-z*]{1,8}(\\.[a-z0-9*]{1,8}){0,6}", value in "\\PC{0,12}") {
        let setting = Setting { path, value };
        let source = Source { file: "topology.toml", text: SAMPLE };
        let loaded = Topology::load(source, std::slice::from_ref(&setting), &KINDS, 1.0);
        if let Err(problems) = loaded {
            let origin = format!("--set {setting}");
            prop_assert!(problems.0.iter().any(|problem| problem.origin == origin), "{problems}");
        }
    }

    #[test]
    fn a_setting_later_is_a_setting_from_the_start(first in some_setting(), second in some_setting()) {
        // What the first alone would break, a running fleet doesn't have.
        if let Ok(running) = try_load(SAMPLE, &[first]) {
            let later = running.with(&second.parse().expect("a setting")).map_err(|problems| problems.0);
            prop_assert_eq!(later, try_load(SAMPLE, &[first, second]), "{} then {}", first, second);
        }
    }
}

fn some_setting() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "service.web.workers=4",
        "service.web.workers=none",
        "service.web.queue.discipline=fifo",
        "service.web.queue.target=1ms",
        "service.*.calls.*.retry.attempts=1",
        "service.*.calls.*.retry=none",
        "service.users.calls.web.preset=hystrix",
        "service.users.calls.web.breaker.failures=3",
        "service.users.calls.web.breaker.trip=failure-rate-time",
        "defaults.calls.timeout=20s",
        "defaults.calls.deadline=30s",
        "service.store.instances=1",
        "region.latency=1ms",
    ])
}
