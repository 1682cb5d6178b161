//! Works out expressions of durations, once the step and the range of the query are known.

use crate::Error;
use crate::ast::{ArithmeticOp, DurationExpr, DurationKind, Length};
use crate::func::elementary;

/// What `step()` and `range()` mean in them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spans {
    /// Seconds between two steps; 0 for an instant query.
    pub(super) step: f64,
    /// Seconds between the first and the last.
    pub(super) range: f64,
}

impl Spans {
    /// A length in milliseconds; `signed` ones may be 0 or less.
    pub(super) fn length(&self, length: &Length, signed: bool) -> Result<i64, Error> {
        match length {
            Length::Plain(ms) => Ok(*ms),
            Length::Expression(expr) => {
                let seconds = self.seconds(expr)?;
                if seconds.is_nan() || seconds.is_infinite() {
                    return Err(wrong(expr, "duration is NaN or infinite"));
                }
                if seconds <= 0.0 && !signed {
                    return Err(wrong(expr, "duration must be greater than 0"));
                }
                // The bound is that of 64 bits of nanoseconds.
                if seconds.abs() > 9_223_372_036.854_776 {
                    return Err(wrong(expr, "duration is out of range"));
                }
                Ok((seconds * 1000.0) as i64)
            }
        }
    }

    fn seconds(&self, expr: &DurationExpr) -> Result<f64, Error> {
        Ok(match &expr.kind {
            DurationKind::Number(number) => number.value,
            DurationKind::Step => self.step,
            DurationKind::Range => self.range,
            DurationKind::Min(a, b) => go_min(self.seconds(a)?, self.seconds(b)?),
            DurationKind::Max(a, b) => -go_min(-self.seconds(a)?, -self.seconds(b)?),
            DurationKind::Unary { negative: true, expr } => -self.seconds(expr)?,
            DurationKind::Unary { negative: false, expr } | DurationKind::Paren(expr) => {
                self.seconds(expr)?
            }
            DurationKind::Binary(op, a, b) => self.binary(expr, *op, (self.seconds(a)?, self.seconds(b)?))?,
        })
    }

    fn binary(&self, expr: &DurationExpr, op: ArithmeticOp, (a, b): (f64, f64)) -> Result<f64, Error> {
        Ok(match op {
            ArithmeticOp::Add => a + b,
            ArithmeticOp::Sub => a - b,
            ArithmeticOp::Mul => a * b,
            ArithmeticOp::Div if b == 0.0 => return Err(wrong(expr, "division by zero")),
            ArithmeticOp::Mod if b == 0.0 => return Err(wrong(expr, "modulo by zero")),
            ArithmeticOp::Div => a / b,
            ArithmeticOp::Mod => a % b,
            ArithmeticOp::Pow => elementary::pow(a, b),
            ArithmeticOp::Atan2 => elementary::atan2(a, b),
        })
    }
}

/// The smaller one; NaN if one is.
fn go_min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

fn wrong(expr: &DurationExpr, what: &str) -> Error {
    Error::Execution(format!("{}:{}: {what}", expr.place.start, expr.place.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::{Number, Place};

    fn number(value: f64) -> Box<DurationExpr> {
        Box::new(DurationExpr {
            kind: DurationKind::Number(Number { value, duration: false }),
            place: Place::default(),
        })
    }

    fn length(kind: DurationKind) -> Length {
        Length::Expression(Box::new(DurationExpr { kind, place: Place { start: 2, end: 7 } }))
    }

    #[test]
    fn lengths_are_worked_out_in_seconds_and_cut_to_milliseconds() {
        let spans = Spans { step: 30.0, range: 600.0 };
        let plain = |kind| spans.length(&length(kind), false).map_err(|error| error.to_string());
        assert_eq!(plain(DurationKind::Binary(ArithmeticOp::Mul, number(1.0005), number(3.0))), Ok(3001));
        assert_eq!(plain(DurationKind::Step), Ok(30_000));
        assert_eq!(
            plain(DurationKind::Max(
                number(5.0),
                Box::new(DurationExpr { kind: DurationKind::Range, place: Place::default() })
            )),
            Ok(600_000)
        );
        let negative = || DurationKind::Unary { negative: true, expr: number(2.0) };
        assert_eq!(plain(negative()), Err("2:7: duration must be greater than 0".into()));
        assert_eq!(spans.length(&length(negative()), true).unwrap(), -2000);
        assert_eq!(
            plain(DurationKind::Binary(ArithmeticOp::Div, number(1.0), number(0.0))),
            Err("2:7: division by zero".into())
        );
        assert_eq!(
            plain(DurationKind::Binary(ArithmeticOp::Pow, number(10.0), number(40.0))),
            Err("2:7: duration is out of range".into())
        );
    }
}
