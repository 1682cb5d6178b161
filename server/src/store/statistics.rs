//! How many series have which labels: what the owner of a database asks who has too many.

use std::collections::HashMap;

use sarsen_block::{METRIC_NAME, Matcher, TimeRange};

/// Whose statistics are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct StatisticsQuery {
    /// Of one tenant; `None`: of all.
    pub(crate) tenant: Option<String>,
    /// Of databases whose external labels all of them accept.
    pub(crate) matchers: Vec<Matcher>,
    /// Most rows of a list.
    pub(crate) limit: usize,
}

/// A name with a number.
pub(crate) type Row = (String, u64);

/// What is known of the series of a database. Lists have the highest numbers first, of equal ones the first name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// How many there are.
    pub(crate) series: u64,
    /// How many different labels they have: names with values.
    pub(crate) label_pairs: u64,
    /// How many chunks they have in memory; 0 if that is not known.
    pub(crate) chunks: u64,
    /// Times of their samples.
    pub(crate) range: TimeRange,
    /// Names of metrics by their series.
    pub(crate) by_metric: Vec<Row>,
    /// Names of labels by their values.
    pub(crate) values_by_label: Vec<Row>,
    /// Names of labels by the bytes of their values, each value once.
    pub(crate) bytes_by_label: Vec<Row>,
    /// Labels, as `name=value`, by their series.
    pub(crate) by_label: Vec<Row>,
}

/// How many series have a value of a label.
type Values = HashMap<Vec<u8>, u64>;

/// Counts series one by one.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    series: u64,
    /// By label its values, each with its series.
    labels: HashMap<Vec<u8>, Values>,
}

impl Counts {
    /// Counts a series with these labels.
    pub(crate) fn add<'a>(&mut self, labels: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        self.series += 1;
        for (name, value) in labels {
            // Names and values are copied when they are new, which for most series they are not.
            match self.labels.get_mut(name) {
                Some(values) => count(values, value),
                None => count(self.labels.entry(name.to_vec()).or_default(), value),
            }
        }
    }

    /// What came of it, in lists of at most `limit` rows.
    pub(crate) fn finish(self, limit: usize, range: TimeRange) -> Statistics {
        let bytes: fn(&Values) -> u64 = |values| values.keys().map(|value| value.len() as u64).sum();
        let by_label = |measure: fn(&Values) -> u64| {
            top(self.labels.iter().map(|(name, values)| (lossy(name), measure(values))), limit)
        };
        let pairs = self.labels.iter().flat_map(|(name, values)| {
            values.iter().map(move |(value, count)| (format!("{}={}", lossy(name), lossy(value)), *count))
        });
        let metrics = self.labels.get(METRIC_NAME).into_iter().flatten();
        Statistics {
            series: self.series,
            label_pairs: self.labels.values().map(|values| values.len() as u64).sum(),
            chunks: 0,
            range,
            by_metric: top(metrics.map(|(name, count)| (lossy(name), *count)), limit),
            values_by_label: by_label(|values| values.len() as u64),
            bytes_by_label: by_label(bytes),
            by_label: top(pairs, limit),
        }
    }
}

fn count(values: &mut Values, value: &[u8]) {
    match values.get_mut(value) {
        Some(series) => *series += 1,
        None => drop(values.insert(value.to_vec(), 1)),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The rows with the highest numbers, of equal ones the first names.
fn top(rows: impl Iterator<Item = Row>, limit: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = rows.collect();
    let order = |a: &Row, b: &Row| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0));
    if rows.len() > limit {
        rows.select_nth_unstable_by(limit, order);
        rows.truncate(limit);
    }
    rows.sort_by(order);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_most() {
        let mut counts = Counts::default();
        for (metric, pod) in [("up", "a"), ("up", "b"), ("cpu", "a")] {
            counts.add([(METRIC_NAME, metric.as_bytes()), (b"pod", pod.as_bytes())].into_iter());
        }
        let row = |name: &str, number| vec![(name.to_owned(), number)];
        let expected = Statistics {
            series: 3,
            label_pairs: 4,
            chunks: 0,
            range: TimeRange::new(1, 2),
            by_metric: row("up", 2),
            values_by_label: row("__name__", 2),
            bytes_by_label: row("__name__", 5),
            by_label: row("__name__=up", 2),
        };
        assert_eq!(counts.finish(1, TimeRange::new(1, 2)), expected);
    }
}
