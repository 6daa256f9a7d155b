//! Updates: changes of single attributes, so that two writers of different attributes don't overwrite each other.

use std::collections::BTreeSet;

use eastfall_proto::dynamodb::attribute_value::Value;
use eastfall_proto::dynamodb::update_action::Action;
use eastfall_proto::dynamodb::{Assignment, AttributeValue, StringSet, UpdateAction};
use tonic::Status;

use super::error::validation;
use super::key::TableSchema;
use super::number::Number;
use super::value::{self, Item};

/// Changes an item.
///
/// # Errors
/// `ValidationException` if an action says nothing, names a key attribute or one that another action names, or adds
/// what can't be added.
pub fn apply(schema: &TableSchema, actions: &[UpdateAction], item: &mut Item) -> Result<(), Status> {
    let mut named = BTreeSet::new();
    for action in actions {
        let action = action.action.as_ref().ok_or_else(|| validation("an update action says nothing"))?;
        let name = match action {
            Action::Remove(name) => name,
            Action::Set(part) | Action::SetIfNotExists(part) | Action::Add(part) | Action::Delete(part) => {
                &part.attribute
            }
        };
        if schema.is_key(name) {
            return Err(validation(format!("can't update attribute `{name}`: it is part of the key")));
        }
        if !named.insert(name) {
            return Err(validation(format!("two actions change attribute `{name}`")));
        }
        perform(action, item)?;
    }
    Ok(())
}

fn perform(action: &Action, item: &mut Item) -> Result<(), Status> {
    match action {
        Action::Set(part) => {
            item.insert(part.attribute.clone(), operand(part)?.clone());
        }
        Action::SetIfNotExists(part) => {
            let value = operand(part)?;
            item.entry(part.attribute.clone()).or_insert_with(|| value.clone());
        }
        Action::Remove(name) => {
            item.remove(name);
        }
        Action::Add(part) => {
            let sum = add(&part.attribute, item.get(&part.attribute), operand(part)?)?;
            item.insert(part.attribute.clone(), sum);
        }
        Action::Delete(part) => {
            let (Some(Value::Ss(found)), Some(Value::Ss(gone))) = (
                item.get(&part.attribute)
                    .map_or(Some(Value::Ss(StringSet::default())), |value| value.value.clone()),
                &operand(part)?.value,
            ) else {
                return Err(validation(format!(
                    "can't delete from `{}`: both must be string sets",
                    part.attribute
                )));
            };
            let left: Vec<String> =
                found.values.into_iter().filter(|member| !gone.values.contains(member)).collect();
            if left.is_empty() {
                item.remove(&part.attribute);
            } else {
                let set = Value::Ss(StringSet { values: left });
                item.insert(part.attribute.clone(), AttributeValue { value: Some(set) });
            }
        }
    }
    Ok(())
}

fn operand(part: &Assignment) -> Result<&AttributeValue, Status> {
    part.value
        .as_ref()
        .filter(|value| value.value.is_some())
        .ok_or_else(|| validation(format!("the update of `{}` has no value", part.attribute)))
}

fn add(name: &str, found: Option<&AttributeValue>, more: &AttributeValue) -> Result<AttributeValue, Status> {
    match (found.and_then(|found| found.value.as_ref()), &more.value) {
        (None, Some(Value::N(_) | Value::Ss(_))) => Ok(more.clone()),
        (Some(Value::N(left)), Some(Value::N(right))) => {
            let parse = |text: &str| text.parse::<Number>();
            let sum = parse(left).and_then(|left| left.plus(parse(right)?));
            sum.map(value::number).map_err(|error| validation(format!("the sum for `{name}` {error}")))
        }
        (Some(Value::Ss(left)), Some(Value::Ss(right))) => {
            let union: BTreeSet<&String> = left.values.iter().chain(&right.values).collect();
            let values = union.into_iter().cloned().collect();
            Ok(AttributeValue { value: Some(Value::Ss(StringSet { values })) })
        }
        _ => Err(validation(format!("can't add to `{name}`: both must be numbers, or both string sets"))),
    }
}

// === How services write them ===

/// Gives an attribute a value.
pub fn set(attribute: &str, value: AttributeValue) -> UpdateAction {
    UpdateAction { action: Some(Action::Set(assignment(attribute, value))) }
}

/// Adds to a number.
pub fn increase(attribute: &str, by: impl ToString) -> UpdateAction {
    UpdateAction { action: Some(Action::Add(assignment(attribute, value::number(by)))) }
}

/// Takes an attribute away.
pub fn remove(attribute: &str) -> UpdateAction {
    UpdateAction { action: Some(Action::Remove(attribute.to_owned())) }
}

fn assignment(attribute: &str, value: AttributeValue) -> Assignment {
    Assignment { attribute: attribute.to_owned(), value: Some(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::value::{item, number, string};

    fn schema() -> TableSchema {
        "counters(name)".parse().expect("a valid table")
    }

    fn set_of(members: &[&str]) -> AttributeValue {
        let values = members.iter().map(|member| (*member).to_owned()).collect();
        AttributeValue { value: Some(Value::Ss(StringSet { values })) }
    }

    fn action(make: fn(Assignment) -> Action, attribute: &str, value: AttributeValue) -> UpdateAction {
        UpdateAction { action: Some(make(assignment(attribute, value))) }
    }

    #[test]
    fn each_action_does_its_own_thing() {
        let mut counter =
            item([("name", string("n")), ("old", number(1)), ("count", number(2)), ("tags", set_of(&["a"]))]);
        let actions = [
            set("owner", string("o")),
            remove("old"),
            increase("count", 3),
            increase("fresh", 1),
            action(Action::SetIfNotExists, "first", number(9)),
            action(Action::Add, "tags", set_of(&["b", "a"])),
        ];
        apply(&schema(), &actions, &mut counter).expect("valid actions");
        let expected = item([
            ("name", string("n")),
            ("owner", string("o")),
            ("count", number(5)),
            ("fresh", number(1)),
            ("first", number(9)),
            ("tags", set_of(&["a", "b"])),
        ]);
        assert_eq!(counter, expected);
        let emptied = [
            action(Action::Delete, "tags", set_of(&["a", "b"])),
            action(Action::SetIfNotExists, "first", number(0)),
        ];
        apply(&schema(), &emptied, &mut counter).expect("valid actions");
        assert!(!counter.contains_key("tags"), "an empty set is not a value");
        assert_eq!(counter["first"], number(9), "it existed");
    }

    #[test]
    fn a_wrong_action_names_the_attribute() {
        for (actions, why) in [
            (vec![set("name", string("other"))], "`name`: it is part of the key"),
            (vec![remove("a"), increase("a", 1)], "two actions change attribute `a`"),
            (vec![increase("text", 1)], "can't add to `text`"),
            (vec![UpdateAction { action: None }], "says nothing"),
            (vec![increase("huge", "1e125")], "the sum for `huge`"),
        ] {
            let mut counter = item([("name", string("n")), ("text", string("t")), ("huge", number(1))]);
            let error = apply(&schema(), &actions, &mut counter).expect_err(why);
            assert!(error.message().contains(why), "{}", error.message());
        }
    }
}
