//! Which parameters are moved, from where to where.

use std::fs;
use std::path::{Path, PathBuf};

use eastfall_chaos::calibration::{Calibration, Ground, Parameter};
use eastfall_chaos::reference::Reference;
use eastfall_topology::nearest;
use eastfall_topology::{Setting, Source, Topology};

use super::value::Value;
use crate::cli;
use crate::failure::Failure;
use crate::run_folder::Mode;
use crate::session::{Files, Session};

/// A parameter with the values that it is moved to, and the shares by which they differ from what ships.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moved {
    pub(super) path: String,
    pub(super) value: String,
    pub(super) meets: Vec<String>,
    pub(super) from: Option<String>,
    pub(super) why: Option<String>,
    pub(super) down: (String, f64),
    pub(super) up: (String, f64),
}

impl Moved {
    /// Where its value comes from, in a few words.
    pub(super) fn ground(&self) -> String {
        match &self.from {
            Some(from) => format!("not tuned: {from}"),
            None => format!("tuned to {}", self.meets.join(", ")),
        }
    }
}

/// The parameters of a command line; and how many are listed, how many tuned, and how many outcomes published.
pub(super) fn load(arguments: &cli::Sweep) -> Result<(Vec<Moved>, [usize; 3]), Failure> {
    let session = Session::load(&arguments.scenario, Mode::Sim, None)?;
    let reference = Files::of(&session.description)?.reference;
    let calibration = read(arguments, reference.as_ref())?;
    let chosen = chosen(&calibration, &arguments.paths)?;
    let mut problems = Vec::new();
    let mut moved = Vec::new();
    for parameter in &chosen {
        match move_it(parameter, arguments).and_then(|moved| {
            ships(parameter, &session)?;
            Ok(moved)
        }) {
            Ok(one) => moved.push(one),
            Err(problem) => problems.push(format!("{}: {problem}", parameter.place)),
        }
    }
    if !problems.is_empty() {
        return Err(Failure(problems.join("\n")));
    }
    let outcomes = reference.as_ref().map_or(0, Reference::outcomes);
    Ok((moved, [calibration.parameters.len(), calibration.tuned(), outcomes]))
}

/// The file of parameters. One that nobody named may be missing if the command line says what to move.
fn read(arguments: &cli::Sweep, reference: Option<&Reference>) -> Result<Calibration, Failure> {
    let beside = || default_file(&arguments.scenario.scenario);
    let file = arguments.parameters.clone().unwrap_or_else(beside);
    if arguments.parameters.is_none() && !arguments.paths.is_empty() && !file.exists() {
        return Ok(Calibration::default());
    }
    let text = fs::read_to_string(&file).map_err(|error| Failure::file(&file, error))?;
    Ok(Calibration::read(Source { file: &file.display().to_string(), text: &text }, reference)?)
}

/// `scenarios/x.toml` has its parameters in `scenarios/x.calibration.toml`.
fn default_file(scenario: &Path) -> PathBuf {
    scenario.with_extension("calibration.toml")
}

/// A parameter, and where it was written.
struct Chosen {
    place: String,
    path: String,
    value: String,
    ground: Ground,
    range: Option<[String; 2]>,
    why: Option<String>,
}

impl Chosen {
    fn of(parameter: &Parameter) -> Chosen {
        let Parameter { path, value, ground, range, why, .. } = parameter.clone();
        Chosen { place: parameter.place(), path, value, ground, range: Some(range), why }
    }
}

fn chosen(calibration: &Calibration, paths: &[String]) -> Result<Vec<Chosen>, Failure> {
    let listed = &calibration.parameters;
    if paths.is_empty() {
        return Ok(listed.iter().map(Chosen::of).collect());
    }
    let mut chosen = Vec::new();
    let mut problems = Vec::new();
    for text in paths {
        let (path, value) =
            text.split_once('=').map_or((text.as_str(), None), |(path, value)| (path, Some(value)));
        match (listed.iter().find(|parameter| parameter.path == path), value) {
            (Some(parameter), value) => {
                let own = Chosen::of(parameter);
                chosen.push(Chosen { value: value.map_or(own.value, str::to_owned), ..own });
            }
            (None, Some(value)) => chosen.push(Chosen {
                place: format!("--path {text}"),
                path: path.to_owned(),
                value: value.to_owned(),
                ground: Ground::Untuned { from: "the command line".to_owned() },
                range: None,
                why: None,
            }),
            (None, None) => {
                let near = nearest(path, listed.iter().map(|parameter| parameter.path.as_str()));
                let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                problems.push(format!(
                    "--path {text}: is not among the listed parameters{near}; write --path {path}=VALUE with the value that it has"
                ));
            }
        }
    }
    if problems.is_empty() { Ok(chosen) } else { Err(Failure(problems.join("\n"))) }
}

/// The values that a parameter is moved to.
fn move_it(parameter: &Chosen, arguments: &cli::Sweep) -> Result<Moved, String> {
    let read = |text: &str| {
        Value::read(text).ok_or_else(|| format!("`{text}` has no size; write a number or a length of time"))
    };
    let value = read(&parameter.value)?;
    if value.size() == 0.0 {
        return Err("is 0, and a share of that is nothing; leave it out".to_owned());
    }
    let range = match &parameter.range {
        None => None,
        Some([low, high]) => {
            let (low, high) = (read(low)?, read(high)?);
            let holds = low.size() <= value.size() && value.size() <= high.size() && low.size() < high.size();
            if !holds || !low.is_like(value) || !high.is_like(value) {
                return Err(format!(
                    "the range from {low} to {high} does not hold the value {value}; correct either"
                ));
            }
            Some((low, high))
        }
    };
    let (down, up) = match (arguments.to_range, range) {
        (true, Some(ends)) => ends,
        (true, None) => return Err("has no range; write --by, or list it with one".to_owned()),
        (false, range) => {
            let (down, up) = (value.scaled(1.0 - arguments.by.0), value.scaled(1.0 + arguments.by.0));
            range.map_or((down, up), |(low, high)| (down.within(low, high), up.within(low, high)))
        }
    };
    let end = |end: Value| (end.to_string(), end.size() / value.size() - 1.0);
    let (meets, from) = match &parameter.ground {
        Ground::Tuned { meets } => (meets.clone(), None),
        Ground::Untuned { from } => (Vec::new(), Some(from.clone())),
    };
    let (path, value, why) = (parameter.path.clone(), parameter.value.clone(), parameter.why.clone());
    Ok(Moved { path, value, meets, from, why, down: end(down), up: end(up) })
}

/// Whether setting a parameter to the value that is said to ship changes nothing.
fn ships(parameter: &Chosen, session: &Session) -> Result<(), String> {
    let setting = Setting { path: parameter.path.clone(), value: parameter.value.to_string() };
    let set = session.topology.with(&setting).map_err(|problems| problems.to_string())?;
    let parts =
        |topology: &Topology| (topology.region.clone(), topology.record.clone(), topology.services.clone());
    if parts(&set) == parts(&session.topology) {
        return Ok(());
    }
    Err(format!("{} is not what the topology has; write the value that ships", parameter.value))
}
