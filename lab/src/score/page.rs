//! The fidelity page: what the publication says, sentence by sentence, which component of the lab shows it, how it is
//! recognised, and what runs showed. Made by a command, so that it can't claim more than they did.

use std::fmt::Write as _;

use eastfall_chaos::expect::Expectations;
use eastfall_chaos::reference::FactKind;
use eastfall_topology::Topology;

use super::sources::{Group, Published};
use super::text::{clock, why};
use super::{Point, Score};
use crate::failure::Failure;
use crate::session::Files;

/// The page in Markdown, of runs and their score.
///
/// # Errors
/// If a run's files can't be understood.
pub fn fidelity_page(group: &Group, score: &Score) -> Result<String, Failure> {
    let Some(first) = group.runs.first() else {
        return Err(Failure("there is no run to write of".to_owned()));
    };
    let files = Files::of(&first.description)?;
    let published = Published::of(first)?;
    let page = Page { group, score, files: &files, expectations: files.expectations.as_ref() };
    let mut out = page.head(&files);
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "\n## Moments\n\n| published | what | component | how it is recognised | result |\n|---|---|---|---|---|"
    );
    for fact in &published.facts {
        let Some(row) = score.milestones.iter().find(|row| row.id == fact.id) else { continue };
        let recognised = match fact.kind {
            FactKind::Outcome => page.recognised(&fact.id),
            _ => page.steps(&fact.id),
        };
        let source = if fact.source.is_empty() { String::new() } else { format!(" [{}]", fact.source) };
        let _ = writeln!(
            out,
            "| {} | `{}`: {}{source} | {} | {recognised} | {} |",
            clock(&row.time.published),
            fact.id,
            cell(&fact.what),
            page.component(&fact.system),
            page.result(fact.kind, &fact.id, &row.time)
        );
    }
    let _ = writeln!(
        out,
        "\n## Impact windows\n\nAll of them are outcomes. A window opens and closes with the share of customers' requests that fail, where nothing \
         else is said.\n\n| system | published | what customers met | how it is recognised | opens | closes |\n|---|---|---|---|---|---|"
    );
    page.windows(&mut out);
    page.other_checks(&mut out, &published);
    Ok(out)
}

struct Page<'a> {
    group: &'a Group,
    score: &'a Score,
    files: &'a Files,
    expectations: Option<&'a Expectations>,
}

impl Page<'_> {
    fn head(&self, files: &Files) -> String {
        let title = files.reference.as_ref().map_or(&files.scenario.title, |reference| &reference.title);
        let seeds: Vec<String> = self.score.runs.iter().map(|run| run.seed.to_string()).collect();
        let load = self.group.runs.first().map_or(1.0, |run| run.description.load);
        let inputs = files.reference.as_ref().map_or(0, |reference| {
            reference.facts.iter().filter(|fact| fact.kind != FactKind::Outcome).count()
        });
        format!(
            "# Fidelity: {title}\n\nWhat is published of the event, sentence by sentence (in our words), and what runs of `{}` showed. \
             **Inputs** are what the scenario replays; everything else had to emerge.\n\nThis page is written by `eastfall score RUN... \
             --page FILE`, from runs with seeds {} at load {load}. Errors are in minutes, later is positive{}.\n\n{} outcomes are published \
             ({inputs} further times are inputs). Looked for: {}; missing: {}. **Median absolute error {}, worst {}{}.**\n",
            self.score.scenario,
            seeds.join(", "),
            if self.score.runs.len() == 1 {
                ""
            } else {
                "; of several runs, the median and the worst of the absolute errors"
            },
            self.score.all.published,
            self.score.all.looked_for,
            self.score.all.missing_ids.len(),
            minutes(self.score.all.median_min),
            minutes(self.score.all.worst_min),
            self.score.all.worst_id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default()
        )
    }

    /// A system as a component: its services, with the kinds of code that they are.
    fn component(&self, system: &str) -> String {
        let topology: &Topology = &self.files.topology;
        let own: Vec<String> = topology
            .services
            .values()
            .filter(|service| service.system == system || service.name == system)
            .map(|service| match service.name == service.kind {
                true => format!("`{}`", service.name),
                false => format!("`{}` (kind `{}`)", service.name, service.kind),
            })
            .collect();
        match own.is_empty() {
            true if system == "operators" => "operators".to_owned(),
            true => format!("{system} (not in the topology)"),
            false => own.join(", "),
        }
    }

    /// A system by name, with its services where they are not called the same.
    fn impaired(&self, name: &str, system: &str) -> String {
        let component = self.component(system);
        match component.strip_prefix(system) {
            Some(rest) => format!("{name}{rest}"),
            None if component == format!("`{system}`") => name.to_owned(),
            None => format!("{name}: {component}"),
        }
    }

    /// The predicate of a milestone.
    fn recognised(&self, id: &str) -> String {
        let milestone =
            self.expectations.and_then(|e| e.milestones.iter().find(|milestone| milestone.id == id));
        milestone
            .map_or("nobody looks for it yet".to_owned(), |milestone| code(&milestone.when().to_string()))
    }

    /// The steps that replay an input.
    fn steps(&self, id: &str) -> String {
        let steps: Vec<String> = self
            .files
            .scenario
            .steps
            .iter()
            .filter(|step| step.is(id))
            .map(|step| format!("step `{}`", step.id))
            .collect();
        if steps.is_empty() { "not in this scenario".to_owned() } else { steps.join(", ") }
    }

    /// What came of it, and the checks that bear it out.
    fn result(&self, kind: FactKind, id: &str, point: &Point) -> String {
        let time = match kind {
            FactKind::Outcome => told(point),
            _ => "input".to_owned(),
        };
        let checks =
            self.expectations.into_iter().flat_map(|e| &e.checks).filter(|check| check.fact() == Some(id));
        let checks: Vec<String> = checks.map(|check| self.check(&check.id)).collect();
        if checks.is_empty() { time } else { format!("{time}; {}", checks.join("; ")) }
    }

    /// `check ID: passed`, over the runs.
    fn check(&self, id: &str) -> String {
        let of = |verdict: &str| {
            let checks = self.group.runs.iter().flat_map(|run| &run.summary.checks);
            checks.filter(|check| check.id == id && check.verdict == verdict).count()
        };
        let (passed, failed, skipped) = (of("passed"), of("failed"), of("skipped"));
        let verdict = match (passed, failed, skipped) {
            (0, 0, _) => "not applicable".to_owned(),
            (_, 0, 0) => "passed".to_owned(),
            (0, _, 0) => "**failed**".to_owned(),
            _ => format!("passed {passed}, **failed {failed}**, not applicable {skipped}"),
        };
        format!("check `{id}` {verdict}")
    }

    fn windows(&self, out: &mut String) {
        let rule = |system: &str| {
            let rules = self.expectations.into_iter().flat_map(|expectations| &expectations.window_rules);
            let own =
                rules.filter(|rule| rule.system == system).map(|rule| code(&rule.when().to_string())).next();
            own.unwrap_or_else(|| "its customers' errors".to_owned())
        };
        let end =
            |point: &Option<Point>| point.as_ref().map_or("-".to_owned(), |point| clock(&point.published));
        let seen = |point: &Option<Point>| point.as_ref().map_or("-".to_owned(), told);
        for row in &self.score.windows {
            let _ = writeln!(
                out,
                "| {} | {} to {} | {} | {} | {} | {} |",
                self.impaired(&row.name(), &row.system),
                end(&row.from),
                end(&row.to),
                cell(row.what.as_deref().unwrap_or_default()),
                rule(&row.system),
                seen(&row.from),
                seen(&row.to)
            );
        }
        for row in &self.score.without_times {
            let first = row.runs.iter().flatten().flatten().next();
            let first =
                first.map_or("none".to_owned(), |w| format!("{} to {}", clock(&w.from), clock(&w.to)));
            let _ = writeln!(
                out,
                "| {} | without times | {} | {} | first window seen: {first} | |",
                self.impaired(&row.system, &row.system),
                cell(row.what.as_deref().unwrap_or_default()),
                rule(&row.system)
            );
        }
    }

    /// Checks that bear out no published fact: what must hold anyway.
    fn other_checks(&self, out: &mut String, published: &Published) {
        let known = |id: &str| published.facts.iter().any(|fact| fact.id == id);
        let checks = self.expectations.into_iter().flat_map(|expectations| &expectations.checks);
        let others: Vec<_> = checks.filter(|check| !check.fact().is_some_and(known)).collect();
        if others.is_empty() {
            return;
        }
        let _ = writeln!(out, "\n## What must hold beside\n");
        for check in others {
            let what = check.what.as_ref().map(|what| format!(": {}", cell(what))).unwrap_or_default();
            let _ = writeln!(out, "- {}{what}", self.check(&check.id));
        }
    }
}

/// When something came, and how far off that is.
fn told(point: &Point) -> String {
    match point.runs.as_slice() {
        [seen] => match (&seen.at, seen.error_min) {
            (Some(at), Some(error)) => format!("{} ({error:+.1})", clock(at)),
            _ => why(seen).to_owned(),
        },
        runs => {
            let seen = runs.iter().filter(|seen| seen.error_min.is_some()).count();
            match runs.iter().find(|seen| seen.error_min.is_none()) {
                Some(none) if seen == 0 => why(none).to_owned(),
                _ => format!(
                    "off by {}, worst {} (in {seen} of {})",
                    minutes(point.median_error_min),
                    minutes(point.worst_error_min),
                    runs.len()
                ),
            }
        }
    }
}

fn minutes(minutes: Option<f64>) -> String {
    minutes.map_or("-".to_owned(), |minutes| format!("{minutes:.1} min"))
}

/// Text that can stand in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}
