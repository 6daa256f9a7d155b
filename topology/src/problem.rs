//! What is wrong with a topology, all of it at once: where, which key, the rule, the cure and the nearest valid name.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written: `topology.toml:12:7` (line and column from 1) or `--set a.b=c`.
    pub origin: String,
    /// The dotted path of the key; empty when the file isn't TOML at all.
    pub key: String,
    /// The value and the rule it breaks.
    pub message: String,
    /// What to do.
    pub cure: String,
    /// The nearest valid name, where a name is unknown and one is near.
    pub nearest: Option<String>,
}

/// Everything that is wrong, in the order it was found; never empty when it is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        let joint = if self.nearest.is_some() { " " } else { "; " };
        if self.cure.is_empty() { Ok(()) } else { write!(f, "{joint}{}", self.cure) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// The valid name that `unknown` was most likely meant to be, if any is near enough.
pub fn nearest<'a>(unknown: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = (unknown.chars().count() / 3).max(2);
    valid
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, name)| *distance <= near && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name.to_owned())
}

/// Names for a cure: `one of a, b, c`.
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    match names.as_slice() {
        [] => "there is none".to_owned(),
        [only] => format!("the only one is `{only}`"),
        several => format!("one of {}", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not_offered() {
        let names = ["warehouse", "users", "search"];
        assert_eq!(nearest("warehosue", names), Some("warehouse".to_owned()));
        assert_eq!(nearest("warehou", names), Some("warehouse".to_owned()));
        assert_eq!(nearest("billing", names), None);
    }

    #[test]
    fn a_problem_is_one_line() {
        let problem = Problem {
            origin: "topology.toml:12:7".into(),
            key: "service.a.calls.b.retry.max-delay".into(),
            message: "50ms is below base-delay 100ms".into(),
            cure: "raise max-delay or lower base-delay".into(),
            nearest: None,
        };
        assert_eq!(
            problem.to_string(),
            "topology.toml:12:7: service.a.calls.b.retry.max-delay: 50ms is below base-delay 100ms; \
             raise max-delay or lower base-delay"
        );
    }
}
