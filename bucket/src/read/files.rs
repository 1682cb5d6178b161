//! Which objects a block is made of, held against its meta.
//!
//! The listing of the folder says what is there; the meta, where it lists files, what should be. Chunk segments count from 1
//! without a gap, because references to chunks count them.

use sarsen_block::{BlockFile, BlockMeta};

use crate::bucket::{Bucket, Object};
use crate::error::Error;
use crate::layout::Layout;

/// The name of the file of deletions in a block's folder.
pub(super) const TOMBSTONES: &str = "tombstones";

/// The objects of a block that are read.
#[derive(Debug)]
pub(crate) struct BlockObjects {
    pub(crate) index: Object,
    /// In the order of their numbers.
    pub(crate) segments: Vec<Object>,
    pub(crate) tombstones: Option<Object>,
}

impl BlockObjects {
    /// Lists the block's folder.
    ///
    /// # Errors
    /// `NotFound` if an object is missing, `Corrupt` if one has another size than the meta says.
    pub(crate) async fn find(bucket: &Bucket, meta: &BlockMeta) -> Result<Self, Error> {
        Self::of(meta, bucket.list(&Layout::block(meta.id)).await?)
    }

    fn of(meta: &BlockMeta, listed: Vec<Object>) -> Result<Self, Error> {
        if let Some(thanos) = &meta.thanos {
            for file in thanos.files.iter().filter(|file| file.rel_path != Layout::META) {
                check_listed(meta, file, &listed)?;
            }
            for name in &thanos.segment_files {
                let rel_path = format!("{}/{name}", Layout::CHUNKS);
                check_listed(meta, &BlockFile { rel_path, ..BlockFile::default() }, &listed)?;
            }
        }
        let (mut index, mut segments, mut tombstones) = (None, Vec::new(), None);
        for object in listed {
            match Layout::split(&object.name).map(|(_, rel_path)| rel_path) {
                Some(Layout::INDEX) => index = Some(object),
                Some(TOMBSTONES) => tombstones = Some(object),
                Some(rel_path) if segment_number(rel_path).is_some() => segments.push(object),
                _ => {}
            }
        }
        let missing = |rel_path: &str| Error::NotFound { name: Layout::file(meta.id, rel_path) };
        for (number, object) in (1u32..).zip(&segments) {
            let expected = format!("{}/{number:06}", Layout::CHUNKS);
            if !object.name.ends_with(&expected) {
                return Err(missing(&expected));
            }
        }
        if segments.is_empty() && meta.stats.num_chunks > 0 {
            return Err(missing("chunks/000001"));
        }
        let index = index.ok_or_else(|| missing(Layout::INDEX))?;
        Ok(Self { index, segments, tombstones })
    }
}

/// The number of a chunk segment, for a path like `chunks/000001`.
pub(crate) fn segment_number(rel_path: &str) -> Option<u32> {
    let name = rel_path.strip_prefix(Layout::CHUNKS)?.strip_prefix('/')?;
    let is_number = name.len() == 6 && name.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| name.parse().ok()).flatten()
}

fn check_listed(meta: &BlockMeta, file: &BlockFile, listed: &[Object]) -> Result<(), Error> {
    let name = Layout::file(meta.id, &file.rel_path);
    match listed.iter().find(|object| object.name == name) {
        None => Err(Error::NotFound { name }),
        Some(object) if file.size_bytes != 0 && file.size_bytes != object.size => {
            let why = format!("{} bytes, {} in the meta", object.size, file.size_bytes);
            Err(Error::corrupt(name, why))
        }
        Some(_) => Ok(()),
    }
}
