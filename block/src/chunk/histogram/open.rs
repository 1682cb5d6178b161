//! A histogram chunk of one kind that is being written: its bits and its state.

use super::cell::{Cell, View};
use super::fit::{Fit, fit};
use super::iter::Walk;
use super::joint::{Joint, TooFar, canonical};
use super::layout::{self, Layout};
use super::starts::Starts;
use super::state::{Incoming, State};
use super::{HEADER_LEN, ResetHeader};
use crate::bits::{BitReader, BitWriter, tail};
use crate::error::Error;
use crate::histogram::{Histogram, ResetHint, Span};
use crate::time::Timestamp;

/// Where a sample went.
#[derive(Debug)]
pub(super) enum Went<C> {
    /// Behind the others.
    In,
    /// Behind the others, which were written anew before.
    Recoded,
    /// Nowhere yet: it needs a new chunk, and the caller wants none.
    Nowhere,
    /// Into a new chunk.
    Next(Box<Open<C>>),
}

/// A sample as the caller gave it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) t: Timestamp,
    pub(super) start: Timestamp,
    pub(super) histogram: &'a Histogram,
}

/// A chunk with at least one sample.
#[derive(Debug, Clone)]
pub(super) struct Open<C> {
    /// The full words of the bits, without the header.
    bytes: Vec<u8>,
    /// The last `used` bits, which do not fill a word.
    word: u64,
    used: u32,
    pub(super) count: u16,
    pub(super) header: ResetHeader,
    pub(super) state: State<C>,
}

impl<C: Cell> Open<C> {
    /// A chunk of one sample.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a histogram that no chunk of this kind can hold.
    pub(super) fn begin(given: Given<'_>, starts: bool, header: ResetHeader) -> Result<Self, Error> {
        let view = view::<C>(given.histogram)?;
        let layout = Layout::of(given.histogram);
        Ok(Self::begin_with(layout, starts, header, &incoming(given, &view)))
    }

    fn begin_with(
        layout: Layout,
        starts: bool,
        header: ResetHeader,
        sample: &Incoming<'_, C::Count>,
    ) -> Self {
        let mut bytes = Vec::new();
        let mut out = BitWriter { out: &mut bytes, word: 0, used: 0 };
        let state = State::first(&mut out, layout, starts.then(Starts::default), sample);
        let (word, used) = (out.word, out.used);
        Self { bytes, word, used, count: 1, header, state }
    }

    /// What the header of a chunk that begins with `histogram` behind this one says.
    pub(super) fn header_of_next(&self, histogram: &Histogram) -> Result<ResetHeader, Error> {
        let found = match fit(&self.state, self.header, histogram, &view::<C>(histogram)?) {
            Fit::Yes(_) => ResetHeader::NotReset,
            Fit::No(found) => found,
        };
        // Float chunks of Prometheus tell only whether there was a reset.
        Ok(if C::FLOAT && found != ResetHeader::Reset { ResetHeader::NotReset } else { found })
    }

    /// Appends a sample. With `only` it goes into this chunk as it is or nowhere.
    pub(super) fn append(&mut self, given: Given<'_>, only: bool) -> Result<Went<C>, Error> {
        let view = view::<C>(given.histogram)?;
        let starts = self.state.starts.is_some();
        let joints = match self.room(&given, &view)? {
            Fit::Yes(joints) => joints,
            Fit::No(_) if only => return Ok(Went::Nowhere),
            Fit::No(header) => return Ok(Went::Next(Box::new(Self::begin(given, starts, header)?))),
        };
        let any = |has: fn(&Joint) -> bool| joints.iter().flatten().any(has);
        let (pad, recode) = (any(|joint| joint.chunk_only), any(|joint| joint.sample_only));
        let gauge = given.histogram.hint == ResetHint::Gauge;
        if only && (recode || gauge && pad) {
            return Ok(Went::Nowhere);
        }
        if recode {
            let Ok(layout) = self.wider_layout(given.histogram, &joints, gauge && pad) else {
                return Ok(Went::Next(Box::new(Self::begin(given, starts, self.header)?)));
            };
            *self = self.recoded(layout, &joints)?;
        }
        let wide =
            |joint: &Option<Joint>, buckets| joint.as_ref().map(|joint| joint.widen_sample::<C>(buckets));
        let [positive, negative] = &joints;
        let (positive, negative) = (wide(positive, view.positive), wide(negative, view.negative));
        self.push(&Incoming {
            positive: positive.as_deref().unwrap_or(view.positive),
            negative: negative.as_deref().unwrap_or(view.negative),
            ..incoming(given, &view)
        });
        Ok(if recode { Went::Recoded } else { Went::In })
    }

    /// Whether there is room for a sample: it follows the last, and the header can count it.
    fn room(&self, given: &Given<'_>, view: &View<'_, C::Count>) -> Result<Fit, Error> {
        Ok(match fit(&self.state, self.header, given.histogram, view) {
            Fit::Yes(_) if self.is_full(given.start) => Fit::No(match self.header {
                ResetHeader::Gauge => ResetHeader::Gauge,
                _ => self.header_of_next(given.histogram)?,
            }),
            // Float chunks of Prometheus tell only whether there was a reset.
            Fit::No(ResetHeader::NotReset) if C::FLOAT => Fit::No(ResetHeader::Unknown),
            fit => fit,
        })
    }

    /// Whether the header has no way to speak of one more sample.
    fn is_full(&self, start: Timestamp) -> bool {
        match self.state.starts {
            Some(starts) => self.count == super::MOST_WITH_STARTS || !starts.can_put(self.count, start),
            None => self.count == u16::MAX,
        }
    }

    /// The layout in which the chunk's and the sample's buckets find room. As in Prometheus it is the sample's own, unless buckets were
    /// added to that.
    fn wider_layout(
        &self,
        histogram: &Histogram,
        [positive, negative]: &[Option<Joint>; 2],
        both_sides: bool,
    ) -> Result<Layout, TooFar> {
        let spans = |joint: &Option<Joint>, own: &[Span]| match joint {
            Some(joint) if joint.chunk_only || both_sides => Ok(joint.spans.clone()),
            None if both_sides => canonical(own),
            _ => Ok(own.to_vec()),
        };
        Ok(Layout {
            schema: self.state.layout.schema,
            zero_threshold: self.state.layout.zero_threshold,
            positive: spans(positive, &histogram.positive_spans)?,
            negative: spans(negative, &histogram.negative_spans)?,
            custom: self.state.layout.custom.clone(),
        })
    }

    /// Writes a sample that has the layout of the chunk.
    fn push(&mut self, sample: &Incoming<'_, C::Count>) {
        let mut out = BitWriter { out: &mut self.bytes, word: self.word, used: self.used };
        self.state.put(&mut out, self.count, sample);
        (self.word, self.used) = (out.word, out.used);
        self.count += 1;
    }

    /// The same samples in a wider layout.
    fn recoded(&self, layout: Layout, joints: &[Option<Joint>; 2]) -> Result<Self, Error> {
        let bytes = self.to_bytes();
        let mut walk = Walk::<C>::new(&bytes, self.state.starts.is_some())?;
        let mut recoded: Option<Self> = None;
        while let Some(old) = walk.next()? {
            let widen = |joint: &Option<Joint>, cells: &[C]| {
                let buckets = cells.iter().map(Cell::value);
                match joint {
                    Some(joint) => joint.widen_chunk::<C>(buckets),
                    None => buckets.collect(),
                }
            };
            let [positive, negative] = joints;
            let (positive, negative) = (widen(positive, &old.positive), widen(negative, &old.negative));
            let sample = Incoming {
                t: old.time,
                start: old.start(),
                sum: old.sum(),
                count: old.count.value(),
                zero: old.zero.value(),
                positive: &positive,
                negative: &negative,
            };
            match &mut recoded {
                Some(recoded) => recoded.push(&sample),
                None => {
                    let starts = self.state.starts.is_some();
                    recoded = Some(Self::begin_with(layout.clone(), starts, self.header, &sample));
                }
            }
        }
        recoded.ok_or_else(|| Error::corrupt("histogram chunk", 0, "an open chunk without samples"))
    }

    /// How many bytes the chunk has.
    pub(super) fn len(&self) -> usize {
        HEADER_LEN + self.bytes.len() + self.used.div_ceil(8) as usize
    }

    /// The chunk as it is now.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut chunk = Vec::with_capacity(self.len());
        let starts = self.state.starts.map(Starts::byte);
        chunk.extend_from_slice(&super::head(self.count, self.header, starts));
        chunk.extend_from_slice(&self.bytes);
        let (last, len) = tail(self.word, self.used);
        chunk.extend(last.into_iter().take(len));
        chunk
    }

    /// The chunk that `walk` has read to its end; `None` if it is empty.
    pub(super) fn restore(walk: Walk<'_, C>) -> Option<Self> {
        let (bits, header, count, state) = walk.into_parts();
        let body = bits.bytes().get(HEADER_LEN..).unwrap_or_default();
        let written = bits.position() - HEADER_LEN * 8;
        let bytes = body.get(..written / 64 * 8).unwrap_or_default().to_vec();
        let used = (written % 64) as u32;
        let word = match used {
            0 => 0,
            // From a whole byte all 64 bits are seen.
            _ => BitReader::new(body, bytes.len()).peek() >> (64 - used),
        };
        let mut state = state?;
        state.starts = state.starts.map(|starts| starts.resumed(count));
        Some(Self { bytes, word, used, count, header, state })
    }
}

/// The counts of `histogram`, none if it is a stale marker.
///
/// # Errors
/// [`Error::Invalid`] if a chunk of this kind cannot hold it.
fn view<C: Cell>(histogram: &Histogram) -> Result<View<'_, C::Count>, Error> {
    let refuse = |why: &str| Err(Error::invalid("histogram", why));
    let Some(view) = C::view(&histogram.counts) else {
        return refuse("integer and float histograms do not share a chunk");
    };
    if histogram.is_stale() {
        return Ok(View::default());
    }
    let fits = |spans, buckets: &[_]| layout::buckets(spans) == buckets.len() as u64;
    if !fits(&histogram.positive_spans, view.positive) || !fits(&histogram.negative_spans, view.negative) {
        return refuse("the spans do not have as many buckets as there are");
    }
    if !layout::is_known(histogram.schema) || histogram.schema > crate::histogram::MAX_SCHEMA {
        return refuse("a schema that cannot be read back");
    }
    Ok(view)
}

fn incoming<'a, T: Copy>(given: Given<'_>, view: &View<'a, T>) -> Incoming<'a, T> {
    Incoming {
        t: given.t,
        start: given.start,
        sum: given.histogram.sum,
        count: view.count,
        zero: view.zero,
        positive: view.positive,
        negative: view.negative,
    }
}
