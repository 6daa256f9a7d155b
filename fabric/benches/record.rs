//! What recording costs on the hot path: it is paid for every request and every attempt of a run.

use criterion::{Criterion, criterion_group, criterion_main};
use eastfall_fabric::record::{EdgeRecorder, Ending};
use eastfall_fabric::{Moment, Span};

fn moments() -> impl Iterator<Item = (Moment, Moment)> {
    let mut micros = 0;
    std::iter::from_fn(move || {
        micros = (micros * 25 + 7_919) % 30_000;
        let started = Moment::START + Span::from_secs(1);
        Some((started, started + Span::from_micros(micros)))
    })
}

fn recording(criterion: &mut Criterion) {
    let edge = EdgeRecorder::default();
    let mut next = moments();
    criterion.bench_function("a request", |bench| {
        bench.iter(|| next.next().map(|(started, ended)| edge.request(Ending::Ok, started, started, ended)));
    });
    criterion.bench_function("an attempt", |bench| {
        bench.iter(|| next.next().map(|(started, ended)| edge.attempt(0, Ending::Ok, started, ended)));
    });
}

criterion_group!(benches, recording);
criterion_main!(benches);
