//! How long does a commit take, by the sample, without the network and without waiting for the disk?
//!
//! `cargo bench -p sarsen-benches --bench commit`. Requests of 2,000 series, one sample each, eleven labels. `known` appends to
//! 100 k series that exist, `births` makes every series. The budget of a known sample, hash and lookup included, is
//! about 200 ns on one core.

#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sarsen_benches::Fleet;
use sarsen_block::Labels;
use sarsen_tsdb::{Db, Options, SyncPolicy};

const GROUP: u64 = 2_000;

fn open(folder: &std::path::Path) -> Db {
    let mut options = Options::default();
    options.sync = SyncPolicy::Os;
    Db::builder(folder).options(options).hash_seed([1, 2, 3, 4]).open().unwrap()
}

/// What one request carries: labels known beforehand, samples made for it.
type Request<'a> = (&'a [Labels], Vec<(i64, f64)>);

fn request<'a>(fleet: &Fleet, labels: &'a [Labels], group: u64, round: u64) -> Request<'a> {
    let first = group * GROUP;
    (
        labels,
        (first..first + labels.len() as u64).map(|series| fleet.sample(series, round).unwrap()).collect(),
    )
}

fn commit(db: &Db, (labels, samples): &Request<'_>) -> u64 {
    let mut batch = db.appender();
    batch.reserve(labels.len());
    for (labels, (time, value)) in labels.iter().zip(samples) {
        batch.append(labels.as_ref(), *time, *value);
    }
    let commit = batch.commit().unwrap();
    commit.pending.wait().unwrap();
    commit.committed.accepted
}

fn groups(fleet: &Fleet) -> Vec<Vec<Labels>> {
    let all: Vec<Labels> = (0..fleet.series).map(|series| fleet.labels(series, 0)).collect();
    all.chunks(GROUP as usize).map(<[Labels]>::to_vec).collect()
}

fn known(criterion: &mut Criterion) {
    let fleet = Fleet::steady(100_000, 1_700_000_000_000);
    let labels = groups(&fleet);
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path());
    let mut requests = (0_u64..).flat_map(|round| {
        let (fleet, labels) = (&fleet, &labels);
        (0..labels.len()).map(move |group| request(fleet, &labels[group], group as u64, round))
    });
    for request in requests.by_ref().take(labels.len()) {
        assert_eq!(commit(&db, &request), GROUP);
    }
    let mut bench = criterion.benchmark_group("commit");
    bench.throughput(Throughput::Elements(GROUP)).sample_size(30);
    bench.bench_function("known", |bencher| {
        let next = || requests.next().unwrap();
        bencher.iter_batched(next, |request| black_box(commit(&db, &request)), BatchSize::SmallInput);
    });
    bench.finish();
}

fn births(criterion: &mut Criterion) {
    let fleet = Fleet::steady(100_000, 1_700_000_000_000);
    let labels = groups(&fleet);
    let requests: Vec<_> =
        (0..labels.len()).map(|group| request(&fleet, &labels[group], group as u64, 0)).collect();
    let mut bench = criterion.benchmark_group("commit");
    bench.throughput(Throughput::Elements(fleet.series)).sample_size(10);
    bench.bench_function("births", |bencher| {
        bencher.iter_with_large_drop(|| {
            let folder = tempfile::tempdir().unwrap();
            let db = open(folder.path());
            for request in &requests {
                assert_eq!(commit(&db, request), GROUP);
            }
            (db, folder)
        });
    });
    bench.finish();
}

criterion_group!(benches, known, births);
criterion_main!(benches);
