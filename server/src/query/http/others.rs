//! What is asked beside queries and series: stores, rules, alerts, targets, metadata.

use std::collections::{BTreeMap, BTreeSet};

use sarsen_block::{Labels, LabelsRef, TimeRange};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Data};
use super::labels::refused;
use super::rule_pages::RulePage;
use super::{Api, Ask};
use crate::query::dialect::Kind;
use crate::query::fault::Fault;
use crate::query::params::{FIRST, LAST};
use crate::query::surroundings::{Metadata, RulesQuery, StoreStatus};
use crate::store::LabelsQuery;

impl Api {
    /// `/stores`: by kind.
    pub(super) async fn stores(&self, ask: Ask) -> Result<Answer, Fault> {
        let mut stores: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut known = self.0.around.stores();
        known.sort_by(|a, b| a.name.cmp(&b.name));
        for mut store in known {
            if let Some(label) = &self.0.settings.tenancy.label {
                let own = |set: &Labels| {
                    set.as_ref().get(label.as_bytes()).is_none_or(|value| value == ask.tenant.as_bytes())
                };
                store.label_sets.retain(own);
            }
            stores.entry(store.component.clone()).or_default().push(shown(&store));
        }
        Ok(Answer::json(json!(stores)))
    }

    /// `/rules`.
    pub(super) async fn rules(&self, ask: Ask) -> Result<Answer, Fault> {
        let kind = ask.params.text("type").to_ascii_lowercase();
        if !matches!(kind.as_str(), "" | "all" | "alert" | "record") {
            let why = format!("invalid rules parameter type='{}'", ask.params.text("type"));
            let prometheus =
                ask.params.fault("type", &format!("not supported value {:?}", ask.params.text("type")));
            return Err(if ask.params.dialect.is_prometheus() { prometheus } else { Fault::bad(why) });
        }
        ask.params.selectors("match[]")?;
        let page = match ask.params.dialect.is_prometheus() {
            true => RulePage::of(&ask)?,
            false => RulePage::default(),
        };
        let kind = if kind == "all" { String::new() } else { kind };
        let (groups, warnings) = self.rule_groups(&ask, kind).await?;
        let (groups, next) = page.cut(groups);
        let mut data = json!({"groups": groups});
        if let Some(next) = next {
            data["groupNextToken"] = json!(next);
        }
        Ok(Answer::partial(Data::Json(data), warnings))
    }

    /// `/alerts`.
    pub(super) async fn alerts(&self, ask: Ask) -> Result<Answer, Fault> {
        let (groups, warnings) = self.rule_groups(&ask, "alert".to_owned()).await?;
        let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
        let alerts: Vec<&Value> = rules.filter_map(|rule| rule["alerts"].as_array()).flatten().collect();
        let alerts = if alerts.is_empty() && !ask.params.dialect.is_prometheus() {
            Value::Null
        } else {
            json!(alerts)
        };
        Ok(Answer::partial(Data::Json(json!({"alerts": alerts})), warnings))
    }

    async fn rule_groups(&self, ask: &Ask, kind: String) -> Result<(Vec<Value>, Vec<String>), Fault> {
        let all = |name: &str| ask.params.all(name).map(str::to_owned).collect::<Vec<_>>();
        let mut query = RulesQuery {
            kind,
            names: all("rule_name[]"),
            groups: all("rule_group[]"),
            files: all("file[]"),
            selectors: all("match[]"),
            partial: self.0.settings.partial.rules,
        };
        let own = self.0.settings.tenancy.label.as_ref();
        if own.is_some() {
            // Labels of rules may be templates, which fit nothing; what a tenant may see is decided below, by what they say.
            query.selectors.retain(|selector| !selector.is_empty());
        }
        let found = self.0.around.rules(query).await;
        let mut found =
            found.map_err(|why| Fault::new(Kind::Internal, format!("error retrieving rules: {why}")))?;
        if let Some(label) = own {
            found.data.retain_mut(|group| {
                let rules = group.get_mut("rules").and_then(Value::as_array_mut);
                rules.is_some_and(|rules| {
                    rules.retain(|rule| rule["labels"][label].as_str() == Some(&ask.tenant));
                    !rules.is_empty()
                })
            });
        }
        Ok((found.data, found.warnings))
    }

    /// `/alertmanagers`: none are known here.
    pub(super) async fn alertmanagers(&self, _: Ask) -> Result<Answer, Fault> {
        Ok(Answer::json(json!({"activeAlertmanagers": [], "droppedAlertmanagers": []})))
    }

    /// `/targets`.
    pub(super) async fn targets(&self, ask: Ask) -> Result<Answer, Fault> {
        let state = ask.params.text("state").to_ascii_lowercase();
        let is_known = matches!(state.as_str(), "" | "any" | "active" | "dropped");
        if !is_known && !ask.params.dialect.is_prometheus() {
            let text = ask.params.text("state");
            return Err(Fault::bad(format!("invalid targets parameter state='{text}'")));
        }
        let state = if state.is_empty() || !is_known { "any" } else { &state };
        let found = self.0.around.targets(state, self.0.settings.partial.targets).await;
        let found = found.map_err(|why| Fault::new(Kind::Internal, format!("retrieving targets: {why}")))?;
        let (mut active, mut dropped) = found.data;
        if let Some(label) = &self.0.settings.tenancy.label {
            let own = |target: &Value| target["labels"][label].as_str() == Some(&ask.tenant);
            active.retain(own);
            dropped.clear();
        }
        let mut data = json!({"activeTargets": active, "droppedTargets": dropped});
        if ask.params.dialect.is_prometheus() {
            let counted =
                matches!(ask.params.text("state").to_ascii_lowercase().as_str(), "" | "any" | "dropped");
            data["droppedTargetCounts"] = if counted { json!({}) } else { Value::Null };
        }
        Ok(Answer::partial(Data::Json(data), found.warnings))
    }

    /// `/targets/metadata`: what is known of metrics is not known by target.
    pub(super) async fn targets_metadata(&self, _: Ask) -> Result<Answer, Fault> {
        Ok(Answer::json(json!([])))
    }

    /// `/metadata`.
    pub(super) async fn metadata(&self, ask: Ask) -> Result<Answer, Fault> {
        let number = |name: &str| match ask.params.first(name) {
            None => Ok(usize::MAX),
            Some(text) => {
                text.parse::<i32>().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).map_err(|_| {
                    let prometheus = format!("{name} must be a number");
                    Fault::bad(if ask.params.dialect.is_prometheus() {
                        prometheus
                    } else {
                        format!("invalid metric metadata {name}='0'")
                    })
                })
            }
        };
        let (limit, each) = (number("limit")?, number("limit_per_metric")?);
        let each = if each == 0 { usize::MAX } else { each };
        let found =
            self.0.around.metadata(ask.params.first("metric"), self.0.settings.partial.metadata).await;
        let mut found =
            found.map_err(|why| Fault::new(Kind::Internal, format!("retrieving metadata: {why}")))?;
        if self.0.settings.tenancy.label.is_some() {
            let own = self.metric_names(&ask).await?;
            let family = |name: &str| {
                ["", "_bucket", "_count", "_sum", "_total"]
                    .iter()
                    .any(|end| own.contains(&format!("{name}{end}")))
            };
            found.data.retain(|name, _| family(name));
        }
        let one = |meta: &Metadata| json!({"type": meta.kind, "help": meta.help, "unit": meta.unit});
        let shown: Map<String, Value> = found
            .data
            .iter()
            .take(limit)
            .map(|(name, metas)| (name.clone(), metas.iter().take(each).map(one).collect()))
            .collect();
        Ok(Answer::partial(Data::Json(Value::Object(shown)), found.warnings))
    }

    /// Names of the metrics that the tenant of a request has.
    async fn metric_names(&self, ask: &Ask) -> Result<BTreeSet<String>, Fault> {
        let matchers = self.0.settings.tenancy.enforced(&ask.tenant).into_iter().collect();
        let query = LabelsQuery {
            tenant: Some(ask.tenant.clone()),
            ..LabelsQuery::new(TimeRange::new(FIRST, LAST), matchers)
        };
        let name = bytes::Bytes::from_static(sarsen_block::METRIC_NAME);
        let found = self.0.executor.store().label_values(name, query).await.map_err(refused)?;
        Ok(found.values.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }
}

fn shown(store: &StoreStatus) -> Value {
    let sets: Vec<Value> = store.label_sets.iter().map(|set| object(set.as_ref())).collect();
    json!({
        "name": store.name,
        "lastCheck": super::status::rfc3339(store.last_check),
        "lastError": store.last_error,
        "labelSets": sets,
        "minTime": store.range.min,
        "maxTime": store.range.max,
    })
}

pub(super) fn object(labels: LabelsRef<'_>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    labels.iter().map(|(name, value)| (text(name), Value::String(text(value)))).collect::<Map<_, _>>().into()
}
