//! A block as a folder: written without haste to be on the disk, completed with its meta, and read whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use sarsen_block::{Block, BlockFile, BlockMeta, BlockSink, Source, ThanosMeta, Tombstones};

/// The files of a block in a folder. Not synced: what is measured with them begins after they were written.
#[derive(Clone, Debug)]
pub struct BlockFolder(PathBuf);

impl BlockFolder {
    /// Makes the folder.
    ///
    /// # Errors
    /// What the disk says.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder.join("chunks")).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self(folder.to_owned()))
    }

    /// Writes the meta of a block whose files are all there, with their list as an upload notes it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn complete(
        &self,
        mut meta: BlockMeta,
        thanos: ThanosMeta,
        segments: u32,
    ) -> anyhow::Result<BlockMeta> {
        let segment_files: Vec<String> = (1..=segments).map(|number| format!("{number:06}")).collect();
        let names = segment_files.iter().map(|name| format!("chunks/{name}")).chain(["index".to_owned()]);
        let sized = names.map(|rel_path| {
            let size_bytes = fs::metadata(self.0.join(&rel_path))?.len();
            Ok(BlockFile { rel_path, size_bytes, hash: None })
        });
        let mut files = sized.collect::<io::Result<Vec<_>>>()?;
        files.push(BlockFile { rel_path: "meta.json".to_owned(), ..BlockFile::default() });
        meta.thanos = Some(ThanosMeta { files, segment_files, ..thanos });
        fs::write(self.0.join("meta.json"), meta.to_bytes())?;
        Ok(meta)
    }

    /// The block in `folder`, all of it in memory, with its tombstones.
    ///
    /// # Errors
    /// If there is none, or it is damaged where it is opened.
    pub fn open(folder: &Path) -> anyhow::Result<Block> {
        let read = |name: &Path| -> anyhow::Result<Arc<dyn Source>> {
            let path = folder.join(name);
            Ok(Arc::new(Bytes::from(fs::read(&path).with_context(|| format!("reading {}", path.display()))?)))
        };
        let meta = BlockMeta::parse(&fs::read(folder.join("meta.json"))?)?;
        let mut names: Vec<PathBuf> = fs::read_dir(folder.join("chunks"))?
            .map(|entry| Ok(Path::new("chunks").join(entry?.file_name())))
            .collect::<io::Result<_>>()?;
        names.sort();
        let segments = names.iter().map(|name| read(name)).collect::<anyhow::Result<Vec<_>>>()?;
        let tombstones = match fs::read(folder.join("tombstones")) {
            Ok(bytes) => Tombstones::decode(&bytes)?,
            Err(why) if why.kind() == io::ErrorKind::NotFound => Tombstones::default(),
            Err(why) => return Err(why.into()),
        };
        Ok(Block::open(read(Path::new("index"))?, segments, meta, tombstones)?)
    }
}

impl BlockSink for BlockFolder {
    type File = File;

    fn create(&mut self, rel_path: &str) -> io::Result<File> {
        File::create(self.0.join(rel_path))
    }

    fn finish(&mut self, _file: File) -> io::Result<()> {
        Ok(())
    }
}
