//! Which endpoints are worth asking. Pure.
//!
//! An endpoint is left out if it cannot have what is asked for: no time in common, no set of external labels that fits, or the
//! caller chose others. What an endpoint does not say counts as fitting.

use std::collections::BTreeSet;

use sarsen_block::{BlockId, Labels, LabelsRef, MatchOp, Matcher, TimeRange};
use sarsen_bucket::Selector;

use crate::query::endpoints::Known;

/// What is asked for, as far as it chooses endpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) range: TimeRange,
    pub(crate) matchers: &'a [Matcher],
    /// One of these sets must fit, if there is any.
    pub(crate) stores: &'a [Vec<Matcher>],
}

/// The label that stands for the address of an endpoint.
const ADDRESS: &[u8] = b"__address__";

impl Wanted<'_> {
    /// Whether the endpoint of this address that says this may have something.
    pub(crate) fn may_be_at(&self, address: &str, known: &Known) -> bool {
        self.why_not_at(address, known).is_none()
    }

    /// Why the endpoint has nothing of it; `None` if it may have something.
    pub(crate) fn why_not_at(&self, address: &str, known: &Known) -> Option<&'static str> {
        if !known.offers.store {
            Some("it offers no series")
        } else if self.range.min > known.range.max || self.range.max < known.range.min {
            Some("time range")
        } else if !self.chosen(address, known) {
            Some("storeMatch[]")
        } else if !fits(self.matchers, &known.label_sets) {
            Some("external labels")
        } else {
            None
        }
    }

    /// Whether the caller wants this endpoint to be asked.
    pub(crate) fn chosen(&self, address: &str, known: &Known) -> bool {
        let fits_one = |matchers: &Vec<Matcher>| {
            let (of_address, of_labels): (Vec<Matcher>, Vec<Matcher>) =
                matchers.iter().cloned().partition(|matcher| matcher.name() == ADDRESS);
            of_address.iter().all(|matcher| matcher.matches(address.as_bytes()))
                && fits(&of_labels, &known.label_sets)
        };
        self.stores.is_empty() || self.stores.iter().any(fits_one)
    }
}

/// Whether one of the sets has no label that a matcher refuses; no sets fit everything.
pub(crate) fn fits(matchers: &[Matcher], sets: &[Labels]) -> bool {
    sets.is_empty() || sets.iter().any(|labels| fits_set(matchers, labels.as_ref()))
}

fn fits_set(matchers: &[Matcher], labels: LabelsRef<'_>) -> bool {
    matchers.iter().all(|matcher| labels.get(matcher.name()).is_none_or(|value| matcher.matches(value)))
}

/// Whether a set of external labels passes the rules.
pub(super) fn takes(selector: &Selector, labels: &Labels) -> bool {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let labels = labels.iter().map(|(name, value)| (text(name), text(value))).collect();
    // It is no block, so it has the name of none.
    selector.takes(BlockId::from_parts(0, 0), &labels)
}

/// What to ask an endpoint that has these sets of external labels, so that only those that pass the rules answer; `None` if none does. Without sets
/// there is nothing to select by. As in Thanos a label is held to the values that it has in the sets that pass, or to none where one of them
/// does not have it.
pub(super) fn taken(selector: &Selector, sets: &[Labels]) -> Option<Vec<Matcher>> {
    let passing: Vec<&Labels> = sets.iter().filter(|labels| takes(selector, labels)).collect();
    if passing.len() == sets.len() {
        return Some(Vec::new());
    }
    if passing.is_empty() {
        return None;
    }
    let names: BTreeSet<&[u8]> = passing.iter().flat_map(|set| set.iter().map(|(name, _)| name)).collect();
    let matcher = |name: &[u8]| {
        let values = passing.iter().map(|set| set.get(name).unwrap_or_default());
        let values: BTreeSet<String> = values.map(|value| quoted(&String::from_utf8_lossy(value))).collect();
        Matcher::new(MatchOp::Regex, name, values.into_iter().collect::<Vec<_>>().join("|")).ok()
    };
    names.into_iter().map(matcher).collect()
}

/// The text as a regular expression that matches nothing else.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_block::parse_selector;

    fn known(sets: &[&[(&str, &str)]], range: (i64, i64)) -> Known {
        let label_sets = sets.iter().map(|set| Labels::from_pairs(set.iter().copied()).unwrap()).collect();
        Known { label_sets, range: TimeRange::new(range.0, range.1), ..Known::anything() }
    }

    fn asked(selector: &str, range: (i64, i64), stores: &[&str], known: &Known) -> bool {
        let matchers = parse_selector(selector).unwrap();
        let stores: Vec<_> = stores.iter().map(|text| parse_selector(text).unwrap()).collect();
        let wanted = Wanted { range: TimeRange::new(range.0, range.1), matchers: &matchers, stores: &stores };
        wanted.may_be_at("10.0.0.1:10901", known)
    }

    #[test]
    fn by_time() {
        let known = known(&[], (10, 20));
        for (range, expected) in [((0, 9), false), ((0, 10), true), ((20, 30), true), ((21, 30), false)] {
            assert_eq!(asked("{a=\"b\"}", range, &[], &known), expected, "{range:?}");
        }
    }

    #[test]
    fn by_external_labels() {
        let two = known(&[&[("region", "eu"), ("replica", "a")], &[("region", "us")]], (0, 100));
        let any = known(&[], (0, 100));
        for (selector, expected) in [
            ("{region=\"eu\"}", true),
            ("{region=\"asia\"}", false),
            ("{region!=\"eu\"}", true),
            ("{region!~\"eu|us\"}", false),
            // No single set fits both.
            ("{region=\"us\",replica=\"a\"}", true),
            ("{region=\"eu\",replica=\"b\"}", false),
            ("{other=\"x\"}", true),
        ] {
            assert_eq!(asked(selector, (0, 1), &[], &two), expected, "{selector}");
            assert!(asked(selector, (0, 1), &[], &any));
        }
    }

    #[test]
    fn by_the_callers_choice() {
        let eu = known(&[&[("region", "eu")]], (0, 100));
        for (stores, expected) in [
            (&["{__address__=~\"10.*\"}"][..], true),
            (&["{__address__=\"10.0.0.2:10901\"}"], false),
            (&["{__address__=\"10.0.0.2:10901\"}", "{__address__=\"10.0.0.1:10901\"}"], true),
            (&["{__address__=~\"10.*\",region=\"us\"}"], false),
            (&["{region=\"eu\"}"], true),
        ] {
            assert_eq!(asked("{a=\"b\"}", (0, 1), stores, &eu), expected, "{stores:?}");
        }
    }

    #[test]
    fn only_who_has_series() {
        let mut rules_only = known(&[], (0, 100));
        rules_only.offers.store = false;
        assert!(!asked("{a=\"b\"}", (0, 1), &[], &rules_only));
    }

    #[test]
    fn by_rules_over_external_labels() {
        let rules = "- {action: keep, source_labels: [region], regex: 'e.*'}\n- {action: drop, source_labels: [replica], regex: b}";
        let selector = Selector::parse(rules).unwrap();
        let sets = |sets: &[&[(&str, &str)]]| known(sets, (0, 1)).label_sets;
        assert!(taken(&selector, &[]).unwrap().is_empty());
        assert!(taken(&selector, &sets(&[&[("region", "eu")]])).unwrap().is_empty());
        assert!(
            taken(&selector, &sets(&[&[("region", "us")], &[("region", "eu"), ("replica", "b")]])).is_none()
        );
        let three = sets(&[&[("region", "e.u")], &[("region", "ex"), ("replica", "a")], &[("region", "us")]]);
        let matchers = taken(&selector, &three).unwrap();
        for (region, replica, passes) in [
            ("e.u", None, true),
            ("exu", None, false),
            ("ex", Some("a"), true),
            ("ex", Some("b"), false),
            ("us", None, false),
        ] {
            let set = [Some(("region", region)), replica.map(|replica| ("replica", replica))];
            let labels = Labels::from_pairs(set.into_iter().flatten()).unwrap();
            let value = |matcher: &Matcher| labels.get(matcher.name()).unwrap_or_default();
            let fits = matchers.iter().all(|matcher| matcher.matches(value(matcher)));
            assert_eq!(fits, passes, "{region} {replica:?}");
        }
    }
}
