//! The head against a plain map.

use std::collections::BTreeMap;

use parking_lot::RwLock;
use proptest::prelude::*;
use sarsen_block::{Labels, LabelsRef, MatchOp, Matcher, TimeRange, XorIter};

use super::*;
use crate::outcome::{Committed, Reason, Refusal};

const RANGE: Timestamp = 7_200_000;

fn head() -> Head {
    head_of(RANGE, 168)
}

fn head_of(range: Timestamp, open_bytes: usize) -> Head {
    let disk: Arc<dyn sarsen_wal::Disk> = Arc::new(sarsen_wal::SimDisk::new(1));
    let files = SpillFiles::begin(&disk, std::path::Path::new("/db")).unwrap();
    let mut options = Options::default();
    (options.block_range, options.open_chunk_bytes, options.spill_buffer_bytes) = (range, open_bytes, 200);
    Head::new(&options, SeriesHasher::new([1, 2, 3, 4]), files)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn commit(head: &mut Head, samples: &[(LabelsRef<'_>, Timestamp, f64)]) -> Committed {
    let mut batch = Batch::default();
    for &(labels, t, v) in samples {
        let hash = head.hasher.hash(labels);
        batch.push(labels, hash, t, v);
    }
    head.apply(&batch, Timestamp::MAX, &mut Applied::default()).unwrap()
}

fn refusals(outcome: &Committed) -> Vec<(u32, Reason)> {
    outcome.refused.iter().map(|&Refusal { sample, reason }| (sample, reason)).collect()
}

fn chunks_of(head: &RwLock<Head>, no: SeriesNo, range: TimeRange) -> Vec<sarsen_block::TimedChunk> {
    let pieces = head.read().pieces_of(no, range).unwrap().unwrap();
    pieces.read(head.read().spill_files(), &mut Vec::new()).unwrap()
}

/// All samples of a head in `range`, by labels, read as a query reads them.
fn dump(head: &RwLock<Head>, matchers: &[Matcher], range: TimeRange) -> Vec<(Labels, Vec<(Timestamp, u64)>)> {
    let selected = HeadLists::new(head).select(matchers, Reach { ordered: range, late: range }).unwrap();
    let sorted = SortedHead::collect(head, &selected).unwrap();
    let mut out = Vec::new();
    let mut bytes = Vec::new();
    for at in 0..sorted.len() {
        let labels = sorted.labels(at, &mut bytes).to_owned();
        let chunks = clip(chunks_of(head, sorted.key(at).unwrap(), range), range, &[]).unwrap();
        let mut samples = Vec::new();
        for timed in chunks {
            let mut iter = XorIter::new(&timed.chunk.data).unwrap();
            while let Some((t, v)) = iter.next().unwrap() {
                samples.push((t, v.to_bits()));
            }
        }
        if !samples.is_empty() {
            out.push((labels, samples));
        }
    }
    out
}

#[test]
fn samples_are_judged_as_prometheus_does() {
    let mut head = head();
    let (a, b) = (labels(&[("a", "1")]), labels(&[("a", "2")]));
    let (a, b) = (a.as_ref(), b.as_ref());
    let outcome = commit(&mut head, &[(a, 10_000_000, 1.0)]);
    assert_eq!((outcome.accepted, outcome.births), (1, 1));
    // The newest again: nothing to do. With other bits: refused. Older: out of order.
    let outcome = commit(&mut head, &[(a, 10_000_000, 1.0), (a, 10_000_000, 2.0), (a, 9_999_999, 1.0)]);
    assert_eq!(outcome.duplicates, 1);
    assert_eq!(refusals(&outcome), [(1, Reason::DuplicateValue), (2, Reason::OutOfOrder)]);
    // Half a range behind the newest is allowed, one millisecond more is not, for a new series too, which is not born.
    let oldest = 10_000_000 - RANGE / 2;
    let outcome = commit(&mut head, &[(b, oldest - 1, 1.0), (a, oldest - 1, 1.0)]);
    assert_eq!(refusals(&outcome), [(0, Reason::OutOfBounds), (1, Reason::OutOfBounds)]);
    assert_eq!(outcome.births, 0);
    let outcome = commit(&mut head, &[(b, oldest, 1.0)]);
    assert_eq!((outcome.accepted, outcome.births), (1, 1));
    // The bound moves only after a batch.
    let outcome = commit(&mut head, &[(a, 30_000_000, 1.0), (b, oldest + 1, 1.0)]);
    assert_eq!(outcome.accepted, 2);
    let outcome = commit(&mut head, &[(b, oldest + 2, 1.0)]);
    assert_eq!(refusals(&outcome), [(0, Reason::OutOfBounds)]);
}

#[test]
fn a_batch_may_overtake_itself_without_a_refusal() {
    let mut head = head();
    let (a, b) = (labels(&[("a", "1")]), labels(&[("b", "1")]));
    let (a, b) = (a.as_ref(), b.as_ref());
    let outcome =
        commit(&mut head, &[(a, 1000, 1.0), (b, 1000, 1.0), (a, 1000, 2.0), (a, 900, 1.0), (a, 1000, 1.0)]);
    assert_eq!((outcome.accepted, outcome.births, outcome.overtaken, outcome.duplicates), (2, 2, 2, 1));
    assert!(outcome.refused.is_empty());
}

#[test]
fn zeros_and_nans_are_told_apart_by_their_bits() {
    let mut head = head();
    let a = labels(&[("a", "1")]);
    let a = a.as_ref();
    let stale = f64::from_bits(sarsen_block::STALE_NAN_BITS);
    assert_eq!(commit(&mut head, &[(a, 1, 0.0)]).accepted, 1);
    assert_eq!(refusals(&commit(&mut head, &[(a, 1, -0.0)])), [(0, Reason::DuplicateValue)]);
    assert_eq!(commit(&mut head, &[(a, 2, stale)]).accepted, 1);
    assert_eq!(commit(&mut head, &[(a, 2, stale)]).duplicates, 1);
    assert_eq!(refusals(&commit(&mut head, &[(a, 2, f64::NAN)])), [(0, Reason::DuplicateValue)]);
}

#[test]
fn the_future_has_a_limit_where_the_caller_sets_one() {
    let mut head = head();
    let a = labels(&[("a", "1")]);
    let mut batch = Batch::default();
    for t in [100, 101] {
        batch.push(a.as_ref(), head.hasher.hash(a.as_ref()), t, 1.0);
    }
    let outcome = head.apply(&batch, 100, &mut Applied::default()).unwrap();
    assert_eq!(refusals(&outcome), [(1, Reason::TooFarInFuture)]);
}

fn collect_garbage(head: &RwLock<Head>, from: Timestamp) -> u64 {
    let mut gc = Gc::new(&head.read(), from);
    while gc.step(&mut head.write()) {}
    gc.forgotten()
}

#[test]
fn forgotten_series_leave_nothing_behind_and_may_come_back() {
    let head = RwLock::new(head());
    for i in 0..3000 {
        let set =
            labels(&[("job", "x"), ("i", &i.to_string()), ("even", if i % 2 == 0 { "yes" } else { "no" })]);
        let mut samples = vec![(set.as_ref(), 1000, f64::from(i))];
        if i % 10 == 0 {
            samples.push((set.as_ref(), RANGE + 5, 1.0));
        }
        commit(&mut head.write(), &samples);
        // Later samples would make the next first sample too old.
        head.write().times.max = 1000;
    }
    head.write().times.max = RANGE + 5;
    assert_eq!(collect_garbage(&head, RANGE), 2700);
    {
        let head = head.read();
        assert_eq!((head.num_series(), head.symbols.count()), (300, 300 + 2));
        assert_eq!(head.range(), Some(TimeRange::new(RANGE + 5, RANGE + 5)));
        assert_eq!(head.postings.names().count(), 3);
        assert_eq!(head.counts.chunks, 300);
    }
    let rest = dump(&head, &[Matcher::equal("even", "yes")], TimeRange::ALL);
    assert_eq!(rest.len(), 300);
    assert!(rest.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let back = labels(&[("job", "x"), ("i", "7"), ("even", "no")]);
    assert_eq!(commit(&mut head.write(), &[(back.as_ref(), RANGE + 6, 1.0)]).births, 1);
    assert_eq!(dump(&head, &[Matcher::equal("i", "7")], TimeRange::ALL).len(), 1);
    assert_eq!(collect_garbage(&head, 3 * RANGE), 301);
    let head = head.read();
    assert!(head.is_empty() && head.symbols.count() == 0 && head.counts.chunks == 0);
    assert_eq!(head.store.cells.held() + head.store.spill.held(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, u8, i64)>),
    Collect(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let sample = (0u8..6, 0u8..4, 0i64..400);
    prop_oneof![
        8 => prop::collection::vec(sample, 1..40).prop_map(Step::Commit),
        1 => (0i64..5000).prop_map(Step::Collect),
    ]
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex)
    ];
    let name = prop_oneof![Just("a"), Just("b"), Just("c")];
    let value = prop_oneof![Just(""), Just("1"), Just("1|2"), Just(".*"), Just(".+"), Just("[13]")];
    (op, name, value).prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A head, read through matchers and ranges, is a map from labels to samples.
    #[test]
    fn a_head_is_a_map(
        steps in prop::collection::vec(step(), 1..40),
        matchers in prop::collection::vec(matcher(), 0..3),
        (from, length) in (0i64..6000, 0i64..6000),
        open_bytes in prop_oneof![Just(8usize), Just(16), Just(168)],
    ) {
        let range = 1000;
        let head = RwLock::new(head_of(range, open_bytes));
        let mut model: BTreeMap<Labels, BTreeMap<Timestamp, u64>> = BTreeMap::new();
        let (mut clock, mut floor) = (0, Timestamp::MIN);
        for step in steps {
            match step {
                Step::Commit(samples) => {
                    let sets: Vec<Labels> = samples.iter().map(|&(a, b, _)| {
                        Labels::from_pairs([("a", a.to_string()), ("b", if b == 0 { String::new() } else { b.to_string() })]).unwrap()
                    }).collect();
                    let batch: Vec<_> = samples.iter().zip(&sets)
                        .map(|(&(a, b, t), set)| (set.as_ref(), clock + t, f64::from(a) + f64::from(b))).collect();
                    let newest = head.read().times.max;
                    let first = batch[0].1;
                    let oldest = (if newest == Timestamp::MIN { first } else { newest } - range / 2).max(floor);
                    commit(&mut head.write(), &batch);
                    for (set, t, v) in batch {
                        let last = model.get(&set.to_owned()).and_then(|samples| samples.last_key_value()).map(|(&t, _)| t);
                        if t >= oldest && last.is_none_or(|last| t > last) {
                            model.entry(set.to_owned()).or_default().insert(t, v.to_bits());
                        }
                    }
                    clock += 150;
                }
                Step::Collect(before) => {
                    // As a cut does: not above what may still be written.
                    let from = before.min(clock - range);
                    if from > floor {
                        floor = from;
                        head.write().times.floor = floor;
                        let newest_before: Vec<_> = model.iter().map(|(set, samples)| (set.clone(), samples.last_key_value().map(|(&t, _)| t))).collect();
                        collect_garbage(&head, from);
                        for (set, newest) in newest_before {
                            if newest.is_some_and(|t| t < from) {
                                model.remove(&set);
                            }
                        }
                    }
                }
            }
        }
        let window = TimeRange::new(from.max(floor), from.saturating_add(length));
        let expected: Vec<(Labels, Vec<(Timestamp, u64)>)> = model.iter()
            .filter(|(set, _)| matchers.iter().all(|m| m.matches(set.get(m.name()).unwrap_or_default())))
            .map(|(set, samples)| (set.clone(), samples.iter().filter(|(t, _)| window.contains(**t)).map(|(&t, &v)| (t, v)).collect::<Vec<_>>()))
            .filter(|(_, samples)| !samples.is_empty())
            .collect();
        prop_assert_eq!(dump(&head, &matchers, window), expected);
        prop_assert_eq!(head.read().num_series(), model.len());
    }
}
