//! A timestamp with a value, and the stream of them that decoding a chunk gives.
//!
//! Values are compared by their bits: NaN payloads carry meaning (see [`STALE_NAN_BITS`]), and `-0.0` is not `0.0`.

use crate::Error;
use crate::histogram::Histogram;
use crate::time::Timestamp;

/// The bits of the value that marks a series as ended (Prometheus `model/value`): a signalling NaN.
pub const STALE_NAN_BITS: u64 = 0x7FF0_0000_0000_0002;

/// The bits of an ordinary NaN, as Prometheus writes it.
pub const NORMAL_NAN_BITS: u64 = 0x7FF8_0000_0000_0001;

/// Whether `value` is the stale marker, bit for bit.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// What a series was at one moment.
#[derive(Debug, Clone)]
pub enum Value {
    /// A plain number.
    Float(f64),
    /// A native histogram.
    Histogram(Box<Histogram>),
}

impl PartialEq for Value {
    /// Equality of bits, not of numbers.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => a == b,
            _ => false,
        }
    }
}

/// A value at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When.
    pub t: Timestamp,
    /// When the counter behind it began to count; 0 if that is not known.
    pub start: Timestamp,
    /// What.
    pub value: Value,
}

impl Sample {
    /// A float sample.
    pub const fn float(t: Timestamp, value: f64) -> Self {
        Self { t, start: 0, value: Value::Float(value) }
    }

    /// A histogram sample.
    pub fn histogram(t: Timestamp, value: Histogram) -> Self {
        Self { t, start: 0, value: Value::Histogram(Box::new(value)) }
    }
}

/// Samples in rising order of time. Decoding may meet damage half way, so each step may fail; after an error or the
/// end the stream gives `None` for ever.
pub trait SampleIter {
    /// The next sample, `None` at the end.
    fn next(&mut self) -> Result<Option<Sample>, Error>;
}
