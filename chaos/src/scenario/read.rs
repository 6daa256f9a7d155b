//! From a scenario's text to its steps; what needs the topology is checked after.

use std::cell::RefCell;

use eastfall_fabric::fault::Fault;
use eastfall_fabric::{Moment, Span};
use eastfall_topology::{Problem, Problems, Setting, Source, Topology, Word as _};
use jiff::Timestamp;

use super::{Act, CallOf, Restart, RestartOf, Scenario, Step, StepKind, StepRetry, call, check};
use crate::reader::{Fields, Located, Reading, plain, sound};
use crate::timeline::Timeline;

/// A scenario before its topology is known: the scenario names the topology's file, and only the topology can say
/// which of its names are right. Problems wait until then, so that all of them come at once.
#[derive(Clone, Debug)]
pub struct Draft {
    scenario: Option<Scenario>,
    topology: Option<String>,
    settings: Vec<Located<Setting>>,
    problems: Vec<Problem>,
}

impl Draft {
    pub(super) fn read(source: Source<'_>) -> Draft {
        let reading = Reading::new(source);
        let table = reading.parse();
        // After an error of syntax what follows is a guess: complaints about it would hide the one that matters.
        let mut draft = Draft { scenario: None, topology: None, settings: Vec::new(), problems: Vec::new() };
        if reading.is_sound() {
            read_scenario(Fields::new(&reading, &table), &mut draft);
        }
        Draft { problems: reading.into_problems(), ..draft }
    }

    /// The topology's file as the scenario names it, relative to the scenario's own.
    pub fn topology(&self) -> Option<&str> {
        self.topology.as_deref()
    }

    /// What the scenario changes in that file for itself, before anybody else does.
    pub fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter().map(|setting| &setting.value)
    }

    /// Problems of a topology with these settings, each of a setting of the scenario's where it stands in its file.
    pub fn located(&self, problems: Problems) -> Problems {
        let place = |problem: &Problem| {
            let of = |setting: &&Located<Setting>| problem.origin == format!("--set {}", setting.value);
            self.settings.iter().find(of).map(|setting| setting.origin.place.clone())
        };
        let located = problems.0.into_iter().map(|problem| match place(&problem) {
            Some(origin) => Problem { origin, ..problem },
            None => problem,
        });
        Problems(located.collect())
    }

    /// The scenario, checked against its topology.
    ///
    /// # Errors
    /// Everything that is wrong, of the file and of its names.
    pub fn check(mut self, topology: &Topology) -> Result<Scenario, Problems> {
        if let Some(scenario) = &self.scenario {
            self.problems.extend(check::check(&scenario.steps, topology));
        }
        sound(self.scenario, self.problems)
    }

    /// The scenario as far as it can be checked without a topology: where there is none to be had, this says what
    /// else is wrong.
    ///
    /// # Errors
    /// Everything that is wrong in the file itself.
    pub fn unchecked(self) -> Result<Scenario, Problems> {
        sound(self.scenario, self.problems)
    }
}

fn read_scenario(mut file: Fields<'_, '_>, draft: &mut Draft) {
    let id = file.needed("id", "a short name for results, such as 2025-10-20");
    let title = file.needed("title", "one line for people");
    let topology =
        file.needed("topology", "the topology's file, relative to this one").map(|field| field.value);
    let settings = file.table("set").map(|fields| read_set(fields, |_| true)).unwrap_or_default();
    let expectations = file.text("expectations").map(|field| field.value);
    let lead = if file.has("lead") { file.span("lead").map(|lead| lead.value) } else { Some(Span::ZERO) };
    let starts =
        file.needed("starts", "the incident's start with its offset, such as 2025-10-19T23:48:00-07:00");
    let timeline = starts.zip(lead).and_then(|(starts, lead)| match Timeline::new(&starts.value, lead) {
        Ok(timeline) => Some(timeline),
        Err(_) => {
            let message = format!("`{}` is no date with an offset", starts.value);
            file.note(starts.origin.problem(message, "write it as 2025-10-19T23:48:00-07:00"));
            None
        }
    });
    let ends = file.needed("ends", "when the run ends");
    let ends = timeline.zip(ends).and_then(|(timeline, ends)| {
        let moment = time(&file, &timeline, &ends, timeline.starts())?;
        if moment <= timeline.incident() {
            file.note(ends.origin.problem("the run ends before the incident starts", "write a later time"));
        }
        Some(moment)
    });
    // Steps are read even if the timeline is broken, for the sake of what is wrong in them.
    let steps = file.tables("step");
    let reader = Steps {
        timeline: timeline.or_else(|| Timeline::new("2000-01-01T00:00:00+00:00", Span::MAX / 4).ok()),
        ends: ends.unwrap_or(Moment::MAX),
        ids: RefCell::default(),
    };
    let mut read: Vec<Step> = steps.into_iter().filter_map(|step| reader.step(step)).collect();
    read.sort_by_key(|step| step.at);
    file.finish();
    draft.scenario = (|| {
        Some(Scenario {
            id: id?.value,
            title: title?.value,
            topology: topology.clone()?,
            expectations,
            timeline: timeline?,
            ends: ends?,
            steps: read,
        })
    })();
    (draft.topology, draft.settings) = (topology, settings);
}

/// The moment of a time in a file; problems are noted.
pub(crate) fn time(
    fields: &Fields<'_, '_>,
    timeline: &Timeline,
    text: &Located<String>,
    after: Timestamp,
) -> Option<Moment> {
    let date = match timeline.read(&text.value, after) {
        Ok(date) => date,
        Err(error) => {
            fields.note(text.origin.problem(error, ""));
            return None;
        }
    };
    let moment = timeline.moment(date);
    if moment.is_none() {
        let message = format!("{} is before the run begins", timeline.written(date));
        fields.note(text.origin.problem(message, "write a later time, or raise the scenario's `lead`"));
    }
    moment
}

/// The keys of what a step can do.
const ACTS: [&str; 4] = ["fault", "set", "call", "restart"];

struct Steps {
    timeline: Option<Timeline>,
    ends: Moment,
    /// Taken by steps further up.
    ids: RefCell<Vec<String>>,
}

impl Steps {
    fn step(&self, mut fields: Fields<'_, '_>) -> Option<Step> {
        let id = fields.needed("id", "a name such as dns.restored");
        if let Some(id) = &id {
            fields.call_it(format!("step[{}]", id.value));
            let mut ids = self.ids.borrow_mut();
            if ids.contains(&id.value) {
                fields
                    .note(id.origin.problem("another step has this id", "give every step an id of its own"));
            }
            ids.push(id.value.clone());
        }
        let kind =
            fields.needed("kind", "trigger (something breaks) or action (of operators)").and_then(|kind| {
                let word = StepKind::from_word(&kind.value);
                if word.is_none() {
                    let words = StepKind::WORDS.iter().copied();
                    let mut problem = kind.origin.unknown("kind of step", &kind.value, words);
                    if kind.value == "outcome" {
                        problem.cure =
                            "an outcome has to emerge: expect it in the expectations file".to_owned();
                    }
                    fields.note(problem);
                }
                word
            });
        let at = fields.needed("at", "when it begins");
        let at = at.zip(self.timeline).and_then(|(at, timeline)| {
            let moment = time(&fields, &timeline, &at, timeline.starts())?;
            if moment > self.ends {
                fields.note(
                    at.origin.problem("this is after the run's end", "write an earlier time, or move `ends`"),
                );
            }
            Some(moment)
        });
        let what = fields.needed("what", "one sentence for people");
        let source = fields.text("source").map(|field| field.value);
        let act = self.act(&mut fields, at);
        let retry = fields.table("retry").and_then(read_retry);
        if retry.is_some() && matches!(act, Some(Act::Note | Act::Fault { .. })) {
            let origin = fields.origin();
            fields.note(origin.problem("`retry` goes with set, call and restart", "leave it out"));
        }
        let act_key = ACTS.into_iter().find(|key| fields.has(key));
        let origin = act_key.and_then(|key| fields.any(key)).map_or(fields.origin(), |act| act.origin);
        fields.finish();
        Some(Step {
            id: id?.value,
            kind: kind?,
            at: at?,
            what: what?.value,
            source,
            act: act?,
            retry,
            origin,
        })
    }

    /// The one thing a step does. Every key is read, for the sake of what is wrong in it.
    fn act(&self, fields: &mut Fields<'_, '_>, at: Option<Moment>) -> Option<Act> {
        let written: Vec<&str> = ACTS.into_iter().filter(|key| fields.has(key)).collect();
        if written.len() > 1 {
            let message = format!("a step does one thing, and this one has {}", written.join(" and "));
            fields
                .note(fields.origin().problem(message, "make a step of each, with one prefix to group them"));
        }
        let fault = fields.parsed::<Fault>("fault");
        let lasts = fields.span("for");
        let until = fields.text("until");
        let ending = lasts.as_ref().map(|field| &field.origin).or(until.as_ref().map(|field| &field.origin));
        if let Some(origin) = ending.filter(|_| !written.contains(&"fault")) {
            fields.note(
                origin.problem("only a fault has an end", "leave it out, or make a step of what ends it"),
            );
        }
        if let (Some(lasts), Some(_)) = (&lasts, &until) {
            fields.note(lasts.origin.problem("`for` and `until` both say when it ends", "keep one of them"));
        }
        let until = match (lasts, until, self.timeline) {
            (Some(lasts), ..) => at.map(|at| at + lasts.value),
            (None, Some(until), Some(timeline)) => {
                let after = at.map_or(timeline.starts(), |at| timeline.date(at));
                let moment = time(fields, &timeline, &until, after);
                if moment.is_some() && moment <= at {
                    fields.note(until.origin.problem("it ends before it begins", "write a later time"));
                }
                moment
            }
            _ => None,
        };
        // Names at the top of a topology are no values that could change.
        let set = fields.table("set").map(|fields| read_set(fields, |path| path.contains('.')));
        let set = set.map(|settings| settings.into_iter().map(|setting| setting.value).collect());
        let call = fields.table("call").map(read_call);
        let restart = fields.table("restart").map(read_restart);
        match written.first().copied() {
            None => Some(Act::Note),
            Some("fault") => fault.map(|fault| Act::Fault { fault: fault.value, until }),
            Some("set") => set.map(Act::Set),
            Some("call") => call.flatten().map(Act::Call),
            Some(_) => restart.flatten().map(Act::Restart),
        }
    }
}

fn read_retry(mut fields: Fields<'_, '_>) -> Option<StepRetry> {
    if !fields.has("every") {
        fields.missing("every", "how long after a failure, such as 30s");
    }
    let every = fields.span("every");
    let attempts = if fields.has("attempts") {
        fields.number("attempts", 1.0, 1000.0).map(|number| number.value as u32)
    } else {
        Some(10)
    };
    fields.finish();
    Some(StepRetry { every: every?.value, attempts: attempts? })
}

fn read_set(fields: Fields<'_, '_>, is_path: impl Fn(&str) -> bool) -> Vec<Located<Setting>> {
    let mut settings = Vec::new();
    for path in fields.keys() {
        let Some(Located { value, origin }) = fields.any(path) else { continue };
        if is_path(path) {
            let value = Setting { path: path.to_owned(), value: plain(value).to_string() };
            settings.push(Located { value, origin });
        } else {
            let message = format!("`{path}` is no path of a value");
            fields.note(
                origin.problem(message, "write the whole path in quotes: \"service.NAME.KEY\" = VALUE"),
            );
        }
    }
    if fields.keys().next().is_none() {
        fields.note(fields.origin().problem("nothing is set", "write \"service.NAME.KEY\" = VALUE"));
    }
    settings
}

fn read_call(mut fields: Fields<'_, '_>) -> Option<CallOf> {
    let service = fields.needed("service", "the service or instance that is called");
    let path = fields.needed("method", "the method, such as eastfall.service.v1.Service/Perform");
    let method = path.and_then(|path| call::method(&path).map_err(|problem| fields.note(problem)).ok());
    let body = match fields.value("body") {
        None => Some((toml::Table::new(), fields.origin())),
        Some(Located { value, origin }) => match plain(value) {
            toml::Value::Table(table) => Some((table, origin)),
            _ => {
                fields.note(origin.problem("the body is no table", "write the request's fields as a table"));
                None
            }
        },
    };
    let request = method.zip(body).and_then(|(method, (table, origin))| {
        let request = call::request(method, table, &origin);
        request.map_err(|problems| problems.into_iter().for_each(|problem| fields.note(problem))).ok()
    });
    fields.finish();
    Some(CallOf { service: service?.value, method: method?.path.to_owned(), request: request? })
}

fn read_restart(mut fields: Fields<'_, '_>) -> Option<Restart> {
    let service = fields.text("service");
    let instances = fields.texts("instances");
    if fields.has("service") == fields.has("instances") {
        let origin = fields.origin();
        fields.note(
            origin.problem("a restart is of one service or of instances", "write `service` or `instances`"),
        );
    }
    let who = service.map(|service| RestartOf::Service(service.value));
    let who = who.or(instances.map(|instances| RestartOf::Instances(instances.value)));
    let fraction = if fields.has("fraction") {
        fields.number("fraction", 1e-6, 1.0).map_or(1.0, |share| share.value)
    } else {
        1.0
    };
    let spacing = fields.span("spacing").map_or(Span::ZERO, |spacing| spacing.value);
    let down = fields.span("down").map(|down| down.value);
    fields.finish();
    Some(Restart { who: who?, fraction, spacing, down })
}
