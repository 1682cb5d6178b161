//! Rules and targets in the JSON of Thanos' HTTP API.

use chrono::DateTime;
use prost_types::Timestamp;
use serde_json::{Map, Number, Value, json};

use super::without;
use crate::wire::generated::thanos::{
    ActiveTarget, Alert, AlertInstance, DroppedTarget, LabelSet, PartialResponseStrategy, RecordingRule,
    Rule, RuleGroup, rule,
};

/// The beginning of Go's time, in seconds.
const NEVER: i64 = -62_135_596_800;
/// In milliseconds.
pub(super) const NEVER_MS: i64 = NEVER * 1000;

/// A group with its rules. States of alerts have the newer numbers.
pub(super) fn rule_group(group: &RuleGroup) -> Value {
    json!({
        "name": group.name,
        "file": group.file,
        "rules": group.rules.iter().filter_map(rule_value).collect::<Vec<_>>(),
        "interval": number(group.interval),
        "evaluationTime": number(group.evaluation_duration_seconds),
        "lastEvaluation": time(group.last_evaluation.as_ref()),
        "limit": group.limit,
        "partialResponseStrategy": strategy(group.partial_response_strategy()),
    })
}

fn rule_value(rule: &Rule) -> Option<Value> {
    match rule.result.as_ref()? {
        rule::Result::Alert(alert) => Some(alert_value(alert)),
        rule::Result::Recording(recording) => Some(recording_value(recording)),
    }
}

fn alert_value(alert: &Alert) -> Value {
    let value = json!({
        "state": state(alert.state),
        "name": alert.name,
        "query": alert.query,
        "duration": number(alert.duration_seconds),
        "labels": labels(alert.labels.as_ref()),
        "annotations": labels(alert.annotations.as_ref()),
        "alerts": alert.alerts.iter().map(instance).collect::<Vec<_>>(),
        "health": alert.health,
        "evaluationTime": number(alert.evaluation_duration_seconds),
        "lastEvaluation": time(alert.last_evaluation.as_ref()),
        "keepFiringFor": number(alert.keep_firing_for_seconds),
        "type": "alerting",
    });
    with_error(value, &alert.last_error)
}

fn recording_value(recording: &RecordingRule) -> Value {
    let value = json!({
        "name": recording.name,
        "query": recording.query,
        "labels": labels(recording.labels.as_ref()),
        "health": recording.health,
        "evaluationTime": number(recording.evaluation_duration_seconds),
        "lastEvaluation": time(recording.last_evaluation.as_ref()),
        "type": "recording",
    });
    with_error(value, &recording.last_error)
}

/// The key is there only if there is an error.
fn with_error(mut value: Value, error: &str) -> Value {
    if let Some(object) = value.as_object_mut().filter(|_| !error.is_empty()) {
        object.insert("lastError".to_owned(), error.into());
    }
    value
}

fn instance(alert: &AlertInstance) -> Value {
    let mut value = json!({
        "labels": labels(alert.labels.as_ref()),
        "annotations": labels(alert.annotations.as_ref()),
        "state": state(alert.state),
        "value": alert.value,
        "partialResponseStrategy": strategy(alert.partial_response_strategy()),
    });
    if let (Some(object), Some(at)) = (value.as_object_mut(), &alert.active_at) {
        object.insert("activeAt".to_owned(), time(Some(at)).into());
    }
    value
}

/// A target that is scraped.
pub(super) fn active_target(target: &ActiveTarget) -> Value {
    let health = match target.health {
        1 => "up",
        2 => "unknown",
        _ => "down",
    };
    json!({
        "discoveredLabels": labels(target.discovered_labels.as_ref()),
        "labels": labels(target.labels.as_ref()),
        "scrapePool": target.scrape_pool,
        "scrapeUrl": target.scrape_url,
        "globalUrl": target.global_url,
        "lastError": target.last_error,
        "lastScrape": time(target.last_scrape.as_ref()),
        "lastScrapeDuration": number(target.last_scrape_duration),
        "health": health,
    })
}

/// A target that was left out.
pub(super) fn dropped_target(target: &DroppedTarget) -> Value {
    json!({"discoveredLabels": labels(target.discovered_labels.as_ref())})
}

const fn state(number: i32) -> &'static str {
    match number {
        1 => "inactive",
        2 => "pending",
        3 => "firing",
        _ => "unknown",
    }
}

const fn strategy(strategy: PartialResponseStrategy) -> &'static str {
    match strategy {
        PartialResponseStrategy::Warn => "WARN",
        PartialResponseStrategy::Abort => "ABORT",
    }
}

fn labels(sent: Option<&LabelSet>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let labels = without(sent, &[]);
    Value::Object(labels.iter().map(|(name, value)| (text(name), text(value).into())).collect::<Map<_, _>>())
}

/// As Go writes it: a whole number without a point.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// RFC 3339 with as many digits as it takes.
fn time(sent: Option<&Timestamp>) -> String {
    let sent = sent.copied().unwrap_or(Timestamp { seconds: NEVER, nanos: 0 });
    let nanos = u32::try_from(sent.nanos).unwrap_or_default();
    let Some(time) = DateTime::from_timestamp(sent.seconds, nanos) else { return String::new() };
    let text = time.format("%Y-%m-%dT%H:%M:%S").to_string();
    match format!("{nanos:09}").trim_end_matches('0') {
        "" => format!("{text}Z"),
        digits => format!("{text}.{digits}Z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::tests::peer::label_set;

    #[test]
    fn rules_as_thanos_shows_them() {
        let alert = Alert {
            state: 3,
            name: "Down".to_owned(),
            query: "up == 0".to_owned(),
            duration_seconds: 60.0,
            labels: Some(label_set(&[("severity", "page")])),
            alerts: vec![AlertInstance {
                state: 3,
                value: "1e+00".to_owned(),
                active_at: Some(Timestamp { seconds: 1, nanos: 500_000_000 }),
                ..Default::default()
            }],
            health: "ok".to_owned(),
            evaluation_duration_seconds: 0.25,
            ..Default::default()
        };
        let group = RuleGroup {
            name: "g".to_owned(),
            rules: vec![Rule { result: Some(rule::Result::Alert(alert)) }],
            interval: 30.0,
            ..Default::default()
        };
        let expected = json!({
            "name": "g", "file": "", "interval": 30, "evaluationTime": 0, "limit": 0,
            "lastEvaluation": "0001-01-01T00:00:00Z", "partialResponseStrategy": "WARN",
            "rules": [{
                "state": "firing", "name": "Down", "query": "up == 0", "duration": 60, "type": "alerting",
                "labels": {"severity": "page"}, "annotations": {}, "health": "ok", "keepFiringFor": 0,
                "evaluationTime": 0.25, "lastEvaluation": "0001-01-01T00:00:00Z",
                "alerts": [{
                    "labels": {}, "annotations": {}, "state": "firing", "value": "1e+00",
                    "activeAt": "1970-01-01T00:00:01.5Z", "partialResponseStrategy": "WARN",
                }],
            }],
        });
        assert_eq!(rule_group(&group), expected);
    }
}
