//! One round: look, remove, plan, work, and again, until nothing is due; no loop beyond that, no sleep.
//!
//! A round goes in turns. Each turn begins with a fresh look, so that what one turn made is worked on in the next, and with what is
//! old enough to be removed. Then the jobs of the plan run side by side: every stage has places of its own, groups take turns
//! within a stage, and a job starts when memory and disk have room for it. A turn begins at most [`JOBS_A_TURN`] jobs, so no
//! group and no stage keeps the others from being looked at.
//!
//! No job is done twice in a round, and what failed waits; so a round ends. Only the look may fail: then the store is away, nothing is
//! known and nothing is done; whoever calls rounds calls again later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sarsen_block::{BlockId, BlockMeta};
use sarsen_bucket::{Bucket, Deletions, Error as BucketError, Fetcher, View};

use crate::aside::{SetAside, Until, Waiting, unusable};
use crate::budget::{Budget, Need};
use crate::clean::clean;
use crate::error::Error;
use crate::group::GroupKey;
use crate::job::{Bench, Clock, Failure, Shop};
use crate::observer::CompactorObserver;
use crate::options::Options;
use crate::plan::{Job, Plan, Situation, Stage, plan};
use crate::report::{Done, Failed, RoundReport};
use crate::watch::Stop;

/// So many jobs are begun before the bucket is looked at again.
const JOBS_A_TURN: usize = 64;
/// Marks that are put at the same time.
const MARKS_IN_FLIGHT: usize = 4;
/// The folder in the scratch directory in which all is ours.
const ROOMS: &str = "compacting.tmp";

/// Keeps a bucket of blocks in order: merges, downsamples, ages and removes them.
pub struct Compactor {
    shop: Shop,
    fetcher: Fetcher,
    waiting: Waiting,
}

impl std::fmt::Debug for Compactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compactor({:?})", self.shop.bucket)
    }
}

/// What a look has found.
struct Look {
    view: View,
    deletions: Arc<Deletions>,
    unreadable: Vec<(String, String)>,
    plan: Plan,
    set_aside: Vec<SetAside>,
}

/// How a job ended.
struct Ended {
    job: Arc<Job>,
    need: Need,
    result: Result<Vec<BlockMeta>, Failure>,
    took: Duration,
}

impl Compactor {
    /// A compactor of `bucket`, with a directory for what is under way; two compactors must not share it.
    ///
    /// # Errors
    /// `Options` if the settings make no sense.
    pub fn new(
        bucket: Bucket,
        scratch: impl Into<PathBuf>,
        options: Options,
        observer: Arc<dyn CompactorObserver>,
    ) -> Result<Self, Error> {
        options.check()?;
        let shop = Shop {
            bucket,
            scratch: scratch.into().join(ROOMS),
            options,
            observer,
            stop: Stop::default(),
            sound: Default::default(),
            names: Default::default(),
            idle: Default::default(),
        };
        Ok(Self { shop, fetcher: Fetcher::default(), waiting: Waiting::default() })
    }

    /// Takes other settings from the next round on.
    ///
    /// # Errors
    /// `Options` if they make no sense; the old ones stay.
    pub fn set_options(&mut self, options: Options) -> Result<(), Error> {
        options.check()?;
        self.shop.options = options;
        Ok(())
    }

    /// A handle that stops the compactor from wherever.
    pub fn stopper(&self) -> Stop {
        self.shop.stop.clone()
    }

    /// Looks at the bucket and plans, without doing anything. `now_ms` is now, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// As the store says.
    pub async fn look(&mut self, now_ms: i64) -> Result<Plan, Error> {
        Ok(self.look_and_plan(now_ms).await?.plan)
    }

    /// Does what is due, until nothing is. `now_ms` is the time at its begin, in milliseconds since the Unix epoch; from there it
    /// goes on by the bucket's timer. Must be called on a runtime of tokio.
    ///
    /// # Errors
    /// If the bucket cannot be looked at, or the scratch directory cannot be used; what was done until then is done. Nothing that
    /// is wrong with blocks is an error.
    pub async fn round(&mut self, now_ms: i64) -> Result<RoundReport, Error> {
        let clock = Clock::new(&self.shop.bucket, now_ms);
        let observer = Arc::clone(&self.shop.observer);
        observer.round_started();
        let result = self.turns(&clock).await;
        match &result {
            Ok(report) => observer.round_ended(report, clock.passed()),
            Err(error) => observer.round_failed(error),
        }
        result
    }

    async fn turns(&mut self, clock: &Clock) -> Result<RoundReport, Error> {
        self.sweep()?;
        let mut report = RoundReport::default();
        let mut tried = BTreeSet::new();
        loop {
            let look = self.look_and_plan(clock.now_ms()).await?;
            let Look { view, deletions, unreadable, mut plan, set_aside } = look;
            let shop = &self.shop;
            let cleaned = clean(&shop.bucket, &view, clock.now_ms(), &shop.options, &*shop.observer).await;
            report.cleaned.add(cleaned);
            plan.jobs.retain(|job| !tried.contains(&name_of(job)));
            report.stopped = shop.stop.is_stopped();
            let jobs = if report.stopped { Vec::new() } else { plan.jobs.clone() };
            report.set_aside = set_aside;
            report.unreadable = unreadable;
            report.kept.clone_from(&plan.kept);
            report.left = plan;
            if jobs.is_empty() {
                self.sweep()?;
                return Ok(report);
            }
            let floor = Floor { shop: &self.shop, view, deletions, clock };
            turn(&floor, &mut self.waiting, jobs, &mut tried, &mut report).await;
        }
    }

    /// Removes what a broken-off round left in the scratch directory.
    fn sweep(&self) -> Result<(), Error> {
        match std::fs::remove_dir_all(&self.shop.scratch) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let path = self.shop.scratch.display().to_string();
                Err(sarsen_block::Error::io(format!("emptying {path}"), error).into())
            }
            _ => Ok(()),
        }
    }

    async fn look_and_plan(&mut self, now_ms: i64) -> Result<Look, Error> {
        let shop = &self.shop;
        let view = self.fetcher.fetch(&shop.bucket).await?;
        let mut unreadable = view.bad_marks.clone();
        let deletions = match Deletions::fetch(&shop.bucket).await {
            Err(BucketError::Corrupt { name, why }) => {
                unreadable.push((name, why));
                Deletions::default()
            }
            fetched => fetched?,
        };
        shop.observer.looked(&view);
        self.waiting.keep(&view);
        let mut set_aside = unusable(&view, shop.options.unlabelled);
        let damaged: BTreeSet<BlockId> = set_aside.iter().map(|aside| aside.id).collect();
        let mut resting = self.waiting.at(now_ms);
        let idle = shop.idle.blocks(&view, &deletions);
        resting.extend(idle.into_iter().map(|id| (Stage::Rewrite, id)));
        let situation =
            Situation { view: &view, now_ms, resting: &resting, damaged: &damaged, deletions: &deletions };
        let plan = plan(&situation, &shop.options);
        set_aside.extend(self.waiting.named(now_ms));
        shop.observer.planned(&plan);
        shop.observer.left_out(&set_aside);
        Ok(Look { view, deletions: Arc::new(deletions), unreadable, plan, set_aside })
    }
}

/// What all jobs of a turn share.
struct Floor<'a> {
    shop: &'a Shop,
    view: View,
    deletions: Arc<Deletions>,
    clock: &'a Clock,
}

/// Runs jobs side by side until all have ended, or so many have begun that it is time to look again.
async fn turn(
    floor: &Floor<'_>,
    waiting: &mut Waiting,
    jobs: Vec<Job>,
    tried: &mut BTreeSet<JobName>,
    report: &mut RoundReport,
) {
    let options = &floor.shop.options;
    let mut queue = Queue::new(jobs, options);
    let mut budget = Budget::new(options);
    let mut running = FuturesUnordered::new();
    let mut begun = 0;
    loop {
        while begun < JOBS_A_TURN && !floor.shop.stop.is_stopped() {
            let Some((job, need)) = queue.next(&budget, options) else { break };
            begun += 1;
            budget.take(need);
            running.push(one(floor, job, need));
        }
        let Some(ended) = running.next().await else { break };
        budget.give_back(ended.need);
        queue.ended(ended.job.stage());
        tried.insert(name_of(&ended.job));
        settle(floor, waiting, ended, report).await;
    }
}

/// What tells a job from others.
type JobName = (Stage, Vec<BlockId>);

fn name_of(job: &Job) -> JobName {
    (job.stage(), job.ids().collect())
}

async fn one(floor: &Floor<'_>, job: Arc<Job>, need: Need) -> Ended {
    let Floor { shop, view, deletions, clock } = floor;
    let begin = clock.passed();
    shop.observer.job_started(&job);
    let result = if Budget::new(&shop.options).is_beyond(need) {
        let why = format!("needs {} bytes of disk, there may be {}", need.disk, shop.options.disk_bytes);
        Err(Failure::Passing { blamed: None, why })
    } else {
        let bench = Bench::new(shop, Arc::clone(&job), need, (*clock).clone(), Arc::clone(deletions));
        Box::pin(bench.run(view)).await
    };
    Ended { job, need, result, took: clock.passed().saturating_sub(begin) }
}

/// Notes how a job ended, and sees to the blocks of one that failed.
async fn settle(floor: &Floor<'_>, waiting: &mut Waiting, ended: Ended, report: &mut RoundReport) {
    let Floor { shop, clock, .. } = floor;
    let Ended { job, result, took, .. } = ended;
    let (stage, ids): (Stage, Vec<BlockId>) = name_of(&job);
    let failure = match result {
        Ok(made) => {
            waiting.worked(stage, ids);
            shop.observer.job_done(&job, &made, took);
            report.done.push(Done { job: Arc::unwrap_or_clone(job), made });
            return;
        }
        Err(failure) => failure,
    };
    let (why, now_ms) = (failure.why(), clock.now_ms());
    shop.observer.job_failed(&job, &why, took);
    let mut set_aside = Vec::new();
    match failure {
        Failure::Stopped | Failure::Stale(_) => {}
        Failure::Passing { blamed, .. } => set_aside = waiting.failed(stage, &ids, blamed, now_ms, &why),
        Failure::Unexplained(_) => set_aside = waiting.failed(stage, &ids, None, now_ms, &why),
        Failure::Damaged(blocks) => {
            for (id, damage) in blocks {
                match damage.mark(&shop.bucket, id, now_ms).await {
                    Ok(marks) => {
                        marks.iter().for_each(|mark| shop.observer.marked(mark));
                        let until = Until::Marked(damage.reason);
                        let aside = SetAside { id, why: damage.details, until };
                        report.damaged.push(aside.clone());
                        set_aside.push(aside);
                    }
                    Err(error) => {
                        let why = format!("{}; and it could not be marked: {error}", damage.details);
                        set_aside.extend(waiting.failed(stage, &ids, Some(id), now_ms, &why));
                    }
                }
            }
        }
    }
    set_aside.iter().for_each(|aside| shop.observer.set_aside(aside));
    report.failed.push(Failed { job: Arc::unwrap_or_clone(job), why });
}

/// Jobs that wait for their turn: a line for each stage.
struct Queue {
    lines: BTreeMap<Stage, Line>,
    /// Which stage had its turn how long ago, the longest first.
    order: VecDeque<Stage>,
}

struct Line {
    jobs: VecDeque<Job>,
    places: usize,
}

impl Queue {
    fn new(jobs: Vec<Job>, options: &Options) -> Self {
        let mut lines = BTreeMap::new();
        for stage in Stage::ALL {
            let places = match stage {
                Stage::Merge | Stage::Rewrite => options.concurrency,
                Stage::Coarsen => options.downsample_concurrency,
                Stage::Retain => MARKS_IN_FLIGHT,
            };
            lines.insert(stage, Line { jobs: VecDeque::new(), places });
        }
        // Groups take turns: the first job of each, then the second of each, and so on.
        let mut ranks: BTreeMap<(Stage, GroupKey), usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, Job)> = Vec::with_capacity(jobs.len());
        for job in jobs {
            let rank = ranks.entry((job.stage(), job.group)).or_default();
            ranked.push((*rank, job));
            *rank += 1;
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        for (_, job) in ranked {
            if let Some(line) = lines.get_mut(&job.stage()) {
                line.jobs.push_back(job);
            }
        }
        Self { lines, order: Stage::ALL.into() }
    }

    /// The next job for which there is a place and room, of the stage whose turn it is.
    fn next(&mut self, budget: &Budget, options: &Options) -> Option<(Arc<Job>, Need)> {
        for at in 0..self.order.len() {
            let stage = *self.order.get(at)?;
            let line = self.lines.get_mut(&stage)?;
            let Some(need) = line.jobs.front().map(|job| Need::of(job, options)) else { continue };
            if line.places > 0 && budget.has_room(need) {
                line.places -= 1;
                self.order.remove(at);
                self.order.push_back(stage);
                return line.jobs.pop_front().map(|job| (Arc::new(job), need));
            }
        }
        None
    }

    fn ended(&mut self, stage: Stage) {
        if let Some(line) = self.lines.get_mut(&stage) {
            line.places += 1;
        }
    }
}
