//! Log lines as Thanos' programs write them: logfmt or JSON on standard error, one line an event.
//!
//! logfmt: `ts=2026-11-20T17:44:19.123Z caller=ship.rs:88 level=info msg="upload new block" id=01HF...`. JSON has the
//! same keys, sorted. Events of our own crates are filtered by the chosen level, those of others are shown from
//! warnings on. Values never break a line: what is not plain is quoted and escaped.

use std::fmt::{self, Write as _};

use chrono::{SecondsFormat, Utc};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::flags::Given;

/// How lines look, and which are written.
#[derive(Debug, Clone)]
pub(crate) struct LogOptions {
    level: LevelFilter,
    json: bool,
    /// Added to each line as `name`.
    name: Option<String>,
}

impl LogOptions {
    /// From `--log.level`, `--log.format` and `--debug.name`. The journal's form is logfmt: the journal adds the rest.
    pub(crate) fn of(given: &Given) -> Self {
        let level = match given.text("log.level") {
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "debug" => LevelFilter::DEBUG,
            _ => LevelFilter::INFO,
        };
        Self { level, json: given.text("log.format") == "json", name: given.text_if_any("debug.name") }
    }
}

/// Starts writing log lines. A second call changes nothing.
pub(crate) fn start(options: LogOptions) {
    let targets = Targets::new()
        .with_target("sarsen", options.level)
        .with_default(LevelFilter::WARN.min(options.level));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .event_format(Lines { json: options.json, name: options.name });
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
}

/// The form of a line.
struct Lines {
    json: bool,
    name: Option<String>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let meta = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut pairs = vec![
            ("ts".to_owned(), Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)),
            ("caller".to_owned(), caller(meta.file(), meta.line())),
            ("level".to_owned(), level(*meta.level()).to_owned()),
        ];
        pairs.extend(self.name.iter().map(|name| ("name".to_owned(), name.clone())));
        pairs.extend(fields.message.map(|text| ("msg".to_owned(), text)));
        pairs.extend(fields.pairs);
        let line = if self.json { json(pairs) } else { logfmt(&pairs) };
        writeln!(out, "{line}")
    }
}

/// The fields of an event as text, the message apart.
#[derive(Default)]
struct Fields {
    message: Option<String>,
    pairs: Vec<(String, String)>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = Some(value),
            name => self.pairs.push((name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.to_owned());
    }
}

fn caller(file: Option<&str>, line: Option<u32>) -> String {
    let file = file.and_then(|path| path.rsplit(['/', '\\']).next()).unwrap_or("?");
    format!("{file}:{}", line.unwrap_or(0))
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    }
}

fn logfmt(pairs: &[(String, String)]) -> String {
    let mut line = String::new();
    for (key, value) in pairs {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(key);
        line.push('=');
        let plain = value != "null"
            && value.chars().all(|c| c > ' ' && c != '=' && c != '"' && c != '\u{fffd}' && c != '\u{7f}');
        if plain {
            line.push_str(value);
        } else {
            quote(value, &mut line);
        }
    }
    line
}

fn json(mut pairs: Vec<(String, String)>) -> String {
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let mut line = String::from("{");
    for (i, (key, value)) in pairs.iter().enumerate() {
        if i > 0 {
            line.push(',');
        }
        quote(key, &mut line);
        line.push(':');
        quote(value, &mut line);
    }
    line.push('}');
    line
}

/// A JSON string.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' || c == '\u{7f}' || c == '\u{2028}' || c == '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The lines that `work` logs from the level of `info` on.
    #[cfg(feature = "compact")]
    pub(crate) fn lines_of(work: impl FnOnce()) -> Vec<String> {
        use std::sync::{Arc, Mutex};

        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);

        impl std::io::Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let (kept, lines) = (Kept::default(), Lines { json: false, name: None });
        let writer = kept.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).event_format(lines);
        let subscriber = tracing_subscriber::registry().with(LevelFilter::INFO).with(layer);
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn logfmt_quotes_only_what_needs_it() {
        let line = logfmt(&pairs(&[
            ("a", "x"),
            ("b", "x y"),
            ("c", "a=\"b\"\n"),
            ("d", ""),
            ("e", "null"),
            ("f", "ü"),
        ]));
        assert_eq!(line, r#"a=x b="x y" c="a=\"b\"\n" d= e="null" f=ü"#);
    }

    #[test]
    fn json_is_sorted_and_parses() {
        let line = json(pairs(&[("ts", "1"), ("caller", "a.rs:1"), ("msg", "say \"x\"\u{1}\\")]));
        assert_eq!(line, r#"{"caller":"a.rs:1","msg":"say \"x\"\u0001\\","ts":"1"}"#);
        let back: std::collections::BTreeMap<String, String> = serde_json::from_str(&line).unwrap();
        assert_eq!(back.get("msg").map(String::as_str), Some("say \"x\"\u{1}\\"));
    }

    #[test]
    fn callers_are_file_and_line() {
        assert_eq!(caller(Some("server/src/receive/ship.rs"), Some(7)), "ship.rs:7");
    }
}
