//! Many sorted streams as one.
//!
//! Series with equal labels become one whose chunks stand in order of first, then last time; among equals, those of the
//! earlier input come first. A chunk that is the same in times and bytes as one before is dropped: replicas, and
//! a head that shares chunks with its blocks, send many of them. Chunks are not decoded, so overlaps remain.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::chunk::TimedChunk;
use crate::error::Error;
use crate::series::{ChunkSeries, ChunkSet};

/// The series of many [`ChunkSet`]s, each label set once.
#[derive(Debug)]
pub struct Merge<S> {
    /// Inputs not yet asked; they enter the heap at the first step.
    inputs: Vec<S>,
    heap: BinaryHeap<Head<S>>,
    failed: bool,
}

/// An input and the series it is at. The greatest has the least labels; among equal ones, the first input.
#[derive(Debug)]
struct Head<S> {
    series: ChunkSeries,
    input: S,
    number: usize,
}

impl<S> Ord for Head<S> {
    fn cmp(&self, other: &Self) -> Ordering {
        (&other.series.labels, other.number).cmp(&(&self.series.labels, self.number))
    }
}

impl<S> PartialOrd for Head<S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S> PartialEq for Head<S> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<S> Eq for Head<S> {}

impl<S: ChunkSet> Merge<S> {
    /// Merges `inputs`. Where chunks have equal times, those of the earlier input come first.
    pub fn new(inputs: impl IntoIterator<Item = S>) -> Self {
        Self { inputs: inputs.into_iter().collect(), heap: BinaryHeap::new(), failed: false }
    }

    fn start(&mut self) -> Result<(), Error> {
        for (number, mut input) in std::mem::take(&mut self.inputs).into_iter().enumerate() {
            if let Some(series) = input.next()? {
                self.heap.push(Head { series, input, number });
            }
        }
        Ok(())
    }

    /// Takes the series at the front and moves its input on.
    fn pop(&mut self) -> Result<Option<ChunkSeries>, Error> {
        let Some(mut head) = self.heap.peek_mut() else {
            return Ok(None);
        };
        let Some(next) = head.input.next()? else {
            return Ok(Some(PeekMut::pop(head).series));
        };
        if next.labels <= head.series.labels {
            let why = format!("{:?} comes after {:?}", next.labels, head.series.labels);
            return Err(Error::invalid("order of series", why));
        }
        Ok(Some(std::mem::replace(&mut head.series, next)))
    }

    fn step(&mut self) -> Result<Option<ChunkSeries>, Error> {
        self.start()?;
        let Some(mut series) = self.pop()? else {
            return Ok(None);
        };
        let mut joined = false;
        while self.heap.peek().is_some_and(|head| head.series.labels == series.labels) {
            joined = true;
            series.chunks.extend(self.pop()?.into_iter().flat_map(|other| other.chunks));
        }
        if joined {
            series.chunks.sort_by_key(|chunk| (chunk.range.min, chunk.range.max));
            drop_identical(&mut series.chunks);
        }
        Ok(Some(series))
    }
}

impl<S: ChunkSet> ChunkSet for Merge<S> {
    fn next(&mut self) -> Result<Option<ChunkSeries>, Error> {
        if self.failed {
            return Ok(None);
        }
        let step = self.step();
        self.failed = step.is_err();
        step
    }
}

/// Keeps the first of chunks that are the same. `chunks` are sorted by range; those of one range are few.
fn drop_identical(chunks: &mut Vec<TimedChunk>) {
    let mut kept: Vec<TimedChunk> = Vec::with_capacity(chunks.len());
    for chunk in chunks.drain(..) {
        let same_range = kept.iter().rev().take_while(|before| before.range == chunk.range);
        if !same_range.into_iter().any(|before| before.chunk == chunk.chunk) {
            kept.push(chunk);
        }
    }
    *chunks = kept;
}
