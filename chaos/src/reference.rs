//! Published facts of an incident, as data: what a run is scored against, and nothing a run could read.
//!
//! Kept apart from the expectations so that a published time is typed once, beside its source.

use eastfall_topology::{Problems, Source, Word as _};
use jiff::Timestamp;

use crate::expect::Window;
use crate::reader::{Fields, Located, Reading, sound};

eastfall_topology::words! {
    /// What a published fact is.
    pub enum FactKind {
        /// An input: something broke.
        Trigger = "trigger",
        /// An input: operators did something.
        Action = "action",
        /// An output: it has to emerge.
        Outcome = "outcome",
    }
}

/// Something published, with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Unique.
    pub id: String,
    /// Whose it is.
    pub system: String,
    /// Input or output.
    pub kind: FactKind,
    /// When it was.
    pub at: Timestamp,
    /// One sentence for people.
    pub what: String,
    /// Where it is published.
    pub source: String,
}

/// The published facts of one incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The incident's id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// When customers were first hit.
    pub starts: Timestamp,
    /// When services were back.
    pub ends: Timestamp,
    /// When the last repair was done, if that was later.
    pub last_repair: Option<Timestamp>,
    /// In the order of the file.
    pub facts: Vec<Fact>,
    /// Impact by system.
    pub windows: Vec<Window>,
}

impl Reference {
    /// Reads a file of published facts.
    ///
    /// # Errors
    /// Everything that is wrong, with file, line, column, key, rule and cure.
    pub fn read(source: Source<'_>) -> Result<Reference, Problems> {
        let reading = Reading::new(source);
        let table = reading.parse();
        let reference = if reading.is_sound() { read(Fields::new(&reading, &table)) } else { None };
        sound(reference, reading.into_problems())
    }

    /// The fact with this id.
    pub fn fact(&self, id: &str) -> Option<&Fact> {
        self.facts.iter().find(|fact| fact.id == id)
    }

    /// How many published times a run has to bring about by itself: outcomes, and both ends of every window.
    pub fn outcomes(&self) -> usize {
        let facts = self.facts.iter().filter(|fact| fact.kind == FactKind::Outcome).count();
        facts + self.windows.iter().flat_map(|window| [window.from, window.to]).flatten().count()
    }
}

fn read(mut file: Fields<'_, '_>) -> Option<Reference> {
    let Some(mut incident) = file.table("incident") else {
        file.missing("incident", "a table with id, title, starts and ends");
        return None;
    };
    let id = incident.needed("id", "the incident's name");
    let title = incident.needed("title", "one line for people");
    let starts = needed_date(&mut incident, "starts");
    let ends = needed_date(&mut incident, "ends");
    let last_repair = date(&mut incident, "last_repair");
    incident.finish();
    let facts = file.tables("milestone").into_iter().filter_map(fact).collect();
    let windows = file.tables("window").into_iter().filter_map(window).collect();
    file.finish();
    Some(Reference {
        id: id?.value,
        title: title?.value,
        starts: starts?,
        ends: ends?,
        last_repair,
        facts,
        windows,
    })
}

fn fact(mut fields: Fields<'_, '_>) -> Option<Fact> {
    let id = fields.needed("id", "a name such as dns.restored");
    let system = fields.needed("system", "whose it is");
    let kind = fields.needed("kind", "trigger, action or outcome").and_then(|Located { value, origin }| {
        let kind = FactKind::from_word(&value);
        if kind.is_none() {
            fields.note(origin.unknown("kind of fact", &value, FactKind::WORDS.iter().copied()));
        }
        kind
    });
    let at = needed_date(&mut fields, "at");
    let what = fields.needed("what", "one sentence for people");
    let source = fields.needed("source", "where it is published");
    fields.finish();
    Some(Fact {
        id: id?.value,
        system: system?.value,
        kind: kind?,
        at: at?,
        what: what?.value,
        source: source?.value,
    })
}

fn window(mut fields: Fields<'_, '_>) -> Option<Window> {
    let window = window_fields(&mut fields);
    fields.finish();
    window
}

/// What every window of impact has. A file may have keys of its own beside these.
pub(crate) fn window_fields(fields: &mut Fields<'_, '_>) -> Option<Window> {
    let system = fields.needed("system", "whose customers were hit");
    let (from, to) = (date(fields, "from"), date(fields, "to"));
    if from.zip(to).is_some_and(|(from, to)| to <= from) {
        fields.note(fields.origin().problem("the window ends before it begins", "write a later `to`"));
    }
    let what = fields.text("what").map(|what| what.value);
    Some(Window { system: system?.value, from, to, what })
}

fn needed_date(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<Timestamp> {
    if !fields.has(key) {
        fields.missing(key, "a date with its offset, such as 2025-10-20T02:25:00-07:00");
    }
    date(fields, key)
}

/// A date with its offset.
pub(crate) fn date(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<Timestamp> {
    let Located { value, origin } = fields.text(key)?;
    let date = value.parse().ok();
    if date.is_none() {
        let message = format!("`{value}` is no date with an offset");
        fields.note(origin.problem(message, "write it as 2025-10-20T02:25:00-07:00"));
    }
    date
}
