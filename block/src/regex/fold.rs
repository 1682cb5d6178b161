//! Which characters are the same when case does not count: Unicode's simple folding.
//!
//! The table is made once, on the first expression with `(?i)`, from what `regex-syntax` knows. A range is folded by looking
//! only at the characters in it that have a case, so that a wide range costs no more than a narrow one.

use std::sync::LazyLock;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// Characters below and above these have no case.
const FIRST_CASED: char = 'A';
const LAST_CASED: char = '\u{1E943}';

/// Pairs of a character and another one that folds to the same, by the first.
static PAIRS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    let mut pairs = Vec::new();
    for c in FIRST_CASED..=LAST_CASED {
        let folded = fold_by_table(c);
        let others = folded.iter().flat_map(|range| range.start()..=range.end()).filter(|&other| other != c);
        pairs.extend(others.map(|other| (c, other)));
    }
    pairs
});

fn fold_by_table(c: char) -> ClassUnicode {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    // Fails only without the tables, and those are linked in.
    let _ = class.try_case_fold_simple();
    class
}

/// `c` in all its cases.
pub(super) fn of_char(c: char) -> ClassUnicode {
    let mut ranges = Vec::new();
    push_folded(&mut ranges, c, c);
    ClassUnicode::new(ranges)
}

/// Adds the characters `low..=high` and everything that folds to one of them.
pub(super) fn push_folded(ranges: &mut Vec<ClassUnicodeRange>, low: char, high: char) {
    ranges.push(ClassUnicodeRange::new(low, high));
    if high < FIRST_CASED || low > LAST_CASED || (low <= FIRST_CASED && high >= LAST_CASED) {
        return;
    }
    let from = PAIRS.partition_point(|&(c, _)| c < low);
    let to = PAIRS.partition_point(|&(c, _)| c <= high);
    let others = PAIRS.get(from..to).unwrap_or_default();
    let others = others.iter().filter(|(_, other)| *other < low || *other > high);
    ranges.extend(others.map(|&(_, other)| ClassUnicodeRange::new(other, other)));
}

/// The class with everything that folds to one of its characters.
pub(super) fn of_class(class: &ClassUnicode) -> ClassUnicode {
    let mut ranges = Vec::new();
    for range in class.iter() {
        push_folded(&mut ranges, range.start(), range.end());
    }
    ClassUnicode::new(ranges)
}
