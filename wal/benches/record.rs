//! Question: what does logging cost per sample, in time and in bytes, and is packing with zstd worth it?
//!
//! A block is one remote write request of 2,000 known series: rising ids with gaps, one scrape time per ten series or
//! one for all, values as the generator of the house mixes them (counters, two-decimal gauges, slow counters, random,
//! constants) or all of one kind. Timed is everything from the first row to the stored frame: columns, zstd where it
//! is on, checksum. Bytes are printed before the timings.
//!
//! Answer (best of 600 runs on one core of a busy 2-core machine; replay is CPU time from a file in memory):
//!
//! | values | plain: ns, bytes a sample | zstd 1: ns, bytes | replay: ns plain, zstd |
//! |---|---|---|---|
//! | mixed | 8.3, 5.52 | 18.8, 4.34 | 11.5, 18.8 |
//! | counters | 8.1, 4.91 | 19.4, 3.76 | 12.0, 18.8 |
//! | two-decimal gauges | 11.1, 3.93 | 18.9, 2.74 | 12.0, 17.2 |
//! | slow counters | 7.6, 2.91 | 15.8, 1.66 | 10.9, 15.1 |
//! | random | 7.6, 9.94 | 19.1, 8.60 | 13.0, 24.5 |
//! | constants | 7.4, 5.86 | 18.4, 3.92 | 12.0, 18.8 |
//!
//! The columns alone stay below 6 bytes a sample; zstd takes another fifth for 10 ns. Faster levels: -1 gives 14.1 ns and
//! 4.65 bytes mixed, -4 gives 13.8 ns and 5.52. Births of 326 bytes: 5 to 25 bytes and 130 to 330 ns with zstd, 329 bytes
//! and about 360 ns without. So records are packed unless the owner says otherwise, at level 1.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a bench may fail loudly, and speaks to a person"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sarsen_block::{Labels, SeriesHasher};
use sarsen_wal::{Batch, Disk, Options, Position, Record, SeriesId, SimDisk, Step, SyncPolicy, Wal, replay};

const SERIES: u64 = 2000;
const BASE: i64 = 1_760_000_000_000;

fn noise(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[derive(Debug, Clone, Copy)]
enum Values {
    Mixed,
    Counters,
    Gauges,
    Random,
    Constants,
}

fn value(kind: Values, series: u64, round: u64) -> f64 {
    let own = noise(series);
    match kind {
        Values::Mixed => {
            let kinds = [Values::Counters, Values::Gauges, Values::Gauges, Values::Random, Values::Constants];
            if series % 5 == 2 {
                return ((round + own % 17) / 17 + own % 40) as f64;
            }
            value(kinds[(series % 5) as usize], series, round)
        }
        Values::Counters => {
            (own % 1_000_000 + round * (own % 500 + 1) + noise(series ^ (round << 32)) % 50) as f64
        }
        Values::Gauges => (noise(series ^ (round << 32)) % 10_000) as f64 / 100.0,
        Values::Random => (noise(series ^ (round << 32)) >> 11) as f64 / (1u64 << 53) as f64,
        Values::Constants => (own % 100_000 * 1024) as f64,
    }
}

/// Ids as a sender's shard holds them: rising, one in three.
fn rows(kind: Values, round: u64, one_time: bool) -> Vec<(SeriesId, i64, u64)> {
    (0..SERIES)
        .map(|series| {
            let id = series * 3 + noise(series) % 3;
            let target = if one_time { 0 } else { series / 10 };
            let t = BASE + round as i64 * 15_000 + (noise(target) % 15_000) as i64;
            (SeriesId(id), t, value(kind, series, round).to_bits())
        })
        .collect()
}

fn labels(series: u64) -> Labels {
    let number = noise(series);
    Labels::from_pairs([
        ("__name__", format!("http_server_requests_seconds_bucket_{}", series % 40)),
        ("cluster", "eu-central-1-production".to_owned()),
        ("container", "application".to_owned()),
        ("endpoint", format!("/api/v2/resource/{}", number % 100)),
        ("instance", format!("10.12.{}.{}:9100", number % 250, (number >> 9) % 250)),
        ("job", "kubernetes-service-endpoints".to_owned()),
        ("le", format!("0.{}", number % 20)),
        ("method", "GET".to_owned()),
        ("namespace", format!("team-{}", number % 12)),
        ("pod", format!("application-{:x}-{:05x}", number % 0xFFFF_FFFF, number >> 40 & 0xF_FFFF)),
        ("service", "application-main".to_owned()),
    ])
    .unwrap()
}

/// A log that keeps everything in memory and never syncs.
fn memory_log() -> (Arc<dyn Disk>, Wal) {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let options = Options { sync: SyncPolicy::Os, buffer_bytes: 1 << 40, ..Options::default() };
    let wal = Wal::open(Arc::clone(&disk), Path::new("/"), &options, Position::START).unwrap();
    (disk, wal)
}

/// Bytes a sample in the log, frames included, over some rounds.
fn bytes_per_sample(kind: Values, one_time: bool, mut batch: Batch) -> f64 {
    let (_, wal) = memory_log();
    for round in 0..20 {
        for (id, t, bits) in rows(kind, round, one_time) {
            batch.sample(id, t, bits);
        }
        drop(wal.append(&mut batch).unwrap());
    }
    wal.stats().appended_bytes as f64 / (20 * SERIES) as f64
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(SERIES));
    let kinds = [Values::Mixed, Values::Counters, Values::Gauges, Values::Random, Values::Constants];
    for (kind, one_time) in kinds.iter().map(|kind| (*kind, false)).chain([(Values::Mixed, true)]) {
        for packed in [false, true] {
            let new = if packed { Batch::new } else { Batch::uncompressed };
            let times = if one_time { "one time" } else { "many times" };
            let name = format!("{kind:?}, {times}, {}", if packed { "zstd" } else { "plain" });
            eprintln!("{name}: {:.2} bytes a sample", bytes_per_sample(kind, one_time, new()));
            let rounds: Vec<_> = (0..16).map(|round| rows(kind, round, one_time)).collect();
            let (_, wal) = memory_log();
            let (mut batch, mut at, mut appended) = (new(), 0, 0u64);
            group.bench_function(&name, |b| {
                b.iter(|| {
                    for (id, t, bits) in &rounds[at % 16] {
                        batch.sample(*id, *t, *bits);
                    }
                    at += 1;
                    drop(wal.append(&mut batch).unwrap());
                    appended += 1;
                    if appended.is_multiple_of(256) {
                        wal.pending().wait().unwrap();
                    }
                });
            });
        }
    }
    group.finish();
}

fn births(c: &mut Criterion) {
    let mut group = c.benchmark_group("births");
    group.throughput(Throughput::Elements(SERIES));
    let all: Vec<Labels> = (0..SERIES).map(labels).collect();
    let raw: usize = all.iter().map(|labels| labels.as_ref().as_bytes().len()).sum();
    black_box(SeriesHasher::new([1; 4]));
    for packed in [false, true] {
        let mut batch = if packed { Batch::new() } else { Batch::uncompressed() };
        let (_, wal) = memory_log();
        let mut append = || {
            for (i, labels) in all.iter().enumerate() {
                batch.birth(SeriesId(i as u64), labels.as_ref());
            }
            wal.append(&mut batch).unwrap()
        };
        drop(append());
        let name = if packed { "zstd" } else { "plain" };
        let stored = wal.stats().appended_bytes as f64 / SERIES as f64;
        eprintln!("births, {name}: {stored:.1} bytes a series, labels of {} bytes", raw as u64 / SERIES);
        group.bench_function(name, |b| {
            b.iter(|| append().wait().unwrap());
        });
    }
    group.finish();
}

fn read_back(c: &mut Criterion) {
    let mut group = c.benchmark_group("replay");
    let rounds = 500;
    group.throughput(Throughput::Elements(SERIES * rounds));
    for packed in [false, true] {
        let (disk, wal) = memory_log();
        let mut batch = if packed { Batch::new() } else { Batch::uncompressed() };
        for round in 0..rounds {
            for (id, t, bits) in rows(Values::Mixed, round, false) {
                batch.sample(id, t, bits);
            }
            drop(wal.append(&mut batch).unwrap());
        }
        wal.sync().unwrap();
        group.bench_function(if packed { "zstd" } else { "plain" }, |b| {
            b.iter(|| {
                let mut walk = replay(Arc::clone(&disk), Path::new("/"), None).unwrap();
                let (mut scratch, mut sum) = (Vec::new(), 0u64);
                while let Step::Record(logged) = walk.next().unwrap() {
                    if let Record::Samples(mut rows) = logged.record(&mut scratch).unwrap() {
                        while let Some(sample) = rows.next().unwrap() {
                            sum = sum.wrapping_add(sample.bits);
                        }
                    }
                }
                sum
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append, births, read_back);
criterion_main!(benches);
