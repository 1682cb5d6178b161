//! The compact role: has the bucket to itself, runs round after round, and says what it does.
//!
//! A round that ends early because the store failed is followed by the next one after a pause that grows to the usual
//! one; nothing but a stop, or in a single round a store that fails, ends the role. Without the lease it stands by. A
//! stop, and the loss of the lease, give up the round where it is: what was not finished is found and done by the next.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sarsen_bucket::{Bucket, Fetcher};
use sarsen_compactor::{Advice, Compactor, Error, clean};
use tokio_util::sync::CancellationToken;

use super::claim::{Claim, RETRY, Tried};
use super::options::RoleOptions;
use super::scratch::Scratch;
use super::watch::Watch;
use crate::blocks::{self, Board, Site, State};
use crate::clock;
use crate::metrics::{CompactMetrics, HttpMetrics, Registry, SyncMetrics, todo};

/// Pause after the first of several rounds that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// How long a stop waits for what is at work.
const LAST_WORK: Duration = Duration::from_secs(10);

/// The role.
#[derive(Clone)]
pub(crate) struct CompactRole(Arc<Shared>);

struct Shared {
    bucket: Bucket,
    options: RoleOptions,
    board: Board,
    watch: Arc<Watch>,
    metrics: Arc<CompactMetrics>,
    looks: SyncMetrics,
}

/// Why rounds ended.
enum Ended {
    /// The one round that was asked for is done.
    Done,
    /// The store failed in it.
    Failed(String),
    /// Told to stop.
    Stopped,
    /// The lease is gone, for this reason.
    Lost(String),
}

impl CompactRole {
    /// The role, not yet begun.
    pub(crate) fn new(bucket: Bucket, options: RoleOptions, registry: &Registry) -> Result<Self, String> {
        let board = Board::default();
        let told = options.settings.options(clock::now())?;
        let span = |ms: i64| Duration::from_millis(ms.max(0).unsigned_abs());
        let (delete, consistency) = (span(told.delete_delay_ms), span(told.consistency_delay_ms));
        let metrics = Arc::new(CompactMetrics::new(registry, delete, consistency));
        let watch = Watch::new(board.clone(), Arc::clone(&metrics), SyncMetrics::loaded(registry));
        let shown = board.clone();
        registry.snapshot(move |page| todo::write(page, &shown, clock::now()));
        let looks = SyncMetrics::global(registry);
        Ok(Self(Arc::new(Shared { bucket, options, board, watch: Arc::new(watch), metrics, looks })))
    }

    /// Its page and API; `front`: also at `/`.
    pub(crate) fn routes(&self, http: &HttpMetrics, front: bool) -> axum::Router {
        let (board, bucket, options) = (self.0.board.clone(), self.0.bucket.clone(), &self.0.options);
        let site = Site { board, bucket, flags: options.flags.clone(), works: true };
        blocks::routes(site, options.web.as_ref(), http, front)
    }

    /// Works until told to stop, or for one round if that is what was asked for.
    pub(crate) async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        let folder = self.0.options.scratch.clone();
        let opened = tokio::task::spawn_blocking(move || Scratch::open(&folder)).await;
        let scratch = opened.map_err(|why| why.to_string())??;
        let beside = CancellationToken::new();
        let _guard = beside.clone().drop_guard();
        if self.0.options.wait.is_some() && self.0.options.web.is_some() {
            tokio::spawn(Arc::clone(&self.0).look_on_time(beside.clone()));
        }
        // A single round may take hours too.
        if !self.0.options.progress.is_zero() {
            tokio::spawn(Arc::clone(&self.0).tell_on_time(beside));
        }
        let outcome = self.0.lead_again_and_again(&scratch, stop).await;
        self.0.board.change(|known| known.state = State::Stopping);
        outcome
    }
}

impl Shared {
    async fn lead_again_and_again(&self, scratch: &Scratch, stop: CancellationToken) -> Result<(), String> {
        loop {
            let claimed = tokio::select! {
                claimed = self.claim(&scratch.holder) => claimed?,
                () = stop.cancelled() => return Ok(()),
            };
            let mut claim = claimed;
            self.metrics.leads.set(1.0);
            let ended = self.lead(scratch, &mut claim, &stop).await;
            self.metrics.leads.set(0.0);
            self.board.change(|known| known.running.clear());
            match ended {
                Ended::Lost(why) => {
                    tracing::error!(err = why, "stopped working on the bucket");
                    if self.options.wait.is_none() {
                        return Err(why);
                    }
                }
                Ended::Done | Ended::Stopped => {
                    claim.give_back().await;
                    return Ok(());
                }
                Ended::Failed(why) => {
                    claim.give_back().await;
                    return Err(why);
                }
            }
        }
    }

    /// Works while the bucket is ours.
    async fn lead(&self, scratch: &Scratch, claim: &mut Claim, stop: &CancellationToken) -> Ended {
        let mut compactor = match self.compactor(scratch) {
            Ok(compactor) => compactor,
            Err(why) => return Ended::Failed(why),
        };
        let stopper = compactor.stopper();
        let rounds = self.rounds(&mut compactor, stop);
        tokio::pin!(rounds);
        tokio::select! {
            ended = &mut rounds => ended,
            why = claim.keep() => {
                stopper.stop();
                Ended::Lost(why)
            }
            never = self.clean_on_time() => match never {},
            () = stop.cancelled() => {
                stopper.stop();
                // What is at work ends at its next write, and takes what it wrote away again; if the store lets it.
                let _ = tokio::time::timeout(LAST_WORK, &mut rounds).await;
                Ended::Stopped
            }
        }
    }

    /// Waits until the bucket is ours. A single round does not wait.
    async fn claim(&self, holder: &str) -> Result<Claim, String> {
        if !self.options.lease {
            tracing::warn!("no lease is asked for: nothing keeps a second compactor from this bucket");
            return Ok(Claim::unasked());
        }
        let mut told = String::new();
        loop {
            let why = match Claim::ask(&self.bucket, holder).await {
                Ok(Tried::Ours(claim)) => {
                    tracing::info!(holder, "the bucket's lease is ours");
                    return Ok(claim);
                }
                Ok(Tried::Busy { holder, until_ms }) => {
                    let until = date(until_ms);
                    self.board.change(|known| known.state = State::Standby { holder: holder.clone() });
                    format!(
                        "another compactor works on this bucket: {holder} holds its lease (until {until}, and on if it is renewed)"
                    )
                }
                Ok(Tried::NotOffered(why)) => {
                    return Err(format!(
                        "this store offers no lease, so a second compactor could not be kept away ({why}); if nobody else works on this bucket, start with --compact.lease=off"
                    ));
                }
                Err(why) => {
                    self.away(&why.to_string());
                    format!("cannot ask for the bucket's lease: {why}")
                }
            };
            if self.options.wait.is_none() {
                return Err(why);
            }
            // The same reason is told once: who holds it, not until when.
            let reason = why.split(" (until").next().unwrap_or_default().to_owned();
            if reason != told {
                tracing::warn!(err = why, "standing by");
                told = reason;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn rounds(&self, compactor: &mut Compactor, stop: &CancellationToken) -> Ended {
        let (mut complaint, mut failures) = (String::new(), 0u32);
        loop {
            self.read_settings(compactor, &mut complaint);
            self.board.change(|known| known.state = State::Working);
            let ended = compactor.round(clock::now()).await;
            let failed = match ended {
                Ok(_) => {
                    failures = 0;
                    None
                }
                Err(why) => {
                    failures = failures.saturating_add(1);
                    self.failed(&why);
                    Some(why.to_string())
                }
            };
            if stop.is_cancelled() {
                return Ended::Stopped;
            }
            let Some(wait) = self.options.wait else {
                return failed.map_or(Ended::Done, Ended::Failed);
            };
            let pause = pause(wait, failures);
            let until_ms = clock::now().saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
            self.board.change(|known| known.state = State::Waiting { until_ms });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return Ended::Stopped,
            }
        }
    }

    /// Removes half blocks and what has been marked long enough, beside the rounds: one of these may take hours.
    async fn clean_on_time(&self) -> Infallible {
        if self.options.wait.is_none() || self.options.cleanup.is_zero() {
            return std::future::pending().await;
        }
        let mut fetcher = Fetcher::default();
        loop {
            tokio::time::sleep(self.options.cleanup).await;
            let now = clock::now();
            let Ok(options) = self.options.settings.options(now) else { continue };
            match fetcher.fetch(&self.bucket).await {
                Ok(view) => {
                    clean(&self.bucket, &view, now, &options, &*self.watch).await;
                    self.metrics.cleanups.add(1);
                }
                Err(why) => {
                    self.metrics.retries.add(1);
                    tracing::warn!(err = %why, "cannot look for blocks to be removed, trying again later");
                }
            }
        }
    }

    fn compactor(&self, scratch: &Scratch) -> Result<Compactor, String> {
        let options = self.options.settings.options(clock::now())?;
        let watch = Arc::clone(&self.watch);
        Compactor::new(self.bucket.clone(), &scratch.work, options, watch).map_err(|why| why.to_string())
    }

    /// Reads what may have changed; a fault leaves the old settings in force and is told once.
    fn read_settings(&self, compactor: &mut Compactor, complaint: &mut String) {
        let read = self.options.settings.options(clock::now());
        let taken = read.and_then(|options| compactor.set_options(options).map_err(|why| why.to_string()));
        let now = taken.err().unwrap_or_default();
        if !now.is_empty() && now != *complaint {
            tracing::error!(err = %now, "cannot take over the changed settings, the old ones stay in force");
        }
        *complaint = now;
    }

    /// A round ended early.
    fn failed(&self, why: &Error) {
        self.metrics.retries.add(1);
        if why.advice() == Advice::Retry {
            self.away(&why.to_string());
        }
        tracing::error!(err = %why, "the round ended early, the next one goes on");
    }

    fn away(&self, why: &str) {
        let now = clock::now();
        self.board.change(|known| {
            let since = known.away.as_ref().map_or(now, |(since, _)| *since);
            known.away = Some((since, why.to_owned()));
        });
    }

    /// Looks at the whole bucket for the page, unless the compactor did so just now.
    async fn look_on_time(self: Arc<Self>, stop: CancellationToken) {
        let mut fetcher = Fetcher::default();
        let mut timer = tokio::time::interval(self.options.viewer);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = timer.tick() => {}
            }
            let fresh = clock::now()
                .saturating_sub(i64::try_from(self.options.viewer.as_millis()).unwrap_or(i64::MAX));
            if self.board.change(|known| known.global.at_ms.is_some_and(|at| at > fresh)) {
                continue;
            }
            let began = clock::moment();
            let looked = tokio::time::timeout(self.options.viewer_timeout, fetcher.fetch(&self.bucket)).await;
            let found = match looked {
                Ok(found) => found.map(Arc::new).map_err(|why| why.to_string()),
                Err(_) => Err(format!("no answer within {:?}", self.options.viewer_timeout)),
            };
            self.looks.looked(
                began.elapsed(),
                found.as_ref().ok().map(|view| ([("loaded", view.blocks.len() as u64)], 0)),
            );
            self.board.change(|known| known.global.looked(clock::now(), found));
        }
    }

    /// Says again and again how far work has come.
    async fn tell_on_time(self: Arc<Self>, stop: CancellationToken) {
        // At the begin there is nothing to tell.
        let first = tokio::time::Instant::now() + self.options.progress;
        let mut timer = tokio::time::interval_at(first, self.options.progress);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = timer.tick() => self.watch.tell(),
            }
        }
    }
}

/// Short after the first failure, then longer, never longer than usual.
fn pause(usual: Duration, failures: u32) -> Duration {
    match failures {
        0 => usual,
        failures => FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(16)).min(usual),
    }
}

fn date(ms: i64) -> String {
    let date = chrono::DateTime::<chrono::Utc>::from_timestamp_millis(ms).unwrap_or_default();
    date.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_usual_one() {
        let usual = Duration::from_secs(180);
        let seconds: Vec<u64> = (0..9).map(|failures| pause(usual, failures).as_secs()).collect();
        assert_eq!(seconds, [180, 5, 10, 20, 40, 80, 160, 180, 180]);
        assert_eq!(pause(Duration::from_secs(1), 3).as_secs(), 1);
        assert_eq!(pause(usual, u32::MAX), usual);
    }
}
