//! A score as a picture: a lane a system, what is published above, what the runs showed below.
//!
//! Written by hand, since it is rectangles, diamonds and text. Nothing in it is scripted, and both colour schemes of a
//! reader's page are served by colours that stand out on either ground.

use std::fmt::Write as _;

use indexmap::IndexMap;

use super::{Point, Score};

/// Pixels: the width of the time axis, of the names before it, of a lane, of a bar.
const AXIS: f64 = 1000.0;
const NAMES: f64 = 220.0;
const LANE: f64 = 44.0;
const BAR: f64 = 13.0;
/// Above the first lane, and below the last.
const HEAD: f64 = 64.0;
const FOOT: f64 = 34.0;

const PUBLISHED: &str = "#c2571a";
const OBSERVED: &str = "#2b7bba";
const INPUT: &str = "#8a8a8a";

/// What a lane holds. Times are in minutes after the incident's start.
#[derive(Default)]
struct Lane<'a> {
    /// Published windows.
    published: Vec<[f64; 2]>,
    /// Windows of the runs, matched or not.
    observed: Vec<[f64; 2]>,
    /// Milestones, and whether they are inputs.
    milestones: Vec<(&'a str, &'a Point, bool)>,
}

/// The picture as an SVG document.
pub fn swimlanes(score: &Score) -> String {
    let lanes = lanes(score);
    let every = lanes.values().flat_map(|lane| {
        let windows = lane.published.iter().chain(&lane.observed).flatten().copied();
        let times = lane.milestones.iter().flat_map(|(_, point, _)| {
            point.runs.iter().filter_map(|seen| seen.at_min).chain([point.published_min])
        });
        windows.chain(times)
    });
    let (low, high) = every.fold((0.0_f64, 60.0_f64), |(low, high), time| (low.min(time), high.max(time)));
    // Whole hours, with a margin for marks at the very end.
    let (low, high) = ((low / 60.0).floor() * 60.0, ((high + 5.0) / 60.0).ceil() * 60.0);
    let picture = Picture { low, high, runs: score.runs.len() };
    picture.draw(score, &lanes)
}

fn lanes(score: &Score) -> IndexMap<&str, Lane<'_>> {
    let mut lanes: IndexMap<&str, Lane<'_>> = IndexMap::new();
    for row in &score.milestones {
        let lane = lanes.entry(&row.system).or_default();
        lane.milestones.push((&row.id, &row.time, row.kind != "outcome"));
    }
    for row in &score.windows {
        let lane = lanes.entry(&row.system).or_default();
        if let (Some(from), Some(to)) = (&row.from, &row.to) {
            lane.published.push([from.published_min, to.published_min]);
            let both =
                from.runs.iter().zip(&to.runs).filter_map(|(from, to)| Some([from.at_min?, to.at_min?]));
            lane.observed.extend(both);
        }
    }
    for row in &score.unmatched {
        let windows = row.runs.iter().flatten().map(|window| [window.from_min, window.to_min]);
        lanes.entry(&row.system).or_default().observed.extend(windows);
    }
    for row in &score.without_times {
        let windows = row.runs.iter().flatten().flatten().map(|window| [window.from_min, window.to_min]);
        lanes.entry(&row.system).or_default().observed.extend(windows);
    }
    lanes
}

struct Picture {
    low: f64,
    high: f64,
    runs: usize,
}

impl Picture {
    fn x(&self, minutes: f64) -> f64 {
        NAMES + (minutes - self.low) / (self.high - self.low) * AXIS
    }

    /// Several runs lie over one another: where all agree it is dark.
    fn opacity(&self) -> f64 {
        (1.5 / self.runs as f64).clamp(0.15, 1.0)
    }

    fn draw(&self, score: &Score, lanes: &IndexMap<&str, Lane<'_>>) -> String {
        let (width, height) = (NAMES + AXIS + 20.0, HEAD + LANE * lanes.len() as f64 + FOOT);
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"#777\" role=\"img\">"
        );
        let title = format!("{}: published (above) and simulated (below)", score.scenario);
        let _ = writeln!(out, "<title>{}</title>", escaped(&title));
        let runs =
            if self.runs == 1 { "one run".to_owned() } else { format!("{} runs, overlaid", self.runs) };
        let error = |error: Option<f64>| error.map_or("-".to_owned(), |minutes| format!("{minutes:.1} min"));
        let told = format!(
            "{title}; {runs}; absolute error: median {}, worst {}",
            error(score.all.median_min),
            error(score.all.worst_min)
        );
        let _ = writeln!(out, "<text x=\"10\" y=\"18\" font-size=\"14\">{}</text>", escaped(&told));
        legend(&mut out);
        self.hours(&mut out, height);
        for (number, (name, lane)) in lanes.iter().enumerate() {
            self.lane(&mut out, HEAD + LANE * number as f64, name, lane);
        }
        out + "</svg>\n"
    }

    fn hours(&self, out: &mut String, height: f64) {
        let hours = ((self.high - self.low) / 60.0).round() as i64;
        let step = (hours / 14).max(1);
        let first = (self.low / 60.0).round() as i64;
        for hour in (first..=first + hours).filter(|hour| hour % step == 0) {
            let x = self.x(hour as f64 * 60.0);
            let (top, bottom) = (HEAD - 6.0, height - FOOT + 4.0);
            let _ = writeln!(
                out,
                "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#999\" stroke-opacity=\"0.3\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{hour:+} h</text>",
                bottom + 16.0
            );
        }
    }

    fn lane(&self, out: &mut String, top: f64, name: &str, lane: &Lane<'_>) {
        let (above, below) = (top + 5.0, top + 8.0 + BAR);
        let _ = writeln!(
            out,
            "<line x1=\"10\" y1=\"{top:.1}\" x2=\"{:.1}\" y2=\"{top:.1}\" stroke=\"#999\" stroke-opacity=\"0.3\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            NAMES + AXIS,
            NAMES - 10.0,
            top + LANE / 2.0 + 4.0,
            escaped(name)
        );
        for [from, to] in &lane.published {
            self.bar(out, above, [*from, *to], PUBLISHED, 0.75, &format!("{name}, published"));
        }
        for [from, to] in &lane.observed {
            self.bar(
                out,
                below,
                [*from, *to],
                OBSERVED,
                0.75 * self.opacity(),
                &format!("{name}, simulated"),
            );
        }
        for (id, point, input) in &lane.milestones {
            let colour = if *input { INPUT } else { PUBLISHED };
            let what = if *input { "input" } else { "published" };
            self.mark(out, above + BAR / 2.0, point.published_min, colour, 1.0, &format!("{id}, {what}"));
            for at in point.runs.iter().filter_map(|seen| seen.at_min) {
                let told = format!("{id}, simulated ({:+.1} min)", at - point.published_min);
                self.mark(out, below + BAR / 2.0, at, OBSERVED, self.opacity().max(0.35), &told);
            }
        }
    }

    fn bar(&self, out: &mut String, y: f64, [from, to]: [f64; 2], colour: &str, opacity: f64, told: &str) {
        let (x, width) = (self.x(from), (self.x(to) - self.x(from)).max(1.0));
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{colour}\" \
             fill-opacity=\"{opacity:.2}\"><title>{}</title></rect>",
            escaped(told)
        );
    }

    /// A diamond.
    fn mark(&self, out: &mut String, y: f64, at: f64, colour: &str, opacity: f64, told: &str) {
        let (x, r) = (self.x(at), BAR / 2.0);
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {:.1}l{r} {r}l-{r} {r}l-{r} -{r}z\" fill=\"{colour}\" fill-opacity=\"{opacity:.2}\" stroke=\"#fff\" \
             stroke-width=\"0.7\"><title>{}</title></path>",
            y - r,
            escaped(told)
        );
    }
}

fn legend(out: &mut String) {
    let entries = [
        (PUBLISHED, "published"),
        (OBSERVED, "simulated"),
        (INPUT, "an input: what broke, what operators did"),
    ];
    let mut x = 10.0;
    for (colour, what) in entries {
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"30\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/><text x=\"{}\" y=\"40\">{what}</text>",
            x + 18.0
        );
        x += 100.0;
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"40\">bars are impact windows, diamonds milestones</text>",
        x + 180.0
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
