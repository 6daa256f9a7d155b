//! Why a command can't be carried out: a message for people, and exit status 2.

use std::fmt;
use std::path::Path;

/// A message for people. Several problems are several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// What went wrong with a file.
    pub fn file(file: &Path, error: impl fmt::Display) -> Failure {
        Failure(format!("{}: {error}", file.display()))
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure(message)
    }
}

impl From<eastfall_topology::Problems> for Failure {
    fn from(problems: eastfall_topology::Problems) -> Self {
        Failure(problems.to_string())
    }
}

impl From<crate::run_folder::RunFolderError> for Failure {
    fn from(error: crate::run_folder::RunFolderError) -> Self {
        Failure(error.to_string())
    }
}
