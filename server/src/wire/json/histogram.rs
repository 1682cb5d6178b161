//! A native histogram: count, sum, and every bucket that is not empty with its bounds.

use std::io::{Result, Write};

use sarsen_block::{Bucket, Counts, Histogram};

use super::float;

/// `{"count":"3","sum":"4.5","buckets":[[0,"1","2","3"]]}`. The number before the bounds says which of them belong to the bucket: 0 the upper, 1 the
/// lower, 2 none, 3 both.
pub(super) fn histogram(out: &mut impl Write, histogram: &Histogram) -> Result<()> {
    let count = match histogram.counts {
        Counts::Integer { count, .. } => count as f64,
        Counts::Float { count, .. } => count,
    };
    out.write_all(b"{\"count\":\"")?;
    float(out, count)?;
    out.write_all(b"\",\"sum\":\"")?;
    float(out, histogram.sum)?;
    out.write_all(b"\"")?;
    let mut before: &[u8] = b",\"buckets\":[";
    for bucket in histogram.buckets().filter(|bucket| bucket.count != 0.0) {
        out.write_all(before)?;
        write(out, &bucket)?;
        before = b",";
    }
    out.write_all(if before == b"," { b"]}" } else { b"}" })
}

fn write(out: &mut impl Write, bucket: &Bucket) -> Result<()> {
    let rule = match (bucket.lower_inclusive, bucket.upper_inclusive) {
        (false, true) => b"[0,\"",
        (true, false) => b"[1,\"",
        (false, false) => b"[2,\"",
        (true, true) => b"[3,\"",
    };
    out.write_all(rule)?;
    float(out, bucket.lower)?;
    out.write_all(b"\",\"")?;
    float(out, bucket.upper)?;
    out.write_all(b"\",\"")?;
    float(out, bucket.count)?;
    out.write_all(b"\"]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_block::Span;

    #[test]
    fn buckets_with_their_bounds() {
        let shape = Histogram {
            zero_threshold: 0.25,
            sum: 4.5,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            counts: Counts::Float { count: 6.5, zero: 1.0, positive: vec![3.0, 0.0], negative: vec![2.5] },
            ..Histogram::default()
        };
        let mut out = Vec::new();
        histogram(&mut out, &shape).unwrap();
        let expected = r#"{"count":"6.5","sum":"4.5","buckets":[[1,"-1","-0.5","2.5"],[3,"-0.25","0.25","1"],[0,"1","2","3"]]}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        histogram(&mut out, &Histogram::default().to_float()).unwrap();
        assert_eq!(out, br#"{"count":"0","sum":"0"}"#);
    }
}
