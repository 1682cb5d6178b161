//! Chunk files are Prometheus' files: read to the last sample, written back to the same bytes at the same references, and a head
//! that is fed the samples of a block cuts the chunks that its head cut.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::io;

use golden::{ChunkLine, GoldenBlock, Point, blocks};
use sarsen_block::{
    Chunk, ChunkCut, ChunkFileWalk, ChunkFileWriter, ChunkRef, DEFAULT_CHUNK_FILE_LIMIT, Encoding,
    RECORD_HEAD_LEN, TimeRange, TimedChunk, XorAppender, XorIter, codec, read_chunk, record_len,
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
    let mut iter = XorIter::new(&chunk.data).unwrap();
    std::iter::from_fn(|| iter.next().unwrap().map(|(t, v)| Point { t, bits: Some(v.to_bits()) })).collect()
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
            if chunk.encoding == Encoding::Xor {
                assert_eq!(samples(&chunk), line.samples, "{} at {}", block.dir.display(), line.chunk_ref);
                assert_eq!(encode(&line.samples).finish_chunk(), chunk, "samples give the bytes");
            }
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

/// An open chunk as a head has it.
struct Open {
    appender: XorAppender,
    bytes: Vec<u8>,
    cut: ChunkCut,
}

impl Open {
    fn begin(sample: Point) -> Self {
        let cut = ChunkCut::begin(sample.t, TWO_HOURS);
        let mut open = Self { appender: XorAppender::new(), bytes: Vec::new(), cut };
        open.append(sample);
        open
    }

    fn fits(&mut self, t: i64) -> bool {
        !self.cut.is_due(t, &self.appender, self.bytes.len())
    }

    fn append(&mut self, sample: Point) {
        self.appender.append(&mut self.bytes, sample.t, f64::from_bits(sample.bits.unwrap()));
    }

    fn finish_chunk(&self) -> Chunk {
        Chunk::xor(self.appender.finish(&self.bytes))
    }
}

fn encode(samples: &[Point]) -> Open {
    let mut open = Open::begin(samples[0]);
    samples[1..].iter().for_each(|&sample| open.append(sample));
    open
}

#[test]
fn a_head_cuts_the_chunks_that_prometheus_cut() {
    let heads = ["a-floats", "e-segments", "f-cardinality"];
    let from_a_head =
        |block: &GoldenBlock| heads.iter().any(|name| block.dir.to_string_lossy().contains(name));
    let mut cuts = 0;
    for block in blocks().into_iter().filter(from_a_head) {
        for series in block.dump.unwrap() {
            let mut open: Option<Open> = None;
            let mut chunks = Vec::new();
            for &sample in series.chunks.iter().flat_map(|line| &line.samples) {
                let fits = open.as_mut().is_some_and(|open| open.fits(sample.t));
                match &mut open {
                    Some(open) if fits => open.append(sample),
                    _ => chunks.extend(open.replace(Open::begin(sample)).map(|full| full.finish_chunk())),
                }
            }
            chunks.extend(open.map(|last| last.finish_chunk()));
            let found: Vec<_> = chunks.iter().map(samples).collect();
            let expected: Vec<_> = series.chunks.iter().map(|line| line.samples.clone()).collect();
            assert_eq!(found, expected, "{:?}", series.labels);
            cuts += chunks.len() - 1;
        }
    }
    assert!(cuts > 0, "no series had two chunks");
}
