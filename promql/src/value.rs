//! What a query answers.

use sarsen_block::{Histogram, Labels, Timestamp};

/// A number or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// A number.
    Float(f64),
    /// A histogram of floats.
    Histogram(Box<Histogram>),
}

/// A series at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct InstantSample {
    /// Its labels.
    pub labels: Labels,
    /// The time that was asked for, in milliseconds.
    pub t: Timestamp,
    /// Its value.
    pub point: Point,
}

/// A series over a range.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RangeSeries {
    /// Its labels.
    pub labels: Labels,
    /// Times and numbers, by time.
    pub floats: Vec<(Timestamp, f64)>,
    /// Times and histograms of floats, by time.
    pub histograms: Vec<(Timestamp, Histogram)>,
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number at a time.
    Scalar(Timestamp, f64),
    /// A text at a time.
    String(Timestamp, Vec<u8>),
    /// Series at one time, in the order of the evaluation.
    Vector(Vec<InstantSample>),
    /// Series over a range, sorted by labels.
    Matrix(Vec<RangeSeries>),
}
