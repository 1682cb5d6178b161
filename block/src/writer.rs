//! Series in label order in; index and chunk files out.
//!
//! The writer decides what stands in the files of a block and where a chunk file ends; a [`BlockSink`] gives it the
//! files to write and makes them durable. Nothing is read back and nothing is kept but what the index needs. `meta.json`
//! is not written here: the caller makes it from [`WrittenBlock`] and writes it last, and a tombstones file beside it.

use std::io::{self, BufWriter, Write};

use crate::chunk::{ChunkMeta, ChunkRef, Encoding, TimedChunk};
use crate::chunkfile::{CHUNK_FILE_HEADER_LEN, ChunkFileWriter, DEFAULT_CHUNK_FILE_LIMIT, record_size};
use crate::error::Error;
use crate::index::{IndexWriter, WrittenIndex};
use crate::labels::LabelsRef;
use crate::meta::{BlockStats, IndexStats};
use crate::time::TimeRange;

/// Where the files of a block go.
pub trait BlockSink {
    /// A file being written. It is given large pieces; there is no need to buffer.
    type File: Write;

    /// Begins the file `rel_path` of the block: `index` or `chunks/000001` and so on.
    ///
    /// # Errors
    /// What the medium says.
    fn create(&mut self, rel_path: &str) -> io::Result<Self::File>;

    /// Takes a file back that is complete; this is the place to sync it.
    ///
    /// # Errors
    /// What the medium says.
    fn finish(&mut self, file: Self::File) -> io::Result<()>;
}

/// Settings of a [`BlockWriter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockWriterOptions {
    /// About how many bytes a chunk file may have. Prometheus: 512 MiB.
    pub segment_size: u64,
}

impl Default for BlockWriterOptions {
    fn default() -> Self {
        Self { segment_size: DEFAULT_CHUNK_FILE_LIMIT }
    }
}

/// What a block came out as.
#[derive(Debug)]
pub struct WrittenBlock<S> {
    /// The sink, with all files finished.
    pub sink: S,
    /// What was written; tombstones are not counted.
    pub stats: BlockStats,
    /// First and last time of all chunks; `None` if there are none. The range of a block may be wider.
    pub range: Option<TimeRange>,
    /// Largest entries, as Thanos wants to know them.
    pub index_stats: IndexStats,
    /// Number of chunk files: `000001` up to this.
    pub segments: u32,
    /// Bytes of the index and of all chunk files.
    pub size: u64,
}

/// Pieces of this many bytes reach the files of the sink.
const BUFFER: usize = 128 << 10;

/// Writes index and chunk files of a block.
#[derive(Debug)]
pub struct BlockWriter<S: BlockSink> {
    sink: S,
    index: IndexWriter<S::File>,
    chunks: ChunkFileWriter<BufWriter<S::File>>,
    refs: Vec<ChunkRef>,
    metas: Vec<ChunkMeta>,
    written: Written,
    failed: bool,
}

/// What is known about a block before its index is finished.
#[derive(Debug, Default)]
struct Written {
    stats: BlockStats,
    range: Option<TimeRange>,
    chunk_max_size: i64,
    segments: u32,
    chunk_bytes: u64,
}

impl<S: BlockSink> BlockWriter<S> {
    /// Begins a block. `symbols` are all names and values of the series to come, rising and each once; more are allowed,
    /// and so is the empty one.
    ///
    /// # Errors
    /// `Invalid` if the symbols do not rise, `Io` if the sink refuses.
    pub fn new<T: AsRef<[u8]>>(
        mut sink: S,
        options: BlockWriterOptions,
        symbols: impl IntoIterator<Item = T>,
    ) -> Result<Self, Error> {
        let file = sink.create("index").map_err(|e| Error::io("creating the index", e))?;
        let mut index = IndexWriter::new(file)?;
        for symbol in symbols {
            index.add_symbol(symbol.as_ref())?;
        }
        let chunks = ChunkFileWriter::new(options.segment_size);
        let (refs, metas, written) = (Vec::new(), Vec::new(), Written::default());
        Ok(Self { sink, index, chunks, refs, metas, written, failed: false })
    }

    /// Adds a series. Label sets rise strictly; the chunks of a series follow one another in time without touching. A
    /// series without chunks is left out.
    ///
    /// # Errors
    /// `Invalid` if this does not hold or a label is no symbol, `Io` if writing fails. After an error the block is worth
    /// nothing, and the writer refuses everything.
    pub fn add(&mut self, labels: LabelsRef<'_>, chunks: &[TimedChunk]) -> Result<(), Error> {
        if self.failed {
            return Err(Error::invalid("block", "an earlier write failed"));
        }
        if chunks.is_empty() {
            return Ok(());
        }
        self.failed = true;
        self.write_chunks(chunks)?;
        self.index.add_series(labels, &self.metas)?;
        self.written.count(chunks, &self.refs)?;
        self.failed = false;
        Ok(())
    }

    fn write_chunks(&mut self, chunks: &[TimedChunk]) -> Result<(), Error> {
        let Self { sink, written, refs, metas, .. } = self;
        refs.clear();
        self.chunks.write(chunks, refs, |full, number| {
            if let Some(full) = full {
                sink.finish(full.into_inner().map_err(io::IntoInnerError::into_error)?)?;
            }
            written.segments += 1;
            written.chunk_bytes += CHUNK_FILE_HEADER_LEN as u64;
            let file = sink.create(&format!("chunks/{:06}", u64::from(number) + 1))?;
            Ok(BufWriter::with_capacity(BUFFER, file))
        })?;
        metas.clear();
        let pairs = chunks.iter().zip(refs.iter());
        metas.extend(pairs.map(|(timed, &chunk_ref)| ChunkMeta { range: timed.range, chunk_ref }));
        Ok(())
    }

    /// Bytes of memory that the index under construction holds, without its symbol table.
    pub fn memory(&self) -> usize {
        self.index.memory()
    }

    /// Finishes chunk files and index. A block without a series has an index and no chunk file; it is for the caller to
    /// throw away.
    ///
    /// # Errors
    /// `Invalid` if an earlier write failed, `Io` if writing fails.
    pub fn finish(self) -> Result<WrittenBlock<S>, Error> {
        let Self { mut sink, index, chunks, written, failed, .. } = self;
        if failed {
            return Err(Error::invalid("block", "an earlier write failed"));
        }
        if let Some(file) = chunks.finish() {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error);
            file.and_then(|file| sink.finish(file)).map_err(|e| Error::io("finishing a chunk file", e))?;
        }
        let (file, WrittenIndex { size, series, series_max_size }) = index.finish()?;
        sink.finish(file).map_err(|e| Error::io("finishing the index", e))?;
        Ok(WrittenBlock {
            sink,
            stats: BlockStats { num_series: series, ..written.stats },
            range: written.range,
            index_stats: IndexStats {
                series_max_size: series_max_size.cast_signed(),
                chunk_max_size: written.chunk_max_size,
            },
            segments: written.segments,
            size: size + written.chunk_bytes,
        })
    }
}

impl Written {
    /// Counts the chunks of one series, which lie at `refs`.
    fn count(&mut self, chunks: &[TimedChunk], refs: &[ChunkRef]) -> Result<(), Error> {
        for TimedChunk { range, chunk } in chunks {
            let samples = u64::from(chunk.num_samples()?);
            self.stats.num_samples += samples;
            match chunk.encoding {
                Encoding::Xor | Encoding::Xor2 => self.stats.num_float_samples += samples,
                Encoding::Histogram
                | Encoding::FloatHistogram
                | Encoding::HistogramSt
                | Encoding::FloatHistogramSt => self.stats.num_histogram_samples += samples,
                Encoding::Aggregate => {}
            }
            self.stats.num_chunks += 1;
            self.chunk_bytes += record_size(chunk.data.len());
            let all = self.range.unwrap_or(*range);
            self.range = Some(TimeRange::new(all.min.min(range.min), all.max.max(range.max)));
        }
        // As Thanos measures it: the last two chunks of a series are left out, for what lies behind a chunk may belong to
        // another series.
        let measured = refs.len().saturating_sub(2);
        for pair in refs.windows(2).take(measured) {
            if let [at, next] = pair
                && at.segment() == next.segment()
            {
                let size = i64::from(next.offset()) - i64::from(at.offset());
                self.chunk_max_size = self.chunk_max_size.max(size);
            }
        }
        Ok(())
    }
}
