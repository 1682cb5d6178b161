//! The series of one endpoint: read as they come, checked, and put right where the endpoint cannot do it.
//!
//! What goes wrong ends the endpoint's stream with a warning in Thanos' words; whoever merges says what a warning means. An
//! endpoint that does not take replica labels out, or that once sent series out of order, has its answer collected and sorted here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sarsen_block::{Labels, LabelsRef};
use tonic::Status;

use crate::clock;
use crate::net::grpc::go_text;
use crate::query::client::{Answers, Asker, SERIES};
use crate::query::endpoints::{Endpoint, Known};
use crate::store::{
    BlockHint, EndpointHints, Frame, FrameSender, Gone, Hints, OutgoingLabels, SeriesQuery, StoreSeries,
};
use crate::wire::storeapi::{SeriesMessage, read_hints, series_request};

/// Asks one endpoint for the series of a query.
pub(super) struct Reader {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) query: Arc<SeriesQuery>,
    /// How long the next message may take; none: as long as it likes.
    pub(super) timeout: Option<Duration>,
    pub(super) out: FrameSender,
}

/// What has come of the endpoint.
#[derive(Default)]
struct Seen {
    messages: u64,
    endpoint: EndpointHints,
    blocks: Option<Vec<BlockHint>>,
}

impl Seen {
    fn came(&mut self, series: &StoreSeries) {
        let (frames, chunks, bytes) = &mut self.endpoint.sent;
        *frames += 1;
        *chunks += series.chunks.len() as u64;
        *bytes += series.chunks.iter().map(|chunk| chunk.bytes() as u64).sum::<u64>();
    }
}

/// Why a stream ended before its end.
enum Stop {
    /// Nobody wants more.
    Gone,
    /// It broke; why, for people.
    Broken(String),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// What is left to be done here with the series of an endpoint.
struct Mending {
    labels: Option<OutgoingLabels>,
    shards: bool,
    sorts: bool,
}

impl Mending {
    fn of(known: &Known, query: &SeriesQuery, unsorted: bool) -> Self {
        let removes = !query.without.is_empty() && !known.removes_labels;
        Self {
            labels: removes.then(|| OutgoingLabels::new(LabelsRef::default(), &query.without)),
            shards: query.shard.is_some() && !known.shards,
            sorts: removes || unsorted,
        }
    }

    /// Whether a limit must not be left to the endpoint.
    const fn changes_which(&self) -> bool {
        self.shards || self.sorts
    }
}

impl Reader {
    /// Reads to the end. Gives how many messages came.
    pub(super) async fn run(self) -> u64 {
        let (mut seen, began) = (Seen::default(), clock::moment());
        let read = self.read(&mut seen, began).await;
        // If nobody listens any more, nobody misses what comes here.
        if let Err(Stop::Broken(text)) = read {
            tracing::warn!(err = text, "series of an endpoint are not complete");
            if self.query.stats {
                seen.endpoint.warnings.push(text.clone());
            }
            let _ = self.out.send(Frame::Warning(text)).await;
        }
        if self.query.stats {
            seen.endpoint.address = self.endpoint.address().to_owned();
            seen.endpoint.component = self.endpoint.known().component;
            seen.endpoint.took.1 = began.elapsed();
            let endpoint = Some(Box::new(seen.endpoint));
            let hints = Hints { blocks: seen.blocks, endpoint, ..Hints::default() };
            let _ = self.out.send(Frame::Hints(Box::new(hints))).await;
        }
        seen.messages
    }

    async fn read(&self, seen: &mut Seen, began: Instant) -> Result<(), Stop> {
        let known = self.endpoint.known();
        let mending = Mending::of(&known, &self.query, self.endpoint.is_unsorted());
        let mut answers = self.open(&known, &mending).await?;
        let (mut collected, mut last) = (Vec::new(), None);
        while let Some(message) = self.next(&mut answers).await? {
            seen.messages += 1;
            seen.endpoint.took.0.get_or_insert_with(|| began.elapsed());
            let series = match message {
                SeriesMessage::Series(series) => vec![series],
                SeriesMessage::Batch(series) => series,
                SeriesMessage::Warning(text) => {
                    if self.query.stats {
                        seen.endpoint.warnings.push(text.clone());
                    }
                    self.out.send(Frame::Warning(text)).await?;
                    continue;
                }
                SeriesMessage::Hints(message) => {
                    if let Some(blocks) = read_hints(&message).filter(|_| self.query.stats) {
                        seen.blocks.get_or_insert_default().extend(blocks);
                    }
                    continue;
                }
            };
            for series in series {
                seen.came(&series);
                let Some(series) = self.mend(series, &mending) else { continue };
                if mending.sorts {
                    collected.push(series);
                } else {
                    self.check_order(&mut last, &series)?;
                    self.out.send(Frame::Series(series)).await?;
                }
            }
        }
        collected.sort_by(|a: &StoreSeries, b| a.labels.cmp(&b.labels));
        for series in collected {
            self.out.send(Frame::Series(series)).await?;
        }
        Ok(())
    }

    async fn open(&self, known: &Known, mending: &Mending) -> Result<Answers<SeriesMessage>, Stop> {
        let mut request = series_request(&self.query);
        if mending.changes_which() {
            request.limit = 0;
        }
        let asker = Asker { tenant: self.query.tenant.as_deref(), hints: self.query.stats };
        let call = self.endpoint.client().stream(SERIES, request, asker);
        self.within(call).await?.map_err(|status| {
            // One that the endpoint itself sent came over the stream, in Thanos' eyes.
            Stop::Broken(if status.message().starts_with("connection error") {
                let labels = known.label_sets_text();
                let who = if labels.is_empty() { "Store Gateway" } else { &labels };
                format!("fetch series for {who} {}: {}", self.endpoint, go_text(&status))
            } else {
                self.broken(&status)
            })
        })
    }

    async fn next(&self, answers: &mut Answers<SeriesMessage>) -> Result<Option<SeriesMessage>, Stop> {
        self.within(answers.next()).await?.map_err(|status| Stop::Broken(self.broken(&status)))
    }

    fn broken(&self, status: &Status) -> String {
        format!("receive series from {}: {}", self.endpoint, go_text(status))
    }

    /// What comes of it within the time that a message may take.
    async fn within<T>(&self, coming: impl Future<Output = T>) -> Result<T, Stop> {
        let Some(timeout) = self.timeout else { return Ok(coming.await) };
        tokio::time::timeout(timeout, coming).await.map_err(|_| {
            let status = go_text(&Status::cancelled("context canceled"));
            let timeout = go_duration(timeout);
            Stop::Broken(format!("failed to receive any data in {timeout} from {}: {status}", self.endpoint))
        })
    }

    /// The series as it is wanted; `None` if it is not.
    fn mend(&self, mut series: StoreSeries, mending: &Mending) -> Option<StoreSeries> {
        if let Some(labels) = &mending.labels {
            series.labels = labels.of(series.labels.as_ref());
        }
        if mending.shards
            && let Some(shard) = &self.query.shard
            && !shard.takes(series.labels.as_ref(), &mut Vec::new())
        {
            return None;
        }
        Some(series)
    }

    fn check_order(&self, last: &mut Option<Labels>, series: &StoreSeries) -> Result<(), Stop> {
        if let Some(last) = last.as_ref().filter(|last| series.labels < **last) {
            self.endpoint.distrust();
            return Err(Stop::Broken(format!(
                "receive series from {}: series out of order: {} after {last}",
                self.endpoint, series.labels
            )));
        }
        *last = Some(series.labels.clone());
        Ok(())
    }
}

/// A duration as Go prints it: `1m30s`, `1.5s`, `200ms`.
pub(super) fn go_duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let decimal = |whole: u64, part: u32, digits: usize| {
        let text = format!("{part:0digits$}");
        let text = text.trim_end_matches('0');
        if text.is_empty() { whole.to_string() } else { format!("{whole}.{text}") }
    };
    if seconds == 0 {
        return match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => format!("{}µs", decimal(u64::from(nanos / 1_000), nanos % 1_000, 3)),
            _ => format!("{}ms", decimal(u64::from(nanos / 1_000_000), nanos % 1_000_000, 6)),
        };
    }
    let rest = decimal(seconds % 60, nanos, 9);
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_in_go() {
        for (millis, expected) in [
            (0, "0s"),
            (200, "200ms"),
            (1_500, "1.5s"),
            (30_000, "30s"),
            (90_000, "1m30s"),
            (120_000, "2m0s"),
            (3_600_500, "1h0m0.5s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), expected);
        }
        assert_eq!(go_duration(Duration::from_micros(1_500)), "1.5ms");
        assert_eq!(go_duration(Duration::from_nanos(1_500)), "1.5µs");
        assert_eq!(go_duration(Duration::from_nanos(15)), "15ns");
    }
}
