//! A program that is scraped: every page it shows follows from how often it was asked before, restarts of its counters included.
//!
//! It has no notion of time; who scrapes it gives the samples theirs.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use sarsen_block::{CUSTOM_BUCKETS, Counts, Histogram, Span};

use super::body::{double, field, packed, signed, varint};

/// The type and the text of a page, by the number of the scrape.
pub(crate) type Page = fn(u64) -> (&'static str, Vec<u8>);

/// Serves pages on loopback until the test ends; `host:port`.
pub(crate) fn start(page: Page) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            // Whoever goes before the page is written has not scraped.
            let _gone = stream.and_then(|stream| answer(stream, page(number as u64)));
        }
    });
    address
}

fn answer(mut stream: TcpStream, (kind, body): (&str, Vec<u8>)) -> std::io::Result<()> {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

/// Counters, gauges with every odd value, a classic histogram, a summary, a series that comes and goes, a name that is not ASCII.
pub(crate) fn text(number: u64) -> (&'static str, Vec<u8>) {
    let (run, n) = (number % 11, number as f64);
    let mut page = String::new();
    let mut family = |name: &str, kind: &str, rows: &[(&str, String)]| {
        let (plain, quoted) = (name.is_ascii(), format!("\"{name}\""));
        let _ = writeln!(page, "# TYPE {} {kind}", if plain { name } else { &quoted });
        for (labels, value) in rows {
            // Labels that begin with an underscore belong to a part of the family.
            let (part, labels) = labels.split_once('|').unwrap_or(("", labels));
            let _ = match plain {
                true => writeln!(page, "{name}{part}{{{labels}}} {value}"),
                false => writeln!(page, "{{{quoted},{labels}}} {value}"),
            };
        }
    };
    let grown = |factor: f64| (run as f64 * factor).to_string();
    family(
        "app_requests_total",
        "counter",
        &[("path=\"/\"", grown(3.0)), ("path=\"/a\"", grown(1.0 / 3.0)), ("path=\"/ü\"", grown(1e9))],
    );
    family("app_restarts_total", "counter", &[("path=\"/\"", (number / 11).to_string())]);
    let endless = if number.is_multiple_of(2) { "+Inf" } else { "-Inf" };
    family(
        "app_odd",
        "gauge",
        &[
            ("kind=\"nan\"", "NaN".into()),
            ("kind=\"endless\"", endless.into()),
            // Not the negative one, which a remote write 1.0 of Prometheus leaves out as if it were the other.
            ("kind=\"zero\"", "0".into()),
            ("kind=\"tiny\"", "5e-324".into()),
            ("kind=\"huge\"", "1.7976931348623157e308".into()),
            ("kind=\"third\"", (n / 3.0 - 4.0).to_string()),
        ],
    );
    let there = (number % 8 < 5).then(|| ("who=\"me\"", n.to_string()));
    family("app_comes_and_goes", "gauge", there.as_slice());
    family("app_größe", "gauge", &[("einheit=\"µm\"", n.sqrt().to_string())]);
    let observed: Vec<String> = [1, 3, 4].map(|share| (run * share).to_string()).into();
    family(
        "app_latency_seconds",
        "histogram",
        &[
            ("_bucket|le=\"0.1\"", observed[0].clone()),
            ("_bucket|le=\"2.5\"", observed[1].clone()),
            ("_bucket|le=\"+Inf\"", observed[2].clone()),
            ("_sum|", (run as f64 * 1.7).to_string()),
            ("_count|", observed[2].clone()),
        ],
    );
    family(
        "app_size_bytes",
        "summary",
        &[
            ("quantile=\"0.5\"", (n * 7.25).to_string()),
            ("_sum|", (n * 11.5).to_string()),
            ("_count|", number.to_string()),
        ],
    );
    ("text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8", page.into_bytes())
}

/// A counter of observations: it grows, its buckets move, its resolution changes, and it begins anew.
pub(crate) fn histogram(number: u64) -> Histogram {
    let (run, schema) = (number as i64 % 13 + 1, if number % 29 < 20 { 3 } else { 2 });
    let (first, second, below) = (run * 2, run * 3 + 1, run / 2);
    let gap = 1 + (number / 13 % 3) as i32;
    Histogram {
        schema,
        zero_threshold: 0.001,
        sum: run as f64 * 1.3,
        positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: gap, length: 1 }],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        counts: Counts::Integer {
            count: (first + second + below + 1) as u64,
            zero: 1,
            positive: vec![first, second - first],
            negative: vec![below],
        },
        ..Histogram::default()
    }
}

/// The same sort of counter in buckets of given bounds.
pub(crate) fn custom_histogram(number: u64) -> Histogram {
    let run = number as i64 % 13 + 1;
    Histogram {
        schema: CUSTOM_BUCKETS,
        sum: run as f64 * 1.3,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        custom_values: vec![0.1, 1.0, 10.0],
        counts: Counts::Integer {
            count: (5 * run) as u64,
            zero: 0,
            positive: vec![2 * run, run],
            negative: Vec::new(),
        },
        ..Histogram::default()
    }
}

/// Native histograms, which only the protobuf form has: one that counts, and one of a moment in fractions; and a counter with an example.
pub(crate) fn native(number: u64) -> (&'static str, Vec<u8>) {
    let mut page = Vec::new();
    for (name, kind, at, message) in [
        ("app_native_seconds", 4, 7, integers(&histogram(number))),
        ("app_native_now", 5, 7, fractions(number as f64)),
        ("app_traced_total", 0, 3, traced(number)),
    ] {
        let (mut metric, mut family) = (Vec::new(), Vec::new());
        field(&mut metric, 1, &pair("path", "/"));
        field(&mut metric, at, &message);
        field(&mut family, 1, name.as_bytes());
        field(&mut family, 2, b"How long it takes.");
        varint(&mut family, 3, kind);
        field(&mut family, 4, &metric);
        sarsen_block::codec::put_uvarint(&mut page, family.len() as u64);
        page.extend(family);
    }
    ("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", page)
}

fn pair(name: &str, value: &str) -> Vec<u8> {
    let mut pair = Vec::new();
    field(&mut pair, 1, name.as_bytes());
    field(&mut pair, 2, value.as_bytes());
    pair
}

/// A counter, with the trace of what it counted last.
fn traced(number: u64) -> Vec<u8> {
    let (mut out, mut exemplar) = (Vec::new(), Vec::new());
    field(&mut exemplar, 1, &pair("trace_id", &number.to_string()));
    double(&mut exemplar, 2, 0.25);
    double(&mut out, 1, number as f64);
    field(&mut out, 2, &exemplar);
    out
}

fn put_spans(out: &mut Vec<u8>, number: u64, spans: &[Span]) {
    for span in spans {
        let mut message = Vec::new();
        varint(&mut message, 1, signed(span.offset.into()));
        varint(&mut message, 2, span.length.into());
        field(out, number, &message);
    }
}

/// A histogram of whole numbers as an exposition has it.
fn integers(histogram: &Histogram) -> Vec<u8> {
    let mut out = Vec::new();
    let Counts::Integer { count, zero, positive, negative } = &histogram.counts else { return out };
    let delta = |run: &mut Vec<u8>, value: &i64| sarsen_block::codec::put_uvarint(run, signed(*value));
    varint(&mut out, 1, *count);
    double(&mut out, 2, histogram.sum);
    varint(&mut out, 5, signed(histogram.schema.into()));
    double(&mut out, 6, histogram.zero_threshold);
    varint(&mut out, 7, *zero);
    put_spans(&mut out, 9, &histogram.negative_spans);
    packed(&mut out, 10, negative, delta);
    put_spans(&mut out, 12, &histogram.positive_spans);
    packed(&mut out, 13, positive, delta);
    out
}

/// A histogram of fractions.
fn fractions(n: f64) -> Vec<u8> {
    let mut out = Vec::new();
    let positive = [n % 7.0 + 0.5, 1.25];
    double(&mut out, 2, n * 0.75);
    double(&mut out, 4, positive[0] + positive[1]);
    varint(&mut out, 5, signed(1));
    put_spans(&mut out, 12, &[Span { offset: 1, length: 2 }]);
    packed(&mut out, 14, &positive, |run, value: &f64| run.extend(value.to_le_bytes()));
    out
}
