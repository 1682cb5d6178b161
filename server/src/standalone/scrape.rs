//! The process reads its own metrics page and keeps it, so that there is something to see at once.
//!
//! The samples go the way of every write, into the database of the default tenant, with the labels that a scrape by Prometheus would
//! give them: `job`, `instance`, and `up` and its companions beside.

use std::time::Duration;

use sarsen_block::{Labels, LabelsBuilder, Timestamp};
use tokio_util::sync::CancellationToken;

use super::text::read_line;
use crate::clock;
use crate::receive::Receiver;

const PAUSE: Duration = Duration::from_secs(15);
const JOB: &str = "sarsen";

/// Scrapes every fifteen seconds, the first time at once.
pub(crate) async fn scrape_self(
    receiver: Receiver,
    metrics: impl Fn() -> String + Clone + Send + 'static,
    address: String,
    stop: CancellationToken,
) {
    let mut timer = tokio::time::interval(PAUSE);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        let (receiver, metrics, address) = (receiver.clone(), metrics.clone(), address.clone());
        let scrape = tokio::task::spawn_blocking(move || {
            let (now, started) = (clock::now(), clock::moment());
            let samples = samples(&metrics(), &address, started.elapsed());
            keep(&receiver, now, &samples)
        });
        match scrape.await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::warn!(err = why, "cannot store this process' own metrics"),
            Err(why) => tracing::warn!(err = %why, "cannot read this process' own metrics"),
        }
    }
}

/// What a scrape of `page` brings.
fn samples(page: &str, address: &str, took: Duration) -> Vec<(Labels, f64)> {
    let also = [("job", JOB), ("instance", address)];
    let mut builder = LabelsBuilder::new();
    let mut samples: Vec<_> = page.lines().filter_map(|line| read_line(line, &also, &mut builder)).collect();
    let read = samples.len() as f64;
    let own = [
        ("up", 1.0),
        ("scrape_duration_seconds", took.as_secs_f64()),
        ("scrape_samples_scraped", read),
        ("scrape_samples_post_metric_relabeling", read),
    ];
    for (name, value) in own {
        let labels = [("__name__", name), ("job", JOB), ("instance", address)];
        samples.extend(Labels::from_pairs(labels).ok().map(|labels| (labels, value)));
    }
    samples
}

fn keep(receiver: &Receiver, now: Timestamp, samples: &[(Labels, f64)]) -> Result<(), String> {
    receiver.append_own(samples.iter().map(|(labels, value)| (labels.as_ref(), now, *value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_samples_and_up() {
        let samples = samples("# TYPE a counter\na{x=\"1\"} 2\nb 3\n", "127.0.0.1:9090", Duration::ZERO);
        let find = |name: &[u8]| samples.iter().find(|(l, _)| l.get(b"__name__") == Some(name)).unwrap();
        assert_eq!(samples.len(), 6);
        assert_eq!(find(b"up").1, 1.0);
        assert_eq!(find(b"scrape_samples_scraped").1, 2.0);
        assert_eq!(find(b"a").0.get(b"instance"), Some(&b"127.0.0.1:9090"[..]));
    }
}
