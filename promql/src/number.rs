//! Numbers as Go prints them, because texts that are compared hold them.
//!
//! The digits are the fewest that read back to the same bits, as in Go; only the choice between plain and exponent form and
//! the width of exponents are made here.

/// Never an exponent (Go: `strconv.FormatFloat(x, 'f', -1, 64)`).
pub(crate) fn plain(x: f64) -> String {
    special(x).map_or_else(|| format!("{x}"), str::to_owned)
}

/// With an exponent below 1e-4 and from a million on (Go: `%g` and `%v`, the fewest digits).
pub(crate) fn general(x: f64) -> String {
    special(x).map_or_else(|| decide(&format!("{x:e}"), 6), str::to_owned)
}

/// At most `digits` digits (Go: `%.2g` for two), `digits` at least 1.
pub(crate) fn general_to(x: f64, digits: usize) -> String {
    if let Some(text) = special(x) {
        return text.to_owned();
    }
    let text = format!("{x:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    decide(&format!("{mantissa}e{exponent}"), i32::try_from(digits).unwrap_or(i32::MAX))
}

fn special(x: f64) -> Option<&'static str> {
    match x {
        _ if x.is_nan() => Some("NaN"),
        f64::INFINITY => Some("+Inf"),
        f64::NEG_INFINITY => Some("-Inf"),
        _ => None,
    }
}

/// Turns `d.ddde-d` into what Go chooses: plain, unless the exponent is below -4 or at least `limit`.
fn decide(text: &str, limit: i32) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= limit {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest.replace('.', "")),
        None => ("", mantissa.replace('.', "")),
    };
    match usize::try_from(exponent) {
        Err(_) => format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1)),
        Ok(before) if digits.len() <= before + 1 => format!("{sign}{digits:0<width$}", width = before + 1),
        Ok(before) => {
            let (whole, fraction) = digits.split_at(before + 1);
            format!("{sign}{whole}.{fraction}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_come_where_go_has_them() {
        let cases = [
            (1.5, "1.5"),
            (-0.0, "-0"),
            (1e6, "1e+06"),
            (123_456.0, "123456"),
            (1.048_576e6, "1.048576e+06"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (100.0, "100"),
            (1e300, "1e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (x, text) in cases {
            assert_eq!(general(x), text);
        }
        let rounded =
            [(0.123, "0.12"), (100.0, "1e+02"), (5.0, "5"), (9.99, "10"), (12.0, "12"), (1e-20, "1e-20")];
        for (x, text) in rounded {
            assert_eq!(general_to(x, 2), text);
        }
        assert_eq!(
            (plain(1e22).as_str(), plain(f64::INFINITY).as_str()),
            ("10000000000000000000000", "+Inf")
        );
    }
}
