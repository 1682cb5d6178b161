//! A dashboard as Grafana asks it: ten panels, each one range query over the same time, as many points as a screen has.
//!
//! The range, the step and the windows of rates are derived from one another as Grafana's data source does it, and resolutions
//! are left to the querier. Another number is another dashboard: other metrics, another service, another namespace.

use sarsen_block::Timestamp;

use crate::fleet::{Fleet, METRICS_PER_TARGET};

/// Points that a panel has room for.
const POINTS: i64 = 800;
const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Steps that Grafana takes, each up to the number beside it.
const STEPS: [(i64, i64); 17] = [
    (7_500, 5 * SECOND),
    (12_500, 10 * SECOND),
    (17_500, 15 * SECOND),
    (25_000, 20 * SECOND),
    (45_000, 30 * SECOND),
    (90_000, MINUTE),
    (210_000, 2 * MINUTE),
    (450_000, 5 * MINUTE),
    (750_000, 10 * MINUTE),
    (1_050_000, 15 * MINUTE),
    (1_500_000, 20 * MINUTE),
    (2_700_000, 30 * MINUTE),
    (5_400_000, HOUR),
    (9_000_000, 2 * HOUR),
    (16_200_000, 3 * HOUR),
    (32_400_000, 6 * HOUR),
    (i64::MAX, 12 * HOUR),
];

/// A panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panel {
    /// In a table.
    pub name: &'static str,
    /// The query, with Grafana's variables in it.
    text: &'static str,
}

/// The panels of every dashboard.
pub const PANELS: [Panel; 10] = [
    Panel { name: "sum by rate", text: "sum by (service) (rate($counter[$__rate_interval]))" },
    Panel { name: "one service", text: "sum (rate($counter{service=\"$service\"}[$__rate_interval]))" },
    Panel {
        name: "quantile",
        text: "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{service=\"$service\"}[$__rate_interval])))",
    },
    Panel { name: "topk", text: "topk(5, sum by (pod) (rate($counter[$__rate_interval])))" },
    Panel {
        name: "join",
        text: "sum by (namespace, pod) (rate($counter{service=\"$service\"}[$__rate_interval])) / on (namespace, pod) max by (namespace, pod) ($limit{service=\"$service\"})",
    },
    Panel {
        name: "ratio",
        text: "sum (rate($restarts{service=~\"$services\"}[$__rate_interval])) / sum (rate($counter{service=~\"$services\"}[$__rate_interval]))",
    },
    Panel { name: "max over time", text: "max by (node) (max_over_time($gauge[$__interval]))" },
    Panel { name: "average", text: "avg by (namespace) ($gauge)" },
    Panel { name: "plain", text: "$gauge{namespace=\"$namespace\"}" },
    Panel { name: "increase", text: "sum by (namespace) (increase($restarts[$__rate_interval]))" },
];

/// What a dashboard shows.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Whose series; with histograms.
    pub fleet: &'a Fleet,
    /// The last time of it, in milliseconds.
    pub end: Timestamp,
    /// How long it is, in milliseconds.
    pub span: i64,
    /// Milliseconds between two scrapes, as the data source is told.
    pub scrape: i64,
}

impl View<'_> {
    /// The step that Grafana takes, in milliseconds.
    pub fn step(&self) -> i64 {
        let wanted = self.span / POINTS;
        let step = STEPS.iter().find(|(up_to, _)| wanted < *up_to).map_or(DAY, |(_, step)| *step);
        step.max(self.scrape)
    }

    /// The query of a panel of the `number`-th dashboard.
    pub fn query(&self, panel: Panel, number: u64) -> String {
        let target = number.wrapping_mul(7) % (self.fleet.series / METRICS_PER_TARGET).max(1);
        // The last subjects have given way to the histogram.
        let metric = number % 8 * 5;
        let round = self.fleet.rounds_within(&(self.end - HOUR..self.end)).start;
        let label = |metric: u64, name: &str| {
            let labels = self.fleet.labels(target * METRICS_PER_TARGET + metric, round);
            String::from_utf8_lossy(labels.get(name.as_bytes()).unwrap_or_default()).into_owned()
        };
        let seconds = |ms: i64| format!("{}s", ms / SECOND);
        let rate = (self.step() + self.scrape).max(4 * self.scrape);
        let service = label(0, "service");
        let services = "payments-api|order-ledger|user-profile|search-index";
        let (namespace, interval, rate) = (label(0, "namespace"), seconds(self.step()), seconds(rate));
        let values: [(&str, &str); 9] = [
            ("$counter", &label(metric, "__name__")),
            ("$gauge", &label(metric + 1, "__name__")),
            ("$restarts", &label(metric + 2, "__name__")),
            ("$limit", &label(metric + 4, "__name__")),
            ("$services", services),
            ("$service", &service),
            ("$namespace", &namespace),
            ("$__interval", &interval),
            ("$__rate_interval", &rate),
        ];
        values.iter().fold(panel.text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// The form that Grafana posts for it to `/api/v1/query_range`: times are multiples of the step.
    pub fn form(&self, panel: Panel, number: u64) -> String {
        let step = self.step();
        let aligned = |t: Timestamp| t.div_euclid(step) * step / SECOND;
        format!(
            "query={}&start={}&end={}&step={}&max_source_resolution=auto",
            escaped(&self.query(panel, number)),
            aligned(self.end - self.span),
            aligned(self.end),
            step / SECOND
        )
    }
}

/// A value of a form.
pub fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_windows_are_those_of_grafana() {
        let fleet = Fleet { buckets: true, ..Fleet::steady(1000, 1_700_000_000_000) };
        let end = fleet.start + DAY;
        let view = |span| View { fleet: &fleet, end, span, scrape: 30 * SECOND };
        let steps = [HOUR, 6 * HOUR, 7 * DAY, 30 * DAY, 180 * DAY].map(|span| view(span).step());
        assert_eq!(steps, [30 * SECOND, 30 * SECOND, 15 * MINUTE, HOUR, 6 * HOUR]);
        assert!(
            view(HOUR).query(PANELS[0], 0).ends_with("(rate(container_network_receive_packets_total[120s]))")
        );
        assert!(view(7 * DAY).query(PANELS[6], 1).contains("_duration_seconds[900s]"));
        let form = view(7 * DAY).form(PANELS[9], 3);
        assert!(
            form.contains("&step=900&max_source_resolution=auto") && form.contains("%5B930s%5D"),
            "{form}"
        );
    }

    #[test]
    fn no_variable_is_left_in_a_query() {
        let fleet = Fleet { buckets: true, ..Fleet::steady(1000, 1_700_000_000_000) };
        let view = View { fleet: &fleet, end: fleet.start + DAY, span: HOUR, scrape: MINUTE };
        for number in 0..30 {
            for panel in PANELS {
                assert!(!view.query(panel, number).contains('$'), "{}", view.query(panel, number));
            }
        }
    }
}
