//! What the engine itself costs: series in memory, so that no storage and no decoding is in the times.
//!
//! Decides whether a change of a kernel, of an aggregation or of matching pays; what a whole query over a block costs beside Prometheus is told by
//! `benches/src/bin/query`. 2,000 counters in 20 jobs with a sample every 15 s, asked for an hour by the minute, on one thread.
//!
//! Run with `cargo bench -p sarsen-promql --bench evaluate`.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sarsen_block::Labels;
use sarsen_promql::{
    Budget, Error, InputSeries, ParseOptions, Question, Samples, Selection, SeriesData, SeriesSet, parse,
    prepare,
};

const SERIES: u64 = 2000;
const BOUNDS: [&str; 8] = ["0.01", "0.05", "0.1", "0.5", "1", "5", "10", "+Inf"];
const QUERIES: [(&str, &str); 6] = [
    ("rate", "rate(requests_total[5m])"),
    ("avg over time", "avg_over_time(requests_total[10m])"),
    ("sum by", "sum by (job) (requests_total)"),
    ("quantile", "histogram_quantile(0.9, sum by (job, le) (rate(latency_bucket[5m])))"),
    ("join", "rate(requests_total[5m]) / on (pod) group_left () limits"),
    ("subquery", "max_over_time(sum by (job) (rate(requests_total[5m]))[30m:1m])"),
];

#[derive(Debug)]
struct Ready(Arc<Samples>);

impl SeriesData for Ready {
    fn read(&self, samples: &mut Samples) -> Result<(), Error> {
        samples.times.extend_from_slice(&self.0.times);
        samples.floats.extend_from_slice(&self.0.floats);
        Ok(())
    }
}

type Series = (Labels, Arc<Samples>);

struct Found(std::vec::IntoIter<Series>);

impl SeriesSet for Found {
    fn next(&mut self) -> Result<Option<InputSeries>, Error> {
        Ok(self.0.next().map(|(labels, samples)| InputSeries { labels, data: Box::new(Ready(samples)) }))
    }
}

fn samples(number: u64) -> Arc<Samples> {
    let mut samples = Samples::default();
    let mut value = 0.0;
    for round in 0..320u64 {
        let chance = (number * 977 + round * 7919) % 1009;
        value = if chance == 0 { 0.0 } else { value + (chance % 40) as f64 };
        samples.times.push((round * 15_000 + number % 15_000) as i64);
        samples.floats.push(value);
    }
    Arc::new(samples)
}

fn all() -> Vec<Series> {
    let mut all = Vec::new();
    for number in 0..SERIES {
        let (job, pod) = (format!("job-{:02}", number % 20), format!("pod-{:04}", number / 2));
        let path = format!("/{}", number % 2);
        let le = BOUNDS.get(number as usize / 20 % BOUNDS.len()).unwrap();
        let pod_of_buckets = format!("pod-{:04}", number / 160);
        let pairs = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).unwrap();
        all.push((
            pairs(&[("__name__", "requests_total"), ("job", &job), ("path", &path), ("pod", &pod)]),
            samples(number),
        ));
        all.push((
            pairs(&[("__name__", "latency_bucket"), ("job", &job), ("le", le), ("pod", &pod_of_buckets)]),
            samples(number),
        ));
        if number % 2 == 0 {
            all.push((pairs(&[("__name__", "limits"), ("pod", &pod)]), samples(number)));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn select(all: &[Series], selection: &Selection) -> Box<dyn SeriesSet> {
    let fits = |labels: &Labels| {
        let value = |name| labels.get(name).unwrap_or_default();
        selection.matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
    };
    let found: Vec<_> = all.iter().filter(|(labels, _)| fits(labels)).cloned().collect();
    Box::new(Found(found.into_iter()))
}

fn evaluate(criterion: &mut Criterion) {
    let all = all();
    let mut group = criterion.benchmark_group("evaluate");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for (name, text) in QUERIES {
        let query = parse(text, &ParseOptions::default()).unwrap();
        let query = prepare(text, query, &Question::range(1_200_000, 4_740_000, 60_000)).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let sets = query.selections().iter().map(|selection| select(&all, selection)).collect();
                black_box(query.evaluate(sets, &Budget::default()).unwrap())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, evaluate);
criterion_main!(benches);
