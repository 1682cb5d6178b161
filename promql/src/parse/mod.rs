//! Text to tree: words, tree, grammar, checks, and text again.
//!
//! The language is that of Prometheus 3.14, its experimental parts included; faults have its words and places. The grammar is written by
//! hand: precedence climbing, one word of look-ahead, which is read only where Prometheus' generated parser reads it, because the order in which
//! faults are found decides which one is told. Reading takes time in proportion to the text, and no tree is higher than [`MAX_DEPTH`], so
//! whoever walks trees may do so by recursion.

pub mod ast;
mod check;
mod duration;
mod grammar;
mod lex;
mod literal;
mod modifier;
mod pretty;
mod print;
mod selector;
#[cfg(test)]
mod tests;
mod token;

use sarsen_block::Matcher;

use self::ast::Expr;
use self::grammar::Parser;
use self::lex::Fault;
use crate::error::ParseError;

/// How many nodes may stand above each other in a tree, operands of a chain `a + b + c` included. Prometheus has no limit of its own.
pub const MAX_DEPTH: u32 = 250;
/// How many parentheses, calls, signs and right operands may be open at once: the grammar recurs here with larger frames than any walk has.
const MAX_OPEN: u32 = 64;

/// Which experimental parts of the language are allowed. By default none, as in Prometheus without feature flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParseOptions {
    /// `promql-experimental-functions`: functions marked so in [`crate::Function`], `limitk` and `limit_ratio`.
    pub experimental_functions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right`.
    pub fill_modifiers: bool,
    /// As the parser that Thanos 0.43 is built with: `first_over_time` is still experimental.
    pub as_thanos: bool,
}

impl ParseOptions {
    /// Everything is allowed.
    pub const fn all() -> Self {
        Self {
            experimental_functions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            as_thanos: false,
        }
    }
}

/// Reads an expression and checks types, numbers of arguments and modifiers.
///
/// # Errors
/// The first fault, in Prometheus' words, with its place.
pub fn parse(text: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(text, *options);
    let tree = parser.whole().and_then(|mut tree| {
        check::check(text, &mut tree)?;
        Ok(tree)
    });
    tree.map_err(|fault| located(text, fault))
}

/// Reads a selector such as `up{job="api"}` and nothing else: what `match[]` parameters hold. That of the name comes last. The list may be
/// empty, and all of them may accept a series without their labels.
///
/// # Errors
/// The first fault, in Prometheus' words, with its place.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(text, ParseOptions::default());
    parser.only_selector().map_err(|fault| located(text, fault))
}

fn located(text: &str, fault: Fault) -> ParseError {
    let Fault { message, place } = fault;
    if text.is_empty() {
        return ParseError { message, place, line: 0, column: 0 };
    }
    let (line, column) = place.line_and_column(text);
    ParseError { message, place, line, column }
}
