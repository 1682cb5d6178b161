//! Which series there are, and which labels: `/series`, `/labels`, `/label/<name>/values`.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::{Labels, Matcher, TimeRange};
use sarsen_promql::ast::ExprKind;
use serde_json::Value;

use super::answer::{Answer, Data};
use super::{Api, Ask};
use crate::clock;
use crate::query::dialect::Kind;
use crate::query::fault::Fault;
use crate::store::{
    ChunkParts, Frame, LabelsAnswer, LabelsQuery, SeriesQuery, Store, StoreError, StoreSeries, frames,
};

/// Room for frames on their way.
const ROOM: usize = 1 << 20;
const TRUNCATED: &str = "results truncated due to limit";

impl Api {
    /// `/labels`.
    pub(super) async fn label_names(&self, ask: Ask) -> Result<Answer, Fault> {
        self.listed(&ask, None).await
    }

    /// `/label/<name>/values`.
    pub(super) async fn label_values(&self, ask: Ask) -> Result<Answer, Fault> {
        let Ok(name) = std::str::from_utf8(&ask.name) else {
            return Err(Fault::bad(format!("invalid label name: \"{}\"", ask.name.escape_ascii())));
        };
        let name = match name.strip_prefix("U__").filter(|_| ask.params.dialect.is_prometheus()) {
            Some(escaped) => unescaped(escaped).unwrap_or_else(|| name.to_owned()),
            None => name.to_owned(),
        };
        if name.is_empty() {
            return Err(Fault::bad("invalid label name: \"\""));
        }
        self.listed(&ask, Some(Bytes::from(name))).await
    }

    /// Names, or values of `name`, of all series that fit one of the selectors.
    async fn listed(&self, ask: &Ask, name: Option<Bytes>) -> Result<Answer, Fault> {
        let limit = ask.params.limit()?;
        let range = ordered(ask.params.range(self.0.settings.metadata_range, clock::now())?);
        let partial = ask.params.switch("partial_response", self.0.settings.partial.queries)?;
        let stores = self.store_matchers(ask)?;
        let mut selectors = ask.held_selectors(self)?;
        if selectors.is_empty() {
            selectors.push(Vec::new());
        }
        let (mut found, mut warnings) = (BTreeSet::new(), Vec::new());
        for matchers in selectors {
            let query = LabelsQuery {
                limit: hinted(limit),
                tenant: Some(ask.tenant.clone()),
                abort: !partial,
                stores: stores.clone(),
                ..LabelsQuery::new(range, matchers)
            };
            let store = self.0.executor.store();
            let answer = match &name {
                None => store.label_names(query).await,
                Some(name) => store.label_values(name.clone(), query).await,
            };
            let LabelsAnswer { values, warnings: missing, .. } = answer.map_err(refused)?;
            found.extend(values);
            warnings.extend(missing);
        }
        let shown = |value: &Bytes| Value::String(String::from_utf8_lossy(value).into_owned());
        let cut = limit > 0 && found.len() > limit;
        let most = if limit == 0 { usize::MAX } else { limit };
        let list: Vec<Value> = found.iter().take(most).map(shown).collect();
        Ok(answer(Data::Json(Value::Array(list)), warnings, cut))
    }

    /// `/series`.
    pub(super) async fn series(&self, ask: Ask) -> Result<Answer, Fault> {
        if ask.params.all("match[]").next().is_none() {
            return Err(Fault::bad("no match[] parameter provided"));
        }
        let limit = ask.params.limit()?;
        let asked = ask.params.range(self.0.settings.metadata_range, clock::now())?;
        let selectors =
            ask.held_selectors(self).map_err(|fault| match ask.params.dialect.is_prometheus() {
                true => ask.params.fault("match[]", &fault.why),
                false => fault,
            })?;
        let without = self.replica_labels(&ask)?;
        let partial = ask.params.switch("partial_response", self.0.settings.partial.queries)?;
        let stores = self.store_matchers(&ask)?;
        let mut found = Gathered::default();
        for matchers in selectors {
            let query = SeriesQuery {
                // A chunk that reaches over both ends of a range that is upside down counts in Prometheus; it takes chunks to know.
                skip_chunks: asked.min <= asked.max,
                // Series of which there is nothing finer any more are there too.
                max_resolution_ms: if asked.min <= asked.max { i64::MAX } else { 0 },
                limit: hinted(limit),
                without: without.clone(),
                abort: !partial,
                tenant: Some(ask.tenant.clone()),
                stores: stores.clone(),
                ..SeriesQuery::new(ordered(asked), matchers)
            };
            gather(self.0.executor.store(), query, asked, &mut found).await.map_err(refused)?;
        }
        let mut series = found.labels;
        series.sort();
        series.dedup();
        let cut = limit > 0 && series.len() > limit;
        if cut {
            series.truncate(limit);
        }
        // What a store lacks is not told here in Thanos' dialect.
        let warnings = if ask.params.dialect.is_prometheus() { found.warnings } else { Vec::new() };
        Ok(answer(Data::Series(series), warnings, cut))
    }

    /// The sets of matchers of `storeMatch[]`.
    pub(super) fn store_matchers(&self, ask: &Ask) -> Result<Vec<Vec<Matcher>>, Fault> {
        self.selectors(ask, "storeMatch[]")
    }

    /// Selectors as Thanos reads them: each is parsed as a query, which must be a selector and nothing else.
    pub(super) fn selectors(&self, ask: &Ask, name: &str) -> Result<Vec<Vec<Matcher>>, Fault> {
        let read = |text: &str| match self.0.executor.parse(text).map_err(Fault::bad)?.kind {
            ExprKind::Vector(selector) => Ok(selector.matchers),
            other => Err(Fault::bad(format!(
                "expected type *parser.VectorSelector, got *parser.{}",
                name_in_go(&other)
            ))),
        };
        ask.params.all(name).map(read).collect()
    }

    /// The labels that tell replicas apart in this request, sorted; none if replicas are wanted as they are.
    pub(super) fn replica_labels(&self, ask: &Ask) -> Result<Vec<Bytes>, Fault> {
        if !ask.params.switch("dedup", true)? {
            return Ok(Vec::new());
        }
        let mut own: Vec<Bytes> =
            ask.params.all("replicaLabels[]").map(|name| Bytes::from(name.to_owned())).collect();
        if own.is_empty() {
            own.clone_from(&self.0.settings.replica_labels);
        }
        own.sort();
        own.dedup();
        Ok(own)
    }
}

fn answer(data: Data, mut warnings: Vec<String>, cut: bool) -> Answer {
    warnings.sort();
    warnings.dedup();
    let mut answer = Answer::partial(data, warnings);
    if cut {
        // As Thanos has it: a remark that is none of PromQL's, so nobody keeps the answer.
        answer.partial = true;
        answer.warnings.push(TRUNCATED.to_owned());
    }
    answer
}

/// What Prometheus' own parser calls a part of a query, which Thanos tells.
fn name_in_go(kind: &ExprKind) -> &'static str {
    match kind {
        ExprKind::Number(_) => "NumberLiteral",
        ExprKind::String(_) => "StringLiteral",
        ExprKind::Vector(_) => "VectorSelector",
        ExprKind::Matrix(_) => "MatrixSelector",
        ExprKind::Subquery(_) => "SubqueryExpr",
        ExprKind::Call(_) => "Call",
        ExprKind::Aggregate(_) => "AggregateExpr",
        ExprKind::Binary(_) => "BinaryExpr",
        ExprKind::Unary { .. } => "UnaryExpr",
        ExprKind::Paren(_) => "ParenExpr",
    }
}

/// One more than wanted tells whether there are more.
fn hinted(limit: usize) -> u64 {
    if limit == 0 { 0 } else { limit as u64 + 1 }
}

fn ordered(range: TimeRange) -> TimeRange {
    TimeRange::new(range.min.min(range.max), range.min.max(range.max))
}

/// Why a store did not answer, as the API tells it.
pub(super) fn refused(why: StoreError) -> Fault {
    let kind = match &why {
        StoreError::Invalid(_) => Kind::BadData,
        StoreError::Gone => Kind::Canceled,
        StoreError::Deadline(_) => Kind::Timeout,
        StoreError::Internal(_) => Kind::Internal,
        _ => Kind::Execution,
    };
    Fault::new(kind, why.to_string())
}

/// Series that were found, by any order, perhaps twice, and what is missing.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) labels: Vec<Labels>,
    pub(super) warnings: Vec<String>,
}

/// Adds the labels of the series that `query` finds.
pub(super) async fn gather(
    store: Arc<dyn Store>,
    query: SeriesQuery,
    asked: TimeRange,
    found: &mut Gathered,
) -> Result<(), StoreError> {
    let (into, mut out) = frames(ROOM);
    let chunks = !query.skip_chunks;
    let query = Arc::new(query);
    let mut work = tokio::task::JoinSet::new();
    work.spawn(async move { store.series(query, into).await });
    while let Some(frame) = out.next().await {
        match frame {
            Frame::Warning(text) => found.warnings.push(text),
            Frame::Hints(_) => {}
            Frame::Series(series) if chunks && !reaches_over(&series, asked) => {}
            Frame::Series(series) => {
                if found.labels.last() != Some(&series.labels) {
                    found.labels.push(series.labels);
                }
            }
        }
    }
    match work.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(why)) => Err(StoreError::Internal(why.to_string())),
        None => Ok(()),
    }
}

/// Whether a chunk lies over both ends of a range whose end is before its start.
fn reaches_over(series: &StoreSeries, range: TimeRange) -> bool {
    let is_there = |parts: &ChunkParts| !matches!(parts, ChunkParts::Aggregates(_));
    series
        .chunks
        .iter()
        .any(|chunk| is_there(&chunk.parts) && chunk.range.min <= range.max && chunk.range.max >= range.min)
}

/// A name escaped as `U__`: `_` doubled, other characters as `_hex_`. `None` if it is no such name.
fn unescaped(text: &str) -> Option<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('_') {
        out.push_str(rest.get(..at)?);
        rest = rest.get(at + 1..)?;
        if let Some(tail) = rest.strip_prefix('_') {
            out.push('_');
            rest = tail;
            continue;
        }
        let (hex, tail) = rest.split_once('_')?;
        if hex.is_empty() || hex.len() > 6 || hex.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
        rest = tail;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn escaped_names() {
        assert_eq!(unescaped("label_2e_with_2e_dots").unwrap(), "label.with.dots");
        assert_eq!(unescaped("a__b").unwrap(), "a_b");
        assert_eq!(unescaped("_fc_n_ef_").unwrap(), "\u{fc}n\u{ef}");
        for bad in ["a_b", "a_zz_", "_1234567_", "_d800_"] {
            assert_eq!(unescaped(bad), None, "{bad}");
        }
    }
}
