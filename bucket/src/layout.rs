//! Every object name, in one file.
//!
//! A block is a folder named by its id. Its objects are `chunks/000001` and on, `index`, `meta.json`, and marks beside them.
//! Names here are relative to the bucket's prefix.

use sarsen_block::BlockId;

use crate::marker::MarkKind;

/// Names of objects.
#[derive(Debug, Clone, Copy)]
pub struct Layout;

impl Layout {
    /// The object whose presence makes a block complete, without the folder.
    pub const META: &'static str = "meta.json";
    /// The index, without the folder.
    pub const INDEX: &'static str = "index";
    /// The folder of chunk segments, without the block's folder.
    pub const CHUNKS: &'static str = "chunks";

    /// What was deleted from the whole bucket; beside the folders of blocks.
    pub const DELETIONS: &'static str = "sarsen-deletions.json";

    /// The checksums of a block's files, without the folder. Only we read them; a block is complete without them.
    pub const CHECKS: &'static str = "sarsen-checks.json";

    /// The folder of a block, without a slash at the end.
    pub fn block(id: BlockId) -> String {
        id.to_string()
    }

    /// A file of a block by its path in the block's folder.
    pub fn file(id: BlockId, rel_path: &str) -> String {
        format!("{id}/{rel_path}")
    }

    /// `<id>/meta.json`.
    pub fn meta(id: BlockId) -> String {
        Self::file(id, Self::META)
    }

    /// `<id>/index`.
    pub fn index(id: BlockId) -> String {
        Self::file(id, Self::INDEX)
    }

    /// `<id>/sarsen-checks.json`.
    pub fn checks(id: BlockId) -> String {
        Self::file(id, Self::CHECKS)
    }

    /// `<id>/deletion-mark.json` and its like.
    pub fn mark(id: BlockId, kind: MarkKind) -> String {
        Self::file(id, kind.file_name())
    }

    /// The folder of a lease: `sarsen-compactor.lease`.
    pub fn lease_folder(name: &str) -> String {
        format!("sarsen-{name}.lease")
    }

    /// The object of a lease with this number. By name they rise as the numbers do.
    pub fn lease(name: &str, number: u64) -> String {
        format!("{}/{number:020}", Self::lease_folder(name))
    }

    /// The block that a folder belongs to, if the folder is named like one.
    pub fn block_of(folder: &str) -> Option<BlockId> {
        folder.trim_end_matches('/').parse().ok()
    }

    /// The block and the path in its folder, for a name that lies in a block's folder.
    pub fn split(name: &str) -> Option<(BlockId, &str)> {
        let (folder, rel_path) = name.split_once('/')?;
        Some((Self::block_of(folder)?, rel_path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let id: BlockId = "01HFAP7VW5QWBP2CJZJVGFHQ96".parse().unwrap();
        assert_eq!(Layout::meta(id), "01HFAP7VW5QWBP2CJZJVGFHQ96/meta.json");
        assert_eq!(Layout::split("01HFAP7VW5QWBP2CJZJVGFHQ96/chunks/000001"), Some((id, "chunks/000001")));
        assert_eq!(Layout::split("debug/metas/x.json"), None);
        assert_eq!(Layout::block_of("01HFAP7VW5QWBP2CJZJVGFHQ96/"), Some(id));
        assert_eq!(Layout::mark(id, MarkKind::Deletion), "01HFAP7VW5QWBP2CJZJVGFHQ96/deletion-mark.json");
    }
}
