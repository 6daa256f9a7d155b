//! Who a fault is about: services, instances, and the ways between them, by name or by pattern.

use std::fmt;

use crate::call::Method;

/// Names services or instances: `dynamodb` is every instance of the service, `dns-enactor-c` one instance, and `*`
/// stands for any letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(String);

/// Ways from callers to callees: `dns-enactor-c->route53`, `*->route53`, or `a->b/GetItem` for one method only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Who calls.
    pub caller: Selector,
    /// Who is called.
    pub callee: Selector,
    /// The method's name, such as `GetItem`, where `*` stands for any letters; absent: every method.
    pub method: Option<String>,
}

impl Selector {
    /// A selector of this text: letters, digits, `-`, `_`, `.` and `*`. Nothing if it is no name.
    pub fn new(text: &str) -> Option<Selector> {
        let named = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
        (!text.is_empty() && text.chars().all(named)).then(|| Selector(text.to_owned()))
    }

    /// Whether this instance of this service is meant.
    pub fn matches(&self, instance: &str, service: &str) -> bool {
        glob(&self.0, service) || glob(&self.0, instance)
    }

    /// The selector as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Edge {
    /// Whether the way from one instance to another is meant, whatever the method.
    pub fn matches(&self, caller: (&str, &str), callee: (&str, &str)) -> bool {
        self.callee.matches(callee.0, callee.1) && self.caller.matches(caller.0, caller.1)
    }

    /// Whether calls of this method are meant.
    pub fn takes(&self, method: &Method) -> bool {
        self.method.as_ref().is_none_or(|pattern| glob(pattern, method.name))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.caller, self.callee)?;
        self.method.as_ref().map_or(Ok(()), |method| write!(f, "/{method}"))
    }
}

/// Whether a text fits a pattern in which `*` stands for any letters, none included.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    // Each part in the middle is best taken as early as it comes: what follows then has the most room.
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, letter by letter.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            Some((letter, rest)) => text.first() == Some(letter) && naive(rest, &text[1..]),
        }
    }

    #[test]
    fn a_selector_means_a_service_or_one_instance() {
        let selects = |text: &str, instance, service| {
            Selector::new(text).expect("a selector").matches(instance, service)
        };
        assert!(selects("dns-enactor", "dns-enactor-c", "dns-enactor"), "every instance of the service");
        assert!(selects("dns-enactor-c", "dns-enactor-c", "dns-enactor"), "the instance");
        assert!(!selects("dns-enactor-a", "dns-enactor-c", "dns-enactor"), "another instance");
        assert!(selects("*", "dns-enactor-c", "dns-enactor"), "anybody");
        assert!(selects("dns-*", "dns-enactor-c", "dns-enactor"), "a pattern");
    }

    proptest! {
        #[test]
        fn patterns_match_as_defined_letter_by_letter(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            prop_assert_eq!(glob(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
