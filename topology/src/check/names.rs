//! What a name may be: service names become DNS labels, file names and parts of dotted paths, so they must be plain.

use crate::read::value::Fault;

/// The longest label DNS allows.
const LONGEST_LABEL: usize = 63;
/// The longest name DNS allows.
const LONGEST_NAME: usize = 253;

/// A service, an operation or a preset: lower-case letters, digits and hyphens, a letter first.
pub(super) fn check_name(name: &str) -> Result<(), Fault> {
    if is_suffix(name) && name.starts_with(|first: char| first.is_ascii_lowercase()) {
        Ok(())
    } else {
        Err(Fault::new(
            format!("`{name}` is not a name"),
            "use at most 63 lower-case letters, digits and hyphens, a letter first and no hyphen last",
        ))
    }
}

/// What follows a service's name in an instance's: as a name, but a digit may come first.
pub(super) fn is_suffix(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= LONGEST_LABEL
        && text.chars().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A DNS name that can be looked up: labels of letters, digits, hyphens and underscores; not an address.
pub(super) fn check_dns_name(name: &str) -> Result<(), Fault> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.chars().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_address = name.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    if name.len() <= LONGEST_NAME && name.split('.').all(label) && !is_address {
        Ok(())
    } else {
        Err(Fault::new(
            format!("`{name}` is not a DNS name"),
            "write a name such as api.example.com, without a dot at the end and without a port",
        ))
    }
}
