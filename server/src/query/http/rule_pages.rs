//! What Prometheus lets a caller leave out of `/rules`: the alerts of rules, and all groups but a page of them.
//!
//! A page ends with a token for the next one. Callers hand it back as it is; here it says after whose name the page before stopped, in hexadecimal.

use serde_json::{Value, json};

use super::Ask;
use crate::query::fault::Fault;
use crate::query::params::quoted;

/// Which groups a request wants.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RulePage {
    /// How many at most.
    limit: Option<usize>,
    /// The token of the first; empty: from the beginning.
    from: String,
    /// Rules are shown without their alerts.
    without_alerts: bool,
}

impl RulePage {
    /// As a request to a Prometheus asks.
    ///
    /// # Errors
    /// What Prometheus says of parameters that make no sense.
    pub(super) fn of(ask: &Ask) -> Result<Self, Fault> {
        let (limit, from) = (ask.params.text("group_limit"), ask.params.text("group_next_token"));
        let without_alerts = ask.params.switch("exclude_alerts", false).map_err(|_| {
            let text = quoted(ask.params.text("exclude_alerts"));
            let why =
                format!("error converting exclude_alerts: strconv.ParseBool: parsing {text}: invalid syntax");
            ask.params.fault("exclude_alerts", &why)
        })?;
        if limit.is_empty() && !from.is_empty() {
            let why = "group_limit needs to be present in order to paginate over the groups";
            return Err(ask.params.fault("group_next_token", why));
        }
        let limit = match limit.parse::<i32>().map(usize::try_from) {
            _ if limit.is_empty() => None,
            Ok(Ok(limit @ 1..)) => Some(limit),
            Ok(_) => return Err(ask.params.fault("group_limit", "group_limit needs to be greater than 0")),
            Err(_) => {
                let why = format!(
                    "group_limit needs to be a valid number: strconv.ParseInt: parsing {}: invalid syntax",
                    quoted(limit)
                );
                return Err(ask.params.fault("group_limit", &why));
            }
        };
        Ok(Self { limit, from: from.to_owned(), without_alerts })
    }

    /// The groups of this page, and the token of the next if there is one.
    pub(super) fn cut(&self, mut groups: Vec<Value>) -> (Vec<Value>, Option<String>) {
        if self.without_alerts {
            let rules = groups.iter_mut().filter_map(|group| group["rules"].as_array_mut()).flatten();
            rules.filter(|rule| rule["type"] == "alerting").for_each(|rule| rule["alerts"] = json!([]));
        }
        let Some(limit) = self.limit else { return (groups, None) };
        if !self.from.is_empty() {
            let first = groups.iter().position(|group| token(group) == self.from);
            groups.drain(..first.unwrap_or(groups.len()));
        }
        let next = groups.get(limit).map(token);
        groups.truncate(limit);
        (groups, next)
    }
}

fn token(group: &Value) -> String {
    let text = |name: &str| group[name].as_str().unwrap_or_default().to_owned();
    format!("{};{}", text("file"), text("name")).bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_lose_nothing() {
        let group = |name: &str| json!({"file": "a.yml", "name": name, "rules": [{"type": "alerting", "alerts": [1]}]});
        let all: Vec<Value> = ["a", "b", "c", "d", "e"].map(group).to_vec();
        let (mut seen, mut page, mut pages) =
            (Vec::new(), RulePage { limit: Some(2), ..RulePage::default() }, 0);
        loop {
            let (groups, next) = page.cut(all.clone());
            seen.extend(groups);
            pages += 1;
            let Some(next) = next else { break };
            page.from = next;
        }
        assert_eq!((seen, pages), (all.clone(), 3));
        page.from = "nobody's".to_owned();
        assert_eq!(page.cut(all.clone()), (Vec::new(), None));
        let bare = RulePage { without_alerts: true, ..RulePage::default() }.cut(all).0;
        assert!(bare.iter().all(|group| group["rules"][0]["alerts"] == json!([])));
    }
}
