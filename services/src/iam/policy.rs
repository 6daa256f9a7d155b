//! Policies: who may do what. Pure.
//!
//! The rules are IAM's own (published): nothing is allowed that no statement allows, and what any statement denies is
//! denied, whatever others allow. Patterns know `*` (any characters, none included) and `?` (any one). Conditions and the
//! `Not...` elements are left out.

use eastfall_proto::iam::{Effect, PolicyDocument, Statement};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks; statements that name principals (those of trust policies) are held against it.
    pub principal: &'a str,
    /// What for, such as `sts:AssumeRole`.
    pub action: &'a str,
    /// On what; statements without resources (those of trust policies) are about all.
    pub resource: &'a str,
}

/// What policies say to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Some statement allows it and none denies it.
    Allowed,
    /// No statement allows it.
    NotAllowed,
    /// A statement denies it.
    Denied,
}

/// What policies, all together, say to a question.
pub fn decide<'a>(
    documents: impl IntoIterator<Item = &'a PolicyDocument>,
    question: &Question<'_>,
) -> Decision {
    let statements = documents.into_iter().flat_map(|document| &document.statements);
    let mut decision = Decision::NotAllowed;
    for statement in statements.filter(|statement| applies(statement, question)) {
        match statement.effect() {
            Effect::Deny => return Decision::Denied,
            Effect::Allow => decision = Decision::Allowed,
        }
    }
    decision
}

fn applies(statement: &Statement, question: &Question<'_>) -> bool {
    let any = |patterns: &[String], text: &str| patterns.iter().any(|pattern| matches(pattern, text));
    any(&statement.actions, question.action)
        && (statement.resources.is_empty() || any(&statement.resources, question.resource))
        && (statement.principals.is_empty() || any(&statement.principals, question.principal))
}

/// Whether a text is of a pattern. Linear in the two lengths but for patterns of many stars, where it is their product:
/// it never goes back further than to the last star.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // The last star, and how much of the text it is taken to stand for up to.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((star_at, star_seen)) = star else { return false };
                star = Some((star_at, star_seen + 1));
                at = star_at + 1;
                seen = star_seen + 1;
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

// === How policies are written ===

/// A document of one statement that allows these actions on these resources.
pub fn allow(actions: &[&str], resources: &[&str]) -> PolicyDocument {
    document(Effect::Allow, actions, resources, &[])
}

/// The same, that denies them.
pub fn deny(actions: &[&str], resources: &[&str]) -> PolicyDocument {
    document(Effect::Deny, actions, resources, &[])
}

/// A trust policy: these principals may take the role by these actions.
pub fn trust(actions: &[&str], principals: &[&str]) -> PolicyDocument {
    document(Effect::Allow, actions, &[], principals)
}

fn document(effect: Effect, actions: &[&str], resources: &[&str], principals: &[&str]) -> PolicyDocument {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    PolicyDocument {
        statements: vec![Statement {
            effect: effect as i32,
            actions: owned(actions),
            resources: owned(resources),
            principals: owned(principals),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decision(documents: &[PolicyDocument], action: &str, resource: &str) -> Decision {
        decide(documents, &Question { principal: "user/a", action, resource })
    }

    #[test]
    fn what_nothing_allows_is_not_allowed() {
        assert_eq!(decision(&[], "s3:GetObject", "bucket"), Decision::NotAllowed);
        let other = [allow(&["s3:Put*"], &["*"])];
        assert_eq!(decision(&other, "s3:GetObject", "bucket"), Decision::NotAllowed, "another action");
        let other = [allow(&["s3:*"], &["other/*"])];
        assert_eq!(decision(&other, "s3:GetObject", "bucket"), Decision::NotAllowed, "another resource");
    }

    #[test]
    fn an_explicit_deny_wins_in_any_order() {
        let (yes, no) = (allow(&["*"], &["*"]), deny(&["s3:Delete*"], &["bucket/?"]));
        for documents in [[yes.clone(), no.clone()], [no, yes]] {
            assert_eq!(decision(&documents, "s3:DeleteObject", "bucket/1"), Decision::Denied);
            assert_eq!(decision(&documents, "s3:DeleteObject", "bucket/12"), Decision::Allowed);
            assert_eq!(decision(&documents, "s3:GetObject", "bucket/1"), Decision::Allowed);
        }
    }

    #[test]
    fn a_trust_policy_is_for_its_principals_only() {
        let trust = trust(&["sts:AssumeRole"], &["service/*"]);
        let ask = |principal| {
            decide([&trust], &Question { principal, action: "sts:AssumeRole", resource: "role/r" })
        };
        assert_eq!(ask("service/redshift"), Decision::Allowed);
        assert_eq!(ask("user/a"), Decision::NotAllowed);
    }

    #[test]
    fn patterns_match_as_written() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("*ab", "aab", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    /// The definition, written so that it can't be wrong.
    fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| by_definition(rest, &text[skip..])),
            Some((letter, rest)) => text.split_first().is_some_and(|(first, more)| {
                (*letter == b'?' || letter == first) && by_definition(rest, more)
            }),
        }
    }

    proptest! {
        #[test]
        fn matching_is_by_the_definition(pattern in "[ab?*]{0,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(
                matches(&pattern, &text), by_definition(pattern.as_bytes(), text.as_bytes()), "{} on {}", pattern, text
            );
        }
    }
}
