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

/// What was last seen of the bucket, in the directory of headers.
const CATALOGUE: &str = "sarsen-catalogue";
/// What was last known to be deleted, there too.
const DELETIONS: &str = "sarsen-deletions.json";

/// What the loop remembers.
#[derive(Default)]
struct Looker {
    fetcher: Fetcher,
    deletions: Option<Arc<Deletions>>,
}

impl Gateway {
    /// Looks at the bucket again and again until told to stop. Begins with what was seen before the last stop, if that was kept.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        // A look at a store that does not answer is given up: it holds up no stop.
        tokio::select! {
            () = self.look_on() => {}
            () = stop.cancelled() => {}
        }
        self.0.board.change(|known| known.state = State::Stopping);
    }

    async fn look_on(&self) {
        let mut looker = self.remember().await;
        let mut due = tokio::time::Instant::now();
        loop {
            let here = self.probe(&mut looker).await;
            if here && tokio::time::Instant::now() >= due {
                let good = self.look(&mut looker).await;
                due = tokio::time::Instant::now() + if good { self.0.options.sync_every } else { RETRY };
            }
            self.0.looks.send_modify(|ended| *ended += 1);
            self.close_idle();
            let nap = if here { PROBE } else { PROBE_AWAY };
            let until_due = due.saturating_duration_since(tokio::time::Instant::now()).max(LEAST_PAUSE);
            tokio::select! {
                () = tokio::time::sleep(nap.min(until_due)) => {}
                () = self.0.probe.notified() => {}
                () = self.0.look.notified() => due = tokio::time::Instant::now(),
            }
        }
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
                    self.keep(DELETIONS, deletions.to_bytes()).await;
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
        let fetched = looker.fetcher.fetch_through(&self.0.bucket, &self.0.readers.cache).await;
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
        self.note(looker).await;
        true
    }

    /// What was noted before the last stop goes on the shelf; without it nothing is there yet.
    async fn remember(&self) -> Looker {
        let (bucket, folder) = (self.0.bucket.clone(), self.0.options.data_dir.clone());
        if !self.0.options.local_headers {
            return Looker::default();
        }
        let read = tokio::task::spawn_blocking(move || {
            let fetcher = Fetcher::load(&folder.join(CATALOGUE), &bucket)?;
            let deletions = std::fs::read(folder.join(DELETIONS)).ok();
            Ok::<_, Error>((
                fetcher,
                deletions.map_or(Ok(Deletions::default()), |text| Deletions::parse(&text))?,
            ))
        });
        match read.await {
            Ok(Ok((fetcher, deletions))) => {
                let looker = Looker { fetcher, deletions: Some(Arc::new(deletions)) };
                let mut view = looker.fetcher.seen();
                self.0.options.sieve.apply(&mut view, clock::now());
                tracing::info!(blocks = view.blocks.len(), "beginning with the blocks that were seen last");
                self.shelve(&looker, Some(Arc::new(view)));
                self.0.looks.send_modify(|ended| *ended += 1);
                looker
            }
            // Whatever is wrong with them, the bucket knows better.
            Ok(Err(why)) => {
                tracing::debug!(err = %why, "nothing is known of the bucket yet");
                Looker::default()
            }
            Err(_) => Looker::default(),
        }
    }

    /// Notes what was seen for the next start, and removes headers of blocks that are gone.
    async fn note(&self, looker: &mut Looker) {
        if !self.0.options.local_headers {
            return;
        }
        let path = self.0.options.data_dir.join(CATALOGUE);
        let (gateway, bucket) = (self.clone(), self.0.bucket.clone());
        let fetcher = std::mem::take(&mut looker.fetcher);
        let noted = tokio::task::spawn_blocking(move || {
            if let Err(why) = fetcher.save(&path, &bucket) {
                tracing::warn!(err = %why, "cannot note what was seen of the bucket: the next start takes longer");
            }
            let (shelf, readers) = (gateway.shelf(), &gateway.0.readers);
            readers.remote.forget(|id| shelf.sources.contains_key(&id));
            if let Err(why) = readers.headers.sweep(|id| shelf.sources.contains_key(&id)) {
                gateway.0.metrics.drop_failures.add(1);
                tracing::warn!(err = %why, "cannot remove the header of a block that is gone");
            }
            fetcher
        });
        // A thread that ended early takes what it had with it: the next look reads it again.
        looker.fetcher = noted.await.unwrap_or_default();
    }

    /// Keeps a small file for the next start.
    async fn keep(&self, name: &str, content: Vec<u8>) {
        if !self.0.options.local_headers {
            return;
        }
        let folder = self.0.options.data_dir.clone();
        let (path, new) = (folder.join(name), folder.join(format!("{name}.new")));
        let write = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&new, content)?;
            std::fs::rename(&new, &path)
        });
        if let Ok(Err(why)) = write.await {
            tracing::warn!(err = %why, file = name, "cannot be kept for the next start");
        }
    }

    /// Lets go of headers that nobody has asked for lately.
    fn close_idle(&self) {
        let idle = self.0.options.header_idle;
        if idle.is_zero() {
            return;
        }
        self.0.readers.headers.close_idle(&self.0.bucket, idle);
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
            let same = old.sources.get(id).filter(|source| source.meta == *meta);
            let source = match same {
                Some(source) => Ok(Arc::clone(source)),
                None => Source::new(&self.0.readers, Arc::clone(meta)).map(Arc::new),
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
        *self.0.shelf.write() = Arc::new(Shelf { number, view, groups, sources, deletions, range });
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
