//! Keeps the shelf in step with the bucket.
//!
//! One loop does all looking: a whole look on time, or sooner when a request has met a block that is gone; in between the small object
//! that names deletions, which also tells whether the store is there. While it is not, everything goes on with what was last seen, and
//! the loop asks more often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sarsen_block::{BlockId, BlockMeta};
use sarsen_bucket::{Deletions, Error, Excluded, Fetcher, MarkKind, Partial, View};
use tokio_util::sync::CancellationToken;

use super::Gateway;
use super::choose::Group;
use super::shelf::Shelf;
use super::source::Source;
use crate::blocks::State;
use crate::clock;

/// Time between looks at the deletions, while the store is there.
const PROBE: Duration = Duration::from_secs(30);
/// The same while it is not.
const PROBE_AWAY: Duration = Duration::from_secs(5);
/// How long such a look may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);
/// Least time between two whole looks.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// Time before the next whole look when one has failed.
const RETRY: Duration = Duration::from_secs(10);

/// What the loop remembers.
#[derive(Default)]
struct Looker {
    fetcher: Fetcher,
    deletions: Option<Arc<Deletions>>,
}

impl Gateway {
    /// Looks at the bucket again and again until told to stop.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut looker = Looker::default();
        let mut due = tokio::time::Instant::now();
        loop {
            let here = self.probe(&mut looker).await;
            if here && tokio::time::Instant::now() >= due {
                let good = self.look(&mut looker).await;
                due = tokio::time::Instant::now() + if good { self.0.options.sync_every } else { RETRY };
            }
            self.0.looks.send_modify(|ended| *ended += 1);
            let nap = if here { PROBE } else { PROBE_AWAY };
            let until_due = due.saturating_duration_since(tokio::time::Instant::now()).max(LEAST_PAUSE);
            tokio::select! {
                () = tokio::time::sleep(nap.min(until_due)) => {}
                () = self.0.probe.notified() => {}
                () = self.0.look.notified() => due = tokio::time::Instant::now(),
                () = stop.cancelled() => break,
            }
        }
        self.0.board.change(|known| known.state = State::Stopping);
    }

    /// Waits until there is a shelf to answer from.
    pub(crate) async fn started(&self) {
        let mut looks = self.0.looks.subscribe();
        while self.shelf().number == 0 {
            if looks.changed().await.is_err() {
                return;
            }
        }
    }

    /// Reads what was deleted; whether the store is there.
    async fn probe(&self, looker: &mut Looker) -> bool {
        let bucket = &self.0.bucket;
        match tokio::time::timeout(PROBE_PATIENCE, Deletions::fetch(bucket)).await {
            Ok(Ok(deletions)) => {
                self.came_back();
                if looker.deletions.as_deref() != Some(&deletions) {
                    looker.deletions = Some(Arc::new(deletions));
                    self.shelve(looker, None);
                }
                true
            }
            Ok(Err(error @ Error::Corrupt { .. })) => {
                self.came_back();
                tracing::error!(err = %error, "cannot read what was deleted, what was read before stays in force");
                looker.deletions.get_or_insert_default();
                true
            }
            Ok(Err(error)) => self.went_away(&error.to_string()),
            Err(_) => self.went_away(&format!("no answer within {PROBE_PATIENCE:?}")),
        }
    }

    fn came_back(&self) {
        if self.0.away.send_if_modified(|away| away.take().is_some()) {
            tracing::info!("the object store answers again");
            self.0.board.change(|known| known.away = None);
        }
    }

    fn went_away(&self, why: &str) -> bool {
        let news = self.0.away.send_replace(Some(why.to_owned())).is_none();
        if news {
            tracing::warn!(err = why, "the object store does not answer; going on with what was last seen");
        }
        let now = clock::now();
        self.0.board.change(|known| {
            let since = known.away.as_ref().map_or(now, |(since, _)| *since);
            known.away = Some((since, why.to_owned()));
        });
        false
    }

    /// Looks at the whole bucket; whether that went well.
    async fn look(&self, looker: &mut Looker) -> bool {
        let began = clock::moment();
        let fetched = looker.fetcher.fetch(&self.0.bucket).await;
        let (took, now) = (began.elapsed(), clock::now());
        let mut view = match fetched {
            Ok(view) => view,
            Err(why) => {
                tracing::warn!(err = %why, "cannot look at the bucket, going on with what was last seen");
                self.0.board.change(|known| known.global.looked(now, Err(why.to_string())));
                if let Some(looked) = &self.0.looked {
                    looked.looked(took, None::<([(&str, u64); 0], u64)>);
                }
                return false;
            }
        };
        let whole = Arc::new(view.clone());
        let gone = self.0.options.sieve.apply(&mut view, now);
        if let Some(looked) = &self.0.looked {
            looked.looked(took, Some((states(&view, &gone), 0)));
        }
        let view = Arc::new(view);
        self.0.board.change(|known| {
            known.state = State::Serving;
            known.global.looked(now, Ok(whole));
            known.loaded.looked(now, Ok(Arc::clone(&view)));
        });
        self.shelve(looker, Some(view));
        true
    }

    /// Puts what was found on a new shelf: other blocks, or other deletions.
    fn shelve(&self, looker: &Looker, found: Option<Arc<View>>) {
        let (began, old) = (clock::moment(), self.shelf());
        let deletions = looker.deletions.clone().unwrap_or_default();
        // Before the first look there is nothing to be put anywhere.
        let Some(view) = found.or_else(|| (old.number > 0).then(|| Arc::clone(&old.view))) else { return };
        let mut sources: BTreeMap<BlockId, Arc<Source>> = BTreeMap::new();
        let mut blocks: BTreeMap<BlockId, Arc<BlockMeta>> = BTreeMap::new();
        let mut new = 0;
        for (id, meta) in &view.blocks {
            let same = old.sources.get(id).filter(|source| source.is_like(meta, &deletions));
            let source = match same {
                Some(source) => Ok(Arc::clone(source)),
                None => {
                    let scratch = self.0.options.data_dir.join(id.to_string());
                    let made = Source::new(&self.0.bucket, Arc::clone(meta), scratch, Arc::clone(&deletions));
                    made.map(Arc::new)
                }
            };
            match source {
                Ok(source) => {
                    new += u64::from(!old.sources.contains_key(id));
                    sources.insert(*id, source);
                    blocks.insert(*id, Arc::clone(meta));
                }
                Err(why) => {
                    self.0.metrics.load_failures.add(1);
                    tracing::error!(block = %id, err = %why, "a block cannot be served");
                }
            }
        }
        let dropped = old.sources.keys().filter(|id| !sources.contains_key(id)).count() as u64;
        self.0.metrics.drops.add(dropped);
        self.0.metrics.loaded(sources.len(), new, clock::now() as f64 / 1e3, began.elapsed());
        if new > 0 || dropped > 0 {
            tracing::info!(blocks = sources.len(), new, dropped, "serving the blocks of the bucket");
        }
        // Labels were good when the sources were made of them.
        let groups = Group::all_of(&blocks).unwrap_or_default();
        let range = Some(self.0.options.sieve.range(clock::now()));
        let number = old.number + 1;
        *self.0.shelf.write() = Arc::new(Shelf { number, view, groups, sources, range });
    }
}

/// Blocks by state, as Thanos counts them.
fn states(view: &View, gone: &[(BlockId, Excluded)]) -> BTreeMap<&'static str, u64> {
    let mut states = BTreeMap::from([("loaded", view.blocks.len() as u64)]);
    for (_, why) in gone {
        *states.entry(why.as_str()).or_default() += 1;
    }
    for partial in view.partial.values() {
        let state = match partial {
            Partial::NoMeta { .. } => "no-meta-json",
            Partial::BadMeta { .. } => "corrupted-meta-json",
        };
        *states.entry(state).or_default() += 1;
    }
    let kept = view.blocks.keys().filter(|id| view.mark(**id, MarkKind::NoCompact).is_some()).count();
    states.insert("marked-for-no-compact", kept as u64);
    states
}
