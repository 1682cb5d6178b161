//! What the records of Prometheus' log say.
//!
//! A record is a kind byte and rows one behind the other, up to its end. Numbers of fixed width are big-endian. Most
//! kinds begin with the series and the time of their first row, against which all rows are coded; the kinds with start
//! times code the series against the row before.

use sarsen_block::codec::Reader;
use sarsen_block::{Labels, LabelsBuilder, TimeRange, Timestamp, Value};

use super::histogram;
use crate::error::Error;

/// What a record holds. The number is its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Labels of series.
    Series = 1,
    /// Floats.
    Samples = 2,
    /// Deletions.
    Tombstones = 3,
    /// Exemplars.
    Exemplars = 4,
    /// What of the out-of-order samples has become chunks.
    Markers = 5,
    /// Type, unit and help of series.
    Metadata = 6,
    /// Integer histograms.
    Histograms = 7,
    /// Float histograms.
    FloatHistograms = 8,
    /// Integer histograms with listed bounds.
    CustomHistograms = 9,
    /// Float histograms with listed bounds.
    CustomFloatHistograms = 10,
    /// Floats with start times.
    SamplesWithStart = 11,
    /// Integer histograms of any schema with start times.
    HistogramsWithStart = 12,
    /// Float histograms of any schema with start times.
    FloatHistogramsWithStart = 13,
    /// In a checkpoint: samples before this moment do not count.
    MinValidTime = 14,
}

impl Kind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Series,
            2 => Self::Samples,
            3 => Self::Tombstones,
            4 => Self::Exemplars,
            5 => Self::Markers,
            6 => Self::Metadata,
            7 => Self::Histograms,
            8 => Self::FloatHistograms,
            9 => Self::CustomHistograms,
            10 => Self::CustomFloatHistograms,
            11 => Self::SamplesWithStart,
            12 => Self::HistogramsWithStart,
            13 => Self::FloatHistogramsWithStart,
            14 => Self::MinValidTime,
            _ => return None,
        })
    }
}

/// One record, not yet read further than its head.
#[derive(Debug, Clone)]
pub enum Record<'a> {
    /// Labels of series.
    Series(Series<'a>),
    /// Floats or histograms.
    Samples(Samples<'a>),
    /// Deletions.
    Tombstones(Tombstones<'a>),
    /// Exemplars.
    Exemplars(Exemplars<'a>),
    /// What of the out-of-order samples has become chunks.
    Markers(Markers<'a>),
    /// Type, unit and help of series.
    Metadata(Metadata<'a>),
    /// Samples before this moment do not count.
    MinValidTime(Timestamp),
}

impl<'a> Record<'a> {
    /// What the record in `bytes` holds; `None` if this version does not know, or nothing.
    pub fn kind(bytes: &[u8]) -> Option<Kind> {
        Kind::from_byte(*bytes.first()?)
    }

    /// Reads the head of the record in `bytes`. A record of a kind that is not known is `None`, as Prometheus passes over it.
    ///
    /// # Errors
    /// [`Error::Record`] if the head is damaged.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<Self>, Error> {
        let Some(kind) = Self::kind(bytes) else { return Ok(None) };
        let mut reader = Reader::new("foreign record", bytes);
        reader.u8("kind")?;
        Ok(Some(match kind {
            Kind::Series => Self::Series(Series { reader, builder: LabelsBuilder::new() }),
            Kind::Tombstones => Self::Tombstones(Tombstones(reader)),
            Kind::Markers => Self::Markers(Markers(reader)),
            Kind::Metadata => Self::Metadata(Metadata(reader)),
            Kind::Exemplars => {
                let base = Base::read(&mut reader)?;
                Self::Exemplars(Exemplars { base, reader, builder: LabelsBuilder::new() })
            }
            Kind::MinValidTime => {
                let t = reader.u64("time")? as i64;
                reader.finish()?;
                Self::MinValidTime(t)
            }
            Kind::Samples => Self::Samples(Samples::behind_base(reader, Sort::Float)?),
            Kind::Histograms | Kind::CustomHistograms => {
                Self::Samples(Samples::behind_base(reader, Sort::Integer)?)
            }
            Kind::FloatHistograms | Kind::CustomFloatHistograms => {
                Self::Samples(Samples::behind_base(reader, Sort::FloatHistogram)?)
            }
            Kind::SamplesWithStart => Self::Samples(Samples::with_start(reader, Sort::Float)),
            Kind::HistogramsWithStart => Self::Samples(Samples::with_start(reader, Sort::Integer)),
            Kind::FloatHistogramsWithStart => {
                Self::Samples(Samples::with_start(reader, Sort::FloatHistogram))
            }
        }))
    }
}

/// Series and time of the first row, in front of all rows.
#[derive(Debug, Clone, Copy, Default)]
struct Base {
    series: u64,
    t: Timestamp,
}

impl Base {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        if reader.remaining() == 0 {
            return Ok(Self::default());
        }
        Ok(Self { series: reader.u64("first series")?, t: reader.u64("first time")? as i64 })
    }

    fn row(self, reader: &mut Reader<'_>) -> Result<(u64, Timestamp), Error> {
        let series = self.series.wrapping_add(reader.varint("series")? as u64);
        Ok((series, self.t.wrapping_add(reader.varint("time")?)))
    }
}

fn labels(reader: &mut Reader<'_>, builder: &mut LabelsBuilder) -> Result<Labels, Error> {
    // A label takes at least two bytes.
    let count = reader.length(reader.remaining() / 2, "number of labels")?;
    builder.clear();
    for _ in 0..count {
        let name = reader.str("name of a label")?;
        let value = reader.str("value of a label")?;
        if !value.is_empty() {
            builder.push(name, value);
        }
    }
    Ok(builder.build()?)
}

/// The series of a record.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    reader: Reader<'a>,
    builder: LabelsBuilder,
}

impl Series<'_> {
    /// The number under which the log speaks of a series, and its labels; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<(u64, Labels)>, Error> {
        if self.reader.remaining() == 0 {
            return Ok(None);
        }
        let series = self.reader.u64("series")?;
        Ok(Some((series, labels(&mut self.reader, &mut self.builder)?)))
    }
}

/// A sample of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The series, by the number that the log gives it.
    pub series: u64,
    /// When.
    pub t: Timestamp,
    /// When the counter behind it began; 0 if that is not known.
    pub start: Timestamp,
    /// What. Histograms come as they were written, whatever their schema.
    pub value: Value,
}

/// What the rows of a record of samples hold.
#[derive(Debug, Clone, Copy)]
enum Sort {
    Float,
    Integer,
    FloatHistogram,
}

/// How the heads of the rows are coded.
#[derive(Debug, Clone, Copy)]
enum Form {
    BehindBase(Base),
    WithStart { first: Option<(Timestamp, Timestamp)>, series: u64, start: Timestamp },
}

/// The samples of a record.
#[derive(Debug, Clone)]
pub struct Samples<'a> {
    reader: Reader<'a>,
    form: Form,
    sort: Sort,
}

impl<'a> Samples<'a> {
    fn behind_base(mut reader: Reader<'a>, sort: Sort) -> Result<Self, Error> {
        let form = Form::BehindBase(Base::read(&mut reader)?);
        Ok(Self { reader, form, sort })
    }

    const fn with_start(reader: Reader<'a>, sort: Sort) -> Self {
        Self { reader, form: Form::WithStart { first: None, series: 0, start: 0 }, sort }
    }

    /// The next sample; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<Sample>, Error> {
        if self.reader.remaining() == 0 {
            return Ok(None);
        }
        let (series, t, start) = self.head()?;
        let value = match self.sort {
            Sort::Float => Value::Float(f64::from_bits(self.reader.u64("value")?)),
            Sort::Integer => Value::Histogram(Box::new(histogram::read(&mut self.reader, false)?)),
            Sort::FloatHistogram => Value::Histogram(Box::new(histogram::read(&mut self.reader, true)?)),
        };
        Ok(Some(Sample { series, t, start, value }))
    }

    fn head(&mut self) -> Result<(u64, Timestamp, Timestamp), Error> {
        let reader = &mut self.reader;
        match &mut self.form {
            Form::BehindBase(base) => {
                let (series, t) = base.row(reader)?;
                Ok((series, t, 0))
            }
            Form::WithStart { first: first @ None, series, start } => {
                *series = reader.varint("first series")? as u64;
                let t = reader.varint("first time")?;
                *start = reader.varint("first start time")?;
                *first = Some((t, *start));
                Ok((*series, t, *start))
            }
            Form::WithStart { first: Some((first_t, first_start)), series, start } => {
                *series = series.wrapping_add(reader.varint("series")? as u64);
                let t = first_t.wrapping_add(reader.varint("time")?);
                match reader.u8("how the start time is given")? {
                    0 => *start = 0,
                    1 => {}
                    _ => *start = first_start.wrapping_add(reader.varint("start time")?),
                }
                Ok((*series, t, *start))
            }
        }
    }
}

/// A deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// The series, by the number that the log gives it.
    pub series: u64,
    /// What is deleted.
    pub range: TimeRange,
}

/// The deletions of a record.
#[derive(Debug, Clone)]
pub struct Tombstones<'a>(Reader<'a>);

impl Tombstones<'_> {
    /// The next deletion; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<Tombstone>, Error> {
        if self.0.remaining() == 0 {
            return Ok(None);
        }
        let series = self.0.u64("series")?;
        let range = TimeRange::new(self.0.varint("first time")?, self.0.varint("last time")?);
        Ok(Some(Tombstone { series, range }))
    }
}

/// An exemplar.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// The series, by the number that the log gives it.
    pub series: u64,
    /// When.
    pub t: Timestamp,
    /// Its value.
    pub value: f64,
    /// Its own labels.
    pub labels: Labels,
}

/// The exemplars of a record.
#[derive(Debug, Clone)]
pub struct Exemplars<'a> {
    base: Base,
    reader: Reader<'a>,
    builder: LabelsBuilder,
}

impl Exemplars<'_> {
    /// The next exemplar; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<Exemplar>, Error> {
        if self.reader.remaining() == 0 {
            return Ok(None);
        }
        let (series, t) = self.base.row(&mut self.reader)?;
        let value = f64::from_bits(self.reader.u64("value")?);
        let labels = labels(&mut self.reader, &mut self.builder)?;
        Ok(Some(Exemplar { series, t, value, labels }))
    }
}

/// Says that all samples of a series that stand before this in the log of out-of-order samples are in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// The series, by the number that the log gives it.
    pub series: u64,
    /// The newest of these chunks, as [`HeadChunk`](super::HeadChunk) names it; 0: there was none before.
    pub chunk: u64,
}

/// The markers of a record.
#[derive(Debug, Clone)]
pub struct Markers<'a>(Reader<'a>);

impl Markers<'_> {
    /// The next marker; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<Marker>, Error> {
        if self.0.remaining() == 0 {
            return Ok(None);
        }
        Ok(Some(Marker { series: self.0.u64("series")?, chunk: self.0.u64("chunk")? }))
    }
}

/// What a series means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataRow<'a> {
    /// The series, by the number that the log gives it.
    pub series: u64,
    /// 0 unknown, 1 counter, 2 gauge, 3 histogram, 4 gauge histogram, 5 summary, 6 info, 7 state set.
    pub kind: u8,
    /// Its unit.
    pub unit: &'a [u8],
    /// What it says.
    pub help: &'a [u8],
}

/// The metadata of a record.
#[derive(Debug, Clone)]
pub struct Metadata<'a>(Reader<'a>);

impl<'a> Metadata<'a> {
    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<MetadataRow<'a>>, Error> {
        if self.0.remaining() == 0 {
            return Ok(None);
        }
        let series = self.0.uvarint("series")?;
        let kind = self.0.u8("type")?;
        let fields = self.0.length(self.0.remaining() / 2, "number of fields")?;
        let (mut unit, mut help) = (&[][..], &[][..]);
        for _ in 0..fields {
            let name = self.0.str("name of a field")?;
            let value = self.0.str("value of a field")?;
            match name {
                b"UNIT" => unit = value,
                b"HELP" => help = value,
                _ => {}
            }
        }
        Ok(Some(MetadataRow { series, kind, unit, help }))
    }
}
