//! The night of DynamoDB's DNS, as shipped: what must come, in which order, and what must not come without operators.

use std::sync::LazyLock;

use eastfall_topology::time::{Moment, Span};

use crate::support::{Ran, minutes, run};

/// The shipped night, a quarter of an hour beyond the customers' recovery. Several tests look at it.
static NIGHT: LazyLock<Ran> = LazyLock::new(|| run("--until 03:00 --seed 1 --set record.sample=5s"));

/// Its first minutes, with web customers on so few machines that each asks several times while a connection lasts.
static BUSY: LazyLock<Ran> = LazyLock::new(|| {
    run("--until 23:55 --seed 1 --set record.sample=5s --set service.customers-web.hosts=50")
});

const WEB: &str = "customers-web->dynamodb";
const SERVERLESS: &str = "customers-serverless->dynamodb";
const PINNED: &str = "customers-pinned->dynamodb";

/// The run begins 20 minutes before 23:48.
fn after_start(minutes: u64) -> Moment {
    Moment::START + Span::from_mins(minutes)
}

fn emptied(night: &Ran) -> Moment {
    night.emptied().unwrap_or_else(|| panic!("{}: the name kept its addresses", night.command()))
}

#[test]
fn the_shipped_night_shows_what_its_expectations_demand() {
    assert_eq!(NIGHT.failed_checks, Vec::<String>::new(), "{}", NIGHT.command());
}

#[test]
fn the_name_empties_and_the_automation_sticks_near_the_published_time() {
    NIGHT.came_between("dns.endpoint-empty", "2025-10-19T23:46", "2025-10-19T23:50");
    NIGHT.came_between("dns.automation-stuck", "2025-10-19T23:46", "2025-10-19T23:50");
    let filled = NIGHT.regional("dns.endpoint-filled", emptied(&NIGHT)).map(minutes);
    // 02:25 is minute 177.
    assert!(
        filled.is_some_and(|at| (177.0..178.0).contains(&at)),
        "filled again by operators only: {filled:?}"
    );
}

#[test]
fn customers_are_let_down_from_the_empty_answer_until_negative_answers_have_expired() {
    let windows = &NIGHT.summary.systems["dynamodb"].windows;
    let [window] = windows.as_slice() else { panic!("one window, not {windows:?}") };
    assert!(("2025-10-19T23:46".."2025-10-19T23:50").contains(&window.from.as_str()), "{window:?}");
    // Negative answers live for a quarter of an hour: some were cached just before the repair at 02:25.
    assert!(("2025-10-20T02:30".."2025-10-20T02:45").contains(&window.to.as_str()), "{window:?}");
    NIGHT.came_between("dynamodb.clients-recovered", "2025-10-20T02:30", "2025-10-20T02:45");
}

#[test]
fn global_tables_catch_up_after_the_repair_and_before_the_customers() {
    NIGHT.came_between("dynamodb.global-tables-caught-up", "2025-10-20T02:25", "2025-10-20T02:40");
    let (tables, customers) =
        (NIGHT.milestone("dynamodb.global-tables-caught-up"), NIGHT.milestone("dynamodb.clients-recovered"));
    assert!(tables < customers, "their resolvers forget sooner: {tables:?}, customers {customers:?}");
}

#[test]
fn an_empty_answer_fails_new_connections_at_once_and_open_ones_as_they_are_recycled() {
    let emptied = emptied(&NIGHT);
    let (seconds, repaired) = (|after| emptied + Span::from_secs(after), after_start(177));
    assert!(NIGHT.answered(WEB, after_start(16), emptied) > 0.999, "all is well before");
    // A resolver may have asked just before; the record lives for a few seconds more in its cache.
    let serverless = NIGHT.answered(SERVERLESS, seconds(20), repaired);
    assert_eq!(serverless, 0.0, "a connection for every request: all fail");
    let middle = NIGHT.answered(WEB, seconds(30), seconds(60));
    assert!((0.02..0.9).contains(&middle), "they are recycled one after another: {middle}");
    assert_eq!(NIGHT.answered(WEB, seconds(90), repaired), 0.0, "the last is gone");
    let busy = BUSY.emptied().unwrap_or_else(|| panic!("{}: the name kept its addresses", BUSY.command()));
    let first = BUSY.answered(WEB, busy, busy + Span::from_secs(20));
    assert!(first > 0.5, "most connections of 60s are still open: {first}");
    assert_eq!(NIGHT.answered(PINNED, emptied, repaired), 1.0, "DynamoDB itself is well all the time");
    let pinned = &NIGHT.summary.edges[PINNED];
    assert_eq!(pinned.failed, 0, "connections that nobody recycles outlive the record");
}

#[test]
fn without_the_operators_step_nothing_recovers() {
    let night = run("--until 04:30 --load 0.05 --without dns.restored");
    let emptied = emptied(&night);
    assert_eq!(night.regional("dns.endpoint-filled", emptied), None, "{}", night.command());
    assert_eq!(night.milestone("dynamodb.clients-recovered"), None, "{}", night.command());
    assert_eq!(night.milestone("dynamodb.global-tables-caught-up"), None, "{}", night.command());
    for edge in [WEB, SERVERLESS] {
        let late = night.answered(edge, after_start(177), after_start(302));
        assert_eq!(late, 0.0, "{edge}: two hours after the repair that did not come");
    }
    let lagging = &night.failed_checks;
    assert!(!lagging.is_empty(), "its expectations say so");
}

#[test]
fn a_repair_an_hour_earlier_moves_every_recovery_by_an_hour() {
    let moment = |ran: &Ran, id: &str| {
        let at = ran.milestone(id).unwrap_or_else(|| panic!("{}: {id} did not come", ran.command()));
        at.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{at}: {error}"))
    };
    let (as_it_was, earlier) =
        (run("--until 02:55 --load 0.05"), run("--until 01:55 --load 0.05 --shift dns.restored=-1h"));
    for id in ["dynamodb.global-tables-caught-up", "dynamodb.clients-recovered"] {
        let moved = moment(&as_it_was, id).duration_since(moment(&earlier, id)).as_secs_f64() / 60.0;
        // The caches' phases differ: a negative answer is up to 15 minutes old when the repair comes.
        assert!((50.0..70.0).contains(&moved), "{id} moved by {moved} minutes");
    }
    assert_eq!(
        as_it_was.milestone("dns.endpoint-empty"),
        earlier.milestone("dns.endpoint-empty"),
        "what came before the repair stays"
    );
}
