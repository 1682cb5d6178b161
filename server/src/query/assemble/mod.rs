//! From the frames of a store to the series of an evaluation.
//!
//! [`select`] asks a store at once and gives series as they come, in the order in which the store sends them; the evaluating thread waits for
//! the next one and decodes it when it needs its samples. What a store sends ahead waits encoded in a pipe of bounded size. Frames of
//! equal labels that follow each other are one series; dropping the set closes the pipe, on which the store stops. [`Told`] is what a
//! whole query was told beside series: warnings, and how much was sent. `data` makes samples of chunks.

mod apart;
mod data;
mod pieces;
mod seen;
#[cfg(test)]
mod tests;
mod told;

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use sarsen_downsample::{Aggregate, Wanted, aggregate_for};
use sarsen_promql::{Error, Hint, InputSeries, Selection, SeriesSet};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use self::apart::{Apart, Collected, TOO_MUCH};
use self::seen::Seen;
use super::Gather;
use crate::clock;
use crate::store::{Frame, FrameReceiver, QueryHints, SeriesQuery, Store, StoreError, StoreSeries, frames};
use data::{ChunkData, Reading};
pub(crate) use seen::{Found, Replicated, Share};
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
    let mut query = series_query(selection, gather);
    let explained = gather.explain.then(|| Explained::new(&store, &mut query, told));
    let runtime = Handle::current();
    Box::new(Assembled {
        pipe: Pipe::ask(&runtime, store, Arc::new(query), told),
        runtime,
        told: Arc::clone(told),
        reading: Arc::new(Reading::new(selection, gather)),
        begun: None,
        ended: false,
        explained,
    })
}

/// A question under way.
struct Pipe {
    frames: FrameReceiver,
    task: AbortHandle,
    failure: Arc<OnceLock<StoreError>>,
    /// Somebody waits for the answer.
    wanted: Arc<Notify>,
}

impl Pipe {
    /// Asks when it is its turn, or when the answer is waited for: those whose turn it is may themselves wait to be read.
    fn ask(runtime: &Handle, store: Arc<dyn Store>, query: Arc<SeriesQuery>, told: &Arc<Told>) -> Self {
        let (sender, frames) = frames(ROOM);
        let (failure, wanted) = (Arc::new(OnceLock::new()), Arc::new(Notify::new()));
        let task = runtime.spawn({
            let (failure, wanted, told) = (Arc::clone(&failure), Arc::clone(&wanted), Arc::clone(told));
            async move {
                let _turn = tokio::select! {
                    biased;
                    turn = told.turn() => turn,
                    () = wanted.notified() => None,
                };
                // The pipe must not end before it is known why.
                let open = sender.clone();
                if let Err(why) = store.series(query, sender).await {
                    let _first = failure.set(why);
                }
                drop(open);
            }
        });
        Self { frames, task: task.abort_handle(), failure, wanted }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is noted of a selection that is to be explained.
struct Explained {
    seen: Arc<Seen>,
    began: Instant,
    /// Whom to ask again, if it is more than can be collected; then replica labels are left in, and are these.
    apart: Option<(Arc<dyn Store>, SeriesQuery)>,
    collected: Option<VecDeque<Apart>>,
}

impl Explained {
    /// Makes a question of it that tells more.
    fn new(store: &Arc<dyn Store>, query: &mut SeriesQuery, told: &Told) -> Self {
        let seen = told.next_seen();
        query.stats = true;
        let mut apart = None;
        if query.shard.is_some() {
            // Which part a series is in is told by its labels without those of replicas.
            seen.untold("a part of the series is asked for");
        } else if !query.without.is_empty() {
            apart = Some((Arc::clone(store), query.clone()));
            query.without.clear();
        }
        Self { seen, began: clock::moment(), apart, collected: None }
    }
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
    pipe: Pipe,
    runtime: Handle,
    told: Arc<Told>,
    reading: Arc<Reading>,
    /// The series whose first frame has come.
    begun: Option<StoreSeries>,
    ended: bool,
    /// Of one that is to be explained.
    explained: Option<Explained>,
}

impl Assembled {
    /// The next frame; `None` if there is no more, or if nobody wants it any more.
    fn frame(&mut self) -> Option<Frame> {
        if let Some(frame) = self.pipe.frames.try_next() {
            return Some(frame);
        }
        self.pipe.wanted.notify_one();
        let (frames, told) = (&mut self.pipe.frames, &self.told);
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
                    match &self.explained {
                        Some(explained) => explained.seen.came(&series),
                        None => self.told.came(&series),
                    }
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
                Some(Frame::Hints(hints)) => {
                    if let Some(explained) = &self.explained {
                        explained.seen.told(*hints);
                    }
                }
                None => {
                    self.ended = true;
                    if let Some(explained) = &self.explained {
                        explained.seen.ended(explained.began.elapsed());
                    }
                    if self.told.is_stopped() {
                        return Err(Error::Canceled);
                    }
                    if let Some(why) = self.pipe.failure.get() {
                        self.told.failed(why.clone());
                        return Err(Error::Data(why.to_string()));
                    }
                }
            }
        }
        Ok(self.begun.take())
    }

    /// Everything, with the origins of chunks; asked again in the usual way if it is too much, which gives nothing here.
    fn collect(&mut self, (store, usual): (Arc<dyn Store>, SeriesQuery)) -> Result<VecDeque<Apart>, Error> {
        let mut collected = Collected::default();
        while let Some(series) = self.series()? {
            if collected.take(series, &usual.without) {
                continue;
            }
            drop(collected);
            if let Some(explained) = &self.explained {
                explained.seen.again(TOO_MUCH);
            }
            self.pipe = Pipe::ask(&self.runtime, store, Arc::new(usual), &self.told);
            (self.begun, self.ended) = (None, false);
            return Ok(VecDeque::new());
        }
        Ok(self.explained.as_ref().map(|explained| collected.finish(&explained.seen)).unwrap_or_default())
    }

    /// The next series of those that were collected, if they are to be.
    fn apart(&mut self) -> Result<Option<Apart>, Error> {
        if let Some(apart) = self.explained.as_mut().and_then(|explained| explained.apart.take()) {
            let collected = self.collect(apart)?;
            if let Some(explained) = &mut self.explained {
                explained.collected = Some(collected);
            }
        }
        let explained = self.explained.as_mut();
        Ok(explained.and_then(|explained| explained.collected.as_mut()?.pop_front()))
    }
}

impl SeriesSet for Assembled {
    fn next(&mut self) -> Result<Option<InputSeries>, Error> {
        if let Some((series, origins)) = self.apart()? {
            let data = ChunkData::counted(series.chunks, origins, Arc::clone(&self.reading));
            return Ok(Some(InputSeries { labels: series.labels, data: Box::new(data) }));
        }
        let Some(series) = self.series()? else { return Ok(None) };
        let data = ChunkData::new(series.chunks, Arc::clone(&self.reading));
        Ok(Some(InputSeries { labels: series.labels, data: Box::new(data) }))
    }
}
