//! What this process says of itself: build, run time, flags, configuration, and how many series of what there are.

use std::collections::HashMap;

use sarsen_block::{METRIC_NAME, MatchOp, Matcher, TimeRange};
use serde_json::{Value, json};

use super::answer::{Answer, Data};
use super::labels::{Gathered, gather, refused};
use super::{Api, Ask, tenancy};
use crate::clock;
use crate::metrics::REVISION;
use crate::query::dialect::Kind;
use crate::query::fault::Fault;
use crate::store::SeriesQuery;

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
            counts.shown(limit, range)
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

/// How many series have a value of a label.
type Values = HashMap<Vec<u8>, usize>;

/// Series and values by name of metric and label.
#[derive(Debug, Default)]
struct Counts {
    series: usize,
    metrics: HashMap<Vec<u8>, usize>,
    /// By label its values, each with its series.
    labels: HashMap<Vec<u8>, Values>,
}

impl Counts {
    fn add<'a>(&mut self, labels: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        self.series += 1;
        for (name, value) in labels {
            if name == METRIC_NAME {
                *entry(&mut self.metrics, value) += 1;
            }
            *entry(entry(&mut self.labels, name), value) += 1;
        }
    }

    fn shown(self, limit: usize, range: TimeRange) -> Value {
        // A value is kept once for each label that has it.
        let bytes: fn(&Values) -> usize = |values| values.keys().map(Vec::len).sum();
        let by_label = |measure: fn(&Values) -> usize| {
            top(self.labels.iter().map(|(name, values)| (lossy(name), measure(values))), limit)
        };
        let pairs = self.labels.iter().flat_map(|(name, values)| {
            values.iter().map(move |(value, count)| (format!("{}={}", lossy(name), lossy(value)), *count))
        });
        json!({
            "headStats": {
                "numSeries": self.series,
                "numLabelPairs": self.labels.values().map(HashMap::len).sum::<usize>(),
                "chunkCount": 0,
                "minTime": range.min,
                "maxTime": range.max,
            },
            "seriesCountByMetricName": top(self.metrics.iter().map(|(name, count)| (lossy(name), *count)), limit),
            "labelValueCountByLabelName": by_label(Values::len),
            "memoryInBytesByLabelName": by_label(bytes),
            "seriesCountByLabelValuePair": top(pairs, limit),
        })
    }
}

fn entry<'a, V: Default>(map: &'a mut HashMap<Vec<u8>, V>, key: &[u8]) -> &'a mut V {
    if !map.contains_key(key) {
        map.insert(key.to_vec(), V::default());
    }
    map.entry(key.to_vec()).or_default()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The rows with the highest numbers, of equal ones the first names.
fn top(rows: impl Iterator<Item = (String, usize)>, limit: usize) -> Vec<Value> {
    let mut rows: Vec<(String, usize)> = rows.collect();
    let order = |a: &(String, usize), b: &(String, usize)| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0));
    if rows.len() > limit {
        rows.select_nth_unstable_by(limit, order);
        rows.truncate(limit);
    }
    rows.sort_by(order);
    rows.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// A time as dates are written.
pub(super) fn rfc3339(ms: i64) -> String {
    let date = chrono::DateTime::<chrono::Utc>::from_timestamp_millis(ms).unwrap_or_default();
    date.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_most() {
        let mut counts = Counts::default();
        for (metric, pod) in [("up", "a"), ("up", "b"), ("cpu", "a")] {
            counts.add([(METRIC_NAME, metric.as_bytes()), (b"pod", pod.as_bytes())].into_iter());
        }
        let shown = counts.shown(1, TimeRange::new(1, 2));
        assert_eq!(shown["headStats"]["numSeries"], 3);
        assert_eq!(shown["headStats"]["numLabelPairs"], 4);
        assert_eq!(shown["seriesCountByMetricName"], json!([{"name": "up", "value": 2}]));
        assert_eq!(shown["labelValueCountByLabelName"], json!([{"name": "__name__", "value": 2}]));
        assert_eq!(shown["memoryInBytesByLabelName"], json!([{"name": "__name__", "value": 5}]));
        assert_eq!(shown["seriesCountByLabelValuePair"], json!([{"name": "__name__=up", "value": 2}]));
    }
}
