//! Series in label order in; index and chunk files out.
//!
//! The writer decides what stands in the files of a block and where a chunk file ends; a [`BlockSink`] gives it the
//! files to write and makes them durable. Nothing is read back and nothing is kept but what the index needs. `meta.json`
//! is not written here: the caller makes it from [`WrittenBlock`] and writes it last, and a tombstones file beside it.

use std::io::{self, BufWriter, Write};

use crate::checks::{Checks, SegmentCheck};
use crate::chunk::{ChunkMeta, Encoding, TimedChunk, num_samples};
use crate::chunkfile::{ChunkFileWriter, DEFAULT_CHUNK_FILE_LIMIT, Record};
use crate::codec::Crc32c;
use crate::error::Error;
use crate::index::{IndexWriter, WrittenIndex};
use crate::labels::LabelsRef;
use crate::meta::{BlockId, BlockStats, IndexStats};
use crate::postings::SeriesNo;
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
    /// Checksums of the files, made before the sink was given a byte. They do not know the name of the block.
    pub checks: Checks,
}

/// Pieces of this many bytes reach the files of the sink.
const BUFFER: usize = 128 << 10;

/// A file of the sink, and the checksum of what it was given.
#[derive(Debug)]
struct Summed<F> {
    file: F,
    length: u64,
    crc: Crc32c,
}

impl<F: Write> Write for Summed<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.crc.update(bytes.get(..count).unwrap_or(bytes));
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A chunk file that is being written.
type ChunkFile<F> = BufWriter<Summed<F>>;

/// Writes index and chunk files of a block.
#[derive(Debug)]
pub struct BlockWriter<S: BlockSink> {
    sink: S,
    index: IndexWriter<S::File>,
    chunks: ChunkFileWriter<ChunkFile<S::File>>,
    /// The chunks of the series that is being added.
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
    segments: Vec<SegmentCheck>,
    /// Chunk files that were begun.
    begun: u32,
}

impl<S: BlockSink> BlockWriter<S> {
    /// Begins a block. `symbols` are all names and values of the series to come, rising and each once; more are allowed,
    /// and so is the empty one.
    ///
    /// # Errors
    /// `Invalid` if the symbols do not rise, `Io` if the sink refuses.
    pub fn new<T: AsRef<[u8]>>(
        sink: S,
        options: BlockWriterOptions,
        symbols: impl IntoIterator<Item = T>,
    ) -> Result<Self, Error> {
        let mut writer = Self::begin(sink, options)?;
        for symbol in symbols {
            writer.add_symbol(symbol.as_ref())?;
        }
        Ok(writer)
    }

    /// Begins a block without symbols.
    pub(crate) fn begin(mut sink: S, options: BlockWriterOptions) -> Result<Self, Error> {
        let file = sink.create("index").map_err(|e| Error::io("creating the index", e))?;
        let index = IndexWriter::new(file)?;
        let chunks = ChunkFileWriter::new(options.segment_size);
        Ok(Self { sink, index, chunks, metas: Vec::new(), written: Written::default(), failed: false })
    }

    /// There will be at most so many symbols of so many bytes together.
    pub(crate) fn reserve_symbols(&mut self, count: usize, bytes: usize) {
        self.index.reserve_symbols(count, bytes);
    }

    /// The next symbol, before the first series.
    pub(crate) fn add_symbol(&mut self, symbol: &[u8]) -> Result<(), Error> {
        self.index.add_symbol(symbol)
    }

    /// Adds a series. Label sets rise strictly; the chunks of a series follow one another in time without touching. A
    /// series without chunks is left out.
    ///
    /// # Errors
    /// `Invalid` if this does not hold or a label is no symbol, `Io` if writing fails. After an error the block is worth
    /// nothing, and the writer refuses everything.
    pub fn add(&mut self, labels: LabelsRef<'_>, chunks: &[TimedChunk]) -> Result<(), Error> {
        self.begin_series()?;
        for timed in chunks {
            self.put_chunk(timed)?;
        }
        self.finish_series(|index, metas| index.add_series(labels, metas))
    }

    /// The same for a series whose labels are told by the numbers of their symbols, counted from 0 in the order in which
    /// they were handed in: names and values, names rising.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_numbered(&mut self, labels: &[(u32, u32)], chunks: &[TimedChunk]) -> Result<(), Error> {
        self.begin_series()?;
        for timed in chunks {
            self.put_chunk(timed)?;
        }
        self.end_series(labels)
    }

    /// Begins a series whose chunks come one by one.
    pub(crate) fn begin_series(&mut self) -> Result<(), Error> {
        if self.failed {
            return Err(Error::invalid("block", "an earlier write failed"));
        }
        self.failed = true;
        self.metas.clear();
        self.chunks.begin_series();
        Ok(())
    }

    /// Adds a chunk to the series that was begun.
    pub(crate) fn put_chunk(&mut self, TimedChunk { range, chunk }: &TimedChunk) -> Result<(), Error> {
        let Self { sink, written, chunks, .. } = self;
        let chunk_ref = chunks.write_chunk(chunk, &mut |full, number| written.turn(sink, full, number))?;
        self.metas.push(ChunkMeta { range: *range, chunk_ref });
        self.written.count(chunk.encoding, num_samples(chunk.encoding, &chunk.data)?, *range);
        Ok(())
    }

    /// Adds a chunk that was found in another file to the series that was begun.
    #[inline]
    pub(crate) fn put_record(&mut self, range: TimeRange, record: Record<'_>) -> Result<(), Error> {
        let Self { sink, written, chunks, .. } = self;
        let mut next_file = |full, number| written.turn(sink, full, number);
        let chunk_ref = chunks.write_record(record.bytes, record.data.len(), &mut next_file)?;
        self.metas.push(ChunkMeta { range, chunk_ref });
        self.written.count(record.encoding, num_samples(record.encoding, record.data)?, range);
        Ok(())
    }

    /// Ends the series that was begun.
    pub(crate) fn end_series(&mut self, labels: &[(u32, u32)]) -> Result<(), Error> {
        self.finish_series(|index, metas| index.add_numbered(labels, metas))
    }

    fn finish_series(
        &mut self,
        add: impl FnOnce(&mut IndexWriter<S::File>, &[ChunkMeta]) -> Result<SeriesNo, Error>,
    ) -> Result<(), Error> {
        if !self.metas.is_empty() {
            add(&mut self.index, &self.metas)?;
            self.written.measure(&self.metas);
        }
        self.failed = false;
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
        let Self { mut sink, index, chunks, mut written, failed, .. } = self;
        if failed {
            return Err(Error::invalid("block", "an earlier write failed"));
        }
        if let Some(file) = chunks.finish() {
            written.close(&mut sink, file).map_err(|e| Error::io("finishing a chunk file", e))?;
        }
        let (file, WrittenIndex { size, series, series_max_size }, sections) = index.finish_checked()?;
        sink.finish(file).map_err(|e| Error::io("finishing the index", e))?;
        let chunk_bytes: u64 = written.segments.iter().map(|segment| segment.length).sum();
        Ok(WrittenBlock {
            sink,
            stats: BlockStats { num_series: series, ..written.stats },
            range: written.range,
            index_stats: IndexStats {
                series_max_size: series_max_size.cast_signed(),
                chunk_max_size: written.chunk_max_size,
            },
            segments: written.begun,
            size: size + chunk_bytes,
            checks: Checks { id: BlockId::NONE, index: sections, segments: written.segments },
        })
    }
}

impl Written {
    /// Closes the chunk file that is full and begins the one with `number`.
    fn turn<S: BlockSink>(
        &mut self,
        sink: &mut S,
        full: Option<ChunkFile<S::File>>,
        number: u32,
    ) -> io::Result<ChunkFile<S::File>> {
        if let Some(full) = full {
            self.close(sink, full)?;
        }
        self.begun += 1;
        let file = sink.create(&format!("chunks/{:06}", u64::from(number) + 1))?;
        Ok(BufWriter::with_capacity(BUFFER, Summed { file, length: 0, crc: Crc32c::new() }))
    }

    fn close<S: BlockSink>(&mut self, sink: &mut S, file: ChunkFile<S::File>) -> io::Result<()> {
        let Summed { file, length, crc } = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.segments.push(SegmentCheck { length, crc32c: crc.value() });
        sink.finish(file)
    }

    /// Counts a chunk.
    #[inline]
    fn count(&mut self, encoding: Encoding, samples: u16, range: TimeRange) {
        let samples = u64::from(samples);
        self.stats.num_samples += samples;
        match encoding {
            Encoding::Xor | Encoding::Xor2 => self.stats.num_float_samples += samples,
            Encoding::Histogram
            | Encoding::FloatHistogram
            | Encoding::HistogramSt
            | Encoding::FloatHistogramSt => self.stats.num_histogram_samples += samples,
            Encoding::Aggregate => {}
        }
        self.stats.num_chunks += 1;
        let all = self.range.unwrap_or(range);
        self.range = Some(TimeRange::new(all.min.min(range.min), all.max.max(range.max)));
    }

    /// Measures the distances of the chunks of one series.
    fn measure(&mut self, chunks: &[ChunkMeta]) {
        // As Thanos does: the last two chunks of a series are left out, for what lies behind a chunk may belong to
        // another series.
        let measured = chunks.len().saturating_sub(2);
        for pair in chunks.windows(2).take(measured) {
            if let [ChunkMeta { chunk_ref: at, .. }, ChunkMeta { chunk_ref: next, .. }] = pair
                && at.segment() == next.segment()
            {
                let size = i64::from(next.offset()) - i64::from(at.offset());
                self.chunk_max_size = self.chunk_max_size.max(size);
            }
        }
    }
}
