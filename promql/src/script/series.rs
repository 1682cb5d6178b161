//! A line of a series: its labels, and its values one behind the other (Prometheus: `promql/parser`, series descriptions).
//!
//! Values are `_` (none), a number, `stale` or a histogram in `{{ }}`; each may be repeated (`x10`) and grow (`1+2x10`). A line whose
//! labels end in `@st` gives start timestamps: durations before or behind the sample of the next line that they belong to.

use std::iter;

use sarsen_block::{
    CUSTOM_BUCKETS, Counts, Histogram, Labels, MatchOp, ResetHint, STALE_NAN_BITS, Span, parse_selector,
};

use super::text::number;

/// No line has more values: a slip of the pen is not to eat the machine.
const MOST_VALUES: usize = 1 << 20;

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Written {
    /// `_`.
    Gap,
    /// A number, or the stale marker.
    Float(f64),
    /// A histogram.
    Histogram {
        histogram: Box<Histogram>,
        /// Whether its counter reset hint was written.
        hinted: bool,
    },
}

/// A line of a series.
#[derive(Debug, Clone)]
pub(super) struct SeriesLine {
    pub(super) labels: Labels,
    pub(super) values: Vec<Written>,
}

/// Start timestamps of the series in the next line.
#[derive(Debug, Clone)]
pub(super) struct StartsLine {
    pub(super) labels: Labels,
    /// Distance of each from its sample, in milliseconds.
    pub(super) values: Vec<Option<i64>>,
}

/// Reads `line`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn series_line(line: &str) -> Result<SeriesLine, String> {
    let (labels, rest) = split_labels(line)?;
    let mut values = Vec::new();
    let mut rest = rest.trim();
    while !rest.is_empty() {
        rest = item(rest, &mut values).map_err(|why| format!("{why} in series values {rest:?}"))?;
        if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
            return Err(format!("unexpected {rest:?} in series values"));
        }
        rest = rest.trim_start();
        if values.len() > MOST_VALUES {
            return Err(format!("more than {MOST_VALUES} values"));
        }
    }
    Ok(SeriesLine { labels, values })
}

/// Reads `line` if it is one of start timestamps.
///
/// # Errors
/// What is wrong with it.
pub(super) fn starts_line(line: &str) -> Option<Result<StartsLine, String>> {
    let (metric, offsets) = line.split_once([' ', '\t'])?;
    let metric = metric.strip_suffix("@st")?;
    Some(read_starts(metric, offsets))
}

fn read_starts(metric: &str, offsets: &str) -> Result<StartsLine, String> {
    let (labels, rest) = split_labels(metric)?;
    if !rest.trim().is_empty() {
        return Err(format!("invalid @st line metric {metric:?}"));
    }
    let mut values = Vec::new();
    for item in offsets.split_whitespace() {
        start_item(item, &mut values).map_err(|why| format!("invalid ST item {item:?}: {why}"))?;
        if values.len() > MOST_VALUES {
            return Err(format!("more than {MOST_VALUES} values"));
        }
    }
    Ok(StartsLine { labels, values })
}

/// The labels at the start of `line`, and what follows them.
fn split_labels(line: &str) -> Result<(Labels, &str), String> {
    let name_end =
        line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(line.len());
    let behind = line.get(name_end..).unwrap_or_default();
    let braces = if behind.trim_start().starts_with('{') && !behind.trim_start().starts_with("{{") {
        let start = behind.len() - behind.trim_start().len();
        start + braces_len(behind.get(start..).unwrap_or_default())?
    } else {
        0
    };
    let (metric, rest) = line.split_at(name_end + braces);
    let mut pairs = Vec::new();
    for matcher in parse_selector(metric).map_err(|error| error.to_string())? {
        if matcher.op() != MatchOp::Equal {
            return Err(format!("{metric}: a series has no matchers"));
        }
        pairs.push((matcher.name().to_vec(), matcher.value().to_vec()));
    }
    let labels = Labels::from_pairs(pairs).map_err(|error| error.to_string())?;
    Ok((labels, rest))
}

/// How long the braces at the start of `text` are, quoted ones left out of account.
fn braces_len(text: &str) -> Result<usize, String> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(open) if c == '\\' && open != '`' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '}' => return Ok(at + 1),
            None => {}
        }
    }
    Err("unexpected end of input inside braces".to_owned())
}

/// Reads one item off the start of `text`; what follows it.
fn item<'a>(text: &'a str, out: &mut Vec<Written>) -> Result<&'a str, String> {
    if let Some(rest) = text.strip_prefix('_') {
        let Some(rest) = rest.strip_prefix('x') else {
            out.push(Written::Gap);
            return Ok(rest);
        };
        let (times, rest) = times(rest)?;
        out.extend(iter::repeat_n(Written::Gap, times));
        return Ok(rest);
    }
    if text.starts_with("{{") {
        return histograms(text, out);
    }
    let (mut value, rest) = signed(text)?;
    let (step, rest) = match rest.chars().next() {
        Some('+' | '-') => signed(rest).map(|(step, rest)| (Some(step), rest))?,
        _ => (None, rest),
    };
    let Some(counted) = rest.strip_prefix('x') else {
        if step.is_some() {
            return Err("a step without a count".to_owned());
        }
        out.push(Written::Float(value));
        return Ok(rest);
    };
    let (times, rest) = times(counted)?;
    for _ in 0..=times {
        out.push(Written::Float(value));
        value += step.unwrap_or(-0.0);
    }
    Ok(rest)
}

fn histograms<'a>(text: &'a str, out: &mut Vec<Written>) -> Result<&'a str, String> {
    let (first, mut hinted, rest) = histogram(text)?;
    let whole =
        |histogram: &Histogram, hinted| Written::Histogram { histogram: Box::new(histogram.clone()), hinted };
    let sign = rest.chars().next().filter(|c| matches!(c, '+' | '-'));
    let (step, rest) = match sign {
        Some(_) => {
            let (step, step_hinted, rest) = histogram(rest.get(1..).unwrap_or_default())?;
            hinted = step_hinted;
            (Some(step), rest)
        }
        None => (None, rest),
    };
    let Some(counted) = rest.strip_prefix('x') else {
        if step.is_some() {
            return Err("a step without a count".to_owned());
        }
        out.push(whole(&first, hinted));
        return Ok(rest);
    };
    let (times, rest) = times(counted)?;
    let mut value = first;
    out.push(whole(&value, hinted));
    for _ in 0..times {
        if let Some(step) = &step {
            if value.schema > step.schema {
                let (from, to) = (step.schema, value.schema);
                return Err(format!("error combining histograms: cannot merge from schema {from} to {to}"));
            }
            let went = if sign == Some('-') { value.subtract(step) } else { value.add(step) };
            went.map_err(|error| error.to_string())?;
        }
        out.push(whole(&value, hinted));
    }
    Ok(rest)
}

/// How often, and what follows.
fn times(text: &str) -> Result<(usize, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    match digits.parse() {
        Ok(count) if count <= MOST_VALUES => Ok((count, rest)),
        _ => Err(format!("invalid repetition in series values: {digits:?}")),
    }
}

/// A number with or without a sign, or `stale`, and what follows.
fn signed(text: &str) -> Result<(f64, &str), String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    let bad = || format!("expected a number or \"stale\", got {unsigned:?}");
    let end = if unsigned.starts_with(|c: char| c.is_ascii_alphabetic()) {
        // `x` begins the count; no word that is meant here has one.
        unsigned.find(|c: char| !c.is_ascii_alphabetic() || c == 'x').unwrap_or(unsigned.len())
    } else {
        number_len(unsigned)
    };
    let (word, rest) = unsigned.split_at(end);
    let value = if word == "stale" && unsigned.len() == text.len() {
        return Ok((f64::from_bits(STALE_NAN_BITS), rest));
    } else {
        number(word).ok_or_else(bad)?
    };
    Ok((if negative { -value } else { value }, rest))
}

/// How long the unsigned decimal number at the start of `text` is.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = 0;
    while digit(at) || bytes.get(at) == Some(&b'.') {
        at += 1;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let exponent = at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        if digit(exponent) {
            at = exponent;
            while digit(at) {
                at += 1;
            }
        }
    }
    at
}

/// Reads `{{...}}` off the start of `text`: the histogram, whether its hint was written, and what follows.
fn histogram(text: &str) -> Result<(Histogram, bool, &str), String> {
    let inner = text.strip_prefix("{{").ok_or("expected a histogram")?;
    let end = inner.find("}}").ok_or("histogram description incomplete")?;
    let (inner, rest) = (inner.get(..end).unwrap_or_default(), inner.get(end + 2..).unwrap_or_default());
    let mut made = Made::default();
    let mut left = inner.trim();
    while !left.is_empty() {
        let (key, value) = left.split_once(':').ok_or("missing `:` for histogram descriptor")?;
        let value_end = if value.starts_with('[') {
            value.find(']').map(|at| at + 1).ok_or("a list without its end")?
        } else {
            value.find([' ', '\t']).unwrap_or(value.len())
        };
        let (value, behind) = value.split_at(value_end);
        made.set(&key.to_ascii_lowercase(), value)?;
        if !behind.is_empty() && !behind.starts_with([' ', '\t']) {
            return Err(format!("unexpected {behind:?} in a histogram"));
        }
        left = behind.trim_start();
    }
    let hinted = made.hint.is_some();
    Ok((made.into_histogram(), hinted, rest))
}

/// The parts of a histogram as written.
#[derive(Debug, Default)]
struct Made {
    schema: i32,
    sum: f64,
    count: f64,
    zero_count: f64,
    zero_threshold: f64,
    custom: Vec<f64>,
    hint: Option<ResetHint>,
    offsets: [i32; 2],
    buckets: [Vec<f64>; 2],
}

impl Made {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let float = || match signed(value) {
            Ok((number, "")) => Ok(number),
            _ => Err(format!("error parsing {key} number: {value}")),
        };
        let whole = || value.parse::<i32>().map_err(|_| format!("error parsing {key} number: {value}"));
        let [positive, negative] = &mut self.buckets;
        match key {
            "schema" => self.schema = whole()?,
            "sum" => self.sum = float()?,
            "count" => self.count = float()?,
            "z_bucket" => self.zero_count = float()?,
            "z_bucket_w" => self.zero_threshold = float()?,
            "offset" => self.offsets[0] = whole()?,
            "n_offset" => self.offsets[1] = whole()?,
            "custom_values" => self.custom = list(value)?,
            "buckets" => *positive = list(value)?,
            "n_buckets" => *negative = list(value)?,
            "counter_reset_hint" => self.hint = Some(hint(value)?),
            _ => return Err(format!("bad histogram descriptor found: {key:?}")),
        }
        Ok(())
    }

    fn into_histogram(self) -> Histogram {
        let [positive, negative] = self.buckets;
        let spans = |buckets: &[f64], offset| match u32::try_from(buckets.len()) {
            Ok(length) if length > 0 => vec![Span { offset, length }],
            _ => Vec::new(),
        };
        Histogram {
            hint: self.hint.unwrap_or_default(),
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            sum: self.sum,
            positive_spans: spans(&positive, self.offsets[0]),
            negative_spans: spans(&negative, self.offsets[1]),
            custom_values: if self.schema == CUSTOM_BUCKETS { self.custom } else { Vec::new() },
            counts: Counts::Float { count: self.count, zero: self.zero_count, positive, negative },
        }
    }
}

fn list(text: &str) -> Result<Vec<f64>, String> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("expected a list, got {text:?}"))?;
    let read = |word| match signed(word) {
        Ok((value, "")) => Ok(value),
        _ => Err(format!("invalid number {word:?} in a list")),
    };
    inner.split_whitespace().map(read).collect()
}

fn hint(text: &str) -> Result<ResetHint, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "unknown" => ResetHint::Unknown,
        "reset" => ResetHint::Reset,
        "not_reset" => ResetHint::NotReset,
        "gauge" => ResetHint::Gauge,
        _ => return Err(format!("error parsing counter_reset_hint: {text}")),
    })
}

fn start_item(item: &str, out: &mut Vec<Option<i64>>) -> Result<(), String> {
    if let Some(rest) = item.strip_prefix('_') {
        let count = match rest.strip_prefix('x') {
            None if rest.is_empty() => 1,
            Some(counted) => match times(counted)? {
                (count, "") if count > 0 => count,
                _ => return Err("invalid repeat count".to_owned()),
            },
            None => return Err(format!("unexpected {rest:?}")),
        };
        out.extend(iter::repeat_n(None, count));
        return Ok(());
    }
    let (mut offset, rest) = signed_duration(item)?;
    let (step, rest) = match rest.chars().next() {
        Some(sign @ ('+' | '-')) => {
            let (step, rest) = signed_duration(rest.get(1..).unwrap_or_default())?;
            if !rest.starts_with('x') {
                return Err("expected 'x<count>' after step duration".to_owned());
            }
            (if sign == '-' { -step } else { step }, rest)
        }
        _ => (0, rest),
    };
    let count = match rest.strip_prefix('x') {
        None if rest.is_empty() => 0,
        Some(counted) => match times(counted)? {
            (count, "") => count,
            _ => return Err("invalid repeat count".to_owned()),
        },
        None => return Err(format!("unexpected {rest:?} after duration")),
    };
    for _ in 0..=count {
        out.push(Some(offset));
        offset = offset.saturating_add(step);
    }
    Ok(())
}

/// One number with its unit, with or without a sign, in milliseconds, and what follows.
fn signed_duration(text: &str) -> Result<(i64, &str), String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
    let unit = unsigned.get(digits..).unwrap_or_default();
    let unit = unit.find(|c: char| !c.is_ascii_alphabetic() || c == 'x').unwrap_or(unit.len());
    let (word, rest) = unsigned.split_at(digits + unit);
    let length = sarsen_block::parse_duration(word).map_err(|why| why.to_string())?;
    Ok((if text.starts_with('-') { -length } else { length }, rest))
}
