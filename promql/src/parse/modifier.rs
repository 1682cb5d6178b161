//! What stands behind an operator: `bool`, `on`, `ignoring`, `group_left`, `group_right`, `fill`; and lists of labels.

use super::ast::{BinaryOp, Cardinality, Matching, Number};
use super::grammar::{Context, Parser, fault, may_begin, sign};
use super::lex::Fault;
use super::literal;
use super::token::{Keyword, Kind, quoted};

impl Parser<'_> {
    /// Whether `bool` stands behind an operator, and what else does.
    pub(super) fn operator_modifiers(&mut self, op: BinaryOp) -> Result<(bool, Matching), Fault> {
        let mut matching = Matching::default();
        let return_bool = self.take_if(Kind::Keyword(Keyword::Bool))?.is_some();
        let on = self.take_if(Kind::Keyword(Keyword::On))?.is_some();
        if on || self.take_if(Kind::Keyword(Keyword::Ignoring))?.is_some() {
            matching.on = on;
            matching.labels = self.labels()?;
            matching.cardinality = self.cardinality()?;
            if matching.cardinality != Cardinality::OneToOne {
                matching.include = self.included()?;
            }
        }
        self.fills(&mut matching)?;
        if matches!(op, BinaryOp::Set(_)) && matching.cardinality == Cardinality::OneToOne {
            matching.cardinality = Cardinality::ManyToMany;
        }
        Ok((return_bool, matching))
    }

    fn cardinality(&mut self) -> Result<Cardinality, Fault> {
        Ok(if self.take_if(Kind::Keyword(Keyword::GroupLeft))?.is_some() {
            Cardinality::ManyToOne
        } else if self.take_if(Kind::Keyword(Keyword::GroupRight))?.is_some() {
            Cardinality::OneToMany
        } else {
            Cardinality::OneToOne
        })
    }

    /// The labels of `group_left` or `group_right`, which may be left out.
    fn included(&mut self) -> Result<Vec<Vec<u8>>, Fault> {
        let next = self.peek()?.kind;
        let fills = matches!(next, Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight));
        if next != Kind::LeftParen && (fills || may_begin(next)) { Ok(Vec::new()) } else { self.labels() }
    }

    /// `fill (0)`, or `fill_left (0)` and `fill_right (0)` in any order, or one of them.
    fn fills(&mut self, matching: &mut Matching) -> Result<(), Fault> {
        if self.take_if(Kind::Keyword(Keyword::Fill))?.is_some() {
            let value = Some(self.fill()?);
            (matching.fill_left, matching.fill_right) = (value, value);
            return Ok(());
        }
        if self.take_if(Kind::Keyword(Keyword::FillRight))?.is_some() {
            matching.fill_right = Some(self.fill()?);
            if self.take_if(Kind::Keyword(Keyword::FillLeft))?.is_some() {
                matching.fill_left = Some(self.fill()?);
            }
        } else if self.take_if(Kind::Keyword(Keyword::FillLeft))?.is_some() {
            matching.fill_left = Some(self.fill()?);
            if self.take_if(Kind::Keyword(Keyword::FillRight))?.is_some() {
                matching.fill_right = Some(self.fill()?);
            }
        }
        Ok(())
    }

    /// `(-1)`.
    fn fill(&mut self) -> Result<f64, Fault> {
        self.expect(Kind::LeftParen)?;
        let negative = sign(self.peek()?.kind);
        if negative.is_some() {
            self.take()?;
        }
        if !matches!(self.peek()?.kind, Kind::Number | Kind::Duration) {
            return self.unexpected();
        }
        let Number { value, .. } = self.number()?;
        self.expect(Kind::RightParen)?;
        Ok(if negative == Some(true) { -value } else { value })
    }

    /// `(a, b)`.
    pub(super) fn labels(&mut self) -> Result<Vec<Vec<u8>>, Fault> {
        let outer = std::mem::replace(&mut self.context, Context::GroupingList);
        self.expect(Kind::LeftParen)?;
        let mut labels = Vec::new();
        loop {
            self.context = Context::GroupingLabel;
            if self.take_if(Kind::RightParen)?.is_some() {
                break;
            }
            labels.push(self.label()?);
            self.context = Context::GroupingNext;
            if self.take_if(Kind::RightParen)?.is_some() {
                break;
            }
            self.expect(Kind::Comma)?;
        }
        self.context = outer;
        Ok(labels)
    }

    fn label(&mut self) -> Result<Vec<u8>, Fault> {
        let token = self.peek()?;
        let label = match token.kind {
            Kind::Text => literal::unquoted(token.text),
            Kind::Name | Kind::MetricName | Kind::Aggregate(_) | Kind::Time(_) => {
                token.text.as_bytes().to_vec()
            }
            Kind::Keyword(keyword) if keyword != Keyword::Without => token.text.as_bytes().to_vec(),
            Kind::Operator(_) if token.text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                token.text.as_bytes().to_vec()
            }
            _ => return self.unexpected(),
        };
        self.take()?;
        if label.is_empty() || std::str::from_utf8(&label).is_err() {
            return fault(token.place, format!("invalid label name for grouping: {}", quoted(&label)));
        }
        Ok(label)
    }
}
