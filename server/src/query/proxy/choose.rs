//! Which endpoints are worth asking. Pure.
//!
//! An endpoint is left out if it cannot have what is asked for: no time in common, no set of external labels that fits, or the
//! caller chose others. What an endpoint does not say counts as fitting.

use sarsen_block::{Labels, LabelsRef, Matcher, TimeRange};

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
        known.offers.store
            && self.range.min <= known.range.max
            && self.range.max >= known.range.min
            && self.chosen(address, known)
            && fits(self.matchers, &known.label_sets)
    }

    fn chosen(&self, address: &str, known: &Known) -> bool {
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
}
