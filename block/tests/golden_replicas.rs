//! Replicas become one series as in Thanos' querier, bit for bit, however its reader goes from sample to sample.
//!
//! The cases are described in `testdata/dedup/README.md`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::collections::HashMap;

use golden::{folder, lines};
use sarsen_block::{Replicas, Sample, Timestamp, Value, interleave};
use serde::Deserialize;

/// Time, bits, and a text for people.
type Point = (Timestamp, String, String);

#[derive(Deserialize)]
struct Stream {
    stream: String,
    replicas: Vec<Option<Vec<Point>>>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    stream: String,
    func: String,
    algorithm: String,
    out: Option<Vec<Point>>,
    seeks: Option<Vec<Vec<Step>>>,
}

#[derive(Deserialize)]
struct Step {
    op: String,
    #[serde(default)]
    to: Timestamp,
    at: Option<Point>,
}

type Float = (Timestamp, f64);
type Bits = (Timestamp, u64);

fn float(point: &Point) -> Float {
    (point.0, f64::from_bits(u64::from_str_radix(&point.1, 16).unwrap()))
}

fn bits(sample: &Float) -> Bits {
    (sample.0, sample.1.to_bits())
}

fn is_counter(func: &str) -> bool {
    ["increase", "rate", "irate", "resets"].contains(&func)
}

fn streams() -> HashMap<String, Vec<Vec<Float>>> {
    let of = |points: &Option<Vec<Point>>| points.iter().flatten().map(float).collect();
    let streams = lines::<Stream>(&folder("dedup").join("streams.jsonl")).into_iter();
    streams.map(|stream| (stream.stream, stream.replicas.iter().map(of).collect())).collect()
}

fn penalty<'a>(replicas: &'a [Vec<Float>], case: &Case) -> Replicas<'a, Float> {
    Replicas::new(replicas.iter().map(Vec::as_slice), Timestamp::MAX, is_counter(&case.func))
}

fn made_one(replicas: &[Vec<Float>], case: &Case) -> Vec<Float> {
    if case.algorithm == "chain" {
        let mut out = Vec::new();
        interleave(replicas, &mut out);
        return out;
    }
    let mut all = penalty(replicas, case);
    std::iter::from_fn(|| all.next()).collect()
}

#[test]
fn replicas_become_one_series() {
    let streams = streams();
    for case in lines::<Case>(&folder("dedup").join("series.jsonl")) {
        let replicas = &streams[&case.stream];
        let expected: Vec<_> = case.out.iter().flatten().map(|point| bits(&float(point))).collect();
        let out: Vec<_> = made_one(replicas, &case).iter().map(bits).collect();
        assert_eq!(out, expected, "{}", case.id);
        if case.algorithm == "penalty" {
            let mixed: Vec<Vec<Sample>> = replicas
                .iter()
                .map(|replica| replica.iter().map(|&(t, value)| Sample::float(t, value)).collect())
                .collect();
            let mut all =
                Replicas::new(mixed.iter().map(Vec::as_slice), Timestamp::MAX, is_counter(&case.func));
            let out: Vec<_> = std::iter::from_fn(|| all.next())
                .map(|sample| match sample.value {
                    Value::Float(value) => (sample.t, value.to_bits()),
                    Value::Histogram(_) => (sample.t, 0),
                })
                .collect();
            assert_eq!(out, expected, "{} as samples of any kind", case.id);
        }
    }
}

#[test]
fn seeking_goes_through_the_same_samples() {
    let streams = streams();
    for case in lines::<Case>(&folder("dedup").join("series.jsonl")) {
        let replicas = &streams[&case.stream];
        for (number, script) in case.seeks.iter().flatten().enumerate() {
            let mut all = penalty(replicas, &case);
            let mut chained = Chained { out: made_one(replicas, &case), at: None };
            for (line, step) in script.iter().enumerate() {
                let stands = match (case.algorithm.as_str(), step.op.as_str()) {
                    ("chain", "next") => chained.next(),
                    ("chain", _) => chained.seek(step.to),
                    (_, "next") => all.next(),
                    (_, _) => all.seek(step.to),
                };
                let expected = step.at.as_ref().map(|point| bits(&float(point)));
                assert_eq!(stands.as_ref().map(bits), expected, "{}, script {number}, step {line}", case.id);
            }
        }
    }
}

/// A reader over merged samples.
struct Chained {
    out: Vec<Float>,
    at: Option<usize>,
}

impl Chained {
    fn next(&mut self) -> Option<Float> {
        let at = self.at.map_or(0, |at| at + 1);
        self.at = Some(at);
        self.out.get(at).copied()
    }

    fn seek(&mut self, t: Timestamp) -> Option<Float> {
        let at = self.at.unwrap_or_default();
        let at = at + self.out.get(at..).unwrap_or_default().iter().take_while(|sample| sample.0 < t).count();
        self.at = Some(at);
        self.out.get(at).copied()
    }
}
