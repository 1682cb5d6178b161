//! Metric families as text: Prometheus' format 0.0.4, and OpenMetrics 1.0 where a scraper asks for it.
//!
//! The two differ here only in the names of counters in their head lines, in how whole numbers of buckets are written
//! and in the end mark. Families are written whole: head first, then each sample.

use std::fmt::Write as _;

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Counter,
    Gauge,
    Histogram,
    #[cfg_attr(not(feature = "receive"), expect(dead_code, reason = "only the receiver has summaries"))]
    Summary,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// A page of metrics that is being written.
#[derive(Debug)]
pub(crate) struct Page {
    out: String,
    open_metrics: bool,
}

impl Page {
    /// An empty page.
    pub(crate) fn new(open_metrics: bool) -> Self {
        Self { out: String::with_capacity(64 << 10), open_metrics }
    }

    /// The content type and the finished text.
    pub(crate) fn finish(mut self) -> (&'static str, String) {
        if self.open_metrics {
            self.out.push_str("# EOF\n");
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", self.out)
        } else {
            ("text/plain; version=0.0.4; charset=utf-8", self.out)
        }
    }

    /// Begins a family.
    pub(crate) fn family(&mut self, name: &str, kind: Type, help: &str) {
        let head = match kind {
            Type::Counter if self.open_metrics => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let _ = write!(self.out, "# HELP {head} ");
        escape(help, false, &mut self.out);
        let _ = write!(self.out, "\n# TYPE {head} {}\n", kind.name());
    }

    /// A sample; `suffix` is what a histogram or summary appends to the family's name.
    pub(crate) fn sample(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.out.push_str(name);
        self.out.push_str(suffix);
        if !labels.is_empty() {
            for (i, (label, text)) in labels.iter().enumerate() {
                self.out.push(if i == 0 { '{' } else { ',' });
                self.out.push_str(label);
                self.out.push_str("=\"");
                escape(text, true, &mut self.out);
                self.out.push('"');
            }
            self.out.push('}');
        }
        self.out.push(' ');
        self.out.push_str(&number(value));
        self.out.push('\n');
    }

    /// Buckets (upper bound, count up to it), sum and count of one histogram.
    pub(crate) fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        buckets: &[(f64, u64)],
        sum: f64,
    ) {
        let mut total = 0;
        for (bound, count) in buckets {
            let le = if self.open_metrics { number_with_point(*bound) } else { number(*bound) };
            let with_bound: Vec<(&str, &str)> = labels.iter().copied().chain([("le", le.as_str())]).collect();
            self.sample(name, "_bucket", &with_bound, *count as f64);
            total = *count;
        }
        self.sample(name, "_sum", labels, sum);
        self.sample(name, "_count", labels, total as f64);
    }
}

/// A number as Go's shortest `%g` writes it in this format.
pub(crate) fn number(value: f64) -> String {
    crate::go_float::general(value)
}

fn number_with_point(value: f64) -> String {
    let text = number(value);
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if plain { text + ".0" } else { text }
}

fn escape(text: &str, quotes: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats() {
        for (open, expected) in [
            (
                false,
                "# HELP a_total x\\ny\n# TYPE a_total counter\na_total{t=\"q\\\"\\\\\"} 3\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 4\nh_sum 9.5\nh_count 4\n",
            ),
            (
                true,
                "# HELP a x\\ny\n# TYPE a counter\na_total{t=\"q\\\"\\\\\"} 3\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 4\nh_sum 9.5\nh_count 4\n# EOF\n",
            ),
        ] {
            let mut page = Page::new(open);
            page.family("a_total", Type::Counter, "x\ny");
            page.sample("a_total", "", &[("t", "q\"\\")], 3.0);
            page.histogram("h", &[], &[(1.0, 2), (f64::INFINITY, 4)], 9.5);
            assert_eq!(page.finish().1, expected);
        }
    }
}
