//! The two endpoints of remote write and their manners: Thanos' `/api/v1/receive` and Prometheus' `/api/v1/write`.
//!
//! Thanos takes labels as they come and refuses a series whose labels are not sorted; it asks neither for a name nor for UTF-8.
//! Prometheus sorts labels itself, and asks for both.

use axum::http::StatusCode;
use sarsen_block::{LabelsRef, METRIC_NAME};

use super::verdict::LabelFault;

/// Through which endpoint a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// `/api/v1/receive`
    Thanos,
    /// `/api/v1/write`
    Prometheus,
}

impl Door {
    /// Status of a request that was stored.
    pub(super) const fn done(self) -> StatusCode {
        match self {
            Self::Thanos => StatusCode::OK,
            Self::Prometheus => StatusCode::NO_CONTENT,
        }
    }

    /// Status of a request of which a part was refused.
    pub(super) const fn refused(self) -> StatusCode {
        match self {
            Self::Thanos => StatusCode::CONFLICT,
            Self::Prometheus => StatusCode::BAD_REQUEST,
        }
    }

    /// What is wrong with labels that are sorted, unique and not empty.
    pub(super) fn fault_of_sorted(self, labels: LabelsRef<'_>) -> Option<LabelFault> {
        if self == Self::Thanos {
            return None;
        }
        // Tags and short lengths are ASCII too, so one look over the whole run settles nearly every series.
        let utf8 = labels.as_bytes().is_ascii() || labels.iter().all(|(name, value)| is_utf8(name, value));
        if !utf8 {
            Some(LabelFault::NotUtf8)
        } else if labels.get(METRIC_NAME).is_none() {
            Some(LabelFault::Nameless)
        } else {
            None
        }
    }

    /// The first thing that is wrong with labels as they were sent.
    pub(super) fn fault(self, pairs: &[(&[u8], &[u8])]) -> Option<LabelFault> {
        match self {
            Self::Thanos => fault_for_thanos(pairs),
            Self::Prometheus => fault_for_prometheus(pairs),
        }
    }
}

fn is_utf8(name: &[u8], value: &[u8]) -> bool {
    str::from_utf8(name).is_ok() && str::from_utf8(value).is_ok()
}

fn fault_for_thanos(pairs: &[(&[u8], &[u8])]) -> Option<LabelFault> {
    let mut last: Option<&[u8]> = None;
    for &(name, value) in pairs {
        if name.is_empty() || value.is_empty() {
            return Some(LabelFault::Empty);
        }
        match last.map(|last| last.cmp(name)) {
            Some(std::cmp::Ordering::Equal) => return Some(LabelFault::Duplicate),
            Some(std::cmp::Ordering::Greater) => return Some(LabelFault::Unsorted),
            _ => last = Some(name),
        }
    }
    last.is_none().then_some(LabelFault::Empty)
}

fn fault_for_prometheus(pairs: &[(&[u8], &[u8])]) -> Option<LabelFault> {
    if pairs.is_empty() || pairs.iter().any(|(name, value)| name.is_empty() || value.is_empty()) {
        return Some(LabelFault::Empty);
    }
    if !pairs.iter().all(|(name, value)| is_utf8(name, value)) {
        return Some(LabelFault::NotUtf8);
    }
    let mut names: Vec<&[u8]> = pairs.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    if names.windows(2).any(|two| two[0] == two[1]) {
        return Some(LabelFault::Duplicate);
    }
    (!names.contains(&METRIC_NAME)).then_some(LabelFault::Nameless)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_block::Labels;

    type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

    #[test]
    fn the_first_fault_counts_for_thanos() {
        let fault = |pairs: Pairs<'_>| Door::Thanos.fault(&pairs);
        assert_eq!(fault(vec![]), Some(LabelFault::Empty));
        assert_eq!(fault(vec![(b"a", b"1"), (b"b", b"")]), Some(LabelFault::Empty));
        assert_eq!(fault(vec![(b"a", b"1"), (b"a", b"2")]), Some(LabelFault::Duplicate));
        assert_eq!(fault(vec![(b"b", b"1"), (b"a", b"2"), (b"b", b"3")]), Some(LabelFault::Unsorted));
        assert_eq!(fault(vec![(b"a", b"\xFF")]), None);
    }

    #[test]
    fn prometheus_sorts_but_wants_names_and_utf8() {
        let fault = |pairs: Pairs<'_>| Door::Prometheus.fault(&pairs);
        assert_eq!(fault(vec![(b"b", b"1"), (b"__name__", b"x")]), None);
        assert_eq!(fault(vec![(b"b", b"1"), (b"__name__", b"x"), (b"b", b"2")]), Some(LabelFault::Duplicate));
        assert_eq!(fault(vec![(b"a", b"1")]), Some(LabelFault::Nameless));
        assert_eq!(fault(vec![(b"__name__", b"\xFF")]), Some(LabelFault::NotUtf8));
        assert_eq!(fault(vec![(b"__name__", b"")]), Some(LabelFault::Empty));

        let sorted = |pairs: &[(&str, &[u8])]| {
            let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
            Door::Prometheus.fault_of_sorted(labels.as_ref())
        };
        assert_eq!(sorted(&[("__name__", b"x"), ("a", "ü".as_bytes())]), None);
        assert_eq!(sorted(&[("__name__", b"x"), ("a", b"\xC3")]), Some(LabelFault::NotUtf8));
        assert_eq!(sorted(&[("a", b"x")]), Some(LabelFault::Nameless));
    }
}
