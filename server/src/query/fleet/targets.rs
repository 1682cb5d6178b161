//! Scraped targets of all endpoints, replicas made one.

use bytes::Bytes;
use sarsen_block::Labels;

use super::{Fleet, strategy, without};
use crate::query::client::TARGETS;
use crate::query::surroundings::Found;
use crate::store::StoreError;
use crate::wire::generated::thanos::{
    ActiveTarget, Label, LabelSet, TargetDiscovery, TargetsRequest, TargetsResponse, targets_request,
    targets_response,
};

impl Fleet {
    /// The targets of all endpoints as they came.
    pub(crate) async fn all_targets(
        &self,
        state: targets_request::State,
        partial: bool,
    ) -> Result<Found<TargetDiscovery>, StoreError> {
        let request = TargetsRequest { state: state.into(), partial_response_strategy: strategy(partial) };
        let (all, warnings) =
            self.ask_all(|offers| offers.targets, (TARGETS, "targets", "targets"), &request, partial).await?;
        let mut found = Found { data: TargetDiscovery::default(), warnings };
        for answer in all.into_iter().flatten() {
            match answer {
                TargetsResponse { result: Some(targets_response::Result::Targets(targets)) } => {
                    found.data.active_targets.extend(targets.active_targets);
                    found.data.dropped_targets.extend(targets.dropped_targets);
                }
                TargetsResponse { result: Some(targets_response::Result::Warning(text)) } => {
                    found.warnings.push(text);
                }
                TargetsResponse { result: None } => {}
            }
        }
        Ok(found)
    }
}

/// Targets that differ only in replica labels once: the one that is worst off, then the one that was scraped last.
pub(super) fn merged(all: TargetDiscovery, replica_labels: &[Bytes]) -> TargetDiscovery {
    let mut active: Vec<((Labels, Labels), ActiveTarget)> = all
        .active_targets
        .into_iter()
        .map(|mut target| {
            let discovered = without(target.discovered_labels.as_ref(), replica_labels);
            let labels = without(target.labels.as_ref(), replica_labels);
            target.discovered_labels = Some(message(&discovered));
            target.labels = Some(message(&labels));
            ((discovered, labels), target)
        })
        .collect();
    type Keyed = ((Labels, Labels), ActiveTarget);
    let same = |(a_labels, a): &Keyed, (b_labels, b): &Keyed| {
        (&a.scrape_url, &a.scrape_pool, a_labels).cmp(&(&b.scrape_url, &b.scrape_pool, b_labels))
    };
    let scraped = |target: &ActiveTarget| target.last_scrape.map(|time| (time.seconds, time.nanos));
    active.sort_by(|a, b| {
        let worse = a.1.health.cmp(&b.1.health);
        same(a, b).then(worse).then_with(|| scraped(&b.1).cmp(&scraped(&a.1)))
    });
    active.dedup_by(|next, kept| same(kept, next).is_eq());
    let mut dropped: Vec<_> = all
        .dropped_targets
        .into_iter()
        .map(|mut target| {
            let labels = without(target.discovered_labels.as_ref(), replica_labels);
            target.discovered_labels = Some(message(&labels));
            (labels, target)
        })
        .collect();
    dropped.sort_by(|a, b| a.0.cmp(&b.0));
    dropped.dedup_by(|next, kept| next.0 == kept.0);
    TargetDiscovery {
        active_targets: active.into_iter().map(|(_, target)| target).collect(),
        dropped_targets: dropped.into_iter().map(|(_, target)| target).collect(),
    }
}

fn message(labels: &Labels) -> LabelSet {
    let label = |(name, value): (&[u8], &[u8])| Label {
        name: Bytes::copy_from_slice(name),
        value: Bytes::copy_from_slice(value),
    };
    LabelSet { labels: labels.iter().map(label).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::tests::peer::label_set;
    use crate::wire::generated::thanos::DroppedTarget;

    #[test]
    fn replicas_are_one() {
        let active = |url: &str, replica: &str, health, scraped| ActiveTarget {
            scrape_url: url.to_owned(),
            labels: Some(label_set(&[("job", "j"), ("replica", replica)])),
            health,
            last_scrape: Some(prost_types::Timestamp { seconds: scraped, nanos: 0 }),
            ..Default::default()
        };
        let dropped = |job, replica| DroppedTarget {
            discovered_labels: Some(label_set(&[("job", job), ("replica", replica)])),
        };
        let all = TargetDiscovery {
            active_targets: vec![
                active("u", "a", 1, 5),
                active("t", "a", 1, 5),
                active("u", "b", 1, 9),
                active("t", "b", 0, 1),
            ],
            dropped_targets: vec![dropped("y", "a"), dropped("x", "a"), dropped("y", "b")],
        };
        let once = merged(all.clone(), &[Bytes::from_static(b"replica")]);
        let shown: Vec<_> = once
            .active_targets
            .iter()
            .map(|one| (one.scrape_url.as_str(), one.health, one.last_scrape.unwrap().seconds))
            .collect();
        assert_eq!(shown, [("t", 0, 1), ("u", 1, 9)]);
        assert_eq!(once.dropped_targets.len(), 2);
        assert_eq!(merged(all, &[]).active_targets.len(), 4);
    }
}
