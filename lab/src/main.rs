//! The `eastfall` program.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use eastfall::cli::{self, Cli, Command, exit};
use eastfall::compare::Plan;
use eastfall::conclusion::Conclusion;
use eastfall::failure::Failure;
use eastfall::run_folder::{Mode, RunFolder, RunWriter};
use eastfall::session::{self, Session};
use eastfall::simulate::{Options, simulate};
use eastfall::{
    control, explain, export, import, interrupt, live, logging, output, page, score, show, sweep, watch,
};
use eastfall_topology::time::Moment;
use indicatif::{ProgressBar, ProgressStyle};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(failure) = logging::start() {
        output::note(failure);
        return ExitCode::from(exit::USAGE);
    }
    let outcome = match cli.command {
        Command::Run(arguments) => run(&arguments),
        Command::Compare(arguments) => compare(&arguments),
        Command::Up(arguments) => live::up::up(&arguments),
        Command::Serve(arguments) => return live::serve::serve(&arguments),
        Command::Score(arguments) => score(&arguments),
        Command::Explain(arguments) => explain(&arguments),
        Command::Sweep(arguments) => sweep(&arguments),
        Command::View(arguments) => page::view::view(&arguments),
        Command::Export(arguments) => export(&arguments),
        Command::Topology(arguments) => topology(arguments.what),
        Command::Status(arguments) => print(control::client::status(&arguments)),
        Command::Watch(arguments) => watch::watch(&arguments).map(|()| exit::DONE),
        Command::Set(arguments) => print(control::client::set(&arguments)),
        Command::Inject(arguments) => print(control::client::inject(&arguments)),
    };
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            output::note(failure);
            ExitCode::from(exit::USAGE)
        }
    }
}

fn print(text: Result<String, Failure>) -> Result<u8, Failure> {
    output::text(text?);
    Ok(exit::DONE)
}

fn run(arguments: &cli::Run) -> Result<u8, Failure> {
    let session = Session::load(&arguments.scenario, Mode::Sim, None)?;
    let folder = session.folder(arguments.scenario.out.as_deref());
    let writer = RunWriter::create(&folder, &session.description)?;
    let timeline = &session.scenario.timeline;
    let bar = progress_bar(session.until);
    let mut progress = |now: Moment| {
        bar.set_position(now.as_nanos() / 1_000_000_000);
        bar.set_message(timeline.written(timeline.date(now)));
    };
    let options =
        Options { codec: arguments.codec, writer: Some(writer), progress: Some(&mut progress), stop: None };
    let conclusion = simulate(&session, options)?;
    bar.finish_and_clear();
    // The run is there without it, and its results are what was asked for.
    if let Err(failure) = page::report::write(&folder) {
        output::note(format_args!("no report: {failure}"));
    }
    if arguments.json {
        output::line(json(&conclusion.summary)?);
    } else {
        output::text(show::conclusion(&session, &conclusion, &folder));
    }
    Ok(verdict(&conclusion))
}

fn compare(arguments: &cli::Compare) -> Result<u8, Failure> {
    let plan = Plan::load(arguments)?;
    let bar = compare_bar(plan.runs());
    let comparison = interrupt::until_interrupted(|stop| plan.run(stop, &|ended| bar.set_position(ended)))?;
    bar.finish_and_clear();
    if arguments.json {
        output::line(json(&comparison)?);
    } else {
        output::text(&comparison);
    }
    Ok(if comparison.complete { exit::DONE } else { exit::INTERRUPTED })
}

fn compare_bar(runs: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(runs);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} runs  {elapsed}, {eta} left") {
        bar.set_style(style);
    }
    bar.tick();
    bar
}

/// Prints the checks that failed; the exit status says whether there were any.
fn verdict(conclusion: &Conclusion) -> u8 {
    let failed = conclusion.failed_checks();
    for check in &failed {
        output::note(format_args!("not as expected: {check}"));
    }
    if failed.is_empty() { exit::DONE } else { exit::FAILED }
}

fn progress_bar(until: Moment) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(until.as_nanos() / 1_000_000_000);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}  {elapsed}") {
        bar.set_style(style);
    }
    bar
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure(error.to_string()))
}

fn score(arguments: &cli::Score) -> Result<u8, Failure> {
    let report = score::report(arguments)?;
    if arguments.json {
        match report.scores.as_slice() {
            [score] => output::line(json(score)?),
            scores => output::line(json(&scores)?),
        }
    } else {
        for (number, score) in report.scores.iter().enumerate() {
            output::text(format_args!("{}{score}", if number > 0 { "\n" } else { "" }));
        }
    }
    for problem in &report.beyond {
        output::note(format_args!("out of bounds: {problem}"));
    }
    Ok(if report.beyond.is_empty() { exit::DONE } else { exit::FAILED })
}

fn explain(arguments: &cli::Explain) -> Result<u8, Failure> {
    let story = explain::Story::of(&RunFolder::open(&arguments.run)?)?;
    if arguments.json {
        output::line(json(&story)?);
    } else {
        output::text(&story);
    }
    Ok(exit::DONE)
}

fn sweep(arguments: &cli::Sweep) -> Result<u8, Failure> {
    let plan = sweep::Plan::load(arguments)?;
    output::note(plan.balance());
    if arguments.list {
        output::text(&plan);
        return Ok(exit::DONE);
    }
    let bar = compare_bar(plan.runs());
    let sweep = interrupt::until_interrupted(|stop| plan.run(stop, &|ended| bar.set_position(ended)))?;
    bar.finish_and_clear();
    if let Some(file) = &arguments.csv {
        std::fs::write(file, sweep.csv()).map_err(|error| Failure::file(file, error))?;
    }
    if arguments.json {
        output::line(json(&sweep)?);
    } else {
        output::text(&sweep);
    }
    Ok(if sweep.complete { exit::DONE } else { exit::INTERRUPTED })
}

fn export(arguments: &cli::Export) -> Result<u8, Failure> {
    let run = RunFolder::open(&arguments.run)?;
    for file in export::export(&run, arguments.format, &arguments.out)? {
        output::line(file.display());
    }
    Ok(exit::DONE)
}

fn topology(what: cli::TopologyWhat) -> Result<u8, Failure> {
    match what {
        cli::TopologyWhat::Check(file) => {
            let topology = session::load_topology(&file.file, &file.settings, 1.0)?;
            let instances: usize = topology.services.values().map(|service| service.instances.len()).sum();
            let edges: usize = topology.services.values().map(|service| service.calls.len()).sum();
            output::line(format_args!(
                "{}: sound: {} services, {instances} instances, {edges} edges",
                file.file.display(),
                topology.services.len()
            ));
        }
        cli::TopologyWhat::Import(arguments) => import(&arguments)?,
        cli::TopologyWhat::Graph { file, dot } => {
            let topology = session::load_topology(&file.file, &file.settings, 1.0)?;
            output::text(if dot { topology.graph_dot() } else { topology.graph_text() });
        }
    }
    Ok(exit::DONE)
}

/// Results where they were asked for, what they leave out beside them.
fn import(arguments: &cli::Import) -> Result<(), Failure> {
    let cli::Import { file, out, rate } = arguments;
    if !(0.0..=1e6).contains(rate) {
        return Err(Failure(format!("--rate {rate}: is out of range; write 0 to 1000000 requests a second")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, error))?;
    let imported = import::isotope(file, &text, *rate)?;
    for note in &imported.notes {
        output::note(format_args!("not represented: {note}"));
    }
    match out {
        None => output::text(imported.topology),
        Some(out) if out.exists() => {
            return Err(Failure(format!(
                "{}: is there already; name another file with --out",
                out.display()
            )));
        }
        Some(out) => std::fs::write(out, imported.topology).map_err(|error| Failure::file(out, error))?,
    }
    Ok(())
}
