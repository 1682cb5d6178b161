//! However many threads work, the answer, its notes, its statistics and its errors are the same.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod data;

use std::sync::Arc;

use data::DataSet;
use sarsen_block::{Labels, STALE_NAN_BITS};
use sarsen_promql::{Budget, Error, ParseOptions, Question, Samples, Value, parse, prepare};

/// So many series that they come in several batches.
const SERIES: u64 = 1700;

/// A number without a pattern (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

fn series(number: u64) -> (Labels, Arc<Samples>) {
    let (job, pod) = (format!("job-{}", mixed(number) % 7), format!("pod-{number:05}"));
    let labels = Labels::from_pairs([("__name__", "load"), ("job", &job), ("pod", &pod)]).unwrap();
    let mut samples = Samples::default();
    for round in 0..60 {
        let chance = mixed(number << 8 | round);
        if chance.is_multiple_of(9) {
            continue;
        }
        samples.times.push(round as i64 * 15_000 + (mixed(number) % 15_000) as i64);
        let stale = chance.is_multiple_of(31);
        samples.floats.push(if stale {
            f64::from_bits(STALE_NAN_BITS)
        } else {
            (chance % 1000) as f64 / 7.0
        });
    }
    (labels, Arc::new(samples))
}

/// Everything that an evaluation tells, as text; numbers as their bits.
fn told(data: &DataSet, text: &str, budget: &Budget) -> Result<String, Error> {
    let query = parse(text, &ParseOptions::default()).unwrap();
    let query = prepare(text, query, &Question::range(100_000, 890_000, 10_000)).unwrap();
    let sets = query.selections().iter().map(|selection| data.select(selection)).collect();
    let answer = query.evaluate(sets, budget)?;
    let Value::Matrix(matrix) = answer.value else { return Ok(String::new()) };
    let mut lines = vec![format!("{:?} {:?}", answer.stats, answer.annotations)];
    for series in matrix {
        let bits = series.floats.iter().map(|(t, value)| format!("{t}:{:x}", value.to_bits()));
        lines.push(format!("{} {}", series.labels.as_ref(), bits.collect::<Vec<_>>().join(" ")));
    }
    Ok(lines.join("\n"))
}

#[test]
fn threads_change_nothing() {
    let data = DataSet::new((0..SERIES).map(series).collect());
    let queries = [
        "sum by (job) (rate(load[2m]))",
        "avg(avg_over_time(load[3m]))",
        "stddev by (job) (load) + on (job) count by (job) (load offset 1m)",
        "topk(3, increase(load[2m]))",
        "max_over_time(sum(load)[5m:30s])",
        "quantile(0.3, -load)",
        r#"load{job="job-3"} * 2 > 100"#,
    ];
    for text in queries {
        let one = told(&data, text, &Budget::default()).unwrap();
        assert!(one.len() > 1000, "{text} answers little");
        for workers in [2, 5] {
            let mut budget = Budget::default();
            budget.workers = workers;
            assert_eq!(told(&data, text, &budget).unwrap(), one, "{text} on {workers}");
        }
    }
}

#[test]
fn limits_and_stops_hold_on_threads() {
    let data = DataSet::new((0..SERIES).map(series).collect());
    let mut budget = Budget::default();
    (budget.workers, budget.max_samples) = (3, 20_000);
    let refused = told(&data, "sum(rate(load[2m]))", &budget);
    assert!(matches!(refused, Err(Error::TooManySamples)), "{refused:?}");
    budget = Budget::default();
    budget.workers = 3;
    budget.stop(sarsen_promql::Stop::Canceled);
    let stopped = told(&data, "sum(rate(load[2m]))", &budget);
    assert!(matches!(stopped, Err(Error::Canceled)), "{stopped:?}");
}
