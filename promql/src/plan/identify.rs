//! What the first argument of `info` says of the labels by which info series are found, before anything is evaluated.
//!
//! Prometheus asks for info series with those values of `instance` and `job` that the evaluated series have. Here everything is asked for first; but
//! where these labels are those of a selector, its matchers on them hold for every info series that can be joined, too.

use sarsen_block::Matcher;

use crate::ast::{Expr, ExprKind};

/// Labels by which info series are found.
const IDENTIFYING: [&[u8]; 2] = [b"instance", b"job"];
/// Functions whose series do not have the labels of their argument.
const OTHER_LABELS: [&str; 7] =
    ["absent", "absent_over_time", "info", "label_join", "label_replace", "scalar", "vector"];

/// Matchers that every info series must fit to be joined with a series of `base`. None of them takes the empty text, by which nothing is found.
pub(super) fn identifying(base: &Expr) -> Vec<Matcher> {
    let matchers = match &base.kind {
        ExprKind::Vector(selector) => &selector.matchers,
        ExprKind::Matrix(matrix) => &matrix.selector.matchers,
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => return identifying(expr),
        ExprKind::Subquery(subquery) => return identifying(&subquery.expr),
        ExprKind::Call(call) if !OTHER_LABELS.contains(&call.function.name) => {
            // One argument has series, the others are numbers and texts.
            let found = call.arguments.iter().map(identifying).find(|found| !found.is_empty());
            return found.unwrap_or_default();
        }
        _ => return Vec::new(),
    };
    let is_of_use = |matcher: &&Matcher| IDENTIFYING.contains(&matcher.name()) && !matcher.matches_empty();
    matchers.iter().filter(is_of_use).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ParseOptions, parse};

    #[test]
    fn what_a_selector_says_and_nothing_else() {
        let options = ParseOptions { experimental_functions: true, ..ParseOptions::default() };
        for (text, expected) in [
            ("m{job=\"a\",pod=\"x\"}", "job=\"a\""),
            ("rate(m{job=~\"a|b\",instance!=\"\"}[5m])", "job=~\"a|b\" instance!=\"\""),
            ("-(max_over_time(rate(m{job=\"a\"}[5m])[1h:]))", "job=\"a\""),
            ("histogram_quantile(0.9, m{instance=\"i\"})", "instance=\"i\""),
            // These let series without the label through, or change it.
            ("m{job=~\".*\"}", ""),
            ("m{job!=\"a\"}", ""),
            ("label_replace(m{job=\"a\"}, \"job\", \"b\", \"\", \"\")", ""),
            ("sum by (job) (m{job=\"a\"})", ""),
            ("m{job=\"a\"} or m{job=\"b\"}", ""),
            ("vector(scalar(m{job=\"a\"}))", ""),
        ] {
            let found: Vec<String> =
                identifying(&parse(text, &options).unwrap()).iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }
}
