//! What is compared: named sets of settings, from `--vary` and `--variant`, each checked like a run of its own.

use std::collections::BTreeSet;

use eastfall_topology::Setting;

use super::split::split;
use crate::cli;
use crate::failure::Failure;
use crate::run_folder::Mode;
use crate::session::Session;

/// One row of the comparison.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    /// Its name: of a bundle, of the values varied, or both.
    pub(super) name: String,
    /// What it sets beside the command line's `--set`, `PATH=VALUE`.
    pub(super) settings: Vec<String>,
    /// The run, but for its seed.
    pub(super) session: Session,
}

/// The variant that nothing is set in.
const AS_BUILT: &str = "as built";

/// A name and settings, before they are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Draft {
    name: String,
    settings: Vec<String>,
}

/// The variants of a command line: every `--variant` with every combination of values of every `--vary`, the last
/// varying fastest. Without either, the topology as it is.
pub(super) fn load(arguments: &cli::Compare) -> Result<Vec<Variant>, Failure> {
    let drafts = drafts(&arguments.variant, &arguments.vary)?;
    let mut variants = Vec::with_capacity(drafts.len());
    let mut problems: Vec<String> = Vec::new();
    for Draft { name, settings } in drafts {
        let mut scenario = arguments.scenario.clone();
        scenario.settings.extend(settings.iter().cloned());
        match Session::load(&scenario, Mode::Sim, None) {
            Ok(session) => variants.push(Variant { name, settings, session }),
            Err(Failure(message)) => {
                for line in message.lines().map(|line| as_asked(line, &name, &settings)) {
                    // What is wrong with the files is wrong in every variant.
                    if !problems.contains(&line) {
                        problems.push(line);
                    }
                }
            }
        }
    }
    if problems.is_empty() { Ok(variants) } else { Err(Failure(problems.join("\n"))) }
}

/// A problem with a variant's setting names the variant, not a `--set` that nobody wrote.
fn as_asked(line: &str, variant: &str, settings: &[String]) -> String {
    let of_variant = settings.iter().any(|setting| line.starts_with(&format!("--set {setting}")));
    match line.strip_prefix("--set ") {
        Some(rest) if of_variant => format!("variant `{variant}`: {rest}"),
        _ => line.to_owned(),
    }
}

fn drafts(bundles: &[String], axes: &[String]) -> Result<Vec<Draft>, Failure> {
    let mut problems = Vec::new();
    let mut noted = |result: Result<Vec<Draft>, String>| match result {
        Ok(drafts) => drafts,
        Err(problem) => {
            problems.push(problem);
            Vec::new()
        }
    };
    let bundles: Vec<Draft> =
        bundles.iter().flat_map(|text| noted(bundle(text).map(|one| vec![one]))).collect();
    let mut axes: Vec<Vec<Draft>> = axes.iter().map(|text| noted(axis(text))).collect();
    if !problems.is_empty() {
        return Err(Failure(problems.join("\n")));
    }
    name_by_shortest(&mut axes);
    let mut drafts = if bundles.is_empty() { vec![Draft::default()] } else { bundles };
    for axis in &axes {
        drafts = drafts.iter().flat_map(|draft| axis.iter().map(|value| draft.with(value))).collect();
    }
    if let [only] = &mut drafts[..]
        && only.name.is_empty()
    {
        only.name = AS_BUILT.to_owned();
    }
    let mut names = BTreeSet::new();
    match drafts.iter().find(|draft| !names.insert(&draft.name)) {
        Some(twice) => {
            Err(Failure(format!("variant `{}` is there twice; name or vary each once", twice.name)))
        }
        None => Ok(drafts),
    }
}

impl Draft {
    fn with(&self, value: &Draft) -> Draft {
        let names = [&self.name, &value.name].into_iter().filter(|name| !name.is_empty());
        Draft {
            name: names.map(String::as_str).collect::<Vec<_>>().join(", "),
            settings: self.settings.iter().chain(&value.settings).cloned().collect(),
        }
    }
}

/// `NAME: PATH=VALUE PATH=VALUE`
fn bundle(text: &str) -> Result<Draft, String> {
    let told = |what: &str| format!("--variant {text}: {what}");
    let (name, settings) =
        text.split_once(':').filter(|(name, _)| !name.trim().is_empty() && !name.contains('=')).ok_or_else(
            || told("has no name; write NAME: PATH=VALUE PATH=VALUE, or just NAME: to set nothing"),
        )?;
    let parts = split(settings, char::is_whitespace).map_err(|error| told(&error.to_string()))?;
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    let settings = parts.map(|part| match part.parse::<Setting>() {
        Ok(setting) => Ok(setting.to_string()),
        Err(error) => Err(told(&error.to_string())),
    });
    Ok(Draft { name: name.trim().to_owned(), settings: settings.collect::<Result<_, _>>()? })
}

/// `PATH=VALUE,VALUE`, a draft a value. They are named by the whole path.
fn axis(text: &str) -> Result<Vec<Draft>, String> {
    let told = |what: String| format!("--vary {text}: {what}");
    let Setting { path, value } = text.parse().map_err(|error| told(format!("{error}")))?;
    let values = split(&value, |letter| letter == ',').map_err(|error| told(error.to_string()))?;
    if values.contains(&"") {
        return Err(told("a value is missing; write PATH=V1,V2".to_owned()));
    }
    let draft = |value: &str| {
        let setting = format!("{path}={value}");
        Draft { name: setting.clone(), settings: vec![setting] }
    };
    Ok(values.into_iter().map(draft).collect())
}

/// Names values by as few of the last names of their path as tell it from the paths of the other axes.
fn name_by_shortest(axes: &mut [Vec<Draft>]) {
    let path = |axis: &[Draft]| -> Vec<String> {
        let setting = axis.first().map(|draft| draft.name.as_str()).unwrap_or_default();
        setting.split('=').next().unwrap_or_default().split('.').map(str::to_owned).collect()
    };
    let paths: Vec<Vec<String>> = axes.iter().map(|axis| path(axis)).collect();
    for (number, axis) in axes.iter_mut().enumerate() {
        let own = &paths[number];
        let others = || paths.iter().enumerate().filter(|(other, _)| *other != number).map(|(_, path)| path);
        let last = |length: usize| &own[own.len() - length..];
        let told_apart = |length: &usize| others().all(|other| !other.ends_with(last(*length)));
        let length = (1..own.len()).find(told_apart).unwrap_or(own.len());
        let (long, short) = (own.join("."), last(length).join("."));
        for draft in axis {
            draft.name = draft.name.replacen(&long, &short, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drafts_of(bundles: &[&str], axes: &[&str]) -> Result<Vec<(String, String)>, String> {
        let [bundles, axes] =
            [bundles, axes].map(|texts| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        let drafts = drafts(&bundles, &axes).map_err(|Failure(message)| message)?;
        Ok(drafts.into_iter().map(|draft| (draft.name, draft.settings.join(" "))).collect())
    }

    fn pairs(expected: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        Ok(expected.iter().map(|&(name, settings)| (name.to_owned(), settings.to_owned())).collect())
    }

    #[test]
    fn axes_multiply_and_the_last_varies_fastest() {
        let expected = [
            (
                "backoff=none, attempts=1",
                "service.a.calls.b.retry.backoff=none service.a.calls.b.retry.attempts=1",
            ),
            (
                "backoff=none, attempts=4",
                "service.a.calls.b.retry.backoff=none service.a.calls.b.retry.attempts=4",
            ),
            (
                "backoff=fixed, attempts=1",
                "service.a.calls.b.retry.backoff=fixed service.a.calls.b.retry.attempts=1",
            ),
            (
                "backoff=fixed, attempts=4",
                "service.a.calls.b.retry.backoff=fixed service.a.calls.b.retry.attempts=4",
            ),
        ];
        let axes = ["service.a.calls.b.retry.backoff=none,fixed", "service.a.calls.b.retry.attempts=1,4"];
        assert_eq!(drafts_of(&[], &axes), pairs(&expected));
    }

    #[test]
    fn bundles_are_rows_and_multiply_with_axes() {
        let bundles = ["as built:", "no retries: service.a.calls.b.retry=none service.a.queue={ limit = 3 }"];
        let expected = [
            ("as built, workers=1", "service.a.workers=1"),
            (
                "no retries, workers=1",
                "service.a.calls.b.retry=none service.a.queue={ limit = 3 } service.a.workers=1",
            ),
        ];
        assert_eq!(drafts_of(&bundles, &["service.a.workers=1"]), pairs(&expected));
        assert_eq!(
            drafts_of(&[], &[]),
            pairs(&[("as built", "")]),
            "nothing varied is the topology as it is"
        );
    }

    #[test]
    fn a_value_keeps_its_commas_in_brackets() {
        let axis = "service.a.curve=[[\"00:00\", 1.0], [\"12:00\", 2.0]],[[\"00:00\", 1.0]]";
        let drafts = drafts_of(&[], &[axis]).expect("two values");
        assert_eq!(drafts[0].1, "service.a.curve=[[\"00:00\", 1.0], [\"12:00\", 2.0]]");
        assert_eq!(drafts.len(), 2);
    }

    #[test]
    fn names_are_as_long_as_it_takes_to_tell_them_apart() {
        let axes = ["service.a.workers=1,2", "service.b.workers=1"];
        let names: Vec<String> =
            drafts_of(&[], &axes).expect("two").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.workers=1, b.workers=1", "a.workers=2, b.workers=1"]);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let told =
            drafts_of(&["service.a.workers=1", "x: nothing"], &["service.a.workers", "a.b=1,,2", "a.b=[1"])
                .expect_err("five mistakes");
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 5, "{told}");
        for (line, what) in lines.iter().zip([
            "has no name",
            "has no value",
            "has no value",
            "a value is missing",
            "no partner",
        ]) {
            assert!(line.contains(what), "{what}: {line}");
        }
        let twice = drafts_of(&["x:", "x: a.b=1"], &[]).expect_err("one name");
        assert!(twice.contains("`x` is there twice"), "{twice}");
    }
}
