//! Bursts at one worker, under each discipline, and requests that are given up on the way.

use std::future::Future as _;

use super::*;
use crate::engine::sim;
use crate::record::{Origin, Recorder, Report};
use crate::rng::stream;
use eastfall_topology::{Discipline, Queue};

fn capacity(discipline: Discipline, limit: Option<u32>) -> Capacity {
    Capacity {
        workers: 1,
        service_time: Distribution::Constant { value: Span::from_secs(1) },
        queue: Queue { discipline, limit, cancel_abandoned: false },
        slowdown: 0.0,
    }
}

fn new_station(capacity: Capacity) -> Station {
    let clock = Clock::virtual_time();
    Station::new(clock, stream(1, "station"), capacity, ServerRecorder::default())
}

/// Lets `count` requests arrive at once, each with this deadline, and returns what each met.
fn burst(capacity: Capacity, count: u64, deadline: Option<Moment>) -> Vec<Result<Visit, Status>> {
    sim::reset();
    let station = new_station(capacity);
    let results = Arc::new(Mutex::new(Vec::new()));
    for number in 0..count {
        let (station, results) = (station.clone(), Arc::clone(&results));
        let visit = async move {
            let visit = station.visit(deadline, None, 1.0).await;
            results.lock().expect("results").push((number, visit));
        };
        sim::spawn(sim::Owner(1), Box::pin(visit));
    }
    sim::run_until(Moment::MAX);
    let mut results = std::mem::take(&mut *results.lock().expect("results"));
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, visit)| visit).collect()
}

fn waits(visits: &[Result<Visit, Status>]) -> Vec<Option<u64>> {
    visits
        .iter()
        .map(|visit| visit.as_ref().ok().map(|visit| visit.waited.as_nanos() / 1_000_000_000))
        .collect()
}

#[test]
fn first_come_first_served_waits_for_all_before() {
    let visits = burst(capacity(Discipline::Fifo, None), 4, None);
    assert_eq!(waits(&visits), [Some(0), Some(1), Some(2), Some(3)]);
}

#[test]
fn last_come_first_served_lets_the_oldest_wait_longest() {
    let visits = burst(capacity(Discipline::Lifo, None), 4, None);
    assert_eq!(waits(&visits), [Some(0), Some(3), Some(2), Some(1)]);
}

#[test]
fn a_full_queue_refuses() {
    let visits = burst(capacity(Discipline::Fifo, Some(2)), 4, None);
    assert_eq!(waits(&visits), [Some(0), Some(1), Some(2), None]);
}

#[test]
fn expired_work_is_dropped_unserved() {
    let deadline = Moment::START + Span::from_millis(1_500);
    let visits = burst(capacity(Discipline::DropExpired, None), 4, Some(deadline));
    assert_eq!(waits(&visits), [Some(0), Some(1), None, None]);
}

/// Three requests for one worker, of which the one of this number is given up half a second after it came: when the
/// others departed, and how many waited just after.
fn given_up(number: u64) -> (Vec<Option<u64>>, usize) {
    sim::reset();
    let clock = Clock::virtual_time();
    let station = new_station(capacity(Discipline::Fifo, None));
    let departed = Arc::new(Mutex::new(vec![None; 3]));
    for each in 0..3 {
        let (station, departed) = (station.clone(), Arc::clone(&departed));
        sim::spawn(
            sim::Owner(1),
            Box::pin(async move {
                let patience = if each == number { Span::from_millis(500) } else { Span::MAX };
                let visit = clock.timeout(patience, station.visit(None, None, 1.0)).await;
                let millis =
                    visit.ok().and_then(Result::ok).map(|visit| visit.departed.as_nanos() / 1_000_000);
                departed.lock().expect("moments")[each as usize] = millis;
            }),
        );
    }
    sim::run_until(Moment::START + Span::from_millis(600));
    let waiting = station.queue_length();
    sim::run_until(Moment::MAX);
    let departed = departed.lock().expect("moments").clone();
    (departed, waiting)
}

#[test]
fn work_given_up_in_the_middle_frees_its_worker_at_once() {
    assert_eq!(given_up(0), (vec![None, Some(1_500), Some(2_500)], 1));
}

#[test]
fn work_given_up_in_the_queue_leaves_its_place() {
    assert_eq!(given_up(1), (vec![Some(1_000), None, Some(2_000)], 1));
    assert_eq!(given_up(2), (vec![Some(1_000), Some(2_000), None], 1));
}

#[test]
fn the_queue_s_length_over_time_counts_those_who_leave_unserved_as_long_as_they_were_there() {
    sim::reset();
    let clock = Clock::virtual_time();
    let origin = Origin { system: "s".into(), service: "s".into(), instance: "s".into() };
    let recorder = Recorder::new(clock, origin, Span::MAX);
    let capacity = capacity(Discipline::Fifo, None);
    let station = Station::new(clock, stream(1, "station"), capacity, recorder.server());
    for patience in [Span::MAX, Span::from_millis(500), Span::MAX, Span::MAX] {
        let station = station.clone();
        let visit = async move { drop(clock.timeout(patience, station.visit(None, None, 1.0)).await) };
        sim::spawn(sim::Owner(1), Box::pin(visit));
    }
    let queue_seconds = |until: Moment| {
        sim::run_until(until);
        let readings = recorder.take(until).into_iter().filter_map(|report| match report {
            Report::Sample(sample) => Some(sample.readings),
            _ => None,
        });
        readings.flatten().find(|reading| &*reading.name == "server.queue_s").map(|reading| reading.value)
    };
    // Three wait, one of them for half a second; the others begin after one second and after two.
    assert_eq!(queue_seconds(Moment::START + Span::from_millis(1_500)), Some(0.5 + 1.0 + 1.5));
    assert_eq!(
        queue_seconds(Moment::START + Span::from_secs(10)),
        Some(0.5),
        "what was told is not told again"
    );
}

#[test]
fn a_turn_that_comes_to_somebody_who_just_left_goes_to_the_next() {
    sim::reset();
    let station = new_station(capacity(Discipline::Fifo, None));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let first = Box::pin(station.enter(None)).as_mut().poll(&mut context);
    let [mut second, mut third] = [0, 1].map(|_| Box::pin(station.enter(None)));
    assert!(second.as_mut().poll(&mut context).is_pending(), "one worker");
    assert!(third.as_mut().poll(&mut context).is_pending(), "one worker");
    drop(first);
    drop(second);
    assert!(third.as_mut().poll(&mut context).is_ready(), "the second left without taking its turn");
}

#[test]
fn codel_sheds_when_even_the_shortest_wait_is_above_the_target() {
    let codel = Discipline::CoDel { target: Span::from_millis(5), interval: Span::from_millis(100) };
    let shed = burst(capacity(codel, None), 100, None).iter().filter(|visit| visit.is_err()).count();
    assert!(shed > 90, "{shed} of 100 shed");
}
