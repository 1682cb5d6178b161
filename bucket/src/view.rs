//! The bucket as last seen: complete blocks, half blocks, marks.
//!
//! A folder named by a block id is a complete block if it has a `meta.json` that can be read and that names the same id. Without
//! one it is a half block: an upload on its way, one that was broken off, or a block being removed. A meta that cannot be read
//! sets the block aside with the reason. A [`Fetcher`] remembers what it read, and reads again only what was not usable and what the
//! listing shows with another size or time; `read/catalogue.rs` keeps its memory in a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use sarsen_block::{BlockId, BlockMeta};

use crate::bucket::{Bucket, Object};
use crate::error::Error;
use crate::layout::Layout;
use crate::marker::{MarkKind, Marker};
use crate::read::Cache;

/// Folders that are read at the same time.
const READS_IN_FLIGHT: usize = 20;

/// What a bucket holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Complete blocks by id.
    pub blocks: BTreeMap<BlockId, Arc<BlockMeta>>,
    /// Folders of blocks without a usable meta.
    pub partial: BTreeMap<BlockId, Partial>,
    /// Marks by block, at most one of a kind.
    pub marks: BTreeMap<BlockId, Vec<Marker>>,
    /// Marks that could not be read: object and reason. They count as absent.
    pub bad_marks: Vec<(String, String)>,
}

/// Why a folder is no complete block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partial {
    /// There is no meta.
    NoMeta {
        /// When the newest object in the folder was written, in milliseconds since the Unix epoch; `None` if there is none.
        newest_ms: Option<i64>,
    },
    /// There is a meta, but it is not usable.
    BadMeta {
        /// Why not.
        why: String,
        /// As above.
        newest_ms: Option<i64>,
    },
}

impl Partial {
    /// When something last happened in the folder, in milliseconds since the Unix epoch: the newest object, else the id's time.
    pub fn touched_ms(&self, id: BlockId) -> i64 {
        let (Self::NoMeta { newest_ms } | Self::BadMeta { newest_ms, .. }) = self;
        newest_ms.unwrap_or_else(|| i64::try_from(id.ms()).unwrap_or(i64::MAX))
    }
}

impl View {
    /// The mark of this kind on a block.
    pub fn mark(&self, id: BlockId, kind: MarkKind) -> Option<&Marker> {
        self.marks.get(&id)?.iter().find(|mark| mark.kind == kind)
    }

    /// Looks at a bucket once. To look again and again, keep a [`Fetcher`].
    ///
    /// # Errors
    /// As the store says.
    pub async fn fetch(bucket: &Bucket) -> Result<Self, Error> {
        Fetcher::default().fetch(bucket).await
    }
}

/// Looks at a bucket again and again, and remembers metas and marks.
#[derive(Debug, Default)]
pub struct Fetcher {
    pub(crate) known: BTreeMap<BlockId, Known>,
}

/// What was read of a block's folder.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// The meta, or why it is not usable.
    pub(crate) meta: Option<Noted<Arc<BlockMeta>>>,
    /// The marks, or why they cannot be read.
    pub(crate) marks: Vec<(MarkKind, Noted<Marker>)>,
}

/// What an object said when it looked like this in the listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Noted<T> {
    pub(crate) stamp: Stamp,
    pub(crate) content: Result<T, String>,
}

/// An object that is written anew has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size: u64,
    pub(crate) modified_ms: i64,
}

/// What the listing says of a folder.
#[derive(Debug, Default, Clone)]
struct Folder {
    meta: Option<Object>,
    marks: Vec<(MarkKind, Object)>,
    newest_ms: Option<i64>,
}

impl Stamp {
    const fn of(object: &Object) -> Self {
        Self { size: object.size, modified_ms: object.modified_ms }
    }
}

impl<T> Noted<T> {
    /// Whether the object that looks like this says what was noted. What was not usable is read again on each look: it is
    /// mended by writing over it, perhaps within the same second and with the same size.
    fn is_of(&self, stamp: Stamp) -> bool {
        self.stamp == stamp && self.content.is_ok()
    }
}

impl Fetcher {
    /// The bucket as it is now. One listing of everything, then the metas and marks that are new or have changed.
    ///
    /// # Errors
    /// As the store says: a view is whole or there is none. Damage to single blocks is part of the view.
    pub async fn fetch(&mut self, bucket: &Bucket) -> Result<View, Error> {
        let objects = bucket.list("").await?;
        self.look(bucket, None, objects).await
    }

    /// As [`fetch`](Self::fetch), but what metas and marks say comes from `cache` if it is there: several processes that share one read
    /// each object once. The listing is always the bucket's own, so what is seen never goes back in time.
    ///
    /// # Errors
    /// As above.
    pub async fn fetch_through(&mut self, bucket: &Bucket, cache: &Cache) -> Result<View, Error> {
        let objects = bucket.list("").await?;
        self.look(bucket, Some(cache), objects).await
    }

    /// The bucket as it was last seen, without a look. Folders that had no meta are not in it.
    pub fn seen(&self) -> View {
        let mut view = View::default();
        for (id, known) in &self.known {
            view.add(*id, known, None);
        }
        view.bad_marks.sort_unstable();
        view
    }

    async fn look(
        &mut self,
        bucket: &Bucket,
        cache: Option<&Cache>,
        objects: Vec<Object>,
    ) -> Result<View, Error> {
        let folders = folders(objects);
        let is_current =
            |id: &BlockId, folder: &Folder| self.known.get(id).is_some_and(|known| known.is_current(folder));
        let changed: Vec<(BlockId, Folder, Option<Known>)> = folders
            .iter()
            .filter(|(id, folder)| !is_current(id, folder))
            .map(|(id, folder)| (*id, folder.clone(), self.known.get(id).cloned()))
            .collect();
        let read: Vec<(BlockId, Known)> = futures_util::stream::iter(changed)
            .map(async |(id, folder, before)| {
                Ok::<_, Error>((id, read_folder(bucket, cache, id, &folder, before.as_ref()).await?))
            })
            .buffer_unordered(READS_IN_FLIGHT)
            .try_collect()
            .await?;
        self.known.retain(|id, _| folders.contains_key(id));
        self.known.extend(read);
        let mut view = View::default();
        for (id, folder) in &folders {
            let nothing = Known::default();
            view.add(*id, self.known.get(id).unwrap_or(&nothing), folder.newest_ms);
        }
        view.bad_marks.sort_unstable();
        Ok(view)
    }
}

impl View {
    fn add(&mut self, id: BlockId, known: &Known, newest_ms: Option<i64>) {
        match known.meta.as_ref().map(|meta| &meta.content) {
            Some(Ok(meta)) => drop(self.blocks.insert(id, Arc::clone(meta))),
            Some(Err(why)) => {
                drop(self.partial.insert(id, Partial::BadMeta { why: why.clone(), newest_ms }));
            }
            None => drop(self.partial.insert(id, Partial::NoMeta { newest_ms })),
        }
        let mut good = Vec::new();
        for (kind, mark) in &known.marks {
            match &mark.content {
                Ok(mark) => good.push(mark.clone()),
                Err(why) => self.bad_marks.push((Layout::mark(id, *kind), why.clone())),
            }
        }
        if !good.is_empty() {
            self.marks.insert(id, good);
        }
    }
}

impl Known {
    /// Whether the folder holds what was read, and nothing else that is read.
    fn is_current(&self, folder: &Folder) -> bool {
        let meta = match (&self.meta, &folder.meta) {
            (Some(meta), Some(object)) => meta.is_of(Stamp::of(object)),
            (None, None) => true,
            _ => false,
        };
        let same = |(mark, (kind, object)): (&(MarkKind, Noted<Marker>), &(MarkKind, Object))| {
            mark.0 == *kind && mark.1.is_of(Stamp::of(object))
        };
        meta && self.marks.len() == folder.marks.len() && self.marks.iter().zip(&folder.marks).all(same)
    }

    fn mark(&self, kind: MarkKind, stamp: Stamp) -> Option<&Noted<Marker>> {
        let (_, mark) = self.marks.iter().find(|(own, mark)| *own == kind && mark.is_of(stamp))?;
        Some(mark)
    }
}

fn folders(objects: Vec<Object>) -> BTreeMap<BlockId, Folder> {
    let mut folders: BTreeMap<BlockId, Folder> = BTreeMap::new();
    for object in objects {
        let Some((id, file)) = Layout::split(&object.name) else { continue };
        let (is_meta, mark) = (file == Layout::META, MarkKind::of_file_name(file));
        let folder = folders.entry(id).or_default();
        folder.newest_ms = folder.newest_ms.max(Some(object.modified_ms));
        match mark {
            Some(kind) => folder.marks.push((kind, object)),
            None if is_meta => folder.meta = Some(object),
            None => {}
        }
    }
    folders
}

/// Reads what is not as it was before. What is gone meanwhile is not there.
async fn read_folder(
    bucket: &Bucket,
    cache: Option<&Cache>,
    id: BlockId,
    folder: &Folder,
    before: Option<&Known>,
) -> Result<Known, Error> {
    let read = async |object: &Object| match cache {
        Some(cache) => cache.content_of(bucket, object).await,
        None => bucket.get_if_exists(&object.name).await,
    };
    let mut known = Known::default();
    if let Some(object) = &folder.meta {
        let stamp = Stamp::of(object);
        let before = before.and_then(|before| before.meta.as_ref()).filter(|meta| meta.is_of(stamp));
        known.meta = match before {
            Some(meta) => Some(meta.clone()),
            None => read(object).await?.map(|text| Noted { stamp, content: read_meta(id, &text) }),
        };
    }
    for (kind, object) in &folder.marks {
        let stamp = Stamp::of(object);
        let mark = match before.and_then(|before| before.mark(*kind, stamp)) {
            Some(mark) => Some(mark.clone()),
            None => match read(object).await? {
                Some(text) => Some(Noted { stamp, content: read_mark(id, *kind, &text)? }),
                None => None,
            },
        };
        known.marks.extend(mark.map(|mark| (*kind, mark)));
    }
    Ok(known)
}

fn read_meta(id: BlockId, text: &[u8]) -> Result<Arc<BlockMeta>, String> {
    match BlockMeta::parse(text) {
        Ok(meta) if meta.id == id => Ok(Arc::new(meta)),
        Ok(meta) => Err(format!("the meta names the block {}", meta.id)),
        Err(error) => Err(error.to_string()),
    }
}

fn read_mark(id: BlockId, kind: MarkKind, text: &[u8]) -> Result<Result<Marker, String>, Error> {
    match Marker::parse(kind, text) {
        Ok(mark) if mark.id == id => Ok(Ok(mark)),
        Ok(mark) => Ok(Err(format!("names the block {}", mark.id))),
        Err(Error::Corrupt { why, .. }) => Ok(Err(why)),
        Err(error) => Err(error),
    }
}
