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
        let systems = u16::try_from(self.status.systems.len()).unwrap_or(u16::MAX).saturating_add(3);
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
        frame.render_widget(self.systems(), table);
        frame.render_widget(Paragraph::new(changes), middle);
        self.draw_events(frame, events);
        frame.render_widget(self.foot(), foot);
    }

    fn head(&self) -> Paragraph<'_> {
        let status = &self.status;
        let up = status.instances.iter().filter(|instance| instance.state == "up").count();
        let mut now = vec![
            Span::from(status.now.replace('T', " ")).bold(),
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

    fn systems(&self) -> Table<'_> {
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
        Table::new(rows, widths)
            .header(heading.style(Style::new().add_modifier(Modifier::BOLD)))
            .block(Block::bordered().title(format!(" systems, by {} ", self.order.word())))
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
        let fault = |fault: &eastfall_proto::control::FaultStatus| {
            format!("⚡ {} since {}", fault.fault, fault.since)
        };
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
mod tests {
    use eastfall_proto::control::{EventStatus, FaultStatus, InstanceStatus};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn system(name: &str, requests: u64, failed: u64) -> SystemStatus {
        let impaired = failed * 20 > requests;
        SystemStatus {
            name: name.to_owned(),
            requests,
            failed,
            impaired,
            attempts: requests * 2,
            retries: requests,
        }
    }

    fn status() -> StatusResponse {
        let instance = |name: &str, state: &str| InstanceStatus {
            name: name.into(),
            state: state.into(),
            ..Default::default()
        };
        let event = |number: u32, kind: &str| EventStatus {
            at: format!("2025-10-20T00:{number:02}:00-07:00"),
            kind: kind.to_owned(),
            service: "dwfm".to_owned(),
            text: "reason=expired".to_owned(),
            times: number,
        };
        StatusResponse {
            now: "2025-10-20T00:10:00-07:00".to_owned(),
            speed: 60.0,
            scenario: "2025-10-20".to_owned(),
            instances: vec![instance("dwfm-1", "up"), instance("dwfm-2", "down")],
            faults: vec![FaultStatus {
                fault: "slow 2x dwfm".into(),
                since: "00:05".into(),
                ..Default::default()
            }],
            systems: vec![
                system("route53", 600, 0),
                system("dynamodb", 6_000, 3_000),
                system("lambda", 0, 0),
            ],
            settings: vec!["service.dwfm.admission=0.85".to_owned()],
            events: vec![event(1, "lease.lost"), event(40, "breaker.opened")],
            ..Default::default()
        }
    }

    fn screen(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| row(y).trim_end().to_owned() + "\n").collect()
    }

    /// The line that has all of these.
    fn line<'a>(screen: &'a str, parts: &[&str]) -> &'a str {
        let found = screen.lines().find(|line| parts.iter().all(|part| line.contains(part)));
        found.unwrap_or_else(|| panic!("no line with {parts:?} in\n{screen}"))
    }

    fn view() -> View {
        let mut view = View::default();
        view.take(Ok(status()));
        view
    }

    #[test]
    fn a_system_is_told_by_glyph_and_word_with_its_rate_and_share() {
        let screen = screen(&view(), 110, 30);
        line(&screen, &["dynamodb", "▲ failing", "100.0", "50%", "x2.0", "▄"]);
        line(&screen, &["route53", "● well", "10.0", "0%"]);
        line(&screen, &["lambda", "· idle", "-"]);
        line(&screen, &["2025-10-20 00:10:00", "60x"]);
    }

    #[test]
    fn what_is_not_as_it_was_is_listed() {
        let screen = screen(&view(), 110, 30);
        line(&screen, &["1 of 2 instances up"]);
        line(&screen, &["✖ dwfm-2 is down"]);
        line(&screen, &["⚡ slow 2x dwfm since 00:05"]);
        line(&screen, &["✎ service.dwfm.admission=0.85"]);
        line(&screen, &["00:40:00", "breaker.opened", "dwfm (40 times)", "reason=expired"]);
        assert!(!line(&screen, &["lease.lost"]).contains("times"), "once is not told");
    }

    #[test]
    fn the_key_s_goes_through_the_orders() {
        let mut view = view();
        let order = |view: &View| -> Vec<&'static str> {
            let screen = screen(view, 110, 30);
            let place = |name: &str| screen.find(name).unwrap();
            let mut names = ["route53", "dynamodb", "lambda"];
            names.sort_by_key(|name| place(name));
            names.to_vec()
        };
        assert_eq!(order(&view), ["route53", "dynamodb", "lambda"], "by topology");
        for expected in [
            ["dynamodb", "route53", "lambda"],
            ["dynamodb", "route53", "lambda"],
            ["dynamodb", "lambda", "route53"],
            ["route53", "dynamodb", "lambda"],
        ] {
            assert_eq!(view.press(Some('s')), Pressed::Stay);
            assert_eq!(order(&view), expected, "by {}", view.order.word());
        }
    }

    #[test]
    fn pause_and_quit_are_keys() {
        let mut view = view();
        assert!(!view.is_paused());
        assert_eq!((view.press(Some('p')), view.is_paused()), (Pressed::Stay, true));
        line(&screen(&view, 110, 30), &["paused"]);
        assert_eq!((view.press(Some(' ')), view.is_paused()), (Pressed::Stay, false));
        assert_eq!(view.press(None), Pressed::Stay);
        assert_eq!(view.press(Some('q')), Pressed::Quit);
    }

    #[test]
    fn a_lost_connection_says_so_and_leaves_what_was_there() {
        let mut view = view();
        view.take(Err(Failure("no answer within 3 s".to_owned())));
        let lost = screen(&view, 110, 30);
        line(&lost, &["connection lost: no answer within 3 s"]);
        line(&lost, &["dynamodb", "▲ failing"]);
        view.take(Ok(status()));
        assert!(!screen(&view, 110, 30).contains("lost:"), "and it comes back");
    }

    #[test]
    fn a_small_terminal_is_no_reason_to_fail() {
        for (width, height) in [(1, 1), (20, 5), (40, 10), (300, 3)] {
            let _drawn = screen(&view(), width, height);
        }
    }

    #[test]
    fn curves_keep_the_last_thirty() {
        let mut view = view();
        for _ in 0..100 {
            view.take(Ok(status()));
        }
        assert_eq!(view.curve("dynamodb").chars().count(), HISTORY);
        assert_eq!(view.curve("route53").trim(), "", "nothing failed");
    }
}
