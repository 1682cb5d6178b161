//! Prometheus' text format, as far as our own metrics page uses it: name, labels, value.
//!
//! Comments are passed over; a line with a timestamp or with anything that is not understood is left out.

use sarsen_block::{Labels, LabelsBuilder};

/// A sample line as a label set, with `also` added, and its value.
pub(super) fn read_line(
    line: &str,
    also: &[(&str, &str)],
    builder: &mut LabelsBuilder,
) -> Option<(Labels, f64)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    builder.clear();
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    builder.push(b"__name__", name.as_bytes());
    if let Some(labels) = rest.strip_prefix('{') {
        rest = read_labels(labels, builder)?;
    }
    for (name, value) in also {
        builder.push(name.as_bytes(), value.as_bytes());
    }
    let value = match rest.trim() {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::from_bits(sarsen_block::NORMAL_NAN_BITS),
        text => text.parse().ok()?,
    };
    Some((builder.build().ok()?, value))
}

/// Reads `a="b",c="d"}`; what stands behind it.
fn read_labels<'a>(mut rest: &'a str, builder: &mut LabelsBuilder) -> Option<&'a str> {
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Some(behind);
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        builder.push(name.trim().as_bytes(), value.as_bytes());
        rest = quoted.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_metrics_page() {
        let mut builder = LabelsBuilder::new();
        let mut read = |line: &str| {
            read_line(line, &[("job", "j")], &mut builder).map(|(labels, v)| (format!("{labels:?}"), v))
        };
        assert_eq!(read("# HELP a b"), None);
        assert_eq!(read("up 1"), Some(("{__name__=\"up\", job=\"j\"}".into(), 1.0)));
        assert_eq!(
            read(r#"a_bucket{le="+Inf",x="q\"\\\n,}"} 3.5e3"#),
            Some((r#"{__name__="a_bucket", job="j", le="+Inf", x="q\"\\\n,}"}"#.into(), 3500.0))
        );
        assert_eq!(read("a{} +Inf").unwrap().1, f64::INFINITY);
        assert_eq!(read("a{b=\"c\" 1"), None);
        assert_eq!(read("a 1 170000"), None);
        assert_eq!(read("a"), None);
    }
}
