//! From an expectations file to milestones and checks.

use eastfall_fabric::Moment;
use eastfall_topology::{Problem, Problems, Source};

use super::{Check, Condition, Expectations, Milestone, Rule, SyntaxError, When, Window, WindowRule};
use crate::reader::{Fields, Located, Reading, sound};
use crate::reference::{FactKind, Reference, date, window_fields};
use crate::scenario::Scenario;

impl Expectations {
    /// The file of published facts that an expectations file names (`reference`), relative to its own. What is wrong
    /// with the file is for [`Expectations::read`] to say.
    pub fn reference(source: Source<'_>) -> Option<String> {
        let reading = Reading::new(source);
        let table = reading.parse();
        Fields::new(&reading, &table).text("reference").map(|field| field.value)
    }

    /// Reads an expectations file. `scenario` is the whole one, before anything was left out of it: what is expected
    /// `after` a step may be expected although this run leaves the step out.
    ///
    /// # Errors
    /// Everything that is wrong, with file, line, column, key, rule and cure.
    pub fn read(
        source: Source<'_>,
        scenario: &Scenario,
        reference: Option<&Reference>,
    ) -> Result<Expectations, Problems> {
        let reading = Reading::new(source);
        let table = reading.parse();
        let expectations = reading.is_sound().then(|| {
            let mut file = Fields::new(&reading, &table);
            file.text("reference");
            let reader = Reader { scenario, reference };
            let milestones = reader.milestones(&mut file);
            let checks = reader.checks(&mut file, &milestones);
            let mut windows = reference.map(|reference| reference.windows.clone()).unwrap_or_default();
            let window_rules = reader.windows(&mut file, &mut windows);
            file.finish();
            Expectations { milestones, checks, windows, window_rules }
        });
        sound(expectations, reading.into_problems())
    }
}

struct Reader<'s> {
    scenario: &'s Scenario,
    reference: Option<&'s Reference>,
}

impl Reader<'_> {
    fn milestones(&self, file: &mut Fields<'_, '_>) -> Vec<Milestone> {
        let milestones: Vec<Milestone> =
            file.tables("milestone").into_iter().filter_map(|fields| self.milestone(fields)).collect();
        for (index, milestone) in milestones.iter().enumerate() {
            let origin = &milestone.when.origin;
            let steps = || self.scenario.steps.iter().map(|step| step.id.as_str());
            let taken = milestones[..index].iter().any(|other| other.id == milestone.id);
            if taken || steps().any(|step| step == milestone.id) {
                let message = format!("there is another step or milestone `{}`", milestone.id);
                file.note(origin.problem(message, "give every milestone an id of its own"));
            }
            let Some(after) = &milestone.when().after else { continue };
            let known = || steps().chain(milestones.iter().map(|other| other.id.as_str()));
            if !known().any(|id| id == after) {
                file.note(origin.unknown("step or milestone", after, known()));
            }
            if waits_for_itself(&milestones, milestone) {
                let message = format!("`{}` waits for itself", milestone.id);
                file.note(origin.problem(message, "say `after` something that comes before it"));
            }
        }
        milestones
    }

    fn milestone(&self, mut fields: Fields<'_, '_>) -> Option<Milestone> {
        let id = fields.needed("id", "a name such as dns.endpoint-empty");
        if let Some(id) = &id {
            fields.call_it(format!("milestone[{}]", id.value));
        }
        let fact = id.as_ref().zip(self.reference).and_then(|(id, reference)| reference.fact(&id.value));
        let system = match fact {
            Some(fact) if !fields.has("system") => Some(fact.system.clone()),
            _ => fields.needed("system", "whose it is").map(|system| system.value),
        };
        let when = fields.needed("when", "how it is recognised: \"first time that ...\"");
        let when = when.and_then(|when| predicate::<When>(&fields, when));
        if let Some(kind) = fields.text("kind").filter(|kind| kind.value != "outcome") {
            let message = format!("`{}` is no kind of milestone", kind.value);
            let cure = "a milestone is an outcome; inputs are steps of the scenario";
            fields.note(kind.origin.problem(message, cure));
        }
        if let (Some(fact), Some(id)) = (fact.filter(|fact| fact.kind != FactKind::Outcome), &id) {
            let message = format!("the reference says that `{}` is an input ({})", id.value, fact.kind);
            fields.note(id.origin.problem(message, "make it a step of the scenario"));
        }
        let published = date(&mut fields, "published");
        if let (Some(_), Some(_)) = (fact, published) {
            let origin = fields.origin();
            fields.note(origin.problem("the reference has the published time", "leave `published` out"));
        }
        fields.text("what");
        fields.finish();
        let published = published.or(fact.map(|fact| fact.at));
        Some(Milestone { id: id?.value, system: system?, when: when?, published })
    }

    fn checks(&self, file: &mut Fields<'_, '_>, milestones: &[Milestone]) -> Vec<Check> {
        let mut checks: Vec<Check> = Vec::new();
        for mut fields in file.tables("check") {
            let id = fields.needed("id", "a name such as clients-recover-within-15m");
            if let Some(id) = &id {
                fields.call_it(format!("check[{}]", id.value));
                if checks.iter().any(|check| check.id == id.value) {
                    fields.note(
                        id.origin.problem("another check has this id", "give every check an id of its own"),
                    );
                }
            }
            let what = fields.text("what").map(|what| what.value);
            let about = fields.text("about");
            if let (Some(about), Some(reference)) = (&about, self.reference)
                && reference.fact(&about.value).is_none()
            {
                let facts = reference.facts.iter().map(|fact| fact.id.as_str());
                fields.note(about.origin.unknown("fact of the reference", &about.value, facts));
            }
            let rule = self.rule(&mut fields, milestones);
            fields.finish();
            if let (Some(id), Some(rule)) = (id, rule) {
                checks.push(Check { id: id.value, what, about: about.map(|about| about.value), rule });
            }
        }
        checks
    }

    /// Adds the windows that are published here, and returns how others are recognised. One table may do both.
    fn windows(&self, file: &mut Fields<'_, '_>, published: &mut Vec<Window>) -> Vec<WindowRule> {
        let mut rules: Vec<WindowRule> = Vec::new();
        for (index, mut fields) in file.tables("window").into_iter().enumerate() {
            fields.call_it(format!("window[{index}]"));
            let window = window_fields(&mut fields);
            let when = fields.text("when");
            let has_when = when.is_some();
            let when = when.and_then(|when| predicate::<Condition>(&fields, when));
            let origin = fields.origin();
            fields.finish();
            let Some(window) = window else { continue };
            if let Some(when) = when {
                if rules.iter().any(|rule| rule.system == window.system) {
                    let message =
                        format!("another window says how those of `{}` are recognised", window.system);
                    file.note(origin.problem(message, "join both conditions with `or`"));
                }
                rules.push(WindowRule { system: window.system.clone(), when });
            }
            if !has_when || window.from.is_some() || window.to.is_some() {
                published.push(window);
            }
        }
        rules
    }

    fn rule(&self, fields: &mut Fields<'_, '_>, milestones: &[Milestone]) -> Option<Rule> {
        let forms: Vec<&str> =
            ["milestone", "never", "always"].into_iter().filter(|key| fields.has(key)).collect();
        if forms.len() != 1 {
            let cure = "write `milestone = ID` with `between = [FROM, TO]` or `absent = true`, or `never = CONDITION`, or `always = CONDITION`";
            fields.note(fields.origin().problem("a check has one rule", cure));
        }
        let milestone = fields.text("milestone");
        let never = fields.text("never");
        let always = fields.text("always");
        let between = fields.texts("between");
        let absent = fields.truth("absent");
        let (from, to) = (fields.text("from"), fields.text("to"));
        if let Some(milestone) = milestone {
            for misplaced in [&from, &to].into_iter().flatten() {
                fields.note(
                    misplaced
                        .origin
                        .problem("this goes with `never` and `always`", "write `between = [FROM, TO]`"),
                );
            }
            let ids = || milestones.iter().map(|milestone| milestone.id.as_str());
            if !ids().any(|id| id == milestone.value) {
                fields.note(milestone.origin.unknown("milestone", &milestone.value, ids()));
            }
            return match (between, absent.is_some_and(|absent| absent.value)) {
                (None, true) => Some(Rule::Absent { milestone: milestone.value }),
                (Some(between), false) => {
                    let (from, to) = self.between(fields, &between)?;
                    Some(Rule::Between { milestone: milestone.value, from, to })
                }
                _ => {
                    let cure = "write `between = [FROM, TO]` or `absent = true`";
                    fields.note(milestone.origin.problem("it must come within a time, or not at all", cure));
                    None
                }
            };
        }
        for misplaced in between.map(|b| b.origin).into_iter().chain(absent.map(|a| a.origin)) {
            fields.note(misplaced.problem("this goes with `milestone`", "write `from` and `to`"));
        }
        let is_always = always.is_some();
        let condition = always.or(never).and_then(|text| predicate::<Condition>(fields, text));
        let start = from.and_then(|from| self.time(fields, &from, None));
        let end = to.and_then(|to| self.time(fields, &to, start));
        let (from, to) = (start.unwrap_or(Moment::START), end.unwrap_or(Moment::MAX));
        Some(Rule::Holds { always: is_always, condition: condition?, from, to })
    }

    fn between(&self, fields: &Fields<'_, '_>, texts: &Located<Vec<String>>) -> Option<(Moment, Moment)> {
        let [from, to] = texts.value.as_slice() else {
            fields.note(texts.origin.problem("these are not two times", "write [FROM, TO]"));
            return None;
        };
        let located = |text: &String| Located { value: text.clone(), origin: texts.origin.clone() };
        let from = self.time(fields, &located(from), None)?;
        let to = self.time(fields, &located(to), Some(from))?;
        if to < from {
            fields.note(texts.origin.problem("the second time is before the first", "write [FROM, TO]"));
        }
        Some((from, to))
    }

    fn time(&self, fields: &Fields<'_, '_>, text: &Located<String>, after: Option<Moment>) -> Option<Moment> {
        let timeline = &self.scenario.timeline;
        let after = after.map_or(timeline.starts(), |after| timeline.date(after));
        crate::scenario::time(fields, timeline, text, after)
    }
}

/// A predicate of the file.
fn predicate<T: std::str::FromStr<Err = SyntaxError>>(
    fields: &Fields<'_, '_>,
    text: Located<String>,
) -> Option<Located<T>> {
    let Located { value, origin } = text;
    match value.parse() {
        Ok(value) => Some(Located { value, origin }),
        Err(SyntaxError { at, message, cure, nearest }) => {
            let message = format!("at letter {} of `{value}`: {message}", value[..at].chars().count() + 1);
            fields.note(Problem { nearest, ..origin.problem(message, cure) });
            None
        }
    }
}

/// Whether following `after` from a milestone leads back to it.
fn waits_for_itself(milestones: &[Milestone], start: &Milestone) -> bool {
    let mut at = start;
    for _ in milestones {
        let Some(after) = &at.when().after else { return false };
        match milestones.iter().find(|milestone| milestone.id == *after) {
            Some(next) if next.id == start.id => return true,
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests;
