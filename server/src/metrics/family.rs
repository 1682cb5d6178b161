//! Counters, gauges and histograms, alone or as families told apart by labels.
//!
//! Members are made on first use and stay until they are forgotten. Every member here is updated without a lock; finding a
//! member by its labels takes a read lock, so whoever counts often keeps the member at hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::RwLock;

use super::text::{Page, Type};

/// A count that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}

/// A value that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn add(&self, change: f64) {
        add_float(&self.0, change);
    }

    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

fn add_float(cell: &AtomicU64, change: f64) {
    let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
        Some((f64::from_bits(bits) + change).to_bits())
    });
}

/// Counts of observations by size.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// One more than bounds: the last is for what exceeds them all. Not cumulative.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0f64.to_bits()) }
    }

    pub(crate) fn observe(&self, value: f64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        add_float(&self.sum, value);
    }

    fn write(&self, page: &mut Page, name: &str, labels: &[(&str, &str)]) {
        let mut total = 0;
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds
            .zip(&self.counts)
            .map(|(bound, count)| {
                total += count.load(Ordering::Relaxed);
                (bound, total)
            })
            .collect();
        page.histogram(name, labels, &buckets, f64::from_bits(self.sum.load(Ordering::Relaxed)));
    }
}

/// What a family is made of.
pub(crate) trait Member: Sized {
    const TYPE: Type;
    fn make(bounds: &'static [f64]) -> Self;
    fn put(&self, page: &mut Page, name: &str, labels: &[(&str, &str)], now: Instant);
}

impl Member for Counter {
    const TYPE: Type = Type::Counter;
    fn make(_: &'static [f64]) -> Self {
        Self::default()
    }
    fn put(&self, page: &mut Page, name: &str, labels: &[(&str, &str)], _: Instant) {
        page.sample(name, "", labels, self.0.load(Ordering::Relaxed) as f64);
    }
}

impl Member for Gauge {
    const TYPE: Type = Type::Gauge;
    fn make(_: &'static [f64]) -> Self {
        Self::default()
    }
    fn put(&self, page: &mut Page, name: &str, labels: &[(&str, &str)], _: Instant) {
        page.sample(name, "", labels, self.get());
    }
}

impl Member for Histogram {
    const TYPE: Type = Type::Histogram;
    fn make(bounds: &'static [f64]) -> Self {
        Self::new(bounds)
    }
    fn put(&self, page: &mut Page, name: &str, labels: &[(&str, &str)], _: Instant) {
        self.write(page, name, labels);
    }
}

/// Members of one name, told apart by the values of the same labels.
#[derive(Debug)]
pub(crate) struct Family<M> {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    bounds: &'static [f64],
    members: RwLock<BTreeMap<Vec<String>, Arc<M>>>,
}

impl<M: Member> Family<M> {
    pub(crate) fn new(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { name, help, labels, bounds: &[], members: RwLock::default() }
    }

    /// The member with these label values, in the order of the family's labels.
    pub(crate) fn with(&self, values: &[&str]) -> Arc<M> {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
        let key: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        if let Some(member) = self.members.read().get(&key) {
            return Arc::clone(member);
        }
        Arc::clone(self.members.write().entry(key).or_insert_with(|| Arc::new(M::make(self.bounds))))
    }
}

impl Family<Histogram> {
    pub(crate) fn histogram(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
    ) -> Self {
        Self { name, help, labels, bounds, members: RwLock::default() }
    }
}

/// A family that can be put on a page.
pub(crate) trait Shown: Send + Sync {
    /// Writes head and members; nothing at all while there is no member.
    fn show(&self, page: &mut Page, now: Instant);
}

impl<M: Member + Send + Sync> Shown for Family<M> {
    fn show(&self, page: &mut Page, now: Instant) {
        let members = self.members.read();
        if members.is_empty() {
            return;
        }
        page.family(self.name, M::TYPE, self.help);
        for (key, member) in members.iter() {
            let labels: Vec<(&str, &str)> =
                self.labels.iter().copied().zip(key.iter().map(String::as_str)).collect();
            member.put(page, self.name, &labels, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(family: &impl Shown) -> String {
        let mut page = Page::new(false);
        family.show(&mut page, Instant::now());
        page.finish().1
    }

    #[test]
    fn members_by_labels() {
        let family: Family<Counter> = Family::new("x_total", "help", &["tenant"]);
        assert_eq!(page_of(&family), "");
        family.with(&["b"]).add(2);
        family.with(&["a"]).add(1);
        family.with(&["b"]).add(1);
        assert_eq!(
            page_of(&family),
            "# HELP x_total help\n# TYPE x_total counter\nx_total{tenant=\"a\"} 1\nx_total{tenant=\"b\"} 3\n"
        );
    }

    #[test]
    fn histograms_are_cumulative_and_closed_above() {
        let family = Family::histogram("h", "help", &[], &[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 9.0] {
            family.with(&[]).observe(value);
        }
        let text = page_of(&family);
        assert!(
            text.ends_with(
                "h_bucket{le=\"1\"} 2\nh_bucket{le=\"2\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 12\nh_count 4\n"
            ),
            "{text}"
        );
    }
}
