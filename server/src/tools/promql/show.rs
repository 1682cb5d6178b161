//! An answer as text, in the form of `promtool query`.

use std::io::Write;

use sarsen_block::Timestamp;
use sarsen_promql::{InstantSample, Point, RangeSeries, Value};

use crate::cli::Failure;
use crate::go_float::general;
use crate::tools::histogram::text as histogram_text;
use crate::tools::print::on_stdout;

/// Prints `labels => value @[time]` for each series of a vector, and a line a sample below the labels of each series of a matrix.
pub(super) fn show(value: &Value) -> Result<(), Failure> {
    on_stdout(|out| {
        match value {
            Value::Scalar(t, value) => writeln!(out, "scalar: {} @[{}]", general(*value), time(*t))?,
            Value::String(_, text) => {
                out.write_all(text)?;
                writeln!(out)?;
            }
            Value::Vector(samples) => {
                for InstantSample { labels, t, point } in samples {
                    writeln!(out, "{} => {} @[{}]", labels.as_ref(), shown(point), time(*t))?;
                }
            }
            Value::Matrix(all) => {
                for RangeSeries { labels, floats, histograms } in all {
                    writeln!(out, "{} =>", labels.as_ref())?;
                    for (t, value) in floats {
                        writeln!(out, "{} @[{}]", general(*value), time(*t))?;
                    }
                    for (t, histogram) in histograms {
                        writeln!(out, "{} @[{}]", histogram_text(histogram), time(*t))?;
                    }
                }
            }
        }
        Ok(())
    })
}

fn shown(point: &Point) -> String {
    match point {
        Point::Float(value) => general(*value),
        Point::Histogram(histogram) => histogram_text(histogram),
    }
}

/// Seconds, with milliseconds if there are some.
fn time(t: Timestamp) -> String {
    let (seconds, ms) = (t.unsigned_abs() / 1000, t.unsigned_abs() % 1000);
    let sign = if t < 0 { "-" } else { "" };
    if ms == 0 { format!("{sign}{seconds}") } else { format!("{sign}{seconds}.{ms:03}") }
}
