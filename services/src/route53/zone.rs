//! The zone store, pure: hosted zones and their records, changed in batches that are made as a whole or not at all.
//!
//! Three rules of the real store carry the event that the lab reproduces, so they are kept to the letter:
//! - A `DELETE` must name the record exactly, values included. With a `CREATE` of the new value in the same batch that is
//!   a compare-and-swap: the automation's locks are built on it.
//! - An alias may only be made to records that **exist at that moment**. So nothing can be made to point at a tree that
//!   is gone, not even a rollback record: that is how the automation gets stuck.
//! - Whether something still points at a record is **not** checked when it is deleted. So a tree can be deleted under
//!   the root that points at it: that is how an endpoint loses all its addresses.

use std::collections::BTreeMap;
use std::sync::Arc;

use eastfall_fabric::dns::canonical;
use eastfall_proto::route53::change::Action;
use eastfall_proto::route53::{Change, Precondition, RecordSet, RecordType};

mod check;
pub(super) mod durable;
mod list;

pub use check::Refusal;
pub use list::Page;

/// Changes at most in one batch; the real service's limit.
pub const MAX_CHANGES: usize = 1000;

/// All hosted zones, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Zones(BTreeMap<String, Zone>);

/// A hosted zone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Zone {
    name: String,
    negative_ttl: u32,
    serial: u32,
    records: BTreeMap<Key, Stored>,
    generations: BTreeMap<String, u64>,
}

/// Where a record is kept. The name is turned round, so that a name and all below it stand together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    reversed: String,
    record_type: i32,
    set_identifier: String,
}

/// A record as kept: shared, since lists and copies of the zones hand it out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored(Arc<RecordSet>);

/// What a batch that was found sound will change: to be made durable first, and then [`Zones::merge`]d.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Staged {
    zone: String,
    /// The zone's serial number once merged.
    serial: u32,
    negative_ttl: u32,
    records: BTreeMap<Key, Option<Stored>>,
    generation: Option<(String, u64)>,
}

// === impl Key ===

impl Key {
    fn of(record: &RecordSet) -> Self {
        Key {
            reversed: reversed(&record.name),
            record_type: record.r#type,
            set_identifier: record.set_identifier.clone(),
        }
    }

    /// The first that a record of this name can have.
    fn first(reversed: String) -> Self {
        Key { reversed, record_type: 0, set_identifier: String::new() }
    }
}

/// `a.b.c` as `c.b.a`.
fn reversed(name: &str) -> String {
    let mut reversed = String::with_capacity(name.len());
    let mut end = name.len();
    for (dot, _) in name.bytes().enumerate().rev().filter(|(_, byte)| *byte == b'.') {
        reversed.push_str(&name[dot + 1..end]);
        reversed.push('.');
        end = dot;
    }
    reversed.push_str(&name[..end]);
    reversed
}

/// True if `name` is `ancestor` or below it.
pub(super) fn is_within(name: &str, ancestor: &str) -> bool {
    name.strip_suffix(ancestor).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

// === impl Stored ===

impl std::ops::Deref for Stored {
    type Target = RecordSet;
    fn deref(&self) -> &RecordSet {
        &self.0
    }
}

// === impl Zones ===

impl Zones {
    /// Adds an empty zone; `negative_ttl` is in seconds.
    ///
    /// # Errors
    /// If there is one of that name, or the name is none.
    pub fn create(&mut self, name: &str, negative_ttl: u32) -> Result<&Zone, Refusal> {
        let zone = self.new_zone(name, negative_ttl)?;
        Ok(self.0.entry(zone.name.clone()).or_insert(zone))
    }

    /// The empty zone that [`Zones::create`] would add.
    ///
    /// # Errors
    /// If there is one of that name, or the name is none.
    pub fn new_zone(&self, name: &str, negative_ttl: u32) -> Result<Zone, Refusal> {
        let name = canonical(name);
        check::name(&name)?;
        if self.0.contains_key(&name) {
            return Err(Refusal::ZoneExists(name));
        }
        Ok(Zone { name, negative_ttl, serial: 1, records: BTreeMap::new(), generations: BTreeMap::new() })
    }

    /// All zones, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Zone> {
        self.0.values()
    }

    /// A zone by its name.
    ///
    /// # Errors
    /// If there is no such zone.
    pub fn get(&self, name: &str) -> Result<&Zone, Refusal> {
        let name = canonical(name);
        self.0.get(&name).ok_or(Refusal::NoSuchZone(name))
    }

    /// The zone that answers for a name: of those that contain it, the one with the longest name.
    pub fn of(&self, name: &str) -> Option<&Zone> {
        let mut rest = name;
        loop {
            if let Some(zone) = self.0.get(rest) {
                return Some(zone);
            }
            rest = rest.split_once('.')?.1;
        }
    }

    /// Checks a batch against the zone as it is now, and says what it would change.
    ///
    /// # Errors
    /// If any change of it can't be made.
    pub fn stage(
        &self,
        zone: &str,
        changes: &[Change],
        precondition: Option<&Precondition>,
    ) -> Result<Staged, Refusal> {
        let zone = self.get(zone)?;
        let generation = precondition.map(|condition| zone.check_generation(condition)).transpose()?;
        check::size(changes)?;
        let mut staged = Staged {
            zone: zone.name.clone(),
            serial: zone.serial,
            negative_ttl: zone.negative_ttl,
            records: BTreeMap::new(),
            generation,
        };
        for (index, change) in changes.iter().enumerate() {
            zone.stage_change(&mut staged, change)
                .map_err(|why| Refusal::Change { number: index + 1, why })?;
        }
        // Serial numbers go round (RFC 1982).
        staged.serial = zone.serial.wrapping_add(u32::from(!staged.records.is_empty()));
        Ok(staged)
    }

    /// Makes a staged batch part of its zone. True if anything is different now.
    pub fn merge(&mut self, staged: Staged) -> bool {
        let Some(zone) = self.0.get_mut(&staged.zone) else { return false };
        let changed = !staged.records.is_empty();
        zone.serial = staged.serial;
        zone.generations.extend(staged.generation);
        for (key, record) in staged.records {
            match record {
                Some(record) => zone.records.insert(key, record),
                None => zone.records.remove(&key),
            };
        }
        changed
    }

    /// Checks a batch and makes it.
    ///
    /// # Errors
    /// If any change of it can't be made; then none is.
    pub fn change(
        &mut self,
        zone: &str,
        changes: &[Change],
        precondition: Option<&Precondition>,
    ) -> Result<bool, Refusal> {
        let staged = self.stage(zone, changes, precondition)?;
        Ok(self.merge(staged))
    }
}

// === impl Zone ===

impl Zone {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long the absence of a record may be believed, in seconds.
    pub fn negative_ttl(&self) -> u32 {
        self.negative_ttl
    }

    /// Grows with every change.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True for a zone without records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// True once there is something in it that resolvers ask for. Its owner's texts alone, locks for instance, are there
    /// before.
    pub fn is_filled(&self) -> bool {
        self.records.values().any(|record| record.r#type() != RecordType::Txt)
    }

    /// The records of one name and type: one, or all of a weighted name.
    pub fn records<'a>(
        &'a self,
        name: &str,
        record_type: RecordType,
    ) -> impl Iterator<Item = &'a RecordSet> + use<'a> {
        let first = Key { record_type: record_type as i32, ..Key::first(reversed(name)) };
        self.records
            .range(&first..)
            .take_while(move |(key, _)| {
                key.reversed == first.reversed && key.record_type == first.record_type
            })
            .map(|(_, record)| &**record)
    }

    /// The newest plan generation recorded for a name.
    pub fn generation(&self, name: &str) -> Option<u64> {
        self.generations.get(name).copied()
    }

    /// True if the name has a record, or one below it has.
    pub fn has_name(&self, name: &str) -> bool {
        let (exact, below) = (reversed(name), format!("{}.", reversed(name)));
        let first =
            |reversed: &str| self.records.range(Key::first(reversed.to_owned())..).next().map(|(key, _)| key);
        name == self.name
            || first(&exact).is_some_and(|key| key.reversed == exact)
            || first(&below).is_some_and(|key| key.reversed.starts_with(&below))
    }

    fn check_generation(&self, condition: &Precondition) -> Result<(String, u64), Refusal> {
        let name = canonical(&condition.name);
        match self.generations.get(&name) {
            Some(newer) if *newer > condition.generation => {
                Err(Refusal::Superseded { name, generation: condition.generation, newer: *newer })
            }
            _ => Ok((name, condition.generation)),
        }
    }

    fn stage_change(&self, staged: &mut Staged, change: &Change) -> Result<(), String> {
        let record = check::record(&self.name, change)?;
        let key = Key::of(&record);
        let present = self.staged(staged, &key);
        match change.action() {
            Action::Unspecified => return Err("names no action".to_owned()),
            Action::Create if present.is_some() => return Err(check::about(&record, "already exists")),
            Action::Delete if present.is_none() => return Err(check::about(&record, "was not found")),
            Action::Delete if present.is_some_and(|present| **present != record) => {
                return Err(check::about(
                    &record,
                    "was found, but the values provided do not match the current values",
                ));
            }
            Action::Delete => self.put(staged, key, None),
            Action::Create | Action::Upsert => {
                self.check_alias(staged, &record)?;
                if present.is_none_or(|present| **present != record) {
                    self.check_company(staged, &key, &record)?;
                    self.put(staged, key, Some(Stored(Arc::new(record))));
                }
            }
        }
        Ok(())
    }

    /// A record as it will be once what is staged so far is merged.
    fn staged<'a>(&'a self, staged: &'a Staged, key: &Key) -> Option<&'a Stored> {
        match staged.records.get(key) {
            Some(record) => record.as_ref(),
            None => self.records.get(key),
        }
    }

    /// Stages a record; one that ends as it began is no change.
    fn put(&self, staged: &mut Staged, key: Key, record: Option<Stored>) {
        if self.records.get(&key) == record.as_ref() {
            staged.records.remove(&key);
        } else {
            staged.records.insert(key, record);
        }
    }

    /// All records of a name that is turned round, as they will be.
    fn staged_name<'a>(
        &'a self,
        staged: &'a Staged,
        reversed: &'a str,
    ) -> impl Iterator<Item = &'a RecordSet> {
        let from = Key::first(reversed.to_owned());
        let kept = self.records.range(&from..).take_while(move |(key, _)| key.reversed == reversed);
        let kept = kept.filter(|(key, _)| !staged.records.contains_key(*key)).map(|(_, record)| &**record);
        let new = staged.records.range(&from..).take_while(move |(key, _)| key.reversed == reversed);
        kept.chain(new.filter_map(|(_, record)| record.as_deref()))
    }

    /// An alias needs a target that is there now.
    fn check_alias(&self, staged: &Staged, record: &RecordSet) -> Result<(), String> {
        let Some(alias) = &record.alias else { return Ok(()) };
        if self.staged_name(staged, &reversed(&alias.name)).any(|target| target.r#type == record.r#type) {
            return Ok(());
        }
        let why = format!("the alias target name {} does not exist in zone {}", alias.name, self.name);
        Err(check::about(record, &why))
    }

    /// A name's records must go together: simple or weighted, and a CNAME alone.
    fn check_company(&self, staged: &Staged, key: &Key, record: &RecordSet) -> Result<(), String> {
        let (cname, simple) = (RecordType::Cname as i32, record.set_identifier.is_empty());
        for other in self.staged_name(staged, &key.reversed) {
            if (other.r#type == cname) != (record.r#type == cname) {
                return Err(check::about(
                    record,
                    "conflicts with another record of the name: a CNAME stands alone",
                ));
            }
            if other.r#type == record.r#type && other.set_identifier.is_empty() != simple {
                return Err(check::about(
                    record,
                    "conflicts with another record of the name: simple or weighted, not both",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "zone/tests.rs"]
mod tests;
