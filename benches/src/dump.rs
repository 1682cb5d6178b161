//! The samples of a fleet as `promtool tsdb dump` prints them: the answer that a reader of the blocks must give.
//!
//! A line a sample, `{name="value", ...} value milliseconds`, series by labels, samples by time. Names and values of a
//! fleet need no escaping, so none is done.

use std::io::{self, Write};
use std::ops::Range;

use sarsen_block::LabelsRef;

use crate::fleet::{Fleet, Life};

/// Writes every sample of the given rounds; external labels are not in a dump and not here.
///
/// # Errors
/// What `out` answers.
pub fn write_dump(fleet: &Fleet, rounds: Range<u64>, out: &mut impl Write) -> io::Result<u64> {
    let mut count = 0;
    for Life { labels, series, rounds } in fleet.lives(rounds) {
        let labels = labels_text(labels.as_ref());
        for (time, value) in rounds.filter_map(|round| fleet.sample(series, round)) {
            writeln!(out, "{labels} {} {time}", go_float(value))?;
            count += 1;
        }
    }
    Ok(count)
}

fn labels_text(labels: LabelsRef<'_>) -> String {
    let pairs = labels.iter().map(|(name, value)| {
        format!("{}=\"{}\"", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// A float as Go's `%g` prints it: the shortest digits that read back, with an exponent below 1e-4 and from 1e6 on.
pub fn go_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let shortest = format!("{value:e}");
    let Some((digits, exponent)) = shortest.split_once('e') else { return shortest };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_as_go_prints_them() {
        let cases = [
            (0.0, "0"),
            (-2.5, "-2.5"),
            (999_999.0, "999999"),
            (1_000_000.0, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1.5e22, "1.5e+22"),
            (0.0001, "0.0001"),
            (0.000_012_34, "1.234e-05"),
            (1e-7, "1e-07"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, text) in cases {
            assert_eq!(go_float(value), text);
        }
    }

    #[test]
    fn lines_come_by_labels_then_time() {
        let fleet = Fleet { churn_rounds: 3, gaps_per_mille: 50, ..Fleet::steady(120, 1_700_000_000_000) };
        let mut text = Vec::new();
        let count = write_dump(&fleet, 0..8, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().count() as u64, count);
        assert!(text.starts_with("{__name__=\"cache_lookup_entries_duration_seconds\", cluster="));
        let keys: Vec<_> = text
            .lines()
            .map(|line| {
                let (labels, rest) = line.split_once("} ").unwrap();
                (labels, rest.split_once(' ').unwrap().1.parse::<i64>().unwrap())
            })
            .collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
    }
}
