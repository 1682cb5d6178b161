//! The result of a query: scalar, text, vector, matrix.

use std::io::{Result, Write};

use sarsen_promql::{InstantSample, Point, RangeSeries, Value};

use super::histogram::histogram;
use super::{float, labels, plain, seconds, string};

/// `"resultType":...,"result":...`, without the braces round it.
pub(crate) fn value(out: &mut impl Write, value: &Value) -> Result<()> {
    match value {
        Value::Scalar(t, number) => {
            out.write_all(b"\"resultType\":\"scalar\",\"result\":[")?;
            short_seconds(out, *t)?;
            out.write_all(b",\"")?;
            plain(out, *number)?;
            out.write_all(b"\"]")
        }
        Value::String(t, text) => {
            out.write_all(b"\"resultType\":\"string\",\"result\":[")?;
            short_seconds(out, *t)?;
            out.write_all(b",")?;
            string(out, &String::from_utf8_lossy(text))?;
            out.write_all(b"]")
        }
        Value::Vector(samples) => {
            out.write_all(b"\"resultType\":\"vector\",\"result\":[")?;
            list(out, samples, instant)?;
            out.write_all(b"]")
        }
        Value::Matrix(series) => {
            out.write_all(b"\"resultType\":\"matrix\",\"result\":[")?;
            list(out, series, range)?;
            out.write_all(b"]")
        }
    }
}

fn list<W: Write, T>(out: &mut W, items: &[T], write: impl Fn(&mut W, &T) -> Result<()>) -> Result<()> {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        write(out, item)?;
    }
    Ok(())
}

fn instant(out: &mut impl Write, sample: &InstantSample) -> Result<()> {
    out.write_all(b"{\"metric\":")?;
    labels(out, sample.labels.as_ref())?;
    match &sample.point {
        Point::Float(number) => {
            out.write_all(b",\"value\":")?;
            pair(out, sample.t, *number)?;
        }
        Point::Histogram(shape) => {
            out.write_all(b",\"histogram\":[")?;
            seconds(out, sample.t)?;
            out.write_all(b",")?;
            histogram(out, shape)?;
            out.write_all(b"]")?;
        }
    }
    out.write_all(b"}")
}

fn range(out: &mut impl Write, series: &RangeSeries) -> Result<()> {
    out.write_all(b"{\"metric\":")?;
    labels(out, series.labels.as_ref())?;
    if !series.floats.is_empty() {
        out.write_all(b",\"values\":[")?;
        list(out, &series.floats, |out, (t, number)| pair(out, *t, *number))?;
        out.write_all(b"]")?;
    }
    if !series.histograms.is_empty() {
        out.write_all(b",\"histograms\":[")?;
        list(out, &series.histograms, |out, (t, shape)| {
            out.write_all(b"[")?;
            seconds(out, *t)?;
            out.write_all(b",")?;
            histogram(out, shape)?;
            out.write_all(b"]")
        })?;
        out.write_all(b"]")?;
    }
    out.write_all(b"}")
}

fn pair(out: &mut impl Write, t: i64, number: f64) -> Result<()> {
    out.write_all(b"[")?;
    seconds(out, t)?;
    out.write_all(b",\"")?;
    float(out, number)?;
    out.write_all(b"\"]")
}

/// A time as JSON numbers are written, without zeros at the end: scalars and texts have it so.
fn short_seconds(out: &mut impl Write, ms: i64) -> Result<()> {
    plain(out, ms as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_block::Labels;

    fn text(of: &Value) -> String {
        let mut out = Vec::new();
        value(&mut out, of).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn scalars_and_texts() {
        assert_eq!(
            text(&Value::Scalar(-5250, 1e-7)),
            r#""resultType":"scalar","result":[-5.25,"0.0000001"]"#
        );
        assert_eq!(
            text(&Value::String(1500, b"<a>".to_vec())),
            r#""resultType":"string","result":[1.5,"\u003ca\u003e"]"#
        );
    }

    #[test]
    fn vectors_and_matrices() {
        let labels = Labels::from_pairs([("a", "b")]).unwrap();
        let sample = InstantSample { labels: labels.clone(), t: 1500, point: Point::Float(1e21) };
        assert_eq!(
            text(&Value::Vector(vec![sample])),
            r#""resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.500,"1e+21"]}]"#
        );
        let series = RangeSeries { labels, floats: vec![(1000, 1.0), (2000, f64::NAN)], histograms: vec![] };
        assert_eq!(
            text(&Value::Matrix(vec![series])),
            r#""resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"1"],[2,"NaN"]]}]"#
        );
        assert_eq!(text(&Value::Matrix(Vec::new())), r#""resultType":"matrix","result":[]"#);
    }
}
