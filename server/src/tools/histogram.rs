//! A native histogram as Prometheus prints it: count, sum, and every bucket that is not empty with its bounds.
//!
//! `{count:3, sum:4.5, [-2,-1):1, [-0.001,0.001]:1, (1,2]:1}`: negative buckets first, the furthest from zero in front. Bounds of
//! exponential buckets come from one table for the finest schema, made the way Prometheus' was, to the last bit.

use sarsen_block::{Counts, Histogram, Span};

use crate::go_float::general;

/// The finest schema.
const FINEST: usize = 8;
/// Fractions of the bucket bounds in `[0.5, 1)` of the finest schema; a coarser one takes every second, fourth ... of them.
const FRACTIONS: [f64; 1 << FINEST] = fractions();
/// `2^(1/2)`, `2^(1/4)` ... `2^(1/256)`. The first is a last bit below the nearest number, as it came out where the table was made.
#[expect(clippy::approx_constant, reason = "these bits are meant")]
const ROOTS: [f64; FINEST] = [
    1.414213562373095,
    1.189207115002721,
    1.0905077326652577,
    1.0442737824274138,
    1.0218971486541166,
    1.0108892860517005,
    1.0054299011128027,
    1.0027112750502025,
];

/// Each schema halves the steps of the one before: what that has is kept, what lies between is the neighbour below times the root.
const fn fractions() -> [f64; 1 << FINEST] {
    let mut all = [0.5; 1 << FINEST];
    let mut schema = 0;
    while schema < FINEST {
        let step = 1 << (FINEST - 1 - schema);
        let mut at = step;
        while at < 1 << FINEST {
            all[at] = all[at - step] * ROOTS[schema];
            at += 2 * step;
        }
        schema += 1;
    }
    all
}

/// The histogram on one line.
pub(super) fn text(histogram: &Histogram) -> String {
    let sum = general(histogram.sum);
    let (count, zero, positive, negative) = match &histogram.counts {
        Counts::Integer { count, zero, positive, negative } => {
            (count.to_string(), whole(*zero), wholes(positive), wholes(negative))
        }
        Counts::Float { count, zero, positive, negative } => {
            (general(*count), float(*zero), floats(positive), floats(negative))
        }
    };
    let mut out = format!("{{count:{count}, sum:{sum}");
    let mut part = |bucket: &str| {
        out.push_str(", ");
        out.push_str(bucket);
    };
    let below = indexed(&histogram.negative_spans, negative);
    below.iter().rev().for_each(|(index, count)| part(&bucket(histogram, -1.0, *index, count)));
    if let Some(zero) = zero {
        let width = histogram.zero_threshold;
        part(&format!("[{},{}]:{zero}", general(-width), general(width)));
    }
    let above = indexed(&histogram.positive_spans, positive);
    above.iter().for_each(|(index, count)| part(&bucket(histogram, 1.0, *index, count)));
    out.push('}');
    out
}

/// A count in words, unless it is nothing.
fn whole(count: u64) -> Option<String> {
    (count != 0).then(|| count.to_string())
}

fn float(count: f64) -> Option<String> {
    (count != 0.0).then(|| general(count))
}

fn wholes(deltas: &[i64]) -> Vec<Option<String>> {
    let mut count = 0i64;
    let mut next = |delta: &i64| {
        count = count.wrapping_add(*delta);
        whole(count as u64)
    };
    deltas.iter().map(&mut next).collect()
}

fn floats(counts: &[f64]) -> Vec<Option<String>> {
    counts.iter().map(|count| float(*count)).collect()
}

/// The counts that are something, with the numbers of their buckets.
fn indexed(spans: &[Span], counts: Vec<Option<String>>) -> Vec<(i32, String)> {
    let mut index = 0i32;
    let mut numbers = Vec::new();
    for (at, span) in spans.iter().enumerate() {
        index = if at == 0 { span.offset } else { index.saturating_add(span.offset) };
        for _ in 0..(span.length as usize).min(counts.len() - numbers.len().min(counts.len())) {
            numbers.push(index);
            index = index.saturating_add(1);
        }
    }
    numbers.into_iter().zip(counts).filter_map(|(number, count)| Some((number, count?))).collect()
}

fn bucket(histogram: &Histogram, sign: f64, index: i32, count: &str) -> String {
    let (outer, inner) = (sign * bound(histogram, index), sign * bound(histogram, index.saturating_sub(1)));
    let (lower, upper) = if sign > 0.0 { (inner, outer) } else { (outer, inner) };
    let custom = histogram.has_custom_buckets();
    let open = if if custom { index == 0 } else { lower < 0.0 } { '[' } else { '(' };
    let close = if custom || upper > 0.0 { ']' } else { ')' };
    format!("{open}{},{}{close}:{count}", general(lower), general(upper))
}

/// Upper bound of the positive bucket `index`.
fn bound(histogram: &Histogram, index: i32) -> f64 {
    if histogram.has_custom_buckets() {
        if index < 0 {
            return f64::NEG_INFINITY;
        }
        return histogram.custom_values.get(index as usize).copied().unwrap_or(f64::INFINITY);
    }
    let schema = histogram.schema.clamp(-4, FINEST as i32);
    if schema < 0 {
        return scaled(1.0, i64::from(index) << -schema);
    }
    let fraction = FRACTIONS[((index & ((1 << schema) - 1)) as usize) << (FINEST as i32 - schema)];
    scaled(fraction, i64::from(index >> schema) + 1)
}

/// `fraction * 2^exponent`; the bound above the largest number is that number, because infinity has a bucket of its own.
fn scaled(fraction: f64, exponent: i64) -> f64 {
    if (fraction == 1.0 && exponent == 1024) || (fraction == 0.5 && exponent == 1025) {
        return f64::MAX;
    }
    let power = |exponent: i64| f64::from_bits(((exponent + 1023) as u64) << 52);
    match exponent {
        1026.. => f64::INFINITY,
        1024..=1025 => fraction * power(1023) * power(exponent - 1023),
        -1000..=1023 => fraction * power(exponent),
        // In two steps, of which only the second rounds.
        -1100..=-1001 => fraction * power(-500) * power(exponent + 500),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(schema: i32, spans: &[(i32, u32)], deltas: &[i64]) -> Histogram {
        let spans = spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect();
        Histogram {
            schema,
            sum: 4.5,
            positive_spans: spans,
            counts: Counts::Integer { count: 3, zero: 0, positive: deltas.to_vec(), negative: Vec::new() },
            ..Histogram::stale(false)
        }
    }

    #[test]
    fn bounds_are_powers_and_their_roots() {
        let at = |schema, index| bound(&integer(schema, &[], &[]), index);
        assert_eq!([at(0, -1), at(0, 0), at(0, 1), at(0, 10)], [0.5, 1.0, 2.0, 1024.0]);
        assert_eq!([at(-1, 1), at(-4, -1), at(-4, 1)], [4.0, 2f64.powi(-16), 65536.0]);
        assert_eq!(at(1, 1).to_bits(), (0.7071067811865475f64 * 2.0).to_bits());
        assert_eq!(at(8, 1), 0.5013556375251013 * 2.0);
        assert_eq!([at(0, 1024), at(0, 1025), at(-4, 64)], [f64::MAX, f64::INFINITY, f64::MAX]);
        assert_eq!([at(0, -1074), at(0, -1080)], [f64::from_bits(1), 0.0]);
        for schema in 1..=8 {
            for index in -300..300 {
                let (coarse, fine) = (at(schema - 1, index), at(schema, index * 2));
                assert_eq!(coarse.to_bits(), fine.to_bits(), "schema {schema} index {index}");
                assert!(at(schema, index) < at(schema, index + 1));
            }
        }
    }

    #[test]
    fn as_prometheus_prints() {
        let simple = integer(0, &[(1, 1), (2, 2)], &[2, -2, 1]);
        assert_eq!(text(&simple), "{count:3, sum:4.5, (1,2]:2, (16,32]:1}");
        let custom = Histogram { custom_values: vec![5.0, 10.0], ..integer(-53, &[(0, 3)], &[1, 1, 1]) };
        assert_eq!(text(&custom), "{count:3, sum:4.5, [-Inf,5]:1, (5,10]:2, (10,+Inf]:3}");
        let spans = vec![Span { offset: 0, length: 2 }];
        let counts =
            Counts::Float { count: 1e6, zero: 2.5, positive: vec![0.5, 0.0], negative: vec![1.0, 0.25] };
        let float = Histogram {
            zero_threshold: 0.001,
            positive_spans: spans.clone(),
            negative_spans: spans,
            counts,
            ..integer(0, &[], &[])
        };
        assert_eq!(
            text(&float),
            "{count:1e+06, sum:4.5, [-2,-1):0.25, [-1,-0.5):1, [-0.001,0.001]:2.5, (0.5,1]:0.5}"
        );
        assert_eq!(text(&Histogram::stale(false)), "{count:0, sum:NaN}");
    }
}
