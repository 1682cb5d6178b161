//! Chunk files are Prometheus' files: read to the last sample, written back to the same bytes at the same references, and a head
//! that is fed the samples of a block cuts the chunks that its head cut.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::io;

use golden::{ChunkLine, GoldenBlock, Point, blocks};
use sarsen_block::{
    Appended, Chunk, ChunkCut, ChunkFileWalk, ChunkFileWriter, ChunkRef, DEFAULT_CHUNK_FILE_LIMIT, Encoding,
    HistogramChunk, HistogramCut, RECORD_HEAD_LEN, ResetHeader, SampleIter, TimeRange, TimedChunk,
    XorAppender, codec, read_chunk, record_len,
};

const TWO_HOURS: i64 = 7_200_000;

/// The chunk that `line` describes, found by its reference.
fn find(files: &[bytes::Bytes], line: &ChunkLine) -> Chunk {
    let at = ChunkRef(line.chunk_ref);
    assert_eq!((at.segment(), at.offset()), (line.segment, line.offset));
    let rest = files[at.segment() as usize].slice(at.offset() as usize..);
    let len = record_len(&rest[..RECORD_HEAD_LEN], at).unwrap();
    read_chunk(&rest.slice(..usize::try_from(len).unwrap()), at).unwrap()
}

fn samples(chunk: &Chunk) -> Vec<Point> {
    let mut iter = chunk.samples().unwrap();
    std::iter::from_fn(|| iter.next().unwrap()).map(Point::of).collect()
}

#[test]
fn every_chunk_is_found_by_its_reference_and_read() {
    for block in blocks() {
        let files: Vec<bytes::Bytes> = block.chunk_files().into_iter().map(Into::into).collect();
        for line in block.dump.iter().flatten().flat_map(|series| &series.chunks) {
            let chunk = find(&files, line);
            assert_eq!(chunk.encoding.byte(), line.enc_byte);
            assert_eq!(chunk.data.len(), line.len);
            assert_eq!(chunk.num_samples().unwrap(), line.num_samples);
            let checked = [&[line.enc_byte][..], &chunk.data].concat();
            assert_eq!(format!("{:08x}", codec::crc32c(&checked)), line.crc32c);
            let place = format!("{} at {}", block.dir.display(), line.chunk_ref);
            assert_eq!(samples(&chunk), line.samples, "{place}");
            assert_eq!(encode(&chunk, line), chunk, "{place}");
        }
    }
}

#[test]
fn a_walk_finds_every_chunk() {
    for block in blocks() {
        let mut walked = Vec::new();
        for (number, file) in block.chunk_files().iter().enumerate() {
            let mut walk = ChunkFileWalk::new(&file[..], u32::try_from(number).unwrap()).unwrap();
            while let Some((at, _)) = walk.next().unwrap() {
                walked.push(at.0);
            }
            assert_eq!(walk.offset(), file.len() as u64);
        }
        if let Some(dump) = &block.dump {
            let expected: Vec<_> =
                dump.iter().flat_map(|series| &series.chunks).map(|line| line.chunk_ref).collect();
            assert_eq!(walked, expected, "{}", block.dir.display());
        }
    }
}

/// The chunks of each series; all as one series where there is no dump.
fn chunks_by_series(block: &GoldenBlock) -> Vec<Vec<TimedChunk>> {
    let files: Vec<bytes::Bytes> = block.chunk_files().into_iter().map(Into::into).collect();
    if let Some(dump) = &block.dump {
        let timed = |line| TimedChunk { range: TimeRange::ALL, chunk: find(&files, line) };
        return dump.iter().map(|series| series.chunks.iter().map(timed).collect()).collect();
    }
    let mut all = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let mut walk = ChunkFileWalk::new(&file[..], u32::try_from(number).unwrap()).unwrap();
        while let Some((_, chunk)) = walk.next().unwrap() {
            all.push(TimedChunk { range: TimeRange::ALL, chunk });
        }
    }
    vec![all]
}

#[test]
fn written_back_the_files_are_the_same() {
    for block in blocks() {
        let expected = block.chunk_files();
        let small = block.dir.components().any(|part| part.as_os_str() == "e-segments");
        let limit = if small { 4096 } else { DEFAULT_CHUNK_FILE_LIMIT };
        let (mut files, mut refs) = (Vec::new(), Vec::new());
        let mut writer = ChunkFileWriter::new(limit);
        for chunks in chunks_by_series(&block) {
            let next_file = |full: Option<Vec<u8>>, _| -> io::Result<Vec<u8>> {
                files.extend(full);
                Ok(Vec::new())
            };
            writer.write(&chunks, &mut refs, next_file).unwrap();
        }
        files.extend(writer.finish());
        assert!(files == expected, "{}", block.dir.display());
        if let Some(dump) = &block.dump {
            let expected: Vec<_> =
                dump.iter().flat_map(|series| &series.chunks).map(|line| line.chunk_ref).collect();
            assert_eq!(refs.iter().map(|at| at.0).collect::<Vec<_>>(), expected);
        }
    }
}

/// The samples of `line` in a new chunk like `like`. The header of a histogram chunk, which tells of the chunk before, is taken over.
fn encode(like: &Chunk, line: &ChunkLine) -> Chunk {
    if like.encoding == Encoding::Xor {
        return Open::all(&line.samples).finish_chunk();
    }
    let mut open = HistogramChunk::begin(false, like.encoding == Encoding::FloatHistogram);
    for point in &line.samples {
        let appended = open.append(None, point.t, 0, point.histogram.as_ref().unwrap()).unwrap();
        assert!(matches!(appended, Appended::Appended), "{appended:?}");
    }
    let mut chunk = open.to_chunk();
    let header = like.reset_header().unwrap();
    assert_eq!(line.header.as_deref(), Some(name(header)));
    let mut data = chunk.data.to_vec();
    data[2] = (header as u8) << 6;
    chunk.data = data.into();
    chunk
}

fn name(header: ResetHeader) -> &'static str {
    match header {
        ResetHeader::Unknown => "unknown",
        ResetHeader::NotReset => "not_reset",
        ResetHeader::Reset => "reset",
        ResetHeader::Gauge => "gauge",
    }
}

/// An open chunk as a head has it.
enum Open {
    Float { appender: XorAppender, bytes: Vec<u8>, cut: ChunkCut },
    Histogram { chunk: Box<HistogramChunk>, cut: HistogramCut },
}

impl Open {
    fn begin(sample: &Point) -> Self {
        let mut open = match &sample.histogram {
            None => Self::Float {
                appender: XorAppender::new(),
                bytes: Vec::new(),
                cut: ChunkCut::begin(sample.t, TWO_HOURS),
            },
            Some(histogram) => Self::Histogram {
                chunk: Box::new(HistogramChunk::begin(false, histogram.is_float())),
                cut: HistogramCut::begin(sample.t, TWO_HOURS),
            },
        };
        assert!(open.append(sample, None).is_none());
        open
    }

    /// A chunk of all `samples`, which are floats.
    fn all(samples: &[Point]) -> Self {
        let mut open = Self::begin(&samples[0]);
        assert!(samples[1..].iter().all(|sample| open.append(sample, None).is_none()));
        open
    }

    /// Whether `sample` may come into this chunk, as far as kind, time and size say.
    fn fits(&mut self, sample: &Point) -> bool {
        match (self, &sample.histogram) {
            (Self::Float { appender, bytes, cut }, None) => !cut.is_due(sample.t, appender, bytes.len()),
            (Self::Histogram { chunk, cut }, Some(histogram)) => {
                (chunk.encoding() == Encoding::FloatHistogram) == histogram.is_float()
                    && !cut.is_due(sample.t, chunk)
            }
            _ => false,
        }
    }

    /// Appends; gives the chunk that the sample began if it did not fit into this one.
    fn append(&mut self, sample: &Point, previous: Option<&Self>) -> Option<Self> {
        match self {
            Self::Float { appender, bytes, .. } => {
                appender.append(bytes, sample.t, f64::from_bits(sample.bits.unwrap()));
                None
            }
            Self::Histogram { chunk, cut } => {
                let previous = match previous {
                    Some(Self::Histogram { chunk, .. }) => Some(&**chunk),
                    _ => None,
                };
                let histogram = sample.histogram.as_ref().unwrap();
                match chunk.append(previous, sample.t, 0, histogram).unwrap() {
                    Appended::NewChunk(next) => {
                        let cut = cut.begin_forced(sample.t, TWO_HOURS);
                        Some(Self::Histogram { chunk: next, cut })
                    }
                    _ => None,
                }
            }
        }
    }

    fn finish_chunk(&self) -> Chunk {
        match self {
            Self::Float { appender, bytes, .. } => Chunk::xor(appender.finish(bytes)),
            Self::Histogram { chunk, .. } => chunk.to_chunk(),
        }
    }
}

/// What a head that is given `samples` makes of them.
fn cut(samples: impl IntoIterator<Item = Point>) -> Vec<Chunk> {
    let mut open: Option<Open> = None;
    let mut chunks = Vec::new();
    for sample in samples {
        let fits = open.as_mut().is_some_and(|open| open.fits(&sample));
        let next = match &mut open {
            Some(now) if fits => now.append(&sample, None),
            Some(now) => {
                let mut next = Open::begin(&sample);
                if let (Open::Histogram { chunk, .. }, Some(histogram)) = (&mut next, &sample.histogram) {
                    **chunk = HistogramChunk::begin(false, histogram.is_float());
                    assert!(next.append(&sample, Some(now)).is_none());
                }
                Some(next)
            }
            None => Some(Open::begin(&sample)),
        };
        if let Some(next) = next {
            chunks.extend(open.replace(next).map(|full| full.finish_chunk()));
        }
    }
    chunks.extend(open.map(|last| last.finish_chunk()));
    chunks
}

/// What a block keeps of the chunk that was open when it was cut: the same samples, encoded anew.
fn reopened(open: &Chunk) -> Chunk {
    let mut data = open.data.to_vec();
    if open.encoding != Encoding::Xor && open.reset_header() != Some(ResetHeader::Gauge) {
        data[2] = 0;
    }
    Chunk { encoding: open.encoding, data: data.into() }
}

#[test]
fn a_head_cuts_the_chunks_that_prometheus_cut() {
    let heads = ["a-floats", "b-histograms", "e-segments", "f-cardinality"];
    let from_a_head =
        |block: &GoldenBlock| heads.iter().any(|name| block.dir.to_string_lossy().contains(name));
    let (mut cuts, mut histograms) = (0, 0);
    for block in blocks().into_iter().filter(from_a_head) {
        let files: Vec<bytes::Bytes> = block.chunk_files().into_iter().map(Into::into).collect();
        for series in block.dump.iter().flatten() {
            let expected: Vec<_> = series.chunks.iter().map(|line| find(&files, line)).collect();
            let lines = series.chunks.iter().flat_map(|line| line.samples.iter().cloned());
            let found = cut(lines);
            let (last, full) = found.split_last().unwrap();
            let (expected_last, expected_full) = expected.split_last().unwrap();
            assert_eq!(full, expected_full, "{:?}", series.labels);
            // Whether the last chunk was still open does not show in the samples of the block.
            assert!(expected_last == last || *expected_last == reopened(last), "{:?}", series.labels);
            cuts += full.len();
            histograms += expected.iter().filter(|chunk| chunk.encoding != Encoding::Xor).count();
        }
    }
    assert!(cuts > 0 && histograms > 0, "no series had two chunks, or none had histograms");
}
