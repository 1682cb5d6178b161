//! What this process says of itself: build, run time, flags, configuration, and how many series of what there are.

use sarsen_block::{METRIC_NAME, MatchOp, Matcher, TimeRange};
use serde_json::{Value, json};

use super::answer::{Answer, Data};
use super::labels::{Gathered, gather, refused};
use super::{Api, Ask, tenancy};
use crate::clock;
use crate::metrics::REVISION;
use crate::query::dialect::Kind;
use crate::query::fault::Fault;
use crate::store::{Counts, Row, SeriesQuery, Statistics};

/// The series that `/status/tsdb` counts are those of so many milliseconds before now, which is about what a head holds.
const HEAD: i64 = 3 * 3_600_000;
/// Most rows of a list.
const MOST: usize = 10_000;

impl Api {
    /// `/status/buildinfo`.
    pub(super) async fn build_info(&self, _: Ask) -> Result<Answer, Fault> {
        Ok(Answer::json(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "revision": REVISION,
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        })))
    }

    /// `/status/runtimeinfo`.
    pub(super) async fn runtime_info(&self, ask: Ask) -> Result<Answer, Fault> {
        let folder = std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut data = json!({
            "startTime": rfc3339(self.0.started_ms),
            "CWD": folder,
            "goroutineCount": 0,
            "GOMAXPROCS": threads,
            "GOGC": "",
            "GODEBUG": "",
            "GOMEMLIMIT": i64::MAX,
        });
        if ask.params.dialect.is_prometheus() {
            data["serverTime"] = json!(rfc3339(clock::now()));
            data["reloadConfigSuccess"] = json!(true);
            data["lastConfigTime"] = json!(rfc3339(self.0.started_ms));
            data["corruptionCount"] = json!(0);
            data["storageRetention"] = json!("");
        }
        Ok(Answer::json(data))
    }

    /// `/status/flags`.
    pub(super) async fn flags(&self, _: Ask) -> Result<Answer, Fault> {
        Ok(Answer::json(json!(self.0.settings.flags)))
    }

    /// `/status/config`: there is no file beside the flags.
    pub(super) async fn config(&self, _: Ask) -> Result<Answer, Fault> {
        Ok(Answer::json(json!({"yaml": ""})))
    }

    /// `/status/tsdb`: what has most series and most values. Counted on the spot, over the series of the last hours.
    pub(super) async fn cardinality(&self, ask: Ask) -> Result<Answer, Fault> {
        let limit = self.rows(&ask)?;
        let mut selectors = ask.params.selectors("match[]")?;
        if selectors.is_empty() {
            let every = Matcher::new(MatchOp::Regex, METRIC_NAME, b".+");
            selectors.push(vec![every.map_err(|why| Fault::new(Kind::Internal, why.to_string()))?]);
        }
        if let Some(matcher) = self.0.settings.tenancy.enforced(&ask.tenant) {
            selectors.iter_mut().for_each(|selector| tenancy::hold(selector, &matcher));
        }
        let now = clock::now();
        let range = TimeRange::new(now - HEAD, now);
        let mut found = Gathered::default();
        for matchers in selectors {
            let query = SeriesQuery {
                skip_chunks: true,
                tenant: Some(ask.tenant.clone()),
                ..SeriesQuery::new(range, matchers)
            };
            gather(self.0.executor.store(), query, range, &mut found).await.map_err(refused)?;
        }
        let Gathered { labels, warnings } = found;
        let counted = tokio::task::spawn_blocking(move || {
            let mut counts = Counts::default();
            labels.iter().for_each(|labels| counts.add(labels.as_ref().iter()));
            shown(counts.finish(limit, range))
        });
        let data = counted.await.map_err(|why| Fault::new(Kind::Internal, why.to_string()))?;
        Ok(Answer::partial(Data::Json(data), warnings))
    }

    /// How many rows of each list are wanted.
    fn rows(&self, ask: &Ask) -> Result<usize, Fault> {
        if !ask.params.dialect.is_prometheus() {
            return Ok(match ask.params.limit()? {
                0 => 10,
                limit => limit.min(MOST),
            });
        }
        let limit = ask.params.first("limit").map_or(Ok(10), str::parse::<usize>);
        match limit {
            Ok(limit @ 1..=MOST) => Ok(limit),
            Ok(0) | Err(_) => Err(Fault::bad("limit must be a positive number")),
            Ok(_) => Err(Fault::bad(format!("limit must not exceed {MOST}"))),
        }
    }
}

/// As Prometheus shows it.
fn shown(statistics: Statistics) -> Value {
    let rows = |rows: Vec<Row>| -> Vec<Value> {
        rows.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
    };
    json!({
        "headStats": {
            "numSeries": statistics.series,
            "numLabelPairs": statistics.label_pairs,
            "chunkCount": statistics.chunks,
            "minTime": statistics.range.min,
            "maxTime": statistics.range.max,
        },
        "seriesCountByMetricName": rows(statistics.by_metric),
        "labelValueCountByLabelName": rows(statistics.values_by_label),
        "memoryInBytesByLabelName": rows(statistics.bytes_by_label),
        "seriesCountByLabelValuePair": rows(statistics.by_label),
    })
}

/// A time as dates are written.
pub(super) fn rfc3339(ms: i64) -> String {
    let date = chrono::DateTime::<chrono::Utc>::from_timestamp_millis(ms).unwrap_or_default();
    date.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
