//! Asks series in memory a range query. Run with `cargo run -p sarsen-promql --example ask -- 'sum by (job) (rate(requests_total[5m]))'`.
//!
//! The engine never fetches: it says which series it needs, and takes them from whoever has them.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error as StdError;

use sarsen_block::{Labels, Timestamp};
use sarsen_promql::{
    Budget, Error, InputSeries, ParseOptions, Question, Samples, SeriesData, SeriesSet, Value, parse, prepare,
};

/// Samples as they lie in memory. A storage would have chunks here and decode them.
#[derive(Debug, Clone)]
struct Counter {
    every: Timestamp,
    by: f64,
}

impl SeriesData for Counter {
    fn read(&self, samples: &mut Samples) -> Result<(), Error> {
        let rounds =
            || (0..240i32).map(|round| (Timestamp::from(round) * self.every, f64::from(round) * self.by));
        samples.times.extend(rounds().map(|(t, _)| t));
        samples.floats.extend(rounds().map(|(_, value)| value));
        Ok(())
    }
}

/// What was found, by rising labels.
struct Found(std::vec::IntoIter<(Labels, Counter)>);

impl SeriesSet for Found {
    fn next(&mut self) -> Result<Option<InputSeries>, Error> {
        Ok(self.0.next().map(|(labels, data)| InputSeries { labels, data: Box::new(data) }))
    }
}

fn main() -> Result<(), Box<dyn StdError>> {
    let mut series = Vec::new();
    for (number, (job, pod)) in (1..).zip([("api", "a"), ("api", "b"), ("web", "c")]) {
        let labels = Labels::from_pairs([("__name__", "requests_total"), ("job", job), ("pod", pod)])?;
        series.push((labels, Counter { every: 15_000, by: f64::from(number) * 30.0 }));
    }
    let text =
        std::env::args().nth(1).unwrap_or_else(|| "sum by (job) (rate(requests_total[5m]))".to_owned());
    // From ten minutes on, every five, up to half an hour.
    let question = Question::range(600_000, 1_800_000, 300_000);
    let query = prepare(&text, parse(&text, &ParseOptions::default())?, &question)?;
    let mut sets: Vec<Box<dyn SeriesSet>> = Vec::new();
    for needed in query.selections() {
        let value = |labels: &Labels, name: &[u8]| labels.get(name).unwrap_or_default().to_vec();
        let fits = |labels: &Labels| {
            needed.matchers.iter().all(|matcher| matcher.matches(&value(labels, matcher.name())))
        };
        let found: Vec<_> = series.iter().filter(|(labels, _)| fits(labels)).cloned().collect();
        println!("needs {} series from {} until {} ms", found.len(), needed.range.min, needed.range.max);
        sets.push(Box::new(Found(found.into_iter())));
    }
    let answer = query.evaluate(sets, &Budget::default())?;
    let Value::Matrix(matrix) = answer.value else { return Err("no range of values".into()) };
    for series in matrix {
        println!("{}", series.labels.as_ref());
        series.floats.iter().for_each(|(t, value)| println!("  {:>5} s  {value}", t / 1000));
    }
    println!("{} samples were looked at", answer.stats.total_queryable_samples);
    Ok(())
}
