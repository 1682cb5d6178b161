//! Quantiles of recent observations, as a member of families.
//!
//! A lock round what was seen lately: summaries are for what happens a few times a second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::family::Member;
use super::text::{Page, Type};

/// Quantiles of the last ten minutes (of the last thousand observations in them), with sum and count of all time.
#[derive(Debug, Default)]
pub(crate) struct Summary(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    seen: VecDeque<(Instant, f64)>,
    sum: f64,
    count: u64,
}

const SUMMARY_WINDOW: Duration = Duration::from_secs(600);
const SUMMARY_KEPT: usize = 1000;
const QUANTILES: [(f64, &str); 3] = [(0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99")];

impl Summary {
    pub(crate) fn observe(&self, value: f64, now: Instant) {
        let mut recent = self.0.lock();
        if recent.seen.len() == SUMMARY_KEPT {
            recent.seen.pop_front();
        }
        recent.seen.push_back((now, value));
        recent.sum += value;
        recent.count += 1;
    }

    fn write(&self, page: &mut Page, name: &str, labels: &[(&str, &str)], now: Instant) {
        let (mut values, sum, count) = {
            let mut recent = self.0.lock();
            while recent.seen.front().is_some_and(|(at, _)| now.duration_since(*at) > SUMMARY_WINDOW) {
                recent.seen.pop_front();
            }
            (recent.seen.iter().map(|(_, value)| *value).collect::<Vec<_>>(), recent.sum, recent.count)
        };
        values.sort_by(f64::total_cmp);
        for (quantile, text) in QUANTILES {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an index below a thousand"
            )]
            let at = (quantile * values.len() as f64).ceil() as usize;
            let value = values.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN);
            let mut labels = labels.to_vec();
            labels.push(("quantile", text));
            page.sample(name, "", &labels, value);
        }
        page.sample(name, "_sum", labels, sum);
        page.sample(name, "_count", labels, count as f64);
    }
}

impl Member for Summary {
    const TYPE: Type = Type::Summary;
    fn make(_: &'static [f64]) -> Self {
        Self::default()
    }
    fn put(&self, page: &mut Page, name: &str, labels: &[(&str, &str)], now: Instant) {
        self.write(page, name, labels, now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::family::{Family, Shown};
    use super::*;

    fn page_of(family: &impl Shown) -> String {
        let mut page = Page::new(false);
        family.show(&mut page, Instant::now());
        page.finish().1
    }

    #[test]
    fn summaries_have_quantiles_of_the_recent_past() {
        let family: Family<Summary> = Family::new("s", "help", &[]);
        let summary = family.with(&[]);
        let text = page_of(&family);
        assert!(
            text.contains("s{quantile=\"0.5\"} NaN\n") && text.ends_with("s_sum 0\ns_count 0\n"),
            "{text}"
        );
        for value in 1..=100 {
            summary.observe(f64::from(value), Instant::now());
        }
        let text = page_of(&family);
        assert!(
            text.contains("s{quantile=\"0.5\"} 50\ns{quantile=\"0.9\"} 90\ns{quantile=\"0.99\"} 99\n"),
            "{text}"
        );
        assert!(text.ends_with("s_sum 5050\ns_count 100\n"), "{text}");
    }
}
