//! A selection as it goes out over a wire: labels added and left out, order and chunks against a plain model.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use sarsen_block::{Labels, LabelsRef, MatchOp, Matcher, TimeRange, Timestamp, decode_chunks};
use sarsen_tsdb::{Arranged, Arrangement, Db, Options};
use sarsen_wal::{Disk, SimDisk};
use support::{Content, builder, commit, labels};

const RANGE: Timestamp = 1000;

/// Some series: `b` and `z` may be missing, so that an added label changes the order.
fn set(which: u8) -> Labels {
    let text = |bit: u8, value: u8| if which & bit == 0 { String::new() } else { value.to_string() };
    let a = (which / 8).to_string();
    Labels::from_pairs([("a", a), ("b", text(1, which % 3)), ("q", text(2, 7)), ("z", text(4, which % 5))])
        .unwrap()
}

/// Labels as they are shown, and whose series they are.
fn shown(set: &Labels, add: &Labels, without: &[Bytes]) -> Labels {
    let own = set.iter().filter(|(name, _)| add.get(name).is_none());
    let all = own.chain(add.iter()).filter(|(name, _)| !without.iter().any(|gone| gone == name));
    Labels::from_pairs(all).unwrap()
}

fn samples(chunks: &[sarsen_block::TimedChunk], range: TimeRange) -> BTreeMap<Timestamp, u64> {
    let samples = decode_chunks(chunks, range).unwrap();
    let found: BTreeMap<_, _> = samples
        .iter()
        .map(|sample| match sample.value {
            sarsen_block::Value::Float(v) => (sample.t, v.to_bits()),
            _ => unreachable!("a histogram"),
        })
        .collect();
    assert_eq!(found.len(), samples.len());
    found
}

fn label_list(arranged: &Arranged) -> Vec<Labels> {
    let mut bytes = Vec::new();
    (0..arranged.len()).map(|at| arranged.labels(at, &mut bytes).to_owned()).collect()
}

/// Everything, in slices of `slice` series.
fn read(arranged: &mut Arranged, slice: usize, range: TimeRange) -> Vec<(Labels, BTreeMap<Timestamp, u64>)> {
    let labels = label_list(arranged);
    let mut found = Vec::new();
    for from in (0..labels.len()).step_by(slice) {
        let places = from..labels.len().min(from + slice);
        for (at, chunks) in places.clone().zip(arranged.chunks(places).unwrap()) {
            assert!(chunks.iter().all(|chunk| chunk.range.overlaps(range)));
            assert!(chunks.is_sorted_by_key(|chunk| (chunk.range.min, chunk.range.max)));
            found.push((labels[at].clone(), samples(&chunks, range)));
        }
    }
    found.retain(|(_, samples)| !samples.is_empty());
    found
}

/// The same of the model: sorted by what is shown, equal ones next to one another in any order.
fn expected(
    content: &Content,
    wanted: &Arrangement<'_>,
    range: TimeRange,
) -> Vec<(Labels, BTreeMap<Timestamp, u64>)> {
    let takes = |matchers: &[Matcher], set: &Labels| {
        matchers.iter().all(|m| m.matches(set.get(m.name()).unwrap_or_default()))
    };
    let mut found = Vec::new();
    for (set, samples) in content.iter().filter(|(set, _)| takes(wanted.matchers, set)) {
        let is_hidden =
            |t| wanted.hidden.iter().any(|(matchers, gone)| gone.contains(t) && takes(matchers, set));
        let samples: BTreeMap<_, _> = samples
            .range(range.min..=range.max)
            .filter(|&(&t, _)| !is_hidden(t))
            .map(|(&t, &v)| (t, v))
            .collect();
        if !samples.is_empty() {
            found.push((shown(set, &wanted.add, wanted.without), samples));
        }
    }
    found.sort();
    found
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, Timestamp)>),
    Maintain,
    Flush,
    Delete(u8, Timestamp),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop::collection::vec((0u8..32, 0i64..400), 1..30).prop_map(Step::Commit),
        3 => Just(Step::Maintain),
        1 => Just(Step::Flush),
        1 => (0u8..4, 0i64..3000).prop_map(|(a, t)| Step::Delete(a, t)),
    ]
}

fn database(steps: Vec<Step>) -> (Db, Content) {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let mut options = Options::default();
    options.block_range = RANGE;
    options.idle_grace = 0;
    let db = builder(&disk, options).open().unwrap();
    let (mut content, mut clock) = (Content::new(), 10 * RANGE);
    for step in steps {
        match step {
            Step::Commit(rows) => {
                for (which, t) in rows {
                    let (set, t) = (set(which), clock + t);
                    if commit(&db, &[(set.clone(), t, t as f64 / 3.0)]).unwrap().accepted == 1 {
                        content.entry(set).or_default().entry(t).or_insert((t as f64 / 3.0).to_bits());
                    }
                }
                clock += 130;
            }
            Step::Maintain => {
                db.maintain(clock).unwrap();
            }
            Step::Flush => {
                db.flush(clock).unwrap();
            }
            Step::Delete(a, t) => {
                let (matcher, range) =
                    (Matcher::equal("a", a.to_string()), TimeRange::new(9 * RANGE + t, 9 * RANGE + t + 200));
                db.delete(std::slice::from_ref(&matcher), range).unwrap();
                for (_, samples) in
                    content.iter_mut().filter(|(set, _)| matcher.matches(set.get(b"a").unwrap()))
                {
                    samples.retain(|&t, _| !range.contains(t));
                }
            }
        }
    }
    (db, content)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_the_order_of_what_is_shown(
        steps in prop::collection::vec(step(), 1..40),
        add in 0u8..4, gone in 0u8..16, from in 0i64..6000, length in 0i64..4000, slice in 1usize..7, hides in any::<bool>(),
    ) {
        let (db, content) = database(steps);
        let range = TimeRange::new(9 * RANGE + from, 9 * RANGE + from + length);
        let add = [labels(&[]), labels(&[("k", "v")]), labels(&[("aa", "1"), ("q", "other")]), labels(&[("a", "0")])][usize::from(add)].clone();
        let without: Vec<Bytes> = ["a", "b", "k", "z"].iter().enumerate()
            .filter(|(bit, _)| gone & (1 << bit) != 0).map(|(_, name)| Bytes::from_static(name.as_bytes())).collect();
        let matchers = [Matcher::new(MatchOp::NotEqual, "b", "2").unwrap()];
        let hidden = [(vec![Matcher::equal("a", "1")], TimeRange::new(0, 10 * RANGE + 700))];
        let hidden = if hides { &hidden[..] } else { &[] };
        let wanted = Arrangement { matchers: &matchers, add, without: &without, hidden };
        let querier = db.querier(range);
        let mut arranged = querier.arrange(&wanted).unwrap();
        // What is shown never falls, whatever stands behind it.
        prop_assert!(label_list(&arranged).is_sorted());
        let mut found = read(&mut arranged, slice, range);
        found.sort();
        prop_assert_eq!(&found, &expected(&content, &wanted, range));

        let even = |labels: LabelsRef<'_>| labels.as_bytes().len().is_multiple_of(2);
        arranged.retain(even);
        let mut kept = read(&mut arranged, slice, range);
        kept.sort();
        found.retain(|(labels, _)| even(labels.as_ref()));
        prop_assert_eq!(kept, found);
        arranged.truncate(1);
        prop_assert!(arranged.len() <= 1);
    }
}

#[test]
fn an_added_label_changes_the_order() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let db = builder(&disk, Options::default()).open().unwrap();
    let (short, long) = (labels(&[("a", "1")]), labels(&[("a", "1"), ("b", "2")]));
    commit(&db, &[(short, 1, 1.0), (long, 1, 2.0)]).unwrap();
    let querier = db.querier(TimeRange::ALL);
    let plain = querier.arrange(&Arrangement::default()).unwrap();
    assert_eq!(label_list(&plain), [labels(&[("a", "1")]), labels(&[("a", "1"), ("b", "2")])]);
    let with = Arrangement { add: labels(&[("m", "x")]), ..Arrangement::default() };
    let with = querier.arrange(&with).unwrap();
    let (long, short) = (labels(&[("a", "1"), ("b", "2"), ("m", "x")]), labels(&[("a", "1"), ("m", "x")]));
    assert_eq!(label_list(&with), [long, short]);
}

#[test]
fn what_is_hidden_is_told_before_it_is_read() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let db = builder(&disk, Options::default()).open().unwrap();
    commit(&db, &[(labels(&[("a", "1")]), 1, 1.0), (labels(&[("a", "2")]), 1, 2.0)]).unwrap();
    for flush in [false, true] {
        if flush {
            db.flush(2).unwrap();
        }
        let hidden = [(vec![Matcher::equal("a", "2")], TimeRange::new(0, 5))];
        let wanted = Arrangement { hidden: &hidden, ..Arrangement::default() };
        let mut arranged = db.querier(TimeRange::ALL).arrange(&wanted).unwrap();
        assert_eq!((arranged.len(), arranged.is_doubtful(0), arranged.is_doubtful(1)), (2, false, true));
        let chunks = arranged.chunks(0..2).unwrap();
        assert_eq!((chunks[0].len(), chunks[1].len()), (1, 0));
    }
}

#[test]
fn a_few_values_are_those_of_the_oldest_series() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let db = builder(&disk, Options::default()).open().unwrap();
    for (t, name) in (1..).zip(["m", "c", "x", "a"]) {
        commit(&db, &[(labels(&[("name", name), ("odd", if t % 2 == 1 { "yes" } else { "no" })]), t, 1.0)])
            .unwrap();
    }
    let querier = db.querier(TimeRange::new(0, 9));
    let some = |matchers: &[Matcher], limit| querier.some_label_values(b"name", matchers, limit).unwrap();
    assert_eq!(some(&[], 2), ["c", "m"]);
    assert_eq!(some(&[], 9), ["a", "c", "m", "x"]);
    assert_eq!(some(&[Matcher::equal("odd", "no")], 1), ["c"]);
    assert_eq!(db.querier(TimeRange::new(5, 9)).label_names(&[]).unwrap(), Vec::<Bytes>::new());
    assert_eq!(db.oldest_time(), Some(1));
    db.flush(9).unwrap();
    assert_eq!(db.querier(TimeRange::ALL).some_label_values(b"name", &[], 2).unwrap(), ["a", "c"]);
    assert_eq!(db.oldest_time(), Some(1));
}
