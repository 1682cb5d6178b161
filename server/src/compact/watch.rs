//! Listens to the compactor: counts, keeps the board, and writes the log lines that operators look for.
//!
//! Calls come from tasks and threads at work, so every one is short. Lines about a job under way come at each tenth of a
//! large one, and as often as somebody asks by [`Watch::tell`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sarsen_block::{BlockId, BlockMeta};
use sarsen_bucket::{MarkKind, Marker, Partial, View};
use sarsen_compactor::{
    CompactorObserver, Error, Job, Outdated, Plan, Progress, Removed, RoundReport, SetAside, Stage, Until,
    Work,
};

use crate::blocks::{Aside, Board, Running, Waiting, size_of};
use crate::clock;
use crate::metrics::{CompactMetrics, SyncMetrics, Worked};

/// Jobs of so many bytes tell at each tenth how far they are.
const LARGE: u64 = 64 << 20;
/// Ids in one log line.
const NAMED: usize = 16;

/// The listener.
#[derive(Debug)]
pub(super) struct Watch {
    board: Board,
    metrics: Arc<CompactMetrics>,
    looks: SyncMetrics,
    current: Mutex<Current>,
}

/// What the next call builds on.
#[derive(Debug)]
struct Current {
    /// What was seen last.
    view: Arc<View>,
    /// When the look began that ends next, as far as one can tell.
    since: Instant,
    /// What was said last about what is to be done.
    told: String,
}

impl Watch {
    pub(super) fn new(board: Board, metrics: Arc<CompactMetrics>, looks: SyncMetrics) -> Self {
        let current = Current { view: Arc::default(), since: clock::moment(), told: String::new() };
        Self { board, metrics, looks, current: Mutex::new(current) }
    }

    /// Says how far work under way has come, and what waits.
    pub(super) fn tell(&self) {
        let known = self.board.known();
        for work in known.running.values() {
            let (percent, bytes) = (format!("{:.0}%", work.percent()), work.bytes);
            tracing::info!(group = %work.group, progress = percent, bytes, "{}", work.what);
        }
        let of = |stage: &str| {
            known.backlog.iter().find(|waiting| waiting.stage == stage).cloned().unwrap_or_default()
        };
        let (merge, coarsen) = (of(Stage::Merge.as_str()), of(Stage::Coarsen.as_str()));
        tracing::info!(
            compactions = merge.jobs,
            compaction_blocks = merge.blocks,
            compaction_bytes = merge.bytes,
            downsample_blocks = coarsen.blocks,
            downsample_bytes = coarsen.bytes,
            retention_blocks = of(Stage::Retain.as_str()).blocks,
            "work to be done"
        );
    }
}

/// What a job is called on the board: no two under way have the same first block and stage.
fn name_of(job: &Job) -> String {
    format!("{} {:?}", job.stage().as_str(), job.ids().next())
}

/// What a job does, as a log line says it.
fn what(work: &Work) -> &'static str {
    match work {
        Work::Merge { .. } => "compact blocks",
        Work::Bar { .. } => "mark blocks as not to be compacted",
        Work::Coarsen { .. } => "downsample block",
        Work::Delete { reason: Outdated::Age, .. } => "apply retention to blocks",
        Work::Delete { reason: Outdated::Duplicate, .. } => "mark blocks whose content is in others",
        Work::Rewrite => "rewrite block without what was deleted",
    }
}

/// Ids for a log line: all of a few, the first of many.
fn ids(ids: impl Iterator<Item = BlockId>) -> String {
    let mut all: Vec<String> = ids.map(|id| id.to_string()).collect();
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("[{}{more}]", all.join(" "))
}

fn bytes_of<'a>(metas: impl Iterator<Item = &'a Arc<BlockMeta>>) -> u64 {
    metas.map(|meta| size_of(meta)).fold(0, u64::saturating_add)
}

/// Blocks that wait to be removed: a stage of the cleaning, which the plan does not know.
fn removals(view: &View) -> Waiting {
    let marked = |id: &&BlockId| view.mark(**id, MarkKind::Deletion).is_some();
    let ids: Vec<&BlockId> = view.marks.keys().filter(marked).collect();
    let bytes = bytes_of(ids.iter().filter_map(|id| view.blocks.get(id)));
    let blocks = ids.len() as u64;
    Waiting { stage: "removal", jobs: blocks, blocks, bytes }
}

/// Blocks by state, in the words of Thanos' metrics.
fn states(view: &View, loaded: &View, plan: &Plan) -> BTreeMap<&'static str, u64> {
    let mut states: BTreeMap<&str, u64> = BTreeMap::from([("loaded", loaded.blocks.len() as u64)]);
    let mut add = |state, count| *states.entry(state).or_default() += count;
    for (_, why) in &plan.excluded {
        add(why.as_str(), 1);
    }
    for partial in view.partial.values() {
        match partial {
            Partial::NoMeta { .. } => add("no-meta-json", 1),
            Partial::BadMeta { .. } => add("corrupted-meta-json", 1),
        }
    }
    let barred = loaded.blocks.keys().filter(|id| view.mark(**id, MarkKind::NoCompact).is_some());
    add("marked-for-no-compact", barred.count() as u64);
    states
}

impl CompactorObserver for Watch {
    fn round_started(&self) {
        self.current.lock().since = clock::moment();
        tracing::info!("start of compactions");
    }

    fn round_ended(&self, report: &RoundReport, took: Duration) {
        if !report.stopped {
            self.metrics.iterations.add(1);
            self.metrics.cleanups.add(1);
            self.board.change(|known| known.last_round_ms = Some(clock::now()));
        }
        tracing::info!(
            jobs = report.done.len(),
            failed = report.failed.len(),
            made = report.made().count(),
            removed = report.cleaned.removed.len(),
            set_aside = report.set_aside.len(),
            duration = ?took,
            "compaction iterations done"
        );
        for (id, why) in &report.kept {
            tracing::warn!(id = %id, reason = why.as_str(), "block is older than its retention and stays");
        }
    }

    fn round_failed(&self, _: &Error) {
        let took = self.current.lock().since.elapsed();
        self.looks.looked(took, None::<([(&str, u64); 0], u64)>);
    }

    fn looked(&self, view: &View) {
        let view = Arc::new(view.clone());
        let back = self.board.change(|known| {
            known.global.looked(clock::now(), Ok(Arc::clone(&view)));
            known.away.take()
        });
        if let Some((since, _)) = back {
            let seconds = clock::now().saturating_sub(since) / 1000;
            tracing::info!(seconds, "the store answers again");
        }
        self.current.lock().view = view;
    }

    fn planned(&self, plan: &Plan) {
        let (view, took) = {
            let mut current = self.current.lock();
            let took = current.since.elapsed();
            current.since = clock::moment();
            (Arc::clone(&current.view), took)
        };
        let mut loaded = View::clone(&view);
        plan.excluded.iter().for_each(|(id, _)| drop(loaded.blocks.remove(id)));
        self.looks.looked(took, Some((states(&view, &loaded, plan), 0)));
        let mut backlog: Vec<Waiting> = Stage::ALL
            .into_iter()
            .map(|stage| {
                let waiting = plan.backlog(stage);
                let (jobs, blocks) = (waiting.jobs as u64, waiting.blocks as u64);
                Waiting { stage: stage.as_str(), jobs, blocks, bytes: waiting.bytes }
            })
            .collect();
        backlog.push(removals(&view));
        let text = format!("{backlog:?}");
        self.board.change(|known| {
            known.loaded.looked(clock::now(), Ok(Arc::new(loaded)));
            known.backlog = backlog;
        });
        if std::mem::replace(&mut self.current.lock().told, text.clone()) != text {
            self.tell();
        }
    }

    fn left_out(&self, blocks: &[SetAside]) {
        blocks.iter().for_each(|block| self.note(block));
        let left: BTreeSet<BlockId> = blocks.iter().map(|block| block.id).collect();
        self.board.change(|known| known.set_aside.retain(|id, _| left.contains(id)));
    }

    fn job_started(&self, job: &Job) {
        if matches!(job.work, Work::Merge { .. }) {
            self.metrics.merge_began(job.group.resolution);
        }
        let running = Running {
            what: format!("{}: {}", what(&job.work), job.why),
            group: job.group.to_string(),
            since_ms: clock::now(),
            bytes: job.bytes,
            done: 0,
        };
        self.board.change(|known| known.running.insert(name_of(job), running));
        let (what, blocks) = (what(&job.work), ids(job.ids()));
        tracing::info!(group = %job.group, blocks, bytes = job.bytes, reason = job.why, "{what}");
    }

    fn job_progressed(&self, job: &Job, progress: Progress) {
        let before = self.board.change(|known| {
            let work = known.running.get_mut(&name_of(job))?;
            let before = work.percent();
            (work.bytes, work.done) = (progress.bytes, progress.read);
            Some(before)
        });
        let percent = progress.percent();
        let tenth = before.is_some_and(|before| f64::from(percent / 10) > (before / 10.0).floor());
        if tenth && progress.bytes >= LARGE && percent < 100 {
            let what = what(&job.work);
            tracing::info!(group = %job.group, progress = format!("{percent}%"), bytes = progress.bytes, "{what}");
        }
    }

    fn job_done(&self, job: &Job, made: &[BlockMeta], took: Duration) {
        self.board.change(|known| known.running.remove(&name_of(job)));
        self.count(job, true, took);
        let new = ids(made.iter().map(|meta| meta.id));
        let blocks = job.blocks.len();
        tracing::info!(group = %job.group, blocks, new, duration = ?took, "done: {}", what(&job.work));
    }

    fn job_failed(&self, job: &Job, why: &str, took: Duration) {
        self.board.change(|known| known.running.remove(&name_of(job)));
        self.count(job, false, took);
        let blocks = ids(job.ids());
        tracing::error!(group = %job.group, blocks, err = why, duration = ?took, "failed: {}", what(&job.work));
    }

    fn set_aside(&self, block: &SetAside) {
        self.note(block);
    }

    fn marked(&self, mark: &Marker) {
        let reason = mark.reason.as_ref().map_or("", |reason| reason.as_str());
        self.metrics.marked.with(&[mark.kind.file_name(), reason]).add(1);
        tracing::info!(id = %mark.id, mark = mark.kind.file_name(), reason, details = mark.details, "block marked");
    }

    fn removed(&self, id: BlockId, why: Removed) {
        self.metrics.cleaned.add(1);
        if why == Removed::Half {
            self.metrics.halves_removed.add(1);
        }
        let reason = removal(why);
        tracing::info!(id = %id, reason, "block deleted");
    }

    fn removal_failed(&self, id: BlockId, why: Removed, error: &Error) {
        self.metrics.cleanup_failures.add(1);
        let reason = removal(why);
        tracing::error!(id = %id, reason, err = %error, "cannot delete a block, the next round tries again");
    }
}

impl Watch {
    /// Puts a block that is left out on the board, and says so when it comes there.
    fn note(&self, block: &SetAside) {
        let view = Arc::clone(&self.current.lock().view);
        let before = self.board.change(|known| {
            let now = aside(block, known.set_aside.get(&block.id), &view, clock::now());
            known.set_aside.insert(block.id, now)
        });
        let reason = reason_of(&block.until);
        if before.is_none_or(|before| before.reason != reason) {
            tracing::warn!(id = %block.id, reason, err = block.why, "block is set aside, everything else goes on");
        }
    }

    /// Counts a job that has ended.
    fn count(&self, job: &Job, good: bool, took: Duration) {
        let worked = |vertical| Worked { resolution: job.group.resolution, good, vertical, took };
        match &job.work {
            Work::Merge { overlapping } => self.metrics.merged(worked(*overlapping)),
            Work::Coarsen { .. } => self.metrics.downsampled(worked(false)),
            Work::Delete { reason: Outdated::Duplicate, .. } => {
                self.metrics.collected(took, good);
                if good {
                    self.metrics.garbage.add(job.blocks.len() as u64);
                }
            }
            Work::Bar { .. } | Work::Delete { .. } | Work::Rewrite => {}
        }
    }
}

fn removal(why: Removed) -> &'static str {
    match why {
        Removed::Marked => "marked for deletion long enough ago",
        Removed::Half => "half a block that nobody completes",
    }
}

/// One word for metrics and for the page.
fn reason_of(until: &Until) -> String {
    match until {
        Until::Marked(reason) => reason.as_str().to_owned(),
        Until::Time(_) => "retried".to_owned(),
        _ => "unfit".to_owned(),
    }
}

fn aside(block: &SetAside, before: Option<&Aside>, view: &View, now_ms: i64) -> Aside {
    let mark = view.mark(block.id, MarkKind::NoCompact).map(|mark| mark.time.saturating_mul(1000));
    let marked = matches!(block.until, Until::Marked(_));
    Aside {
        reason: reason_of(&block.until),
        why: block.why.clone(),
        since_ms: mark.filter(|_| marked).or(before.map(|before| before.since_ms)).unwrap_or(now_ms),
        again_ms: match block.until {
            Until::Time(at) => Some(at),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests;
