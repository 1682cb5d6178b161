//! From the frames of a store to the series of an evaluation.
//!
//! [`select`] asks a store at once and gives series as they come, in the order in which the store sends them; the evaluating thread waits for
//! the next one and decodes it when it needs its samples. What a store sends ahead waits encoded in a pipe of bounded size. Frames of
//! equal labels that follow each other are one series; dropping the set closes the pipe, on which the store stops. [`Told`] is what a
//! whole query was told beside series: warnings, and how much was sent. `data` makes samples of chunks.

mod data;
mod pieces;
#[cfg(test)]
mod tests;
mod told;

use std::sync::{Arc, OnceLock};

use sarsen_downsample::{Aggregate, Wanted, aggregate_for};
use sarsen_promql::{Error, Hint, InputSeries, Selection, SeriesSet};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::Gather;
use crate::store::{Frame, FrameReceiver, QueryHints, SeriesQuery, Store, StoreError, StoreSeries, frames};
use data::{ChunkData, Reading};
pub(crate) use told::Told;

/// Bytes of frames that may wait for the evaluation of one selection.
const ROOM: usize = 4 << 20;

/// Functions that need two samples in a window: what is coarser than half of it is of no use to them. The list is Thanos'.
const NEED_TWO: [&str; 9] = [
    "rate",
    "irate",
    "increase",
    "delta",
    "idelta",
    "deriv",
    "predict_linear",
    "holt_winters",
    "double_exponential_smoothing",
];

/// Asks `store` for what `selection` needs. The question is on its way when this returns; must be called within the runtime. The set must
/// be read on a thread that may wait.
pub(crate) fn select(
    store: Arc<dyn Store>,
    selection: &Selection,
    gather: &Gather,
    told: &Arc<Told>,
) -> Box<dyn SeriesSet> {
    let query = Arc::new(series_query(selection, gather));
    let (sender, receiver) = frames(ROOM);
    let failure = Arc::new(OnceLock::new());
    let task = tokio::spawn({
        let failure = Arc::clone(&failure);
        async move {
            // The pipe must not end before it is known why.
            let open = sender.clone();
            if let Err(why) = store.series(query, sender).await {
                let _first = failure.set(why);
            }
            drop(open);
        }
    });
    Box::new(Assembled {
        frames: receiver,
        runtime: Handle::current(),
        task: task.abort_handle(),
        failure,
        told: Arc::clone(told),
        reading: Arc::new(Reading::new(selection, gather)),
        begun: None,
        ended: false,
    })
}

/// The question to the stores.
fn series_query(selection: &Selection, gather: &Gather) -> SeriesQuery {
    let mut matchers = selection.matchers.clone();
    matchers.extend(gather.enforced.clone());
    let mut query = SeriesQuery::new(selection.range, matchers);
    query.max_resolution_ms = resolution(&selection.hint, gather.max_resolution_ms);
    query.aggregates = match aggregate_for(selection.hint.function) {
        Wanted::Part(part) => vec![part],
        Wanted::Average => vec![Aggregate::Count, Aggregate::Sum],
    };
    query.without.clone_from(&gather.replica_labels);
    query.shard.clone_from(&gather.shard);
    query.abort = !gather.partial;
    query.xor2 = true;
    query.tenant.clone_from(&gather.tenant);
    query.stores.clone_from(&gather.stores);
    query.hints = hints(&selection.hint);
    query
}

/// What the stores are told of the use of what they send.
fn hints(hint: &Hint) -> QueryHints {
    let text = |label: &Vec<u8>| String::from_utf8_lossy(label).into_owned();
    QueryHints {
        step_ms: hint.step_ms,
        range_ms: hint.range_ms,
        function: hint.function.to_owned(),
        by: hint.by,
        grouping: hint.grouping.iter().map(text).collect(),
    }
}

/// The coarsest resolution that will do, in milliseconds.
fn resolution(hint: &Hint, most: i64) -> i64 {
    if hint.range_ms > 0 && NEED_TWO.contains(&hint.function) { most.min(hint.range_ms / 2) } else { most }
}

/// The series of a store, as they come.
struct Assembled {
    frames: FrameReceiver,
    runtime: Handle,
    task: AbortHandle,
    failure: Arc<OnceLock<StoreError>>,
    told: Arc<Told>,
    reading: Arc<Reading>,
    /// The series whose first frame has come.
    begun: Option<StoreSeries>,
    ended: bool,
}

impl Assembled {
    /// The next frame; `None` if there is no more, or if nobody wants it any more.
    fn frame(&mut self) -> Option<Frame> {
        if let Some(frame) = self.frames.try_next() {
            return Some(frame);
        }
        let (frames, told) = (&mut self.frames, &self.told);
        self.runtime.block_on(async move {
            tokio::select! {
                biased;
                () = told.stopped() => None,
                frame = frames.next() => frame,
            }
        })
    }

    /// The next series with the chunks of all its frames.
    fn series(&mut self) -> Result<Option<StoreSeries>, Error> {
        while !self.ended {
            match self.frame() {
                Some(Frame::Series(series)) => {
                    self.told.came(&series);
                    match &mut self.begun {
                        Some(begun) if begun.labels == series.labels => begun.chunks.extend(series.chunks),
                        begun => {
                            if let Some(whole) = begun.replace(series) {
                                return Ok(Some(whole));
                            }
                        }
                    }
                }
                Some(Frame::Warning(text)) => self.told.warn(text),
                None => {
                    self.ended = true;
                    if self.told.is_stopped() {
                        return Err(Error::Canceled);
                    }
                    if let Some(why) = self.failure.get() {
                        self.told.failed(why.clone());
                        return Err(Error::Data(why.to_string()));
                    }
                }
            }
        }
        Ok(self.begun.take())
    }
}

impl SeriesSet for Assembled {
    fn next(&mut self) -> Result<Option<InputSeries>, Error> {
        let Some(series) = self.series()? else { return Ok(None) };
        let data = ChunkData::new(series.chunks, Arc::clone(&self.reading));
        Ok(Some(InputSeries { labels: series.labels, data: Box::new(data) }))
    }
}

impl Drop for Assembled {
    fn drop(&mut self) {
        self.task.abort();
    }
}
