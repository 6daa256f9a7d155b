//! Reads a table key by key and collects every problem on the way instead of stopping at the first.
//!
//! A read always gives a value: when the file's is wrong, the problem is noted and the default stands in, so that
//! reading goes on. The stand-ins never reach anybody, because a topology with a problem is not built. What was read is
//! also what is known: any other key of the table is an unknown key, so no list of keys can be out of date.

use crate::tree::{Node, Origin, Table, Value};
use crate::{Problem, Word};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

pub(crate) mod value;

use value::{Fault, Readable, is_off, read_within};

/// Everything found while a file is read.
#[derive(Default)]
pub(crate) struct Reading {
    problems: RefCell<Vec<Problem>>,
    in_force: RefCell<BTreeMap<String, String>>,
}

/// A table that is being read; absent tables read as empty ones.
pub(crate) struct Fields<'r, 't> {
    reading: &'r Reading,
    path: String,
    origin: &'t Origin,
    table: Option<&'t Table>,
    /// Something else stands where the table should; that is said once, and nothing is missed inside.
    broken: bool,
    known: Vec<String>,
}

impl Reading {
    /// Notes a problem. What an edge inherits from `defaults` or a preset is noted there only, not at every edge.
    pub(crate) fn fault(&self, origin: &Origin, key: &str, fault: Fault) {
        let origin = origin.to_string();
        let shared =
            |problem: &Problem| problem.key.starts_with("defaults.") || problem.key.starts_with("preset.");
        let mut problems = self.problems.borrow_mut();
        let noted = problems
            .iter()
            .any(|problem| problem.origin == origin && problem.message == fault.message && shared(problem));
        if !noted {
            let Fault { message, cure, nearest } = fault;
            problems.push(Problem { origin, key: key.to_owned(), message, cure, nearest });
        }
    }

    /// Notes the value in force at a path.
    pub(crate) fn note(&self, path: String, value: &dyn Display) {
        self.in_force.borrow_mut().insert(path, value.to_string());
    }

    /// All problems, and all values in force.
    pub(crate) fn finish(self) -> (Vec<Problem>, BTreeMap<String, String>) {
        (self.problems.into_inner(), self.in_force.into_inner())
    }
}

impl<'r, 't> Fields<'r, 't> {
    /// The fields of a table at a path (empty for the whole file).
    pub(crate) fn new(reading: &'r Reading, path: &str, origin: &'t Origin, table: &'t Table) -> Self {
        Fields {
            reading,
            path: path.to_owned(),
            origin,
            table: Some(table),
            broken: false,
            known: Vec::new(),
        }
    }

    /// The fields of a node that should be a table; if it isn't, that is a problem and it reads as empty.
    pub(crate) fn of_node(reading: &'r Reading, path: &str, node: &'t Node) -> Self {
        let table = match &node.value {
            Value::Table(table) => Some(table),
            _ => {
                let fault = Fault::new(format!("{node} is not a table"), "write { key = value, ... }");
                reading.fault(&node.origin, path, fault);
                None
            }
        };
        let broken = table.is_none();
        Fields { reading, path: path.to_owned(), origin: &node.origin, table, broken, known: Vec::new() }
    }

    /// Where problems and values go.
    pub(crate) fn reading(&self) -> &'r Reading {
        self.reading
    }

    /// The dotted path of a key of this table.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Where the key was written, or else the table.
    pub(crate) fn origin_of(&self, key: &str) -> &'t Origin {
        self.table.and_then(|table| table.get(key)).map_or(self.origin, |node| &node.origin)
    }

    /// Notes a problem with a key.
    pub(crate) fn fault(&self, key: &str, fault: Fault) {
        self.reading.fault(self.origin_of(key), &self.path_of(key), fault);
    }

    /// Notes a problem with a key unless a rule holds.
    pub(crate) fn require(&self, rule: bool, key: &str, message: impl Into<String>, cure: &str) {
        if !rule {
            self.fault(key, Fault::new(message, cure));
        }
    }

    /// The key's node, which makes the key a known one.
    pub(crate) fn node(&mut self, key: &str) -> Option<&'t Node> {
        self.known.push(key.to_owned());
        self.table?.get(key)
    }

    /// Applies a reader to the key's value, if it is there and right.
    pub(crate) fn read<T>(&mut self, key: &str, read: impl FnOnce(&Node) -> Result<T, Fault>) -> Option<T> {
        let node = self.node(key)?;
        read(node).map_err(|fault| self.fault(key, fault)).ok()
    }

    /// A value with a default.
    pub(crate) fn value<T: Readable>(&mut self, key: &str, default: T) -> T {
        let value = self.read(key, T::read).unwrap_or(default);
        self.noted(key, value)
    }

    /// A value with a default, in a range.
    pub(crate) fn within<T: Readable>(&mut self, key: &str, default: T, range: RangeInclusive<T>) -> T {
        let value = self.read(key, |node| read_within(node, &range)).unwrap_or(default);
        self.noted(key, value)
    }

    /// A value that must be there, in a range; the stand-in takes its place when it isn't.
    pub(crate) fn required<T: Readable>(&mut self, key: &str, stand_in: T, range: RangeInclusive<T>) -> T {
        self.must_have(key);
        self.within(key, stand_in, range)
    }

    /// Notes a problem when the key is absent.
    pub(crate) fn must_have(&mut self, key: &str) -> bool {
        let there = self.node(key).is_some();
        if !there && !self.broken {
            self.fault(key, Fault::new(format!("`{key}` is missing"), format!("add {key} = ...")));
        }
        there
    }

    /// The word that says which keys the table has; absent, it is the default. Without it, the table's other keys can't
    /// be judged, so the caller leaves the table unfinished.
    pub(crate) fn tag<W: Word + Readable>(&mut self, key: &str, default: Option<W>) -> Option<W> {
        let word = match (self.node(key), default) {
            (Some(_), _) => self.read(key, W::read)?,
            (None, Some(default)) => default,
            (None, None) => {
                self.must_have(key);
                return None;
            }
        };
        Some(self.noted(key, word))
    }

    /// A value that may be off (absent, `"none"` or `"unlimited"`), in a range.
    pub(crate) fn optional<T: Readable>(&mut self, key: &str, range: RangeInclusive<T>) -> Option<T> {
        let value = self
            .on(key)
            .and_then(|node| read_within(node, &range).map_err(|fault| self.fault(key, fault)).ok());
        match &value {
            Some(value) => self.reading.note(self.path_of(key), value),
            None => self.reading.note(self.path_of(key), &"none"),
        }
        value
    }

    /// The key's node unless the key is off.
    pub(crate) fn on(&mut self, key: &str) -> Option<&'t Node> {
        self.node(key).filter(|node| !is_off(node))
    }

    /// A table that may be off: absent, `"none"` or `"unlimited"`.
    pub(crate) fn section(&mut self, key: &str) -> Option<Fields<'r, 't>> {
        match self.on(key) {
            Some(node) => Some(Fields::of_node(self.reading, &self.path_of(key), node)),
            None => {
                self.reading.note(self.path_of(key), &"none");
                None
            }
        }
    }

    /// A table that is always there, with defaults when the file has none.
    pub(crate) fn table(&mut self, key: &str) -> Fields<'r, 't> {
        let path = self.path_of(key);
        match self.node(key) {
            Some(node) => Fields::of_node(self.reading, &path, node),
            None => {
                let (reading, origin, broken) = (self.reading, self.origin, self.broken);
                Fields { reading, path, origin, table: None, broken, known: Vec::new() }
            }
        }
    }

    /// The entries of a table of names.
    pub(crate) fn entries(&mut self, key: &str) -> Vec<(&'t String, &'t Node)> {
        self.table(key).table.map(|table| table.iter().collect()).unwrap_or_default()
    }

    /// Ends the reading of this table: what nobody asked for is unknown.
    pub(crate) fn finish(self) {
        for (key, node) in self.table.into_iter().flatten() {
            if !self.known.contains(key) {
                let fault = Fault::unknown("key", key, self.known.iter().map(String::as_str));
                self.reading.fault(&node.origin, &self.path_of(key), fault);
            }
        }
    }

    fn noted<T: Display>(&self, key: &str, value: T) -> T {
        self.reading.note(self.path_of(key), &value);
        value
    }
}
