//! Exemplars over all tenants.

use sarsen_block::{Labels, Matcher, TimeRange};
use sarsen_bucket::Deletions;
use sarsen_tsdb::SeriesExemplars;

use super::hidden::hidden_of;
use super::parts::Choice;
use crate::store::{ExemplarOut, ExemplarSeries, OutgoingLabels, strip_external};

/// The exemplars in `range` of the series that a set of matchers accepts, external labels included, by labels.
pub(super) fn of(
    choice: Choice,
    deletions: &Deletions,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
) -> Vec<ExemplarSeries> {
    let mut found = Vec::new();
    for part in choice.parts {
        let sets: Vec<_> =
            selectors.iter().filter_map(|set| strip_external(set, part.labels.as_ref())).collect();
        let outgoing = OutgoingLabels::new(part.labels.as_ref(), &[]);
        let hidden = hidden_of(deletions, &part.labels);
        for SeriesExemplars { labels, exemplars } in part.db.exemplars(&sets, range) {
            let is_hidden = |t| hidden.iter().any(|(set, gone)| gone.contains(t) && accepts(set, &labels));
            let exemplars = exemplars.into_iter().filter(|exemplar| !is_hidden(exemplar.t));
            let exemplars: Vec<_> = exemplars
                .map(|exemplar| ExemplarOut { labels: exemplar.labels, value: exemplar.value, t: exemplar.t })
                .collect();
            if !exemplars.is_empty() {
                found.push(ExemplarSeries { labels: outgoing.of(labels.as_ref()), exemplars });
            }
        }
    }
    found.sort_by(|a, b| a.labels.cmp(&b.labels));
    found
}

fn accepts(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default()))
}
