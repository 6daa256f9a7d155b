//! The story as text for a terminal: what happened in order of time, each fall with its cause, and the sums.

use std::fmt;

use super::{Cause, Fall, Input, Rise, Sign, Story, Timing};

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (seed {})", self.scenario, self.seed)?;
        writeln!(f, "\nwhat failed first")?;
        for Sign { at, what, kind, service, .. } in &self.first_signs {
            let told = match *kind {
                "event" => format!("{service}: first `{what}`"),
                _ => format!("calls on {what} begin to fail"),
            };
            writeln!(f, "  {}  {told}", clock(at))?;
        }
        if self.falls.is_empty() {
            return writeln!(f, "  nothing: no system let its customers down");
        }
        writeln!(f, "\nwhat fell, and what was done")?;
        self.write_story(f)?;
        if let Some(timing) = &self.timing {
            write!(f, "\n{timing}")?;
        }
        if !self.wasted.is_empty() {
            writeln!(f, "\nwork for nobody")?;
        }
        for wasted in &self.wasted {
            writeln!(
                f,
                "  {:<40} {:>9} requests, {:>9.0} s of workers' time",
                wasted.edge, wasted.requests, wasted.seconds
            )?;
        }
        if !self.amplified.is_empty() {
            writeln!(f, "\nattempts for each first one, in the worst minute")?;
        }
        for amplified in &self.amplified {
            let at = amplified.at.as_deref().map(|at| format!(" at {}", clock(at))).unwrap_or_default();
            writeln!(f, "  {:<40} {:>9.1}{at}", amplified.edge, amplified.factor)?;
        }
        Ok(())
    }
}

/// A line of the story.
enum Moment<'a> {
    Input(&'a Input),
    Falls(&'a Fall),
    Rises(&'a Fall),
}

impl Story {
    /// Inputs, falls and rises in order of time. Written times sort as text: all have the incident's offset.
    fn write_story(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs = self.inputs.iter().map(|input| (input.at.as_str(), Moment::Input(input)));
        let falls = self.falls.iter().map(|fall| (fall.from.as_str(), Moment::Falls(fall)));
        let rises = self.falls.iter().filter_map(|fall| Some((fall.to.as_deref()?, Moment::Rises(fall))));
        let mut all: Vec<(&str, Moment<'_>)> = inputs.chain(falls).chain(rises).collect();
        all.sort_by_key(|(at, _)| *at);
        for (at, moment) in all {
            write!(f, "  {}  ", clock(at))?;
            match moment {
                Moment::Input(input) => {
                    let kind = if input.acts { input.kind.as_str() } else { "note" };
                    let until =
                        input.ended.as_deref().filter(|ended| input.kind == "trigger" && *ended != input.at);
                    let until = until.map(|until| format!(" (until {})", clock(until))).unwrap_or_default();
                    writeln!(f, "{kind} {}{until}: {}", input.id, input.what)?;
                }
                Moment::Falls(fall) => {
                    let lost =
                        fall.unanswered_share.map(|share| format!(", {:.0} % unanswered", share * 100.0));
                    let length = match fall.to {
                        Some(_) => format!("for {}", hours(fall.minutes)),
                        None => "and is down when the run ends".to_owned(),
                    };
                    writeln!(
                        f,
                        "{} FALLS {length}{}: {}",
                        fall.system,
                        lost.unwrap_or_default(),
                        fall.cause
                    )?;
                }
                Moment::Rises(fall) => {
                    let rise = fall.rise.as_ref().map(Rise::to_string).unwrap_or_default();
                    writeln!(f, "{} RISES{rise}", fall.system)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Dependency { edge, from, share, .. } => write!(
                f,
                "{edge} fails from {} on, {:.0} % of what fails in its own calls",
                clock(from),
                share * 100.0
            ),
            Cause::Unreachable { reached } => write!(
                f,
                "nothing that it calls fails, and only {:.0} % of the attempts reach it",
                reached * 100.0
            ),
            Cause::Itself { reached, late } => {
                write!(f, "nothing that it calls fails")?;
                if let Some(reached) = reached {
                    write!(f, ", {:.0} % of the attempts reach it", reached * 100.0)?;
                }
                if *late > 0.0 {
                    write!(f, ", {:.0} % of its answers come too late", late * 100.0)
                } else {
                    Ok(())
                }
            }
        }
    }
}

impl fmt::Display for Rise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(back), Some(own)) = (&self.dependency_back, self.own_minutes) {
            write!(f, ", {} after its dependency was back at {}", hours(own), clock(back))?;
        }
        match (&self.last_action, &self.last_action_at) {
            (Some(id), Some(at)) => write!(f, "; last done before: {id} at {}", clock(at)),
            _ => write!(f, "; nothing was done meanwhile"),
        }
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = (self.trigger_minutes + self.recovery_minutes).max(f64::MIN_POSITIVE);
        let share = |minutes: f64| format!("{} ({:.0} %)", hours(minutes), minutes / all * 100.0);
        let cure = match (&self.cured_by, self.error_share) {
            (Some(id), Some([before, after])) => format!(
                "{} fell first at {}; {id} cured it at {} (errors from {:.0} % to {:.0} %)",
                self.first,
                clock(&self.from),
                clock(&self.cured),
                before * 100.0,
                after * 100.0
            ),
            _ => format!(
                "{} fell first at {} and was over it at {}; no action is seen to have cured it",
                self.first,
                clock(&self.from),
                clock(&self.cured)
            ),
        };
        writeln!(f, "{cure}")?;
        let end =
            if self.all_recovered { "all was well at" } else { "not all was well when the run ended at" };
        writeln!(
            f,
            "trigger {}, recovery {}; {end} {}",
            share(self.trigger_minutes),
            share(self.recovery_minutes),
            clock(&self.over)
        )
    }
}

/// `2h37m`, or minutes below one hour.
fn hours(minutes: f64) -> String {
    let whole = minutes.max(0.0).round() as u64;
    if whole < 60 { format!("{whole}m") } else { format!("{}h{:02}m", whole / 60, whole % 60) }
}

/// The time of day: `02:25`.
fn clock(date: &str) -> String {
    date.chars().skip(11).take(5).collect()
}
