//! Reads the TOML of scenarios and expectations: every problem at once, each with its place, key, rule and cure.
//!
//! A misspelt key would otherwise be a step that quietly does less than its author thinks. A read takes a key and
//! notes what is wrong with it; whatever was never asked for is an unknown key.

use std::cell::RefCell;
use std::fmt::Display;
use std::str::FromStr;

use eastfall_fabric::Span;
use eastfall_topology::nearest;
use eastfall_topology::{Problem, Problems, Source};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value was written, kept for problems that only show later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// `scenario.toml:12:7`, or `--shift ec2=+1h`.
    pub(crate) place: String,
    /// The dotted key, with the id of its step: `step[dns.restored].call.method`.
    pub(crate) key: String,
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// A file that is being read, and everything wrong with it so far.
pub(crate) struct Reading<'a> {
    source: Source<'a>,
    problems: RefCell<Vec<Problem>>,
}

/// One table of the file.
pub(crate) struct Fields<'r, 'a> {
    reading: &'r Reading<'a>,
    table: &'r DeTable<'a>,
    path: String,
    start: usize,
    known: Vec<&'static str>,
}

impl Origin {
    /// A problem here.
    pub(crate) fn problem(&self, message: impl Display, cure: impl Display) -> Problem {
        Problem {
            origin: self.place.clone(),
            key: self.key.clone(),
            message: message.to_string(),
            cure: cure.to_string(),
            nearest: None,
        }
    }

    /// A problem here with a name that is unknown among these.
    pub(crate) fn unknown<'n>(
        &self,
        what: &str,
        name: &str,
        valid: impl IntoIterator<Item = &'n str>,
    ) -> Problem {
        let valid: Vec<&str> = valid.into_iter().collect();
        let cure = match valid.as_slice() {
            [] => "there is none".to_owned(),
            [only] => format!("the only one is `{only}`"),
            several if several.len() <= 24 => format!("write one of {}", several.join(", ")),
            several => format!("write one of the {} there are", several.len()),
        };
        Problem { nearest: nearest(name, valid), ..self.problem(format!("`{name}` is no {what}"), cure) }
    }
}

impl<'a> Reading<'a> {
    pub(crate) fn new(source: Source<'a>) -> Self {
        Reading { source, problems: RefCell::default() }
    }

    /// The file as a table. Syntax errors are noted; what could be understood is there.
    pub(crate) fn parse(&self) -> Spanned<DeTable<'a>> {
        let (table, mut errors) = DeTable::parse_recoverable(self.source.text);
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let origin = Origin { place: self.place(at), key: String::new() };
            let message = format!("not TOML: {}", error.message().replace('\n', ", "));
            self.note(origin.problem(message, "correct the syntax"));
        }
        table
    }

    pub(crate) fn note(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_sound(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// All problems.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// `file:line:column`, both from 1, columns in characters.
    fn place(&self, offset: usize) -> String {
        let before = self.source.text.get(..offset).unwrap_or(self.source.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
        format!("{}:{line}:{column}", self.source.file)
    }
}

impl<'r, 'a> Fields<'r, 'a> {
    /// The fields of a table.
    pub(crate) fn new(reading: &'r Reading<'a>, table: &'r Spanned<DeTable<'a>>) -> Self {
        let start = table.span().start;
        Fields { reading, table: table.get_ref(), path: String::new(), start, known: Vec::new() }
    }

    /// Names the table in problems from here on.
    pub(crate) fn call_it(&mut self, path: String) {
        self.path = path;
    }

    /// Where the table itself is, for problems of the table as a whole.
    pub(crate) fn origin(&self) -> Origin {
        Origin { place: self.reading.place(self.start), key: self.path.clone() }
    }

    pub(crate) fn note(&self, problem: Problem) {
        self.reading.note(problem);
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// The keys that are written, known or not.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.table.iter().map(|(key, _)| key.get_ref().as_ref())
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<Located<&'r DeValue<'a>>> {
        self.known.push(key);
        self.any(key)
    }

    /// The value of a key that a user chose.
    pub(crate) fn any(&self, key: &str) -> Option<Located<&'r DeValue<'a>>> {
        let value = self.table.get(key)?;
        let origin = Origin { place: self.reading.place(value.span().start), key: self.join(key) };
        Some(Located { value: value.get_ref(), origin })
    }

    fn take<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        take: impl FnOnce(&'r DeValue<'a>) -> Option<T>,
    ) -> Option<Located<T>> {
        let Located { value, origin } = self.value(key)?;
        match take(value) {
            Some(value) => Some(Located { value, origin }),
            None => {
                let message = format!("this is {}, not {wanted}", described(value));
                self.note(origin.problem(message, format!("write {wanted}")));
                None
            }
        }
    }

    /// A text. Dates without quotes are texts too.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Located<String>> {
        self.take(key, "a text in quotes", |value| match value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Datetime(date) => Some(date.to_string()),
            _ => None,
        })
    }

    /// A text that has to be there and not be empty.
    pub(crate) fn needed(&mut self, key: &'static str, what: &str) -> Option<Located<String>> {
        if !self.has(key) {
            self.known.push(key);
            self.missing(key, what);
            return None;
        }
        let text = self.text(key)?;
        if text.value.trim().is_empty() {
            self.note(text.origin.problem("this is empty", format!("write {what}")));
            return None;
        }
        Some(text)
    }

    /// Notes that a key is missing.
    pub(crate) fn missing(&self, key: &str, what: &str) {
        let origin = self.origin();
        self.note(origin.problem(format!("`{key}` is missing"), format!("add `{key}`: {what}")));
    }

    /// A text that reads as a `T`, whose error says what is wrong and how to cure it.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<Located<T>> {
        let Located { value, origin } = self.text(key)?;
        match value.parse() {
            Ok(value) => Some(Located { value, origin }),
            Err(error) => {
                self.note(origin.problem(error, ""));
                None
            }
        }
    }

    /// A length of time above zero.
    pub(crate) fn span(&mut self, key: &'static str) -> Option<Located<Span>> {
        let span = self.parsed::<Span>(key)?;
        if span.value.is_zero() {
            self.note(span.origin.problem("this is no time at all", "write a length of time above zero"));
            return None;
        }
        Some(span)
    }

    /// A number from `low` to `high`.
    pub(crate) fn number(&mut self, key: &'static str, low: f64, high: f64) -> Option<Located<f64>> {
        let number = self.take(key, "a number", |value| match value {
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n as f64)
            }
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        })?;
        if number.value < low || number.value > high || number.value.is_nan() {
            let message = format!("{} is not within {low}..={high}", number.value);
            self.note(number.origin.problem(message, "write a number within the range"));
            return None;
        }
        Some(number)
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Located<Vec<String>>> {
        self.take(key, "a list of texts", |value| {
            value.as_array()?.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
        })
    }

    /// `true` or `false`.
    pub(crate) fn truth(&mut self, key: &'static str) -> Option<Located<bool>> {
        self.take(key, "true or false", DeValue::as_bool)
    }

    /// A table inside.
    pub(crate) fn table(&mut self, key: &'static str) -> Option<Fields<'r, 'a>> {
        let path = self.join(key);
        let start = self.table.get(key).map_or(0, |value| value.span().start);
        let table = self.take(key, "a table", DeValue::as_table)?.value;
        Some(Fields { reading: self.reading, table, path, start, known: Vec::new() })
    }

    /// The tables of a list: `[[step]]`.
    pub(crate) fn tables(&mut self, key: &'static str) -> Vec<Fields<'r, 'a>> {
        let path = self.join(key);
        let Some(list) = self.take(key, "a list of tables", DeValue::as_array) else { return Vec::new() };
        let mut tables = Vec::new();
        for (index, item) in list.value.iter().enumerate() {
            let (path, start) = (format!("{path}[{index}]"), item.span().start);
            match item.get_ref().as_table() {
                Some(table) => {
                    tables.push(Fields { reading: self.reading, table, path, start, known: Vec::new() });
                }
                None => {
                    self.note(Origin { place: self.reading.place(start), key: path }.problem(
                        format!("this is {}, not a table", described(item.get_ref())),
                        "write a table",
                    ))
                }
            }
        }
        tables
    }

    /// Notes every key that nobody asked for.
    pub(crate) fn finish(self) {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let origin = Origin { place: self.reading.place(key.span().start), key: self.join(name) };
                self.note(origin.unknown("key of this table", name, self.known.iter().copied()));
            }
        }
    }
}

/// What a value is, for a message.
fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a truth",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A value without its positions.
pub(crate) fn plain(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => toml::Value::Integer(number),
            // Beyond 64 bits; as a text it is refused where a number is wanted, with the digits in the message.
            Err(_) => toml::Value::String(number.as_str().to_owned()),
        },
        DeValue::Float(number) => toml::Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => toml::Value::Boolean(*truth),
        DeValue::Datetime(date) => toml::Value::Datetime(*date),
        DeValue::Array(list) => toml::Value::Array(list.iter().map(|item| plain(item.get_ref())).collect()),
        DeValue::Table(table) => toml::Value::Table(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref()))).collect(),
        ),
    }
}

/// The outcome of a reading: the value, if nothing is wrong.
pub(crate) fn sound<T>(value: Option<T>, problems: Vec<Problem>) -> Result<T, Problems> {
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(Problems(problems)),
    }
}
