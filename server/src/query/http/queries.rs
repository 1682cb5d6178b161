//! Queries: `/query`, `/query_range`, their explanations, and their texts and trees.

use std::time::Duration;

use bytes::Bytes;
use sarsen_promql::Value as QueryValue;
use serde_json::{Value, json};

use super::answer::{Answer, Data};
use super::explain::{explanation, time};
use super::{Api, Ask};
use crate::clock;
use crate::query::dialect::Kind;
use crate::query::exec::{Asked, ExecError, Outcome, When};
use crate::query::fault::Fault;
use crate::query::gather::Gather;
use crate::query::params::{Moment, Params, nanos, quoted};
use crate::store::Shard;
use crate::wire::json::tree;

const MILLISECOND: i64 = 1_000_000;
/// Steps that a query may have.
const MOST_STEPS: i64 = 11_000;
const TRUNCATED: &str = "results truncated due to limit";
const NO_STEP: &str =
    "zero or negative query resolution step widths are not accepted. Try a positive integer";
const TOO_MANY: &str = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";

impl Api {
    /// `/query`.
    pub(super) async fn query(&self, ask: Ask) -> Result<Answer, Fault> {
        let (asked, limit) = self.instant(&ask)?;
        self.answered(ask, asked, limit).await
    }

    /// `/query_range`.
    pub(super) async fn query_range(&self, ask: Ask) -> Result<Answer, Fault> {
        let (asked, limit) = self.ranged(&ask)?;
        self.answered(ask, asked, limit).await
    }

    /// `/query_explain`: the query is answered, and what it took is told instead of the answer.
    pub(super) async fn query_explain(&self, ask: Ask) -> Result<Answer, Fault> {
        let (asked, _) = self.instant(&ask)?;
        self.explained(&ask, asked).await
    }

    /// `/query_range_explain`.
    pub(super) async fn query_range_explain(&self, ask: Ask) -> Result<Answer, Fault> {
        let (asked, _) = self.ranged(&ask)?;
        self.explained(&ask, asked).await
    }

    /// `/format_query`.
    pub(super) async fn format_query(&self, ask: Ask) -> Result<Answer, Fault> {
        let text = ask.params.text("query");
        let expr = self.0.executor.parse(text).map_err(|why| ask.params.fault("query", &why))?;
        Ok(Answer::json(json!(expr.pretty())))
    }

    /// `/parse_query`.
    pub(super) async fn parse_query(&self, ask: Ask) -> Result<Answer, Fault> {
        let text = ask.params.text("query");
        let expr = self.0.executor.parse(text).map_err(|why| ask.params.fault("query", &why))?;
        Ok(Answer::json(tree(&expr)))
    }

    /// What a request to `/query` asks, and how many series it wants at most.
    fn instant(&self, ask: &Ask) -> Result<(Asked, usize), Fault> {
        let params = &ask.params;
        let limit = if params.dialect.is_prometheus() { params.limit()? } else { 0 };
        let at = params.time_or("time", Moment::of_ms(clock::now()))?;
        let timeout = params.timeout()?;
        let gather = self.gather(ask, self.0.settings.instant_resolution_ms)?;
        let when = When::At(at.grid_ms());
        Ok((
            Asked {
                text: params.text("query").to_owned(),
                when,
                lookback_ms: params.lookback()?,
                timeout,
                gather,
            },
            limit,
        ))
    }

    /// The same of `/query_range`.
    fn ranged(&self, ask: &Ask) -> Result<(Asked, usize), Fault> {
        let params = &ask.params;
        let limit = if params.dialect.is_prometheus() { params.limit()? } else { 0 };
        let (start, end) = (params.time("start")?, params.time("end")?);
        if end < start {
            return Err(params.fault("end", "end timestamp must not be before start time"));
        }
        let step = self.step(params, end.since(start))?;
        if step <= 0 {
            return Err(params.fault("step", NO_STEP));
        }
        if end.since(start) / step > MOST_STEPS {
            return Err(Fault::bad(TOO_MANY));
        }
        let timeout = params.timeout()?;
        let gather = self.gather(ask, step / 5 / MILLISECOND)?;
        let step = (step / MILLISECOND).max(1);
        let when = When::Over { start: start.grid_ms(), end: end.grid_ms(), step };
        Ok((
            Asked {
                text: params.text("query").to_owned(),
                when,
                lookback_ms: params.lookback()?,
                timeout,
                gather,
            },
            limit,
        ))
    }

    /// The step in nanoseconds. In Thanos' dialect it may be left out.
    fn step(&self, params: &Params, length: i64) -> Result<i64, Fault> {
        let text = params.text("step");
        if params.dialect.is_prometheus() {
            return nanos(text).map_err(|why| params.fault("step", &why));
        }
        if text.is_empty() {
            let least = i64::try_from(self.0.settings.default_step.as_secs()).unwrap_or(i64::MAX);
            return Ok((length / 1_000_000_000 / 250).max(least).saturating_mul(1_000_000_000));
        }
        nanos(text).map_err(|why| Fault::bad(format!("'step' parameter: {why}")))
    }

    /// How the stores are to be asked; `otherwise` is the resolution of a caller who leaves it to us, in milliseconds.
    fn gather(&self, ask: &Ask, otherwise: i64) -> Result<Gather, Fault> {
        let (params, settings) = (&ask.params, &self.0.settings);
        let replica_labels = self.replica_labels(ask)?;
        let stores = self.store_matchers(ask)?;
        let partial = params.switch("partial_response", settings.partial.queries)?;
        let max_resolution_ms = self.resolution(params, otherwise)?;
        let shard = shard(params.text("shard_info"))?;
        let engine = params.text("engine");
        if !matches!(engine, "" | "prometheus" | "thanos") {
            return Err(Fault::bad(format!("'{engine}' bad engine")));
        }
        Ok(Gather {
            replica_labels,
            replicas: settings.replicas,
            max_resolution_ms,
            partial,
            stores,
            enforced: settings.tenancy.enforced(&ask.tenant),
            tenant: Some(ask.tenant.clone()),
            shard,
            explain: false,
            adjust_counters: !params.dialect.is_prometheus(),
        })
    }

    fn resolution(&self, params: &Params, otherwise: i64) -> Result<i64, Fault> {
        match params.text("max_source_resolution") {
            "" if self.0.settings.auto_downsampling => Ok(otherwise),
            "" => Ok(0),
            "auto" => Ok(otherwise),
            text => {
                let fault = |why: String| Fault::bad(format!("'max_source_resolution' parameter: {why}"));
                match nanos(text).map_err(fault)? {
                    nanos @ 0.. => Ok(nanos / MILLISECOND),
                    _ => Err(Fault::bad(
                        "negative 'max_source_resolution' is not accepted. Try a positive integer",
                    )),
                }
            }
        }
    }

    async fn answered(&self, ask: Ask, mut asked: Asked, limit: usize) -> Result<Answer, Fault> {
        let stats = ask.params.text("stats").to_owned();
        let explains = ask.params.switch("explain", false).unwrap_or(false);
        asked.gather.explain = explains;
        let (when, text) = (asked.when, asked.text.clone());
        let outcome = self.0.executor.answer(asked).await.map_err(|why| told(&ask.params, why));
        let outcome = outcome.inspect_err(|fault| {
            if fault.kind != Kind::BadData {
                tracing::warn!(query = text, tenant = ask.tenant, err = fault.why, "query failed");
            }
        })?;
        let mut more = String::new();
        if !stats.is_empty() {
            let each_step = stats == "all" && self.0.executor.has_feature("promql-per-step-stats");
            more.push_str(&format!(",\"stats\":{}", statistics(&outcome, when, each_step)));
        }
        if explains {
            more.push_str(&format!(",\"explanation\":{}", explanation(&outcome, self.own())));
        }
        if !ask.params.dialect.is_prometheus() {
            more.push_str(",\"analysis\":{}");
        }
        let Outcome { mut value, mut warnings, infos, missing, .. } = outcome;
        if truncate(&mut value, limit) {
            warnings.push(TRUNCATED.to_owned());
        }
        if ask.params.dialect.is_prometheus() && !matches!(stats.as_str(), "" | "true" | "all") {
            let stats = quoted(&stats);
            warnings.push(format!(
                "value {stats} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\""
            ));
        }
        let partial = !missing.is_empty();
        warnings.extend(missing);
        Ok(Answer { data: Data::Result(Box::new(value), more), warnings, infos, partial })
    }

    /// What is asked is, as far as it asks nobody else.
    fn own(&self) -> &'static str {
        self.0.executor.store().info().component
    }

    async fn explained(&self, ask: &Ask, mut asked: Asked) -> Result<Answer, Fault> {
        asked.gather.explain = true;
        let outcome = self.0.executor.answer(asked).await.map_err(|why| told(&ask.params, why))?;
        let missing = outcome.missing.clone();
        Ok(Answer::partial(Data::Json(explanation(&outcome, self.own())), missing))
    }
}

/// Why there is no answer, as the dialect tells it.
fn told(params: &Params, why: ExecError) -> Fault {
    match why {
        ExecError::Query(why) => params.fault("query", &why),
        ExecError::Failed(fault) => fault,
    }
}

/// Keeps the first series; whether there were more.
fn truncate(value: &mut QueryValue, limit: usize) -> bool {
    let length = match value {
        QueryValue::Vector(samples) if limit > 0 => {
            let length = samples.len();
            samples.truncate(limit);
            length
        }
        QueryValue::Matrix(series) if limit > 0 => {
            let length = series.len();
            series.truncate(limit);
            length
        }
        _ => 0,
    };
    length > limit
}

/// Which part of the series is wanted, as JSON says it.
fn shard(text: &str) -> Result<Option<Shard>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let fault = |why: String| Fault::bad(format!("could not unmarshal parameter shard_info: {why}"));
    let info: Value = serde_json::from_str(text).map_err(|why| {
        fault(if why.is_eof() { "unexpected end of JSON input".to_owned() } else { why.to_string() })
    })?;
    let Value::Object(info) = info else { return Err(fault("it is no object".to_owned())) };
    let number = |name: &str| match info.get(name) {
        None | Some(Value::Null) => Ok(0),
        // Numbers of 64 bits may be written as texts.
        Some(Value::String(text)) => text.parse().map_err(|_| fault(format!("{name} is no number"))),
        Some(value) => value.as_i64().ok_or_else(|| fault(format!("{name} is no number"))),
    };
    let labels = info.get("labels").and_then(Value::as_array).into_iter().flatten();
    let labels = labels.filter_map(Value::as_str).map(|label| Bytes::from(label.to_owned())).collect();
    let by = info.get("by").and_then(Value::as_bool).unwrap_or(false);
    Ok(Shard::new(number("shard_index")?, number("total_shards")?, by, labels))
}

/// Where time and samples went, as Prometheus tells it.
fn statistics(outcome: &Outcome, when: When, each_step: bool) -> Value {
    let (stats, timings) = (&outcome.stats, &outcome.timings);
    let (start, step) = match when {
        When::At(at) => (at, 0),
        When::Over { start, step, .. } => (start, step),
    };
    let per_step = |counts: &[u64]| {
        let pair =
            |(at, count): (i64, &u64)| json!([time(start.saturating_add(step.saturating_mul(at))), count]);
        (0..).zip(counts).map(pair).collect::<Value>()
    };
    let mut samples = json!({
        "totalQueryableSamples": stats.total_queryable_samples,
        "samplesRead": stats.samples_read,
        "peakSamples": stats.peak_samples,
    });
    if each_step {
        samples["totalQueryableSamplesPerStep"] = per_step(&stats.total_queryable_samples_per_step);
        samples["samplesReadPerStep"] = per_step(&stats.samples_read_per_step);
    }
    let second = |duration: Duration| json!(duration.as_secs_f64());
    json!({
        "timings": {
            "evalTotalTime": second(timings.evaluation),
            "resultSortTime": 0,
            "queryPreparationTime": second(timings.preparation),
            "innerEvalTime": second(timings.evaluation),
            "execQueueTime": second(timings.queue),
            "execTotalTime": second(timings.total),
        },
        "samples": samples,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_block::Labels;
    use sarsen_promql::RangeSeries;

    #[test]
    fn the_first_series_are_kept() {
        let series = |name: &str| RangeSeries {
            labels: Labels::from_pairs([("a", name)]).unwrap(),
            ..RangeSeries::default()
        };
        let mut value = QueryValue::Matrix(vec![series("x"), series("y")]);
        assert!(!truncate(&mut value, 0) && !truncate(&mut value, 2));
        assert!(truncate(&mut value, 1));
        assert_eq!(value, QueryValue::Matrix(vec![series("x")]));
        assert!(!truncate(&mut QueryValue::Scalar(0, 1.0), 1));
    }

    #[test]
    fn shards_as_a_query_frontend_writes_them() {
        let read = |text| shard(text).map_err(|fault| fault.why);
        let expected = Shard::new(1, 3, true, vec![Bytes::from_static(b"pod")]);
        assert_eq!(read(r#"{"shard_index":1,"total_shards":3,"by":true,"labels":["pod"]}"#), Ok(expected));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("{\"total_shards\":0}"), Ok(None));
        let why = "could not unmarshal parameter shard_info: unexpected end of JSON input";
        assert_eq!(read("{"), Err(why.to_owned()));
    }
}
