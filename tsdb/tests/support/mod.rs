//! What several situations need: a database on a simulated disk, and its whole content as a map.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sarsen_block::{Decode, Labels, Matcher, SampleSet, TimeRange, Timestamp, Value};
use sarsen_tsdb::{Builder, Committed, Db, Error, Options};
use sarsen_wal::Disk;

/// All samples of a database: labels, then time, then bits.
pub(crate) type Content = BTreeMap<Labels, BTreeMap<Timestamp, u64>>;

pub(crate) const HOUR: Timestamp = 3_600_000;
/// A start on a multiple of two hours.
pub(crate) const START: Timestamp = 236_111 * 2 * HOUR;

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

pub(crate) fn series(i: usize) -> Labels {
    labels(&[("__name__", "m"), ("i", &i.to_string()), ("odd", if i % 2 == 1 { "yes" } else { "" })])
}

pub(crate) fn builder(disk: &Arc<dyn Disk>, options: Options) -> Builder {
    Db::builder(Path::new("/db")).disk(Arc::clone(disk)).options(options).hash_seed([1, 2, 3, 4]).id_seed(7)
}

pub(crate) fn commit(db: &Db, samples: &[(Labels, Timestamp, f64)]) -> Result<Committed, Error> {
    let mut batch = db.appender();
    for (labels, t, v) in samples {
        batch.append(labels.as_ref(), *t, *v);
    }
    let commit = batch.commit()?;
    commit.pending.wait()?;
    Ok(commit.committed)
}

/// Reads everything that matches, through the public door.
pub(crate) fn read(db: &Db, matchers: &[Matcher], range: TimeRange) -> Result<Content, Error> {
    let mut set = Decode::new(db.querier(range).select(matchers)?, range);
    let mut content = Content::new();
    while let Some(series) = set.next()? {
        let samples: BTreeMap<Timestamp, u64> = series
            .samples
            .iter()
            .filter_map(|sample| match sample.value {
                Value::Float(v) => Some((sample.t, v.to_bits())),
                _ => None,
            })
            .collect();
        assert_eq!(samples.len(), series.samples.len(), "a time stands twice");
        if !samples.is_empty() {
            assert!(content.insert(series.labels, samples).is_none(), "a series came twice");
        }
    }
    Ok(content)
}

pub(crate) fn read_all(db: &Db) -> Content {
    read(db, &[], TimeRange::ALL).unwrap()
}
