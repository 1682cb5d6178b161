//! Exemplars: `/query_exemplars`.
//!
//! In Thanos' dialect, and wherever labels tell replicas apart, these become one, and exemplars that are the same are shown once.

use std::collections::BTreeMap;

use bytes::Bytes;
use sarsen_block::{Labels, TimeRange};
use serde_json::{Value, json};

use super::answer::{Answer, Data};
use super::labels::refused;
use super::others::object;
use super::{Api, Ask, tenancy};
use crate::query::dialect::Kind;
use crate::query::fault::Fault;
use crate::query::params::{FIRST, LAST, Moment};
use crate::store::{ExemplarOut, ExemplarSeries, ExemplarsQuery};

impl Api {
    /// `/query_exemplars`.
    pub(super) async fn exemplars(&self, ask: Ask) -> Result<Answer, Fault> {
        let start = ask.params.time_or("start", Moment::of_ms(FIRST))?;
        let end = ask.params.time_or("end", Moment::of_ms(LAST))?;
        if end < start && ask.params.dialect.is_prometheus() {
            return Err(Fault::bad("end timestamp must not be before start timestamp"));
        }
        let thanos = !ask.params.dialect.is_prometheus();
        let expr = self.0.executor.parse(ask.params.text("query")).map_err(|why| match thanos {
            // Thanos parses where it asks the stores, so that to it the fault is an inner one.
            true => Fault::new(Kind::Internal, format!("retrieving exemplars: proxy Exemplars: {why}")),
            false => Fault::bad(why),
        })?;
        let mut selectors: Vec<_> = expr.selectors().into_iter().map(<[_]>::to_vec).collect();
        if selectors.is_empty() {
            return Ok(Answer::of(if thanos { Data::Json(json!([])) } else { Data::Nothing }));
        }
        if let Some(matcher) = self.0.settings.tenancy.enforced(&ask.tenant) {
            selectors.iter_mut().for_each(|selector| tenancy::hold(selector, &matcher));
        }
        let query = ExemplarsQuery {
            tenant: Some(ask.tenant.clone()),
            abort: !self.0.settings.partial.exemplars,
            stores: self.store_matchers(&ask)?,
            ..ExemplarsQuery::new(selectors, TimeRange::new(start.ms(), end.ms()))
        };
        let found = self.0.executor.store().exemplars(query).await.map_err(refused)?;
        let exemplar = |one: &ExemplarOut| {
            let (mut value, mut time) = (Vec::new(), Vec::new());
            let _ = crate::wire::json::float(&mut value, one.value);
            let _ = crate::wire::json::seconds(&mut time, one.t);
            let time: Value = serde_json::from_slice(&time).unwrap_or_default();
            json!({"labels": object(one.labels.as_ref()), "value": String::from_utf8_lossy(&value), "timestamp": time})
        };
        let mut series = found.series;
        let replica_labels = self.replica_labels(&ask)?;
        if thanos || !replica_labels.is_empty() {
            series = merged(series, &replica_labels);
        }
        let series = series.iter().map(|series| {
            let exemplars: Vec<Value> = series.exemplars.iter().map(exemplar).collect();
            json!({"seriesLabels": object(series.labels.as_ref()), "exemplars": exemplars})
        });
        Ok(Answer::partial(Data::Json(series.collect()), found.warnings))
    }
}

/// The series without these labels, each once and by its labels, with each exemplar once and by its time.
fn merged(series: Vec<ExemplarSeries>, replica_labels: &[Bytes]) -> Vec<ExemplarSeries> {
    let mut all: BTreeMap<Labels, Vec<ExemplarOut>> = BTreeMap::new();
    for one in series.into_iter().filter(|one| !one.exemplars.is_empty()) {
        let is_replica = |name: &[u8]| replica_labels.iter().any(|label| label == name);
        let labels = one.labels.as_ref().keeping(|name| !is_replica(name));
        all.entry(labels).or_default().extend(one.exemplars);
    }
    let one = |(labels, mut exemplars): (Labels, Vec<ExemplarOut>)| {
        let order = |a: &ExemplarOut, b: &ExemplarOut| {
            a.t.cmp(&b.t).then_with(|| a.labels.cmp(&b.labels)).then_with(|| a.value.total_cmp(&b.value))
        };
        exemplars.sort_by(order);
        exemplars.dedup_by(|a, b| order(a, b).is_eq());
        ExemplarSeries { labels, exemplars }
    };
    all.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_one_and_what_is_the_same_stands_once() {
        let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).unwrap();
        let exemplar =
            |t, trace: &str, value| ExemplarOut { labels: labels(&[("trace_id", trace)]), value, t };
        let series = |pod: &str, replica: &str, exemplars: &[ExemplarOut]| ExemplarSeries {
            labels: labels(&[("pod", pod), ("replica", replica)]),
            exemplars: exemplars.to_vec(),
        };
        let all = vec![
            series("b", "0", &[exemplar(3, "x", 1.0)]),
            series("a", "0", &[exemplar(1, "x", 1.0), exemplar(2, "y", 2.0)]),
            series("a", "1", &[exemplar(1, "x", 1.0), exemplar(2, "y", 3.0), exemplar(0, "z", 1.0)]),
            series("c", "0", &[]),
        ];
        let replica = [Bytes::from_static(b"replica")];
        let one = merged(all.clone(), &replica);
        let expected =
            vec![exemplar(0, "z", 1.0), exemplar(1, "x", 1.0), exemplar(2, "y", 2.0), exemplar(2, "y", 3.0)];
        assert_eq!(one.len(), 2);
        assert_eq!((&one[0].labels, &one[0].exemplars), (&labels(&[("pod", "a")]), &expected));
        assert_eq!(merged(all, &[]).len(), 3);
    }
}
