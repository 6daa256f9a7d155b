//! Work whose caller has gone: what it costs, whose it is, and what cancelling it saves.

use eastfall_fabric::record::{Layout, Results, Waste};

use super::*;

/// People wait a second for a shop that serves one after the other and asks a depot in between.
const GRAPH: &str = r#"
[region]
name = "somewhere"
latency = "0s"

[service.shop]
kind = "service"
workers = 1
service-time = "600ms"
operations.buy = {}
operations.order = { service-time = "100ms", calls = [{ service = "depot", operation = "fetch" }] }
calls.depot = {}

[service.depot]
kind = "service"
workers = 1
service-time = "5s"
operations.fetch = {}

[service.people]
kind = "customers"
rate = 0.0
mix = { "shop/buy" = 1.0 }
calls.shop = { timeout = "1s" }
"#;

/// The graph with every server cancelling what nobody waits for.
fn cancelling() -> String {
    GRAPH.replace("workers = 1\n", "workers = 1\nqueue = { cancel-abandoned = true }\n")
}

/// Four purchases at once and a fifth a little more than a second later: how many had an answer, and the books.
fn five_purchases(graph: &str) -> (Vec<bool>, Results) {
    let lab = Lab::start(graph, 1);
    let client = lab.client("people", "shop");
    let clock = lab.simulation.region().clock;
    let answered = lab.run(async move {
        let request = || PerformRequest { operation: "buy".to_owned(), body: Vec::new() };
        let calls = (0..5).map(|number| {
            let client = client.clone();
            async move {
                clock.sleep(Span::from_millis(if number < 4 { 0 } else { 1_100 })).await;
                client.call(&service_api::PERFORM, request()).await.is_ok()
            }
        });
        join_all(calls).await
    });
    (answered, books(&lab))
}

/// Everything that came to an end within a minute.
fn books(lab: &Lab) -> Results {
    lab.run_for(Span::from_secs(60));
    let mut results = Results::new(Layout::of(&lab.simulation.region().topology()));
    lab.reports().into_iter().for_each(|report| results.add(report));
    results.finish(sim::now());
    assert_eq!(results.imbalances(), [], "all books agree");
    results
}

fn waste(results: &Results, edge: &str) -> (u64, u64) {
    let Waste { requests, worker } =
        results.edges().find(|totals| totals.name() == edge).expect("the edge").waste;
    (requests, worker.as_nanos() / 1_000_000)
}

#[test]
fn a_server_finishes_what_nobody_waits_for_and_it_is_counted() {
    let (answered, results) = five_purchases(GRAPH);
    assert_eq!(
        answered,
        [true, false, false, false, false],
        "the fifth waits behind three that nobody wants"
    );
    let shop = results.server("shop");
    assert_eq!((shop.served, shop.late, shop.cancelled), (5, 4, 0));
    assert_eq!(waste(&results, "people->shop"), (4, 2_400), "four times 600 ms, by who had asked");
    assert_eq!(shop.wasted, Span::from_millis(2_400));
    let series = results.series();
    assert_eq!((series.total("people->shop.wasted"), series.total("system.shop.wasted")), (4.0, 4.0));
    let system = results.systems().find(|system| &*system.name == "shop").expect("the system");
    assert_eq!(system.waste, Waste { requests: 4, worker: Span::from_millis(2_400) });
}

#[test]
fn cancelling_abandoned_work_frees_the_worker_at_once() {
    let (answered, results) = five_purchases(&cancelling());
    assert_eq!(answered, [true, false, false, false, true], "the worker was free when the fifth came");
    let shop = results.server("shop");
    assert_eq!((shop.served, shop.late, shop.cancelled), (2, 0, 3));
    assert_eq!(
        waste(&results, "people->shop"),
        (1, 400),
        "the second had begun at 0.6 s and was given up at 1 s"
    );
}

#[test]
fn cancelling_reaches_those_further_down() {
    let lab = Lab::start(&cancelling(), 1);
    assert!(lab.perform("order").0.is_err(), "the depot takes too long");
    let results = books(&lab);
    let [shop, depot] = ["shop", "depot"].map(|service| results.server(service));
    assert_eq!((shop.cancelled, depot.cancelled, depot.served), (1, 1, 0));
    assert_eq!(waste(&results, "people->shop"), (1, 100), "what the shop had done by then");
    assert_eq!(waste(&results, "shop->depot"), (1, 900), "from 0.1 s to 1 s");
}

#[test]
fn cancelling_can_be_toggled_while_it_runs() {
    let lab = Lab::start(GRAPH, 1);
    let set = |value: &str| {
        let setting = format!("service.shop.queue.cancel-abandoned={value}").parse().expect("a setting");
        lab.simulation.region().set(&setting).expect("a sound setting");
    };
    set("true");
    assert!(lab.perform("order").0.is_err(), "the depot takes too long");
    set("false");
    assert!(lab.perform("order").0.is_err(), "the depot takes too long");
    let results = books(&lab);
    assert_eq!((results.server("shop").cancelled, results.server("shop").late), (1, 1));
    assert_eq!(results.server("depot").cancelled, 0, "the depot was not told to");
}
