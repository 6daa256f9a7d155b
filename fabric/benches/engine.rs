//! What a wake-up costs: our executor against tokio's paused clock, with the same work in one run.
//!
//! Tasks sleep for random spans, over and over; the figure is the time a sleep takes from start to wake-up. Tokio's clock
//! is dilated (one millisecond of tokio's stands for a microsecond), which is how its resolution could be made to do.
//! `cargo bench -p eastfall-fabric --bench engine`

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tokio's timers are what is measured")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use eastfall_fabric::clock::Clock;
use eastfall_fabric::engine::sim::{self, Owner};
use eastfall_fabric::rng::stream;
use eastfall_fabric::{Moment, Span};
use rand::RngExt as _;

const SLEEPS: u64 = 200_000;

fn ours(tasks: u64) {
    sim::reset();
    for task in 0..tasks {
        let mut rng = stream(1, &task.to_string());
        sim::spawn(
            Owner(1),
            Box::pin(async move {
                for _ in 0..SLEEPS / tasks {
                    Clock::virtual_time().sleep(Span::from_micros(rng.random_range(1..1_000_000))).await;
                }
            }),
        );
    }
    sim::run_until(Moment::MAX);
    sim::reset();
}

fn tokios(tasks: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let mut all = Vec::new();
        for task in 0..tasks {
            let mut rng = stream(1, &task.to_string());
            all.push(tokio::spawn(async move {
                for _ in 0..SLEEPS / tasks {
                    tokio::time::sleep(std::time::Duration::from_millis(rng.random_range(1..1_000_000)))
                        .await;
                }
            }));
        }
        for task in all {
            task.await.expect("it ends");
        }
    });
}

fn wake_ups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("200,000 sleeps");
    group.throughput(Throughput::Elements(SLEEPS)).sample_size(10);
    for tasks in [100, 10_000] {
        group.bench_function(format!("ours, {tasks} tasks"), |bencher| {
            bencher.iter_batched(|| (), |()| ours(tasks), BatchSize::PerIteration);
        });
        group.bench_function(format!("tokio paused, {tasks} tasks"), |bencher| {
            bencher.iter_batched(|| (), |()| tokios(tasks), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, wake_ups);
criterion_main!(benches);
