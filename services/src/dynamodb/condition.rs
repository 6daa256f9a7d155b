//! Conditions: what must be true of an item for a write to happen. They are what leases, locks and 'only once' stand on.

use std::cmp::Ordering;

use eastfall_proto::dynamodb::attribute_value::Value;
use eastfall_proto::dynamodb::condition::Test;
use eastfall_proto::dynamodb::{Assignment, AttributeValue, Comparator, Condition, Conditions};
use tonic::Status;

use super::error::validation;
use super::number::Number;
use super::value::Item;

/// How deep conditions may be nested: they are walked recursively, and a client must not choose our stack's depth.
const DEPTH: u32 = 32;

/// Whether a condition holds for an item; a missing item has no attributes.
///
/// # Errors
/// `ValidationException` if some part of the condition says nothing, or it is nested more than 32 deep.
pub fn holds(condition: &Condition, item: &Item) -> Result<bool, Status> {
    evaluate(condition, item, DEPTH)
}

fn evaluate(condition: &Condition, item: &Item, depth: u32) -> Result<bool, Status> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| validation(format!("a condition is nested more than {DEPTH} deep")))?;
    // No short cut: a malformed part is an error whatever the others say, so that it doesn't lie in wait.
    let each = |all: &Conditions| -> Result<Vec<bool>, Status> {
        if all.conditions.is_empty() {
            return Err(validation("a condition joins no conditions"));
        }
        all.conditions.iter().map(|part| evaluate(part, item, depth)).collect()
    };
    match condition.test.as_ref().ok_or_else(|| validation("a condition says nothing"))? {
        Test::AttributeExists(name) => Ok(item.contains_key(name)),
        Test::AttributeNotExists(name) => Ok(!item.contains_key(name)),
        Test::Comparison(comparison) => {
            let value = comparison.value.as_ref().ok_or_else(|| validation("a comparison has no value"))?;
            let order =
                item.get(&comparison.attribute).map(|found| compare(found, value)).transpose()?.flatten();
            Ok(satisfies(order, comparison.comparator()))
        }
        Test::All(all) => Ok(each(all)?.into_iter().all(|part| part)),
        Test::Any(any) => Ok(each(any)?.into_iter().any(|part| part)),
        Test::Not(not) => Ok(!evaluate(not, item, depth)?),
        Test::BeginsWith(part) => match operands(part, item)? {
            (Some(Value::S(text)), Value::S(prefix)) => Ok(text.starts_with(prefix.as_str())),
            _ => Ok(false),
        },
        Test::Contains(part) => match operands(part, item)? {
            (Some(Value::S(text)), Value::S(infix)) => Ok(text.contains(infix.as_str())),
            (Some(Value::Ss(set)), Value::S(member)) => Ok(set.values.contains(member)),
            (Some(Value::L(list)), value) => {
                Ok(list.values.iter().any(|entry| entry.value.as_ref() == Some(value)))
            }
            _ => Ok(false),
        },
    }
}

/// What an item has, and what it is tested against.
fn operands<'a>(part: &'a Assignment, item: &'a Item) -> Result<(Option<&'a Value>, &'a Value), Status> {
    let wanted = part.value.as_ref().and_then(|value| value.value.as_ref());
    let found = item.get(&part.attribute).and_then(|value| value.value.as_ref());
    Ok((found, wanted.ok_or_else(|| validation("a condition has no value"))?))
}

/// How two values of one type are ordered. Values of other types are equal or have no order; of different types,
/// neither.
fn compare(left: &AttributeValue, right: &AttributeValue) -> Result<Option<Ordering>, Status> {
    Ok(match (&left.value, &right.value) {
        (Some(Value::S(left)), Some(Value::S(right))) => Some(left.cmp(right)),
        (Some(Value::B(left)), Some(Value::B(right))) => Some(left.cmp(right)),
        (Some(Value::N(left)), Some(Value::N(right))) => {
            let parse =
                |text: &str| text.parse::<Number>().map_err(|error| validation(format!("`{text}` {error}")));
            Some(parse(left)?.cmp(&parse(right)?))
        }
        (left, right) => (left == right).then_some(Ordering::Equal),
    })
}

fn satisfies(order: Option<Ordering>, comparator: Comparator) -> bool {
    match comparator {
        Comparator::Equal => order == Some(Ordering::Equal),
        Comparator::NotEqual => order != Some(Ordering::Equal),
        Comparator::Less => order.is_some_and(Ordering::is_lt),
        Comparator::LessOrEqual => order.is_some_and(Ordering::is_le),
        Comparator::Greater => order.is_some_and(Ordering::is_gt),
        Comparator::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
    }
}

// === How services write them ===

/// The attribute exists.
pub fn exists(attribute: &str) -> Condition {
    Condition { test: Some(Test::AttributeExists(attribute.to_owned())) }
}

/// The attribute does not exist; of a key attribute: there is no such item.
pub fn not_exists(attribute: &str) -> Condition {
    Condition { test: Some(Test::AttributeNotExists(attribute.to_owned())) }
}

/// The attribute compares so with a value.
pub fn is(attribute: &str, comparator: Comparator, value: AttributeValue) -> Condition {
    let comparison = eastfall_proto::dynamodb::Comparison {
        attribute: attribute.to_owned(),
        comparator: comparator as i32,
        value: Some(value),
    };
    Condition { test: Some(Test::Comparison(comparison)) }
}

/// All of them hold.
pub fn all(conditions: Vec<Condition>) -> Condition {
    Condition { test: Some(Test::All(Conditions { conditions })) }
}

/// At least one of them holds.
pub fn any(conditions: Vec<Condition>) -> Condition {
    Condition { test: Some(Test::Any(Conditions { conditions })) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::value::{item, number, string};

    #[test]
    fn conditions_say_what_they_test() {
        let lease = item([("droplet", string("d-1")), ("owner", string("host-a")), ("expires", number(100))]);
        let expired = |now: u64| is("expires", Comparator::LessOrEqual, number(now));
        let cases = [
            (exists("owner"), true),
            (not_exists("owner"), false),
            (expired(99), false),
            (expired(100), true),
            (is("expires", Comparator::Greater, number("9.9e1")), true),
            (is("expires", Comparator::Less, string("a")), false),
            (is("expires", Comparator::NotEqual, string("a")), true),
            (is("missing", Comparator::Equal, number(1)), false),
            (is("missing", Comparator::NotEqual, number(1)), true),
            (any(vec![not_exists("droplet"), is("owner", Comparator::Equal, string("host-a"))]), true),
            (all(vec![exists("droplet"), expired(50)]), false),
            (Condition { test: Some(Test::Not(Box::new(expired(50)))) }, true),
        ];
        for (condition, expected) in cases {
            assert_eq!(holds(&condition, &lease).expect("valid"), expected, "{condition:?}");
        }
    }

    #[test]
    fn a_malformed_part_is_an_error_whatever_the_others_say() {
        let malformed = any(vec![exists("a"), Condition { test: None }]);
        assert!(holds(&malformed, &item([("a", number(1))])).is_err());
        assert!(holds(&all(Vec::new()), &Item::new()).is_err(), "no conditions to join");
    }

    #[test]
    fn conditions_nested_too_deep_are_refused() {
        let nest = |depth| {
            (0..depth).fold(exists("a"), |inner, _| Condition { test: Some(Test::Not(Box::new(inner))) })
        };
        assert!(holds(&nest(31), &Item::new()).is_ok());
        assert!(holds(&nest(32), &Item::new()).is_err());
    }
}
