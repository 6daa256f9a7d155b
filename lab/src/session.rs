//! What a command line asks to be run: scenario, topology and expectations, read and checked together.

use std::fs;
use std::path::{Path, PathBuf};

use eastfall_chaos::expect::Expectations;
use eastfall_chaos::reference::Reference;
use eastfall_chaos::scenario::{Draft, Edits, Scenario};
use eastfall_fabric::record::Layout;
use eastfall_fabric::world::Kind;
use eastfall_topology::time::Moment;
use eastfall_topology::{KindSchema, Setting, Source, Topology};

use crate::cli;
use crate::failure::Failure;
use crate::run_folder::{Description, File, Mode, RunFolder};

/// A checked scenario on a checked topology.
#[derive(Clone, Debug)]
pub struct Session {
    /// The scenario, with the command line's changes.
    pub scenario: Scenario,
    /// What it should show, if it says.
    pub expectations: Option<Expectations>,
    /// The region.
    pub topology: Topology,
    /// When the run ends.
    pub until: Moment,
    /// The seed of all randomness.
    pub seed: u64,
    /// What goes into the run folder.
    pub description: Description,
}

/// The schemas of all kinds of services.
pub fn schemas() -> Vec<KindSchema> {
    eastfall_services::kinds().iter().map(|kind: &Kind| kind.schema).collect()
}

/// Reads and checks a topology file.
///
/// # Errors
/// If it can't be read, or everything that is wrong in it.
pub fn load_topology(file: &Path, settings: &[String], load: f64) -> Result<Topology, Failure> {
    let text = read(file)?;
    let settings = parse_settings(settings)?;
    Ok(Topology::load(Source { file: &name(file), text: &text }, &settings, &schemas(), load)?)
}

/// The topology of a scenario: with what the scenario changes in it, and then with `settings`.
fn topology_of(
    draft: &Draft,
    source: Source<'_>,
    settings: &[String],
    load: f64,
) -> Result<Topology, Failure> {
    let settings: Vec<Setting> = draft.settings().cloned().chain(parse_settings(settings)?).collect();
    Topology::load(source, &settings, &schemas(), load)
        .map_err(|problems| Failure::from(draft.located(problems)))
}

impl Session {
    /// Reads and checks everything that a command line names.
    ///
    /// # Errors
    /// Everything that is wrong with any of it.
    pub fn load(arguments: &cli::Scenario, mode: Mode, speed: Option<f64>) -> Result<Session, Failure> {
        let scenario_text = read(&arguments.scenario)?;
        let scenario_name = name(&arguments.scenario);
        let draft = Scenario::draft(Source { file: &scenario_name, text: &scenario_text });
        let named = draft.topology().map(|topology| beside(&arguments.scenario, topology));
        let Some(topology_file) = arguments.topology.clone().or(named) else {
            return Err(draft.unchecked().err().map_or_else(
                || Failure(format!("{scenario_name}: names no topology; add topology = \"FILE\"")),
                Failure::from,
            ));
        };
        let topology_text = read(&topology_file)?;
        let source = Source { file: &name(&topology_file), text: &topology_text };
        let topology = match topology_of(&draft, source, &arguments.settings, arguments.load.unwrap_or(1.0)) {
            Ok(topology) => topology,
            // What is wrong with the scenario itself is worth knowing too.
            Err(Failure(problems)) => {
                let more = draft.unchecked().err().map(|more| format!("\n{more}")).unwrap_or_default();
                return Err(Failure(problems + &more));
            }
        };
        let whole = draft.check(&topology)?;
        let edits = edits(&arguments.without, arguments.without_operators, &arguments.shift)?;
        let scenario = whole.edit(&edits)?;
        let Expected { expectations, expectations_file, reference_file, .. } =
            expected(&arguments.scenario, &whole)?;
        let until = until(arguments.until.as_deref(), &scenario)?;
        let layout = Layout::of(&topology);
        let description = Description {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: std::env::args().collect(),
            mode,
            speed,
            seed: arguments.seed,
            load: arguments.load.unwrap_or(1.0),
            settings: arguments.settings.clone(),
            without_operators: arguments.without_operators,
            without: arguments.without.clone(),
            shift: arguments.shift.clone(),
            until: arguments.until.clone(),
            starts: scenario.timeline.written(scenario.timeline.starts()),
            lead: scenario.timeline.lead(),
            systems: Description::systems_of(&layout),
            scenario: File { file: scenario_name, text: scenario_text },
            expectations: expectations_file,
            reference: reference_file,
            topology: File { file: topology.source().0.to_owned(), text: topology.source().1.to_owned() },
        };
        Ok(Session { scenario, expectations, topology, until, seed: arguments.seed, description })
    }

    /// The session that a run was made from, by the files that its folder holds in full.
    ///
    /// # Errors
    /// If this version of the program can't read them any more.
    pub fn of_run(run: &RunFolder) -> Result<Session, Failure> {
        let description = run.description().clone();
        let Files { topology, scenario, expectations, .. } = Files::of(&description)?;
        let until = until(description.until.as_deref(), &scenario)?;
        Ok(Session { scenario, expectations, topology, until, seed: description.seed, description })
    }

    /// Where the run folder goes: as asked, or a fresh name under `runs`.
    pub fn folder(&self, asked: Option<&Path>) -> PathBuf {
        if let Some(asked) = asked {
            return asked.to_owned();
        }
        let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
        let base = format!("{}-{stamp}-{}", self.scenario.id, self.seed);
        // Two runs may begin in the same second.
        let fresh = (0..).map(|number| match number {
            0 => Path::new("runs").join(&base),
            _ => Path::new("runs").join(format!("{base}-{number}")),
        });
        fresh.into_iter().find(|folder| !folder.exists()).unwrap_or_default()
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| Failure::file(file, error))
}

fn name(file: &Path) -> String {
    file.display().to_string()
}

/// A file that another one names, relative to that.
fn beside(file: &Path, other: &str) -> PathBuf {
    let joined = file.parent().unwrap_or(Path::new("")).join(other);
    // `scenarios/../topology.toml` reads better as `topology.toml`.
    let mut plain = PathBuf::new();
    for part in joined.components() {
        match part {
            std::path::Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn parse_settings(settings: &[String]) -> Result<Vec<Setting>, Failure> {
    let parse = |text: &String| text.parse().map_err(|error| Failure(format!("--set {text}: {error}")));
    settings.iter().map(parse).collect()
}

fn edits(without: &[String], without_operators: bool, shift: &[String]) -> Result<Edits, Failure> {
    let parse = |text: &String| text.parse().map_err(|error| Failure(format!("--shift {text}: {error}")));
    let shifts = shift.iter().map(parse).collect::<Result<_, _>>()?;
    Ok(Edits { without: without.to_vec(), without_operators, shifts })
}

/// What a scenario is expected to show, and the files that say so.
#[derive(Default)]
struct Expected {
    expectations: Option<Expectations>,
    expectations_file: Option<File>,
    reference_file: Option<File>,
}

fn expected(file: &Path, scenario: &Scenario) -> Result<Expected, Failure> {
    let Some(named) = &scenario.expectations else { return Ok(Expected::default()) };
    let file = beside(file, named);
    let (text, file_name) = (read(&file)?, name(&file));
    let reference_file = match Expectations::reference(Source { file: &file_name, text: &text }) {
        None => None,
        Some(reference) => {
            let reference = beside(&file, &reference);
            Some(File { text: read(&reference)?, file: name(&reference) })
        }
    };
    let expectations_file = Some(File { file: file_name, text });
    let (expectations, _) = judged(expectations_file.as_ref(), reference_file.as_ref(), scenario)?;
    Ok(Expected { expectations, expectations_file, reference_file })
}

/// Reads expectations and published facts.
fn judged(
    expectations: Option<&File>,
    reference: Option<&File>,
    scenario: &Scenario,
) -> Result<(Option<Expectations>, Option<Reference>), Failure> {
    let reference = reference.map(|file| Reference::read(file.source())).transpose()?;
    let expectations = expectations
        .map(|file| Expectations::read(file.source(), scenario, reference.as_ref()))
        .transpose()?;
    Ok((expectations, reference))
}

/// What a run was made of, read again from its folder.
#[derive(Clone, Debug)]
pub struct Files {
    /// The region.
    pub topology: Topology,
    /// The scenario, with the command line's changes.
    pub scenario: Scenario,
    /// What it should show, if it says.
    pub expectations: Option<Expectations>,
    /// The published facts, if the expectations name any.
    pub reference: Option<Reference>,
}

impl Files {
    /// Reads the files that a description holds in full.
    ///
    /// # Errors
    /// If this version of the program does not understand them any more.
    pub fn of(description: &Description) -> Result<Files, Failure> {
        let draft = Scenario::draft(description.scenario.source());
        let topology =
            topology_of(&draft, description.topology.source(), &description.settings, description.load)?;
        let whole = draft.check(&topology)?;
        let Description { without, without_operators, shift, .. } = description;
        let (expectations, reference) =
            judged(description.expectations.as_ref(), description.reference.as_ref(), &whole)?;
        let scenario = whole.edit(&edits(without, *without_operators, shift)?)?;
        Ok(Files { topology, scenario, expectations, reference })
    }
}

fn until(text: Option<&str>, scenario: &Scenario) -> Result<Moment, Failure> {
    let Some(text) = text else { return Ok(scenario.ends) };
    let timeline = &scenario.timeline;
    let date = timeline
        .read(text, timeline.starts())
        .map_err(|error| Failure(format!("--until {text}: {error}")))?;
    let moment = timeline.moment(date).filter(|moment| *moment > Moment::START);
    let moment = moment.ok_or_else(|| {
        let begins = timeline.written(timeline.date(Moment::START));
        Failure(format!("--until {text}: lies before the run begins ({begins}); choose a later time"))
    })?;
    if moment > scenario.ends {
        let ends = timeline.written(timeline.date(scenario.ends));
        return Err(Failure(format!(
            "--until {text}: lies after the scenario ends ({ends}); choose an earlier time"
        )));
    }
    Ok(moment)
}
