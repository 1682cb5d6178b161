//! Rules of all endpoints: chosen, put together by group, replicas made one.
//!
//! The numbers of an alert's state changed with Thanos 0.41. Which ones an endpoint speaks is told from what it sends (see
//! [`Numbering`]); here they are the newer ones.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use sarsen_block::{Labels, Matcher, parse_selector};

use super::{Fleet, strategy, without};
use crate::query::client::RULES;
use crate::query::surroundings::RulesQuery;
use crate::store::StoreError;
use crate::wire::generated::thanos::{
    Alert, Label, LabelSet, Rule, RuleGroup, RulesRequest, RulesResponse, rule, rules_request, rules_response,
};

/// Which numbers stand for the state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// 0 inactive, 1 pending, 2 firing.
    Older,
    /// 0 unknown, 1 inactive, 2 pending, 3 firing: since 0.41.
    Newer,
}

fn alerts(groups: &mut [RuleGroup]) -> impl Iterator<Item = &mut Alert> {
    groups.iter_mut().flat_map(|group| &mut group.rules).filter_map(|rule| match &mut rule.result {
        Some(rule::Result::Alert(alert)) => Some(alert),
        _ => None,
    })
}

impl Numbering {
    /// Told from the rules of one endpoint: only the newer numbers have a 3, and a 1 for a rule without alerts, which cannot be
    /// pending. Who shows neither is taken for an older one, whose numbers then say the lesser thing.
    fn of(groups: &mut [RuleGroup]) -> Self {
        let is_newer = |alert: &mut Alert| alert.state == 3 || alert.state == 1 && alert.alerts.is_empty();
        if alerts(groups).any(is_newer) { Self::Newer } else { Self::Older }
    }

    /// Brings the states of an endpoint to the newer numbers.
    fn renumber(self, groups: &mut [RuleGroup]) {
        if self == Self::Older {
            for alert in alerts(groups) {
                alert.state += 1;
                alert.alerts.iter_mut().for_each(|one| one.state += 1);
            }
        }
    }
}

/// Groups of rules with newer numbers, and what is missing.
#[derive(Debug, Default)]
pub(crate) struct RuleGroups {
    pub(crate) groups: Vec<RuleGroup>,
    pub(crate) warnings: Vec<String>,
    /// Whether somebody spoke the newer numbers.
    pub(crate) newer: bool,
}

impl Fleet {
    /// The groups of all endpoints as they came.
    pub(crate) async fn rule_groups(&self, query: &RulesQuery) -> Result<RuleGroups, StoreError> {
        let kind = match query.kind.as_str() {
            "alert" => rules_request::Type::Alert,
            "record" => rules_request::Type::Record,
            _ => rules_request::Type::All,
        };
        let request = RulesRequest {
            r#type: kind.into(),
            partial_response_strategy: strategy(query.partial),
            matcher_string: query.selectors.clone(),
            rule_name: query.names.clone(),
            rule_group: query.groups.clone(),
            file: query.files.clone(),
        };
        let (all, warnings) =
            self.ask_all(|offers| offers.rules, (RULES, "rules", "rules"), &request, query.partial).await?;
        let mut found = RuleGroups { groups: Vec::new(), warnings, newer: false };
        for answers in all {
            let mut groups = Vec::new();
            for answer in answers {
                match answer {
                    RulesResponse { result: Some(rules_response::Result::Group(group)) } => {
                        groups.push(group);
                    }
                    RulesResponse { result: Some(rules_response::Result::Warning(text)) } => {
                        found.warnings.push(text);
                    }
                    RulesResponse { result: None } => {}
                }
            }
            let numbering = Numbering::of(&mut groups);
            found.newer |= numbering == Numbering::Newer;
            numbering.renumber(&mut groups);
            found.groups.extend(groups);
        }
        Ok(found)
    }
}

impl RuleGroups {
    /// What was asked for, groups of the same file and name as one, rules that differ only in replica labels once: of alerts the
    /// one in the gravest state, then the one that was evaluated last.
    ///
    /// # Errors
    /// If a selector is none.
    pub(crate) fn merged(mut self, query: &RulesQuery, replica_labels: &[Bytes]) -> Result<Self, String> {
        let read =
            |text: &String| parse_selector(text).map_err(|why| format!("parser ParseMetricSelector: {why}"));
        let selectors = query.selectors.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        self.groups.retain_mut(|group| chosen(group, query, &selectors));
        let mut merged: BTreeMap<String, RuleGroup> = BTreeMap::new();
        for group in self.groups {
            match merged.entry(format!("{};{}", group.file, group.name)) {
                std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(group)),
                std::collections::btree_map::Entry::Occupied(mut place) => {
                    place.get_mut().rules.extend(group.rules);
                }
            }
        }
        let one = |mut group: RuleGroup| {
            group.rules = once_each(std::mem::take(&mut group.rules), replica_labels);
            group
        };
        Ok(Self { groups: merged.into_values().map(one).collect(), ..self })
    }

    /// In the numbers that are spoken around here, for who asks over gRPC.
    pub(crate) fn in_spoken_numbers(mut self) -> Self {
        if !self.newer {
            for alert in alerts(&mut self.groups) {
                alert.state = (alert.state - 1).max(0);
                alert.alerts.iter_mut().for_each(|one| one.state = (one.state - 1).max(0));
            }
        }
        self
    }
}

/// Takes what was not asked for out of a group; whether something is left of it. A group that was empty before stays.
fn chosen(group: &mut RuleGroup, query: &RulesQuery, selectors: &[Vec<Matcher>]) -> bool {
    let is_any = |list: &[String], text: &str| list.is_empty() || list.iter().any(|one| one == text);
    if !is_any(&query.groups, &group.name) || !is_any(&query.files, &group.file) {
        return false;
    }
    if selectors.is_empty() && query.names.is_empty() {
        return query.groups.is_empty() && query.files.is_empty() || !group.rules.is_empty();
    }
    group.rules.retain(|rule| is_any(&query.names, name_of(rule)) && fits(rule, selectors));
    !group.rules.is_empty()
}

/// Whether the labels of a rule fit all selectors; values that are templates count as missing.
fn fits(rule: &Rule, selectors: &[Vec<Matcher>]) -> bool {
    let labels = without(labels_of(rule), &[]);
    let value = |matcher: &Matcher| {
        let value = labels.get(matcher.name()).unwrap_or_default();
        if value.windows(2).any(|pair| pair == b"{{") { Vec::new() } else { value.to_vec() }
    };
    selectors.iter().flatten().all(|matcher| matcher.matches(&value(matcher)))
}

fn once_each(rules: Vec<Rule>, replica_labels: &[Bytes]) -> Vec<Rule> {
    let mut rules: Vec<(Labels, Rule)> = rules
        .into_iter()
        .map(|mut rule| {
            let labels = without(labels_of(&rule), replica_labels);
            set_labels(&mut rule, &labels);
            (labels, rule)
        })
        .collect();
    let same = |a: &(Labels, Rule), b: &(Labels, Rule)| by_meaning(a, b);
    // Of equal rules the one that counts comes first.
    rules.sort_by(|a, b| same(a, b).then_with(|| by_weight(&a.1, &b.1)));
    rules.dedup_by(|next, kept| same(kept, next).is_eq());
    rules.into_iter().map(|(_, rule)| rule).collect()
}

fn is_alert(rule: &Rule) -> bool {
    matches!(rule.result, Some(rule::Result::Alert(_)))
}

fn name_of(rule: &Rule) -> &str {
    match &rule.result {
        Some(rule::Result::Alert(alert)) => &alert.name,
        Some(rule::Result::Recording(recording)) => &recording.name,
        None => "",
    }
}

fn labels_of(rule: &Rule) -> Option<&LabelSet> {
    match &rule.result {
        Some(rule::Result::Alert(alert)) => alert.labels.as_ref(),
        Some(rule::Result::Recording(recording)) => recording.labels.as_ref(),
        None => None,
    }
}

fn set_labels(rule: &mut Rule, labels: &Labels) {
    let label = |(name, value): (&[u8], &[u8])| Label {
        name: Bytes::copy_from_slice(name),
        value: Bytes::copy_from_slice(value),
    };
    let set = Some(LabelSet { labels: labels.iter().map(label).collect() });
    match &mut rule.result {
        Some(rule::Result::Alert(alert)) => alert.labels = set,
        Some(rule::Result::Recording(recording)) => recording.labels = set,
        None => {}
    }
}

/// Query, and for how long it must hold.
fn condition(rule: &Rule) -> (&str, f64) {
    match &rule.result {
        Some(rule::Result::Alert(alert)) => (&alert.query, alert.duration_seconds),
        Some(rule::Result::Recording(recording)) => (&recording.query, 0.0),
        None => ("", 0.0),
    }
}

/// Alerts first, then by name, labels, query, duration: equal rules are the same.
fn by_meaning((a_labels, a): &(Labels, Rule), (b_labels, b): &(Labels, Rule)) -> Ordering {
    let ((a_query, a_seconds), (b_query, b_seconds)) = (condition(a), condition(b));
    is_alert(b)
        .cmp(&is_alert(a))
        .then_with(|| name_of(a).cmp(name_of(b)))
        .then_with(|| a_labels.cmp(b_labels))
        .then_with(|| a_query.cmp(b_query))
        .then_with(|| a_seconds.total_cmp(&b_seconds))
}

/// The gravest state first, then the last evaluation.
fn by_weight(a: &Rule, b: &Rule) -> Ordering {
    let of = |rule: &Rule| match &rule.result {
        Some(rule::Result::Alert(alert)) => (alert.state, alert.last_evaluation),
        Some(rule::Result::Recording(recording)) => (0, recording.last_evaluation),
        None => (0, None),
    };
    let key = |(state, time): (i32, Option<prost_types::Timestamp>)| {
        (state, time.map(|time| (time.seconds, time.nanos)))
    };
    key(of(b)).cmp(&key(of(a)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::tests::peer::label_set;
    use crate::wire::generated::thanos::{AlertInstance, RecordingRule};

    fn alert(name: &str, labels: &[(&str, &str)], state: i32, evaluated: i64) -> Rule {
        let alerts = if state > 1 { vec![AlertInstance { state, ..Default::default() }] } else { Vec::new() };
        Rule {
            result: Some(rule::Result::Alert(Alert {
                name: name.to_owned(),
                labels: Some(label_set(labels)),
                state,
                alerts,
                last_evaluation: Some(prost_types::Timestamp { seconds: evaluated, nanos: 0 }),
                ..Default::default()
            })),
        }
    }

    fn recording(name: &str, evaluated: i64) -> Rule {
        Rule {
            result: Some(rule::Result::Recording(RecordingRule {
                name: name.to_owned(),
                last_evaluation: Some(prost_types::Timestamp { seconds: evaluated, nanos: 0 }),
                ..Default::default()
            })),
        }
    }

    fn group(file: &str, name: &str, rules: Vec<Rule>) -> RuleGroup {
        RuleGroup { file: file.to_owned(), name: name.to_owned(), rules, ..Default::default() }
    }

    fn found() -> RuleGroups {
        let groups = vec![
            group("b", "x", vec![recording("r", 5), alert("a", &[("replica", "1"), ("team", "t")], 2, 9)]),
            group("a", "x", vec![recording("other", 1)]),
            group("b", "x", vec![recording("r", 7), alert("a", &[("replica", "2"), ("team", "t")], 3, 1)]),
            group("c", "empty", Vec::new()),
        ];
        RuleGroups { groups, ..RuleGroups::default() }
    }

    fn shown(groups: &RuleGroups) -> Vec<String> {
        let rule = |rule: &Rule| match &rule.result {
            Some(rule::Result::Alert(alert)) => format!("{}:{}", alert.name, alert.state),
            Some(rule::Result::Recording(one)) => {
                format!("{}@{}", one.name, one.last_evaluation.unwrap().seconds)
            }
            None => String::new(),
        };
        let text = |group: &RuleGroup| {
            format!(
                "{};{} {}",
                group.file,
                group.name,
                group.rules.iter().map(rule).collect::<Vec<_>>().join(" ")
            )
        };
        groups.groups.iter().map(text).collect()
    }

    #[test]
    fn replicas_are_one() {
        let merged = found().merged(&RulesQuery::default(), &[Bytes::from_static(b"replica")]).unwrap();
        assert_eq!(shown(&merged), ["a;x other@1", "b;x a:3 r@7", "c;empty "]);
        let apart = found().merged(&RulesQuery::default(), &[]).unwrap();
        assert_eq!(shown(&apart)[1], "b;x a:2 a:3 r@7");
    }

    #[test]
    fn only_what_is_asked_for() {
        let ask =
            |query: RulesQuery| shown(&found().merged(&query, &[Bytes::from_static(b"replica")]).unwrap());
        let list = |text: &str| vec![text.to_owned()];
        assert_eq!(ask(RulesQuery { names: list("r"), ..Default::default() }), ["b;x r@7"]);
        assert_eq!(ask(RulesQuery { files: list("a"), ..Default::default() }), ["a;x other@1"]);
        assert_eq!(ask(RulesQuery { groups: list("x"), ..Default::default() }).len(), 2);
        assert_eq!(ask(RulesQuery { selectors: list("{team=\"t\"}"), ..Default::default() }), ["b;x a:3"]);
        assert!(found().merged(&RulesQuery { selectors: list("{"), ..Default::default() }, &[]).is_err());
        let mut templated = alert("a", &[("team", "{{ $labels.team }}")], 1, 1);
        assert!(!fits(&templated, &[parse_selector("{team=~\".*team.*\"}").unwrap()]));
        set_labels(&mut templated, &Labels::from_pairs([("team", "my team")]).unwrap());
        assert!(fits(&templated, &[parse_selector("{team=~\".*team.*\"}").unwrap()]));
    }

    #[test]
    fn numbers_of_states() {
        let numbering = |rules: Vec<Rule>| Numbering::of(&mut [group("f", "g", rules)]);
        let older = || {
            let mut firing = alert("a", &[], 2, 1);
            let Some(rule::Result::Alert(inner)) = &mut firing.result else { unreachable!() };
            inner.alerts.push(AlertInstance { state: 2, ..Default::default() });
            vec![alert("b", &[], 0, 1), firing]
        };
        assert_eq!(numbering(older()), Numbering::Older);
        assert_eq!(numbering(vec![alert("a", &[], 1, 1)]), Numbering::Newer);
        assert_eq!(numbering(vec![alert("a", &[], 3, 1)]), Numbering::Newer);
        let mut groups = vec![group("f", "g", older())];
        Numbering::Older.renumber(&mut groups);
        let spoken = RuleGroups { groups: groups.clone(), ..RuleGroups::default() };
        assert_eq!(shown(&spoken), ["f;g b:1 a:3"]);
        assert_eq!(shown(&spoken.in_spoken_numbers()), ["f;g b:0 a:2"]);
    }
}
