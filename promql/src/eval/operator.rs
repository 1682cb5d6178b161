//! One operator between two samples.

use std::sync::Arc;

use sarsen_block::Histogram;

use super::column::Cell;
use crate::annotations::Operation;
use crate::ast::{ArithmeticOp, BinaryOp, CompareOp, Place};
use crate::func::elementary;
use crate::histogram::{self, Keep};
use crate::{Annotations, Note};

/// What an operator makes of two samples that go together.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) value: Value,
    /// `false`: a comparison that does not hold.
    pub(super) holds: bool,
}

/// A number or a histogram.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl Value {
    /// As the cell of a column.
    pub(super) const fn cell(&self) -> Cell<'_> {
        match self {
            Self::Float(value) => Cell::Float(*value),
            Self::Histogram(histogram) => Cell::Histogram(histogram),
        }
    }
}

/// An operator with the place at which it notes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operator {
    pub(super) op: BinaryOp,
    pub(super) place: Place,
}

impl Operator {
    /// Whether the result is something else than its operands, so that their name does not fit it.
    pub(super) const fn changes_schema(self) -> bool {
        matches!(self.op, BinaryOp::Arithmetic(_))
    }

    /// What it makes of two samples; `None`: they do not go together, which is noted.
    pub(super) fn apply(self, left: Cell<'_>, right: Cell<'_>, notes: &mut Annotations) -> Option<Outcome> {
        use ArithmeticOp::{Div, Mul};
        use BinaryOp::{Arithmetic, Compare, TrimLower, TrimUpper};
        let kept = |value| Some(Outcome { value, holds: true });
        let histogram = |result: Histogram| kept(Value::Histogram(Arc::new(result)));
        match (left, right, self.op) {
            (Cell::Float(a), Cell::Float(b), Arithmetic(op)) => kept(Value::Float(arithmetic(op)(a, b))),
            (Cell::Float(a), Cell::Float(b), Compare(op)) => {
                Some(Outcome { value: Value::Float(a), holds: compare(op)(a, b) })
            }
            (Cell::Float(x), Cell::Histogram(h), Arithmetic(Mul))
            | (Cell::Histogram(h), Cell::Float(x), Arithmetic(Mul)) => histogram(histogram::multiply(h, x)),
            (Cell::Histogram(h), Cell::Float(x), Arithmetic(Div)) => histogram(histogram::divide(h, x)),
            (Cell::Histogram(h), Cell::Float(x), TrimUpper) => histogram(histogram::trim(h, x, Keep::Below)),
            (Cell::Histogram(h), Cell::Float(x), TrimLower) => histogram(histogram::trim(h, x, Keep::Above)),
            (Cell::Histogram(a), Cell::Histogram(b), _) => self.histograms(a, b, notes),
            (Cell::Float(_), Cell::Float(_), _) => self.refuse(("float", "float"), notes),
            (Cell::Float(_), Cell::Histogram(_), _) => self.refuse(("float", "histogram"), notes),
            (Cell::Histogram(_), Cell::Float(_), _) => self.refuse(("histogram", "float"), notes),
        }
    }

    fn histograms(self, a: &Arc<Histogram>, b: &Arc<Histogram>, notes: &mut Annotations) -> Option<Outcome> {
        let compared = |holds| Some(Outcome { value: Value::Histogram(Arc::clone(a)), holds });
        let (result, operation) = match self.op {
            BinaryOp::Arithmetic(ArithmeticOp::Add) => (histogram::add(a, b), Operation::Addition),
            BinaryOp::Arithmetic(ArithmeticOp::Sub) => (histogram::subtract(a, b), Operation::Subtraction),
            BinaryOp::Compare(CompareOp::Equal) => return compared(histogram::equals(a, b)),
            BinaryOp::Compare(CompareOp::NotEqual) => return compared(!histogram::equals(a, b)),
            _ => return self.refuse(("histogram", "histogram"), notes),
        };
        let Ok((result, combined)) = result else {
            notes.add(Note::incompatible_bucket_layout(self.op.name()), self.place);
            return None;
        };
        // Prometheus lets this warning take the place of the result.
        if combined.reset_collision {
            notes.add(Note::reset_collision(operation), self.place);
            return None;
        }
        if combined.bounds_reconciled {
            notes.add(Note::mismatched_custom_buckets(operation), self.place);
        }
        Some(Outcome { value: Value::Histogram(Arc::new(result)), holds: true })
    }

    fn refuse(self, (left, right): (&str, &str), notes: &mut Annotations) -> Option<Outcome> {
        notes.add(Note::incompatible_types(left, self.op.name(), right), self.place);
        None
    }
}

/// The function of an operator of arithmetic.
pub(super) fn arithmetic(op: ArithmeticOp) -> fn(f64, f64) -> f64 {
    match op {
        ArithmeticOp::Add => |a, b| a + b,
        ArithmeticOp::Sub => |a, b| a - b,
        ArithmeticOp::Mul => |a, b| a * b,
        ArithmeticOp::Div => |a, b| a / b,
        ArithmeticOp::Mod => |a, b| a % b,
        ArithmeticOp::Pow => elementary::pow,
        ArithmeticOp::Atan2 => elementary::atan2,
    }
}

/// The function of a comparison.
pub(super) fn compare(op: CompareOp) -> fn(f64, f64) -> bool {
    match op {
        CompareOp::Equal => |a, b| a == b,
        CompareOp::NotEqual => |a, b| a != b,
        CompareOp::Greater => |a, b| a > b,
        CompareOp::Less => |a, b| a < b,
        CompareOp::GreaterOrEqual => |a, b| a >= b,
        CompareOp::LessOrEqual => |a, b| a <= b,
    }
}

/// An operator between two scalars.
pub(super) fn scalars(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Arithmetic(op) => arithmetic(op)(a, b),
        BinaryOp::Compare(op) => f64::from(u8::from(compare(op)(a, b))),
        // The parser lets no other operator stand between scalars.
        BinaryOp::TrimUpper | BinaryOp::TrimLower | BinaryOp::Set(_) => f64::NAN,
    }
}
