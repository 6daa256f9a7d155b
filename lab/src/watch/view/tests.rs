//! What the terminal shows, read off a drawn screen; and its keys.

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
        systems: vec![system("route53", 600, 0), system("dynamodb", 6_000, 3_000), system("lambda", 0, 0)],
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
    line(&screen, &["! slow 2x dwfm since 00:05"]);
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

#[test]
fn systems_that_do_not_fit_are_counted() {
    let mut many = status();
    many.systems = (0..30).map(|number| system(&format!("system-{number}"), 600, 0)).collect();
    let mut view = View::default();
    view.take(Ok(many));
    let small = screen(&view, 100, 24);
    let shown = (0..30).filter(|number| small.contains(&format!("system-{number} "))).count();
    assert!((5..30).contains(&shown), "{shown} of 30 in\n{small}");
    line(&small, &[&format!("{} more", 30 - shown)]);
    assert!(!screen(&view, 100, 60).contains("more;"), "all of them fit in 60 lines");
}
