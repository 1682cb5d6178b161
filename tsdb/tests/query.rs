//! Whatever was written and wherever it lies by now, in the head or in blocks: a query is a filter over a map.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use sarsen_block::{Labels, MatchOp, Matcher, TimeRange, Timestamp};
use sarsen_tsdb::Options;
use sarsen_wal::{Disk, SimDisk};
use support::{Content, builder, commit, read};

const RANGE: Timestamp = 1000;

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, u8, Timestamp)>),
    Maintain,
    Flush,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop::collection::vec((0u8..8, 0u8..4, 0i64..400), 1..30).prop_map(Step::Commit),
        3 => Just(Step::Maintain),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ]
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex)
    ];
    let name = prop_oneof![Just("a"), Just("b"), Just("none"), Just("__name__")];
    let value =
        prop_oneof![Just(""), Just("m"), Just("1"), Just("1|2|x"), Just(".*"), Just(".+"), Just("[1-4]")];
    (op, name, value).prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap())
}

fn set(a: u8, b: u8) -> Labels {
    let optional = if b == 0 { String::new() } else { b.to_string() };
    Labels::from_pairs([("__name__", "m".to_owned()), ("a", a.to_string()), ("b", optional)]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_query_is_a_filter(
        steps in prop::collection::vec(step(), 1..50),
        queries in prop::collection::vec((prop::collection::vec(matcher(), 0..4), 0i64..9000, 0i64..9000), 1..8),
    ) {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        let mut options = Options::default();
        options.block_range = RANGE;
        options.idle_grace = 0;
        let open = || builder(&disk, options.clone()).open().unwrap();
        let mut db = open();
        let (mut content, mut clock) = (Content::new(), 10 * RANGE);
        for step in steps {
            match step {
                Step::Commit(rows) => {
                    let rows: Vec<_> = rows.iter().map(|&(a, b, t)| (set(a, b), clock + t, t as f64 / 3.0)).collect();
                    let outcome = commit(&db, &rows).unwrap();
                    let refused: BTreeSet<usize> = outcome.refused.iter().map(|refusal| refusal.sample as usize).collect();
                    let mut accepted = 0;
                    for (_, (set, t, v)) in rows.into_iter().enumerate().filter(|(i, _)| !refused.contains(i)) {
                        // What is left are good samples, exact duplicates, and samples that were overtaken.
                        let samples = content.entry(set).or_default();
                        if samples.last_key_value().is_none_or(|(&last, _)| t > last) {
                            samples.insert(t, v.to_bits());
                            accepted += 1;
                        }
                    }
                    content.retain(|_, samples| !samples.is_empty());
                    prop_assert_eq!(outcome.accepted, accepted);
                    clock += 130;
                }
                Step::Maintain => { db.maintain(clock).unwrap(); }
                Step::Flush => { db.flush(clock).unwrap(); }
                Step::Restart => {
                    drop(db);
                    db = open();
                }
            }
        }
        for (matchers, from, length) in queries {
            let range = TimeRange::new(9 * RANGE + from, 9 * RANGE + from + length);
            let matching = |set: &Labels| matchers.iter().all(|m| m.matches(set.get(m.name()).unwrap_or_default()));
            let expected: Content = content.iter()
                .filter(|(set, _)| matching(set))
                .map(|(set, samples)| (set.clone(), samples.range(range.min..=range.max).map(|(&t, &v)| (t, v)).collect()))
                .filter(|(_, samples): &(_, std::collections::BTreeMap<Timestamp, u64>)| !samples.is_empty())
                .collect();
            prop_assert_eq!(read(&db, &matchers, range).unwrap(), expected);
            // Names and values: at least those of the range, at most those of all time.
            let querier = db.querier(TimeRange::ALL);
            let names: BTreeSet<Vec<u8>> = content.keys().filter(|set| matching(set)).flat_map(|set| set.iter().map(|(n, _)| n.to_vec()).collect::<Vec<_>>()).collect();
            let found: BTreeSet<Vec<u8>> = querier.label_names(&matchers).unwrap().iter().map(|name| name.to_vec()).collect();
            prop_assert_eq!(found, names);
            let values: BTreeSet<Vec<u8>> = content.keys().filter(|set| matching(set)).filter_map(|set| set.get(b"a").map(<[u8]>::to_vec)).collect();
            let found: BTreeSet<Vec<u8>> = querier.label_values(b"a", &matchers).unwrap().iter().map(|value| value.to_vec()).collect();
            prop_assert_eq!(found, values);
        }
    }
}
