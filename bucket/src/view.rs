//! The bucket as last seen: complete blocks, half blocks, marks.
//!
//! A folder named by a block id is a complete block if it has a `meta.json` that can be read and that names the same id. Without
//! one it is a half block: an upload on its way, one that was broken off, or a block being removed. A meta that cannot be read
//! sets the block aside with the reason. Metas never change once written, so a [`Fetcher`] reads each only once.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use sarsen_block::{BlockId, BlockMeta};

use crate::bucket::Bucket;
use crate::error::Error;
use crate::layout::Layout;
use crate::marker::{MarkKind, Marker};

/// Metas that are read at the same time.
const METAS_IN_FLIGHT: usize = 20;

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

/// Looks at a bucket again and again, and remembers the metas.
#[derive(Debug, Default)]
pub struct Fetcher {
    known: BTreeMap<BlockId, Arc<BlockMeta>>,
}

/// What a folder turned out to be.
enum Found {
    Block(Arc<BlockMeta>),
    Partial(Partial),
}

struct Folder {
    id: BlockId,
    found: Found,
    marks: Vec<Marker>,
    bad_marks: Vec<(String, String)>,
}

impl Fetcher {
    /// The bucket as it is now.
    ///
    /// # Errors
    /// As the store says: a view is whole or there is none. Damage to single blocks is part of the view.
    pub async fn fetch(&mut self, bucket: &Bucket) -> Result<View, Error> {
        let level = bucket.level("").await?;
        let ids = level.folders.iter().filter_map(|folder| Layout::block_of(folder));
        let known = &self.known;
        let folders: Vec<Option<Folder>> = futures_util::stream::iter(ids)
            .map(|id| look_at(bucket, id, known.get(&id)))
            .buffer_unordered(METAS_IN_FLIGHT)
            .try_collect()
            .await?;
        let mut view = View::default();
        for folder in folders.into_iter().flatten() {
            match folder.found {
                Found::Block(meta) => drop(view.blocks.insert(folder.id, meta)),
                Found::Partial(partial) => drop(view.partial.insert(folder.id, partial)),
            }
            if !folder.marks.is_empty() {
                view.marks.insert(folder.id, folder.marks);
            }
            view.bad_marks.extend(folder.bad_marks);
        }
        view.bad_marks.sort_unstable();
        self.known.clone_from(&view.blocks);
        Ok(view)
    }
}

/// One folder; `None` if it is gone by now.
async fn look_at(
    bucket: &Bucket,
    id: BlockId,
    known: Option<&Arc<BlockMeta>>,
) -> Result<Option<Folder>, Error> {
    // One level is enough: meta and marks lie directly in the folder.
    let level = bucket.level(&Layout::block(id)).await?;
    if level.objects.is_empty() && level.folders.is_empty() {
        return Ok(None);
    }
    let mut folder = Folder {
        id,
        found: Found::Partial(Partial::NoMeta { newest_ms: None }),
        marks: Vec::new(),
        bad_marks: Vec::new(),
    };
    let mut has_meta = false;
    for object in &level.objects {
        let Some((_, file)) = Layout::split(&object.name) else { continue };
        has_meta |= file == Layout::META;
        if let Some(kind) = MarkKind::of_file_name(file) {
            match Marker::get(bucket, id, kind).await {
                Ok(Some(mark)) if mark.id == id => folder.marks.push(mark),
                Ok(Some(mark)) => {
                    folder.bad_marks.push((object.name.clone(), format!("names the block {}", mark.id)));
                }
                Ok(None) => {}
                Err(Error::Corrupt { why, .. }) => folder.bad_marks.push((object.name.clone(), why)),
                Err(error) => return Err(error),
            }
        }
    }
    folder.found = match (has_meta, known) {
        (true, Some(meta)) => Found::Block(Arc::clone(meta)),
        (true, None) => read_meta(bucket, id).await?,
        (false, _) => Found::Partial(Partial::NoMeta { newest_ms: newest(bucket, id).await? }),
    };
    Ok(Some(folder))
}

async fn read_meta(bucket: &Bucket, id: BlockId) -> Result<Found, Error> {
    let why = match bucket.get_if_exists(&Layout::meta(id)).await? {
        None => return Ok(Found::Partial(Partial::NoMeta { newest_ms: newest(bucket, id).await? })),
        Some(text) => match BlockMeta::parse(&text) {
            Ok(meta) if meta.id == id => return Ok(Found::Block(Arc::new(meta))),
            Ok(meta) => format!("the meta names the block {}", meta.id),
            Err(error) => error.to_string(),
        },
    };
    Ok(Found::Partial(Partial::BadMeta { why, newest_ms: newest(bucket, id).await? }))
}

async fn newest(bucket: &Bucket, id: BlockId) -> Result<Option<i64>, Error> {
    let objects = bucket.list(&Layout::block(id)).await?;
    Ok(objects.iter().map(|object| object.modified_ms).max())
}
