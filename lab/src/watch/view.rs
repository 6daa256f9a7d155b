//! What is on the screen. State is told by colour, glyph and word: colour alone reaches neither everybody nor every
//! terminal.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use eastfall_proto::control::{StatusResponse, SystemStatus};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Table};

use crate::failure::Failure;

/// Statuses whose shares of failures are kept for the little curves.
const HISTORY: usize = 30;

/// Lines of the table of systems that are none: its frame and heading.
const FRAME: u16 = 3;

/// Heights of the little curves' columns, none to all.
const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The order of systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    /// As in the topology.
    #[default]
    Topology,
    /// The worst first.
    Failing,
    /// The busiest first.
    Rate,
    Name,
}

impl Order {
    fn next(self) -> Order {
        match self {
            Order::Topology => Order::Failing,
            Order::Failing => Order::Rate,
            Order::Rate => Order::Name,
            Order::Name => Order::Topology,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Order::Topology => "topology",
            Order::Failing => "failing",
            Order::Rate => "rate",
            Order::Name => "name",
        }
    }

    fn compare(self, one: &SystemStatus, other: &SystemStatus) -> Ordering {
        match self {
            Order::Topology => Ordering::Equal,
            Order::Failing => share(other).total_cmp(&share(one)),
            Order::Rate => other.requests.cmp(&one.requests),
            Order::Name => one.name.cmp(&other.name),
        }
    }
}

/// What a key led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    Quit,
    Stay,
}

/// The screen.
#[derive(Debug, Default)]
pub(super) struct View {
    status: StatusResponse,
    /// Why there is no newer status.
    lost: Option<String>,
    order: Order,
    paused: bool,
    /// Shares of failures by system, the latest last.
    history: BTreeMap<String, VecDeque<f64>>,
}

impl View {
    /// Takes a new status, or the reason why there is none; what was there before stays on the screen.
    pub(super) fn take(&mut self, status: Result<StatusResponse, Failure>) {
        match status {
            Ok(status) => {
                self.lost = None;
                for system in &status.systems {
                    let history = self.history.entry(system.name.clone()).or_default();
                    history.push_back(share(system));
                    if history.len() > HISTORY {
                        history.pop_front();
                    }
                }
                self.status = status;
            }
            Err(Failure(reason)) => self.lost = Some(reason),
        }
    }

    /// True while nothing new is to be shown.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: Option<char>) -> Pressed {
        match key {
            Some('q') => return Pressed::Quit,
            Some('s') => self.order = self.order.next(),
            Some('p' | ' ') => self.paused = !self.paused,
            _ => {}
        }
        Pressed::Stay
    }

    /// Draws it all.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let systems = u16::try_from(self.status.systems.len()).unwrap_or(u16::MAX).saturating_add(FRAME);
        let changes = self.changes();
        let changed = u16::try_from(changes.len()).unwrap_or(u16::MAX);
        let [head, table, middle, events, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Max(systems),
            Constraint::Length(changed),
            Constraint::Min(3),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(), head);
        frame.render_widget(self.systems(table.height), table);
        frame.render_widget(Paragraph::new(changes), middle);
        self.draw_events(frame, events);
        frame.render_widget(self.foot(), foot);
    }

    fn head(&self) -> Paragraph<'_> {
        let status = &self.status;
        let up = status.instances.iter().filter(|instance| instance.state == "up").count();
        let mut now = vec![
            // To the second: the rest only flickers.
            Span::from(status.now.get(..19).unwrap_or(&status.now).replace('T', " ")).bold(),
            Span::from(format!("  {}x  {}", status.speed, status.scenario)),
        ];
        if self.paused {
            now.push("  paused".bold().yellow());
        }
        if let Some(reason) = &self.lost {
            now.push(format!("  connection lost: {reason}").bold().red());
        }
        let fleet = format!("{up} of {} instances up  {}", status.instances.len(), status.run);
        Paragraph::new(vec![Line::from(now), Line::from(fleet.dim())])
    }

    /// The systems, in so many lines. A large region may not fit: then the frame says how many are out of sight.
    fn systems(&self, lines: u16) -> Table<'_> {
        let mut systems: Vec<&SystemStatus> = self.status.systems.iter().collect();
        systems.sort_by(|one, other| self.order.compare(one, other));
        let rows = systems.into_iter().map(|system| {
            let (state, style) = state(system);
            Row::new([
                Line::from(system.name.as_str()),
                Line::from(state),
                Line::from(format!("{:.1}", system.requests as f64 / 60.0)).right_aligned(),
                Line::from(format!("{:.0}%", share(system) * 100.0)).right_aligned(),
                Line::from(amplification(system)).right_aligned(),
                Line::from(self.curve(&system.name)),
            ])
            .style(style)
        });
        let widths = [
            Constraint::Fill(2),
            Constraint::Length(10),
            Constraint::Length(11),
            Constraint::Length(7),
            Constraint::Length(9),
            Constraint::Length(u16::try_from(HISTORY).unwrap_or(u16::MAX)),
        ];
        let heading = Row::new(["system", "state", "requests/s", "failed", "attempts", "failed, lately"]);
        let mut block = Block::bordered().title(format!(" systems, by {} ", self.order.word()));
        let hidden = self.status.systems.len().saturating_sub(usize::from(lines.saturating_sub(FRAME)));
        if hidden > 0 {
            block = block.title_bottom(format!(" {hidden} more; s brings others to the top "));
        }
        Table::new(rows, widths).header(heading.style(Style::new().add_modifier(Modifier::BOLD))).block(block)
    }

    fn curve(&self, system: &str) -> String {
        let height = |share: &f64| {
            let level = (share * (HEIGHTS.len() - 1) as f64).ceil() as usize;
            HEIGHTS[level.min(HEIGHTS.len() - 1)]
        };
        self.history.get(system).into_iter().flatten().map(height).collect()
    }

    /// What is not as it was at the start: processes, faults, settings.
    fn changes(&self) -> Vec<Line<'_>> {
        let status = &self.status;
        let down = status.instances.iter().filter(|instance| instance.state != "up");
        let down =
            down.map(|instance| Line::from(format!("✖ {} is {}", instance.name, instance.state)).red());
        let fault =
            |fault: &eastfall_proto::control::FaultStatus| format!("! {} since {}", fault.fault, fault.since);
        let faults = status.faults.iter().map(|one| Line::from(fault(one)).yellow());
        let settings = status.settings.iter().map(|setting| Line::from(format!("✎ {setting}")));
        down.chain(faults).chain(settings).collect()
    }

    /// As many of the last events as there is room for.
    fn draw_events(&self, frame: &mut Frame<'_>, area: Rect) {
        let room = usize::from(area.height.saturating_sub(2));
        let lines = self.status.events.iter().rev().take(room).rev().map(|event| {
            let time = event.at.get(11..19).unwrap_or(&event.at);
            let times = if event.times > 1 { format!(" ({} times)", event.times) } else { String::new() };
            Line::from(vec![
                Span::from(time).dim(),
                Span::from(format!("  {}", event.kind)).bold(),
                Span::from(format!("  {}{times}  {}", event.service, event.text)),
            ])
        });
        let events =
            Paragraph::new(lines.collect::<Vec<_>>()).block(Block::bordered().title(" last events "));
        frame.render_widget(events, area);
    }

    fn foot(&self) -> Line<'_> {
        let pause = if self.paused { "go on" } else { "pause" };
        Line::from(format!("q quit   s sort   p {pause}")).dim()
    }
}

/// The share of requests that went unanswered in the last minute, 0..=1.
fn share(system: &SystemStatus) -> f64 {
    if system.requests == 0 { 0.0 } else { system.failed as f64 / system.requests as f64 }
}

fn state(system: &SystemStatus) -> (&'static str, Style) {
    match (system.requests, system.impaired) {
        (0, _) => ("· idle", Style::new().fg(Color::DarkGray)),
        (_, false) => ("● well", Style::new().fg(Color::Green)),
        (_, true) => ("▲ failing", Style::new().fg(Color::Red)),
    }
}

/// Attempts for each first attempt.
fn amplification(system: &SystemStatus) -> String {
    let first = system.attempts.saturating_sub(system.retries);
    if first == 0 { "-".to_owned() } else { format!("x{:.1}", system.attempts as f64 / first as f64) }
}

#[cfg(test)]
mod tests;
