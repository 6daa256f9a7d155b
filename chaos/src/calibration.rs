//! Free parameters of a model, as data: what was chosen, to meet what, and within which bounds.
//!
//! A model with as many free parameters as there are published times fits anything and shows nothing. So every value that
//! was chosen is listed here, with the outcomes that it was chosen by (or what it was taken from instead), and there must
//! be fewer of the former than of published outcomes. `eastfall sweep` moves each and shows what moves with it.

use std::collections::BTreeMap;

use eastfall_topology::{Problems, Setting, Source};

use crate::expect::Window;
use crate::reader::{Fields, Located, Origin, Reading, sound};
use crate::reference::{FactKind, Reference};

/// The free parameters of one scenario's model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calibration {
    /// In the order of the file.
    pub parameters: Vec<Parameter>,
}

/// One value that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its dotted path in the topology: `service.dwfm.lease`.
    pub path: String,
    /// The value that ships, as one would write it after `--set PATH=`.
    pub value: String,
    /// Where the value comes from.
    pub ground: Ground,
    /// The lowest and the highest value that would be as plausible; a sweep stays within.
    pub range: [String; 2],
    /// Why this value, for people.
    pub why: Option<String>,
    origin: Origin,
}

/// Where a parameter's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// It was chosen so that these published outcomes are met: what they show of the model is spent.
    Tuned {
        /// Ids of outcomes.
        meets: Vec<String>,
    },
    /// It was not tuned, but taken from somewhere.
    Untuned {
        /// From where: a publication, a standard, an assumption that no outcome was held against.
        from: String,
    },
}

impl Parameter {
    /// True if it was chosen by outcomes.
    pub fn is_tuned(&self) -> bool {
        matches!(self.ground, Ground::Tuned { .. })
    }

    /// Where it was written, and its path: for messages.
    pub fn place(&self) -> String {
        format!("{}: {}", self.origin.place, self.path)
    }
}

impl Calibration {
    /// Reads a file of free parameters. `reference` is what outcomes are looked up in.
    ///
    /// # Errors
    /// Everything that is wrong, with file, line, column, key, rule and cure; also if there are not fewer tuned
    /// parameters than published outcomes.
    pub fn read(source: Source<'_>, reference: Option<&Reference>) -> Result<Calibration, Problems> {
        let reading = Reading::new(source);
        let table = reading.parse();
        let calibration = reading.is_sound().then(|| {
            let mut file = Fields::new(&reading, &table);
            let mut parameters: Vec<Parameter> = Vec::new();
            for fields in file.tables("parameter") {
                let Some(parameter) = parameter(fields, reference) else { continue };
                if parameters.iter().any(|other| other.path == parameter.path) {
                    file.note(
                        parameter.origin.problem("this parameter is there twice", "leave one of them out"),
                    );
                }
                parameters.push(parameter);
            }
            let calibration = Calibration { parameters };
            if let Some(outcomes) = reference.map(Reference::outcomes)
                && calibration.tuned() >= outcomes
                && calibration.tuned() > 0
            {
                let message = format!(
                    "{} parameters are tuned to {outcomes} published outcomes: they would fit anything",
                    calibration.tuned()
                );
                file.note(file.origin().problem(message, "take values from what is known, and tune fewer"));
            }
            file.finish();
            calibration
        });
        sound(calibration, reading.into_problems())
    }

    /// How many parameters were chosen by outcomes.
    pub fn tuned(&self) -> usize {
        self.parameters.iter().filter(|parameter| parameter.is_tuned()).count()
    }
}

fn parameter(mut fields: Fields<'_, '_>, reference: Option<&Reference>) -> Option<Parameter> {
    let path = fields.needed("path", "a path of the topology, such as service.web.workers");
    if let Some(path) = &path {
        fields.call_it(format!("parameter[{}]", path.value));
        if let Err(error) = format!("{}=0", path.value).parse::<Setting>() {
            fields.note(path.origin.problem(error, "write names joined by dots"));
        }
    }
    let value = fields.needed("value", "what ships, in quotes");
    let (meets, from) = (fields.texts("meets"), fields.text("from"));
    let range = fields.texts("range");
    let why = fields.text("why").map(|why| why.value);
    let origin = fields.origin();
    let ground = match (meets, from) {
        (Some(meets), None) if !meets.value.is_empty() => {
            known(&fields, &meets, reference);
            Some(Ground::Tuned { meets: meets.value })
        }
        (None, Some(from)) if !from.value.trim().is_empty() => Some(Ground::Untuned { from: from.value }),
        _ => {
            let cure = "write `meets = [OUTCOME-ID]` or `from = \"where it is taken from\"`";
            fields.note(origin.problem("a parameter is tuned to outcomes, or taken from somewhere", cure));
            None
        }
    };
    let range = match range {
        Some(Located { value, origin }) => match <[String; 2]>::try_from(value) {
            Ok(range) => Some(range),
            Err(_) => {
                fields.note(origin.problem("these are not two values", "write [LOWEST, HIGHEST]"));
                None
            }
        },
        None => {
            fields.missing("range", "[LOWEST, HIGHEST], values that would be as plausible");
            None
        }
    };
    fields.finish();
    let (path, value) = (path?, value?);
    Some(Parameter { path: path.value, value: value.value, ground: ground?, range: range?, why, origin })
}

/// Notes what is no published outcome: a milestone, or an end of an impact window, as the score calls it.
fn known(fields: &Fields<'_, '_>, meets: &Located<Vec<String>>, reference: Option<&Reference>) {
    let Some(reference) = reference else { return };
    let milestones = reference.facts.iter().filter(|fact| fact.kind == FactKind::Outcome);
    let mut outcomes: Vec<String> = milestones.map(|fact| fact.id.clone()).collect();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for window in reference.windows.iter().filter(|window| window.from.is_some() || window.to.is_some()) {
        let number = seen.entry(&window.system).or_default();
        *number += 1;
        let name = Window::name(&window.system, *number);
        outcomes.extend(window.from.map(|_| format!("{name} opens")));
        outcomes.extend(window.to.map(|_| format!("{name} closes")));
    }
    for id in meets.value.iter().filter(|id| !outcomes.contains(id)) {
        let ids = outcomes.iter().map(String::as_str);
        fields.note(meets.origin.unknown("outcome of the reference", id, ids));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::REFERENCE;

    fn read(text: &str) -> Result<Calibration, Problems> {
        let reference =
            Reference::read(Source { file: "reference.toml", text: REFERENCE }).expect("a reference");
        Calibration::read(Source { file: "x.calibration.toml", text }, Some(&reference))
    }

    fn one(lines: &str) -> String {
        format!(
            "[[parameter]]\npath = \"service.a.workers\"\nvalue = \"3\"\nrange = [\"2\", \"4\"]\n{lines}\n"
        )
    }

    #[test]
    fn a_parameter_is_tuned_or_taken_from_somewhere() {
        let calibration = read(&one("meets = [\"dns.endpoint-empty\"]\nwhy = \"because\"")).expect("sound");
        assert_eq!(calibration.tuned(), 1);
        assert_eq!(calibration.parameters[0].range, ["2", "4"].map(str::to_owned));
        assert_eq!(read(&one("from = \"RFC 2308\"")).expect("sound").tuned(), 0);
    }

    #[test]
    fn every_rule_has_its_error_with_place_key_and_cure() {
        let another = |path: &str| one("meets = [\"dns.endpoint-empty\"]").replace("a.workers", path);
        let cases = [
            (one(""), "a parameter is tuned to outcomes, or taken from somewhere"),
            (one("meets = [\"dns.alarms\"]"), "`dns.alarms` is no outcome of the reference"),
            (
                one("meets = [\"dns.endpoint-empty\"]\nfrom = \"both\""),
                "write `meets = [OUTCOME-ID]` or `from",
            ),
            (one("from = \"x\"").replace("[\"2\", \"4\"]", "[\"2\"]"), "these are not two values"),
            (one("from = \"x\"").replace("a.workers", "a..workers"), "is not a path"),
            (one("from = \"x\"").repeat(2), "this parameter is there twice"),
            (one("from = \"x\"\nwhat = 1"), "`what` is no key of this table"),
            (
                // The reference has one outcome and the start of one window.
                another("a.workers") + &another("b.workers"),
                "2 parameters are tuned to 2 published outcomes",
            ),
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
}
