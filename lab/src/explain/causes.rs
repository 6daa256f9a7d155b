//! From what was recorded to what caused what. Every rule is said where it is applied, so that a reader can doubt it.

use std::collections::BTreeSet;

use eastfall_fabric::record::Window;
use eastfall_topology::time::{Moment, Span};
use jiff::Timestamp;

use super::evidence::Evidence;
use super::{Cause, Fall, Input, Rise, Sign, Timing, minutes};
use crate::summary::WindowSummary;

/// An edge is a cause of a fall if it began to fail no later than so long after it: both are judged by the minute, and who
/// has open connections or retries notices later than its customers' first minute says.
const SLACK: Span = Span::from_mins(5);

/// An edge that carries less of what failed is no cause, however early it began.
const CARRIES: f64 = 0.2;

/// An action cures if the share of errors falls by this much from the quarter of an hour before it to that after.
const CURES: f64 = 0.1;
const BESIDE: Span = Span::from_mins(15);

/// Falls of one system nearer than this, of the same cause, are one: a service that works for six minutes in an hour has not
/// recovered in between.
const ONE_FALL: Span = Span::from_mins(15);

/// How many first signs of a kind are told.
const SIGNS: usize = 8;

/// The moment at which things began to break: the first trigger's, or the start of the run.
fn trigger(inputs: &[Input]) -> Moment {
    inputs.iter().find(|input| input.is_trigger()).map_or(Moment::START, |input| input.moment)
}

/// Every fall since the trigger, in order of time. What was over before it is a run's start-up.
pub(super) fn falls(evidence: &Evidence<'_>, inputs: &[Input]) -> Vec<Fall> {
    let trigger = trigger(inputs);
    let of_customers = evidence
        .summary
        .systems
        .iter()
        .filter(|(system, _)| !evidence.summary.windows.contains_key(*system))
        .map(|(system, summary)| (system, &summary.windows));
    let mut falls = Vec::new();
    for (system, windows) in evidence.summary.windows.iter().chain(of_customers) {
        let mut own: Vec<Fall> = Vec::new();
        for window in windows.iter().filter_map(|window| moments(evidence, window)) {
            if window[1] <= trigger {
                continue;
            }
            let next = fall(evidence, inputs, system, window);
            match own.last_mut() {
                Some(last)
                    if window[0].since(last.window[1]) < ONE_FALL && last.cause.is_like(&next.cause) =>
                {
                    *last = fall(evidence, inputs, system, [last.window[0], window[1]]);
                }
                _ => own.push(next),
            }
        }
        falls.extend(own);
    }
    falls.sort_by(|one, other| (one.window, &one.system).cmp(&(other.window, &other.system)));
    falls
}

fn moments(evidence: &Evidence<'_>, window: &WindowSummary) -> Option<[Moment; 2]> {
    let moment = |written: &str| evidence.timeline.moment(written.parse::<Timestamp>().ok()?);
    Some([moment(&window.from)?, moment(&window.to)?])
}

fn fall(evidence: &Evidence<'_>, inputs: &[Input], system: &str, window: [Moment; 2]) -> Fall {
    let [from, to] = window;
    let open = evidence.end().since(to) < evidence.files.topology.record.window_quiet;
    let (cause, failing) = cause(evidence, system, window);
    let rise = (!open).then(|| rise(evidence, inputs, window, &failing));
    Fall {
        system: system.to_owned(),
        from: evidence.time(from),
        to: (!open).then(|| evidence.time(to)),
        minutes: minutes(from, to),
        unanswered_share: evidence.system(system, from, to).lost(),
        cause,
        rise,
        window,
    }
}

/// An edge out of a system that failed while it was down.
struct Failing<'a> {
    edge: &'a str,
    callee: &'a str,
    windows: Vec<Window>,
    unanswered: f64,
}

/// What made a system fall, and the windows of the edge that did.
fn cause(evidence: &Evidence<'_>, system: &str, [from, to]: [Moment; 2]) -> (Cause, Vec<Window>) {
    let out = evidence.edges().filter(|(_, caller, _)| evidence.system_of(caller) == system);
    let failing: Vec<Failing<'_>> = out
        .filter_map(|(edge, _, callee)| {
            let windows: Vec<Window> = evidence
                .edge_windows(edge)
                .into_iter()
                .filter(|window| window.from <= from + SLACK && window.to > from)
                .collect();
            let unanswered = evidence.edge(edge, from, to).unanswered;
            (!windows.is_empty()).then_some(Failing { edge, callee, windows, unanswered })
        })
        .collect();
    // Calls within the system only pass on what failed beneath, if anything outside it did.
    let outside: Vec<&Failing<'_>> =
        failing.iter().filter(|failing| evidence.system_of(failing.callee) != system).collect();
    let candidates = if outside.is_empty() { failing.iter().collect() } else { outside };
    let all: f64 = candidates.iter().map(|failing| failing.unanswered).sum();
    let carrying = candidates.into_iter().filter(|failing| failing.unanswered >= CARRIES * all);
    let first = carrying.min_by(|one, other| {
        let key = |failing: &Failing<'_>| failing.windows.first().map(|window| window.from);
        key(one).cmp(&key(other)).then(other.unanswered.total_cmp(&one.unanswered))
    });
    if let Some(failing) = first {
        let began = failing.windows.first().map_or(from, |window| window.from);
        let cause = Cause::Dependency {
            edge: failing.edge.to_owned(),
            system: evidence.system_of(failing.callee).to_owned(),
            from: evidence.time(began),
            share: if all > 0.0 { failing.unanswered / all } else { 0.0 },
        };
        return (cause, failing.windows.clone());
    }
    (without_dependency(evidence, system, from, to), Vec::new())
}

/// None of its calls failed: was it reached?
fn without_dependency(evidence: &Evidence<'_>, system: &str, from: Moment, to: Moment) -> Cause {
    let into = evidence.edges().filter(|(_, caller, callee)| {
        evidence.system_of(callee) == system && evidence.system_of(caller) != system
    });
    let (mut attempts, mut callees) = (0.0, BTreeSet::new());
    for (edge, _, callee) in into {
        attempts += evidence.sum(&format!("{edge}.attempts"), from, to);
        callees.insert(callee.to_owned());
    }
    let server = |what: &str| -> f64 {
        callees.iter().map(|service| evidence.sum(&format!("{service}.server.{what}"), from, to)).sum()
    };
    // Only services with workers count what they see.
    let counted = |service: &String| evidence.series.values(&format!("{service}.server.served")).is_some();
    let served = server("served");
    let seen = served + server("rejected") + server("cancelled");
    let reached = (attempts > 0.0 && callees.iter().all(counted)).then(|| (seen / attempts).min(1.0));
    match reached {
        Some(reached) if reached < 0.5 => Cause::Unreachable { reached },
        _ => Cause::Itself { reached, late: if served > 0.0 { server("late") / served } else { 0.0 } },
    }
}

/// What let it rise: when its dependency did well again, and what operators did last.
fn rise(evidence: &Evidence<'_>, inputs: &[Input], [from, to]: [Moment; 2], failing: &[Window]) -> Rise {
    let back = failing.iter().map(|window| window.to).filter(|back| *back <= to + SLACK).max();
    let actions = inputs.iter().filter(|input| input.acts && !input.is_trigger());
    let last =
        actions.filter(|input| input.moment > from && input.moment <= to).max_by_key(|input| input.moment);
    Rise {
        dependency_back: back.map(|back| evidence.time(back)),
        own_minutes: back.map(|back| minutes(back, to)),
        last_action: last.map(|input| input.id.clone()),
        last_action_at: last.map(|input| input.at.clone()),
    }
}

/// What showed first, up to the minute after the first fall.
pub(super) fn first_signs(evidence: &Evidence<'_>, inputs: &[Input], falls: &[Fall]) -> Vec<Sign> {
    let Some(first) = falls.first() else { return Vec::new() };
    let trigger = trigger(inputs);
    let until = first.window[0] + Span::from_mins(2);
    let edges = evidence.edges().filter_map(|(edge, caller, _)| {
        let windows = evidence.edge_windows(edge);
        let began =
            windows.iter().map(|window| window.from).find(|from| *from >= trigger && *from <= until)?;
        Some((began, edge.to_owned(), "calls-fail", caller.to_owned()))
    });
    // Kinds of events that nobody had told of before the trigger. The lab's own are no signs.
    let mut known: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut fresh = Vec::new();
    for event in evidence.events.iter().filter(|event| &*event.service != "lab") {
        let new = known.insert((&event.service, &event.kind));
        if new && event.at >= trigger && event.at <= until {
            fresh.push((event.at, event.kind.clone(), "event", event.service.to_string()));
        }
    }
    // As many of each: calls are judged by the minute and would crowd out what happened within it.
    let first_of = |mut signs: Vec<(Moment, String, &'static str, String)>| {
        signs.sort();
        signs.truncate(SIGNS);
        signs
    };
    let mut signs: Vec<Sign> = first_of(edges.collect())
        .into_iter()
        .chain(first_of(fresh))
        .map(|(moment, what, kind, service)| Sign { at: evidence.time(moment), what, kind, service, moment })
        .collect();
    signs.sort_by(|one, other| one.moment.cmp(&other.moment).then(one.what.cmp(&other.what)));
    signs
}

/// How much of it all was the trigger.
pub(super) fn timing(evidence: &Evidence<'_>, inputs: &[Input], falls: &[Fall]) -> Option<Timing> {
    // Who falls for want of another fell with it, even if its own customers noticed a minute sooner.
    let earliest = falls.first()?.window[0];
    let together = || falls.iter().take_while(|fall| fall.window[0].since(earliest) <= SLACK);
    let of_itself = together().find(|fall| !matches!(fall.cause, Cause::Dependency { .. }));
    let first = of_itself.or(falls.first())?;
    let [from, to] = first.window;
    let share = |from: Moment, to: Moment| evidence.system(&first.system, from, to).lost();
    let actions = inputs.iter().filter(|input| input.acts && !input.is_trigger());
    let cures = actions.filter(|input| input.moment > from && input.moment <= to).filter_map(|input| {
        let before = share(input.moment.before(BESIDE).max(from), input.moment)?;
        let after = share(input.moment, input.moment + BESIDE)?;
        (before - after >= CURES).then_some((input, [before, after]))
    });
    let fell = |[before, after]: [f64; 2]| before - after;
    // The first of several that did as much.
    let cure = cures.fold(None, |best: Option<(&Input, [f64; 2])>, next| match best {
        Some(best) if fell(best.1) >= fell(next.1) => Some(best),
        _ => Some(next),
    });
    let cured = cure.map_or(to, |(input, _)| input.moment);
    let all_recovered = falls.iter().all(|fall| fall.to.is_some());
    let last = falls.iter().map(|fall| fall.window[1]).max().unwrap_or(to);
    let over = if all_recovered { last } else { evidence.end() };
    Some(Timing {
        first: first.system.clone(),
        from: evidence.time(from),
        cured_by: cure.map(|(input, _)| input.id.clone()),
        cured: evidence.time(cured),
        error_share: cure.map(|(_, shares)| shares),
        over: evidence.time(over),
        all_recovered,
        trigger_minutes: minutes(from, cured),
        recovery_minutes: minutes(cured, over),
    })
}
