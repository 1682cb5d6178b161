//! What is asked of store gateways over an archive: questions as a querier has them, a different one for every number.

use bytes::Bytes;
use prost::Message as _;

use crate::archive::ArchivePlan;
use crate::storeapi::{LabelMatcher, LabelValuesRequest, SeriesRequest};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// One metric of one pod, so many days back.
    Selective(i64),
    /// One metric of every pod of a tenant, over six hours.
    Wide,
    /// One metric where the pod is set and the namespace is not a certain one, over two hours.
    Negative,
    /// Metrics and pods by expressions, over two hours.
    Regex,
    /// The pods under a namespace, over a day.
    Values,
}

impl Question {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Selective(7),
        Self::Selective(30),
        Self::Selective(180),
        Self::Wide,
        Self::Negative,
        Self::Regex,
        Self::Values,
    ];

    /// In a table.
    pub fn name(self) -> String {
        match self {
            Self::Selective(days) => format!("selective, {days} d"),
            Self::Wide => "wide, 6 h".to_owned(),
            Self::Negative => "negative, 2 h".to_owned(),
            Self::Regex => "regex, 2 h".to_owned(),
            Self::Values => "label values, 1 d".to_owned(),
        }
    }

    /// The path of the method.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Values => "/thanos.Store/LabelValues",
            _ => "/thanos.Store/Series",
        }
    }

    /// The `number`-th request of its kind: another pod, tenant, metric or hour than the one before.
    pub fn message(self, plan: &ArchivePlan, number: u64) -> Bytes {
        let end = ArchivePlan::END - 1;
        let tenant = number % plan.tenants;
        let owner = matcher("tenant_id", 0, &format!("tenant-{tenant}"));
        let fleet = plan.fleet(tenant, 60_000);
        let series = number.wrapping_mul(0x9E37_79B1) % plan.series;
        let last = fleet.rounds_within(&(end - HOUR..end)).start;
        let labels = fleet.labels(series, last);
        let label = |name: &str| {
            String::from_utf8_lossy(labels.get(name.as_bytes()).unwrap_or_default()).into_owned()
        };
        let metric = matcher("__name__", 0, &label("__name__"));
        let hours_back = i64::try_from(number % 60).unwrap_or(0);
        let recent = |hours: i64| (end - (hours_back + hours) * HOUR, end - hours_back * HOUR);
        let (range, resolution, matchers) = match self {
            Self::Selective(days) => {
                // As Query asks: a fifth of the step of a panel, and a panel has some 250 steps.
                let resolution = days * DAY / 250 / 5;
                let instance = matcher("instance", 0, &label("instance"));
                ((end - days * DAY, end), resolution, vec![metric, instance, owner])
            }
            Self::Wide => (recent(6), 0, vec![metric, owner]),
            Self::Negative => {
                let elsewhere = matcher("namespace", 1, &label("namespace"));
                (recent(2), 0, vec![metric, matcher("pod", 1, ""), elsewhere, owner])
            }
            Self::Regex => {
                let pods = matcher("pod", 2, &format!("{}-.*", label("service")));
                (recent(2), 0, vec![matcher("__name__", 2, "http_server_.*|grpc_.*_total"), pods, owner])
            }
            Self::Values => (recent(24), 0, vec![matcher("namespace", 0, &label("namespace")), owner]),
        };
        let (start, end) = range;
        if self == Self::Values {
            let request = LabelValuesRequest {
                label: "pod".into(),
                start,
                end,
                matchers,
                ..LabelValuesRequest::default()
            };
            return request.encode_to_vec().into();
        }
        let request = SeriesRequest {
            min_time: start,
            max_time: end,
            matchers,
            max_resolution_window: resolution,
            aggregates: vec![1, 2],
            ..SeriesRequest::default()
        };
        request.encode_to_vec().into()
    }
}

fn matcher(name: &str, kind: i32, value: &str) -> LabelMatcher {
    LabelMatcher { kind, name: name.into(), value: value.into() }
}
