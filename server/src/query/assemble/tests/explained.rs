//! Explained or not, a selection is the same; and whose samples counted adds up.

use proptest::prelude::*;

use super::*;

/// One replica of a pod: where it begins, and how far apart its samples are.
type Replica = (u8, u8, Vec<i64>);

/// Series under the labels `pod` and `replica`, as a store has them that takes out what it is told to.
struct Replicated(Vec<StoreSeries>);

impl Replicated {
    fn new(replicas: &[Replica]) -> Self {
        let mut series: Vec<StoreSeries> = Vec::new();
        for (pod, replica, steps) in replicas {
            let labels = [("pod", format!("{pod}")), ("replica", format!("{replica}"))];
            let mut t = i64::from(*replica) * 700;
            let mut samples = steps.iter().map(|step| {
                t += step;
                (t, t as f64)
            });
            let mut chunks = Vec::new();
            while let Some(first) = samples.next() {
                let rest = samples.by_ref().take(6);
                chunks.push(chunk(&std::iter::once(first).chain(rest).collect::<Vec<_>>()));
            }
            let labels = Labels::from_pairs(labels).unwrap();
            if !chunks.is_empty() && series.iter().all(|known| known.labels != labels) {
                series.push(StoreSeries { labels, chunks });
            }
        }
        Self(series)
    }
}

#[async_trait]
impl Store for Replicated {
    fn info(&self) -> StoreInfo {
        StoreInfo::empty("replicated")
    }

    async fn series(&self, query: Arc<SeriesQuery>, frames: FrameSender) -> Result<(), StoreError> {
        let kept = |series: &StoreSeries| {
            let gone = |name: &[u8]| query.without.iter().any(|label| label == name);
            Labels::from_pairs(series.labels.iter().filter(|(name, _)| !gone(name))).unwrap()
        };
        let mut series: Vec<_> = self.0.iter().map(|one| (kept(one), one.chunks.clone())).collect();
        series.sort_by(|a, b| a.0.cmp(&b.0));
        for same in series.chunk_by(|a, b| a.0 == b.0) {
            let chunks = same.iter().flat_map(|(_, chunks)| chunks.clone()).collect();
            let chunks = crate::store::in_order(chunks);
            frames.send(Frame::Series(StoreSeries { labels: same[0].0.clone(), chunks })).await?;
        }
        Ok(())
    }

    async fn label_names(&self, _: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        Ok(LabelsAnswer::default())
    }

    async fn label_values(&self, _: Bytes, _: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        Ok(LabelsAnswer::default())
    }
}

proptest! {
    #[test]
    fn explained_it_is_the_same(
        replicas in proptest::collection::vec(
            (0u8..3, 0u8..4, proptest::collection::vec(prop_oneof![4 => 9_000i64..11_000, 1 => 60_000i64..90_000], 0..30)),
            0..9,
        ),
        function in prop_oneof![Just("rate"), Just("sum")],
        chain in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let selection = selection(function, TimeRange::new(20_000, 200_000));
        let gather = |explain| Gather {
            replica_labels: vec![Bytes::from_static(b"replica")],
            replicas: if chain { Replicas::Chain } else { Replicas::Penalty },
            adjust_counters: true,
            explain,
            ..Gather::default()
        };
        let answer = |explain| {
            let told: Arc<Told> = Arc::default();
            let store: Arc<dyn Store> = Arc::new(Replicated::new(&replicas));
            let series = runtime.block_on(async {
                let set = select(store, &selection, &gather(explain), &told);
                tokio::task::spawn_blocking(move || read(set)).await.unwrap().unwrap()
            });
            (series, told)
        };
        let ((plain, none), (explained, told)) = (answer(false), answer(true));
        prop_assert_eq!(&plain, &explained);
        prop_assert!(none.seen().is_empty());
        let found = told.seen()[0].found();
        let Some(crate::query::assemble::Replicated::By(tally)) = found.replicas else {
            prop_assert!(plain.is_empty());
            return Ok(());
        };
        let samples: usize = plain.iter().map(|(_, samples)| samples.len()).sum();
        prop_assert_eq!(tally.sets.values().map(|share| share.samples).sum::<u64>(), samples as u64);
        prop_assert_eq!(tally.sets.values().map(|share| share.series).sum::<u64>() as usize, Replicated::new(&replicas).0.len());
        let won: u64 = tally.sets.values().map(|share| share.won).sum();
        prop_assert!(won <= tally.series, "{} of {}", won, tally.series);
    }
}
