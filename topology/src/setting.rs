//! One changed value: `--set PATH=VALUE` at the start, `eastfall set` on a running fleet.

use std::fmt;
use std::str::FromStr;

/// A value for a dotted path: `service.web.calls.store.retry.backoff=exponential`.
///
/// A `*` in the path stands for every name at its level that can take the value. The value is read as TOML if it is
/// TOML, and as text otherwise, so words and durations need no quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Names joined by dots.
    pub path: String,
    /// The value as it was written.
    pub value: String,
}

/// Why a text is not a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is no `=`.
    #[error("`{0}` has no value; write PATH=VALUE, such as service.web.instances=3")]
    NoValue(String),
    /// The path is empty, or one of its names is.
    #[error("`{0}` is not a path; write names joined by dots, such as service.web.instances")]
    BadPath(String),
}

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Setting, SettingError> {
        let (path, value) = text.split_once('=').ok_or_else(|| SettingError::NoValue(text.to_owned()))?;
        let (path, value) = (path.trim(), value.trim());
        if path.split('.').any(|name| name.trim().is_empty()) {
            return Err(SettingError::BadPath(path.to_owned()));
        }
        Ok(Setting { path: path.to_owned(), value: value.to_owned() })
    }
}

impl fmt::Display for Setting {
    /// Writes what [`FromStr`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.path, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_splits_at_the_first_equals_sign() {
        let setting: Setting = "service.web.queue={ discipline = \"lifo\" }".parse().expect("a setting");
        assert_eq!(setting.path, "service.web.queue");
        assert_eq!(setting.value, "{ discipline = \"lifo\" }");
    }

    #[test]
    fn a_setting_without_a_value_or_with_an_empty_name_is_refused() {
        assert_eq!("a.b".parse::<Setting>(), Err(SettingError::NoValue("a.b".into())));
        assert_eq!("a..b=1".parse::<Setting>(), Err(SettingError::BadPath("a..b".into())));
        assert_eq!("=1".parse::<Setting>(), Err(SettingError::BadPath(String::new())));
    }
}
