//! How fast is an index written and read, how much does writing one keep in memory, and what do set operations cost?
//!
//! Budget: cutting 100 k series of 11 labels with 4 chunks each (480 samples) takes about a second with everything else, so
//! the index may take a few hundred milliseconds of it; memory while writing stays below 60 bytes a series.
//!
//! Last answer (one of two busy cores of a small machine): 21 bytes a series kept; 100 k series written in 0.12 s of CPU, chunk files
//! included; all of them read with their chunks in 0.13 s; a metric of one job found in 4 us; a million numbers met with a
//! thousand in 0.1 ms.
//!
//! cargo bench -p sarsen-block --bench postings

#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sarsen_block::{
    ChunkMeta, ChunkRef, IndexReader, IndexWriter, Intersection, Labels, ListWalk, MatchOp, Matcher,
    Postings, SeriesNo, TimeRange, Union, select_postings,
};

/// Series of 11 labels as a fleet of pods has them: 100 metrics a pod, in label order.
fn series(count: usize) -> Vec<Labels> {
    let one = |i: usize| {
        let (pod, metric) = (i / 100, i % 100);
        let node = pod / 30;
        Labels::from_pairs([
            ("__name__", format!("http_server_request_duration_seconds_{metric:02}").as_str()),
            ("cluster", "eu-west-1-production"),
            ("container", "application-server"),
            ("endpoint", "metrics"),
            ("instance", &format!("10.{}.{}.{}:9100", pod / 65536, pod / 256 % 256, pod % 256)),
            ("job", &format!("monitoring/service-{}", pod % 40)),
            ("method", ["GET", "POST", "PUT"][metric % 3]),
            ("namespace", &format!("team-{}", pod % 25)),
            ("node", &format!("ip-10-0-{}-{}.compute.internal", node / 256, node % 256)),
            ("pod", &format!("service-{}-7d9f8b6c5-{:05x}", pod % 40, pod * 7919 % 0xF_FFFF)),
            ("status", ["200", "404", "500", "503"][metric % 4]),
        ])
        .unwrap()
    };
    let mut all: Vec<Labels> = (0..count).map(one).collect();
    all.sort();
    all
}

fn symbols(series: &[Labels]) -> BTreeSet<&[u8]> {
    series.iter().flat_map(|labels| labels.iter().flat_map(|(name, value)| [name, value])).collect()
}

/// Writes an index; how many bytes of memory it held at its largest, without the symbols.
fn write<W: io::Write>(out: W, symbols: &BTreeSet<&[u8]>, series: &[Labels]) -> (W, usize) {
    let mut writer = IndexWriter::new(out).unwrap();
    symbols.iter().for_each(|symbol| writer.add_symbol(symbol).unwrap());
    let mut at = 8;
    for labels in series {
        let chunks = [0, 1, 2, 3].map(|i| {
            at += 170;
            let range = TimeRange::new(i * 1_800_000, i * 1_800_000 + 1_785_000);
            ChunkMeta { range, chunk_ref: ChunkRef(at) }
        });
        writer.add_series(labels.as_ref(), &chunks).unwrap();
    }
    let memory = writer.memory();
    (writer.finish().unwrap().0, memory)
}

fn index(c: &mut Criterion) {
    let series = series(100_000);
    let symbols = symbols(&series);
    let (bytes, memory) = write(Vec::new(), &symbols, &series);
    let each = |bytes: usize| bytes as f64 / series.len() as f64;
    eprintln!("an index of {:.0} bytes a series; {:.1} kept while writing", each(bytes.len()), each(memory));

    let mut group = c.benchmark_group("index");
    group.sample_size(10).throughput(Throughput::Elements(series.len() as u64));
    group.bench_function("write", |b| b.iter(|| write(io::sink(), &symbols, &series)));
    let bytes = Bytes::from(bytes);
    let open = || IndexReader::open(Arc::new(bytes.clone())).unwrap();
    group.bench_function("open", |b| b.iter(open));
    let reader = open();
    let all = select_postings(&[], &reader).unwrap();
    group.bench_function("read_every_series", |b| {
        b.iter(|| all.iter().map(|&no| reader.series(no).unwrap().chunks.len()).sum::<usize>());
    });
    group.finish();
    matchers(c, &reader);
}

fn matchers(c: &mut Criterion, reader: &IndexReader) {
    use MatchOp::{Equal, NotEqual, Regex};
    const METRIC: (&str, MatchOp, &str) = ("__name__", Equal, "http_server_request_duration_seconds_07");
    const JOB: (&str, MatchOp, &str) = ("job", Equal, "monitoring/service-7");
    let mut group = c.benchmark_group("matchers");
    for (name, matchers) in [
        ("one_series", [METRIC, ("instance", Equal, "10.0.1.9:9100")]),
        ("a_metric_of_a_job", [METRIC, JOB]),
        ("negated", [JOB, ("status", NotEqual, "200")]),
        ("regex", [("pod", Regex, "service-1.*"), ("method", Equal, "GET")]),
        ("1000_pods", [("pod", Regex, "service-.*"), ("cluster", NotEqual, "")]),
        ("a_metric_of_1000_pods", [("pod", Regex, "service-.*"), METRIC]),
    ] {
        let matchers = matchers.map(|(name, op, value)| Matcher::new(op, name, value).unwrap());
        let found = select_postings(&matchers, reader).unwrap().len();
        assert!(found > 0, "{name}");
        group.bench_function(format!("{name}_{found}"), |b| {
            b.iter(|| select_postings(&matchers, reader).unwrap());
        });
    }
    group.finish();
}

fn every(step: u32, count: u32) -> Vec<SeriesNo> {
    (0..count).map(|i| SeriesNo(i * step)).collect()
}

fn sets(c: &mut Criterion) {
    let (dense, sparse) = (every(1, 1_000_000), every(1009, 990));
    let (threes, fives) = (every(3, 333_333), every(5, 200_000));
    let parts: Vec<Vec<SeriesNo>> =
        (0..1000).map(|k| (0..1000).map(|i| SeriesNo(i * 1000 + k)).collect()).collect();
    let both = |a: &[SeriesNo], b: &[SeriesNo]| -> Box<dyn Postings> {
        Box::new(Intersection::new(vec![ListWalk::new(a.to_vec()), ListWalk::new(b.to_vec())]))
    };
    let mut group = c.benchmark_group("sets");
    let mut run = |name: &str, make: &dyn Fn() -> Box<dyn Postings>| {
        group.bench_function(name, |b| {
            b.iter_batched(make, |walk| black_box(walk).collect_all(), BatchSize::LargeInput);
        });
    };
    run("intersect_1m_with_1k", &|| both(&dense, &sparse));
    run("intersect_333k_with_200k", &|| both(&threes, &fives));
    run("union_1000_of_1k", &|| Box::new(Union::new(parts.iter().cloned().map(ListWalk::new).collect())));
    group.finish();
}

criterion_group!(benches, index, sets);
criterion_main!(benches);
