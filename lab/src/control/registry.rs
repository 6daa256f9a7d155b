//! Which fleets are up: a file each, readable by the user who started it and by nobody else.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How to reach a running fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FleetEntry {
    pub(crate) pid: i32,
    /// Where its control endpoint listens.
    pub(crate) address: String,
    /// What a caller must show.
    pub(crate) token: String,
    pub(crate) run: PathBuf,
}

/// An entry that is taken out of the registry when this is dropped.
#[derive(Debug)]
pub(crate) struct Registered(PathBuf);

impl Drop for Registered {
    fn drop(&mut self) {
        // The file may be gone already; a stale one is passed over by its process number.
        let _ = fs::remove_file(&self.0);
    }
}

fn folder() -> PathBuf {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    base.join(format!("eastfall-{}", rustix::process::getuid().as_raw()))
}

/// Enters a fleet.
pub(crate) fn register(entry: &FleetEntry) -> Result<Registered, String> {
    let folder = folder();
    let error = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(error)?;
    // In a shared temporary folder somebody else could have made it first, to read what is put there.
    let owner = fs::metadata(&folder).map_err(error)?;
    if owner.uid() != rustix::process::getuid().as_raw() || owner.mode() & 0o077 != 0 {
        return Err(format!(
            "{} must belong to you alone (mode 0700); remove it and try again",
            folder.display()
        ));
    }
    let file = folder.join(format!("{}.json", entry.pid));
    let text = serde_json::to_string(entry).map_err(|error| error.to_string())?;
    let _ = fs::remove_file(&file);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).map_err(error)?;
    out.write_all(text.as_bytes()).map_err(error)?;
    Ok(Registered(file))
}

/// All fleets that are up.
pub(crate) fn running() -> Vec<FleetEntry> {
    let Ok(files) = fs::read_dir(folder()) else { return Vec::new() };
    let mut fleets: Vec<FleetEntry> = files
        .filter_map(Result::ok)
        .filter_map(|file| fs::read_to_string(file.path()).ok())
        .filter_map(|text| serde_json::from_str(&text).ok())
        .filter(|fleet: &FleetEntry| is_alive(fleet.pid))
        .collect();
    fleets.sort_by_key(|fleet| fleet.pid);
    fleets
}

fn is_alive(pid: i32) -> bool {
    rustix::process::Pid::from_raw(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

/// The one fleet that is meant.
pub(crate) fn find(run: Option<&Path>) -> Result<FleetEntry, String> {
    let mut fleets = running();
    if let Some(run) = run {
        let wanted = fs::canonicalize(run).map_err(|error| format!("{}: {error}", run.display()))?;
        fleets.retain(|fleet| fs::canonicalize(&fleet.run).is_ok_and(|run| run == wanted));
        return fleets.pop().ok_or_else(|| format!("no fleet is running in {}", run.display()));
    }
    match fleets.len() {
        0 => Err("no fleet is running; start one with `eastfall up`".to_owned()),
        1 => Ok(fleets.remove(0)),
        _ => {
            let runs: Vec<_> = fleets.iter().map(|fleet| fleet.run.display().to_string()).collect();
            Err(format!("several fleets are running; name one with --fleet: {}", runs.join(", ")))
        }
    }
}
