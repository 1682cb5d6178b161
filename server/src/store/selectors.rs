//! The selectors that stand in a PromQL expression.
//!
//! Exemplars are asked for with an expression, of which only the selectors count: which series it reads. Every part of the language is
//! allowed in it, experimental ones too.

use sarsen_block::Matcher;
use sarsen_promql::{ParseOptions, parse};

/// The selectors of an expression.
///
/// # Errors
/// What is wrong and where, in Prometheus' words, if it is no expression.
pub(crate) fn selectors_of(expression: &str) -> Result<Vec<Vec<Matcher>>, String> {
    let tree = parse(expression, &ParseOptions::all()).map_err(|error| error.to_string())?;
    Ok(tree.selectors().into_iter().map(<[Matcher]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_or_the_fault() {
        let shown = |text: &str| selectors_of(text).map(|found| format!("{found:?}"));
        assert_eq!(
            shown("sum(a{x='}'}) by (on) / b").unwrap(),
            "[[x=\"}\", __name__=\"a\"], [__name__=\"b\"]]"
        );
        assert_eq!(shown("1 + 2").unwrap(), "[]");
        assert_eq!(shown("up{").unwrap_err(), "1:4: parse error: unexpected end of input inside braces");
        assert!(shown("{}").is_err());
    }
}
