//! Which series do these matchers select: the rules of Prometheus, once, for blocks and heads.
//!
//! A series without a label has the empty value there. So a matcher that accepts the empty value cannot be answered by
//! joining lists: it takes away the series whose value it refuses. All other matchers join the lists of the values
//! they accept. What is left is the intersection of the joined lists, or all series if there is none, without what is
//! taken away. No matcher at all selects everything.

use super::gather::gather;
use super::{Difference, Intersection, ListWalk, Postings, SeriesNo, Union};
use crate::error::Error;
use crate::labels::Matcher;

/// Something that has postings lists: a block, a head.
pub trait PostingsSource {
    /// A walk over one of the lists.
    type Walk<'a>: Postings
    where
        Self: 'a;

    /// All series.
    ///
    /// # Errors
    /// Whatever reading the list meets.
    fn all(&self) -> Result<Self::Walk<'_>, Error>;

    /// The series that have `value` for the label `name`; `None` if there are none.
    ///
    /// # Errors
    /// Whatever reading the list meets.
    fn list(&self, name: &[u8], value: &[u8]) -> Result<Option<Self::Walk<'_>>, Error>;

    /// The lists of the values of label `name` for which `keep` says true. Values that do not begin with `prefix` need
    /// not be shown to `keep` and are not among the answer.
    ///
    /// # Errors
    /// Whatever reading the lists meets.
    fn lists_where(
        &self,
        name: &[u8],
        prefix: &[u8],
        keep: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Vec<Self::Walk<'_>>, Error>;
}

/// One list, or several as one.
enum Lists<P> {
    One(P),
    Many(Union<P>),
    Gathered(ListWalk<Vec<SeriesNo>>),
}

impl<P: Postings> Lists<P> {
    /// The lists as one, of which at most about `asked` numbers will be asked for.
    fn new(mut lists: Vec<P>, asked: usize) -> Self {
        if lists.len() == 1
            && let Some(only) = lists.pop()
        {
            return Self::One(only);
        }
        // Each number that is asked for may move every list. If that is less than a part of all numbers, most are passed over.
        if asked.saturating_mul(lists.len()) < count(&lists) / 8 {
            Self::Many(Union::new(lists))
        } else {
            Self::Gathered(ListWalk::new(gather(lists)))
        }
    }
}

/// At most how many numbers the lists have.
fn count<P: Postings>(lists: &[P]) -> usize {
    lists.iter().fold(0, |sum, list| sum.saturating_add(list.len_hint()))
}

impl<P: Postings> Postings for Lists<P> {
    fn next(&mut self) -> Option<SeriesNo> {
        match self {
            Self::One(list) => list.next(),
            Self::Many(lists) => lists.next(),
            Self::Gathered(list) => list.next(),
        }
    }

    fn seek(&mut self, least: SeriesNo) -> Option<SeriesNo> {
        match self {
            Self::One(list) => list.seek(least),
            Self::Many(lists) => lists.seek(least),
            Self::Gathered(list) => list.seek(least),
        }
    }

    fn len_hint(&self) -> usize {
        match self {
            Self::One(list) => list.len_hint(),
            Self::Many(lists) => lists.len_hint(),
            Self::Gathered(list) => list.len_hint(),
        }
    }
}

/// The series that all `matchers` accept, in rising order.
///
/// # Errors
/// Whatever reading a list meets.
pub fn select_postings<S: PostingsSource>(matchers: &[Matcher], source: &S) -> Result<Vec<SeriesNo>, Error> {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for matcher in matchers {
        let every_series = matcher.name().is_empty() || matcher.accepts_all();
        if every_series {
            // Either of these says the same about all series, whatever labels they have.
            if !matcher.matches_empty() {
                return Ok(Vec::new());
            }
        } else if matcher.matches_empty() {
            unwanted.extend(refused(matcher, source)?);
        } else {
            let lists = accepted(matcher, source)?;
            if lists.is_empty() {
                return Ok(Vec::new());
            }
            wanted.push(lists);
        }
    }
    if wanted.is_empty() {
        wanted.push(vec![source.all()?]);
    }
    Ok(join_postings(wanted, unwanted))
}

/// The series that are in at least one list of each of `wanted`, and in none of `unwanted`, in rising order. Nothing wanted gives nothing.
pub fn join_postings<P: Postings>(wanted: Vec<Vec<P>>, unwanted: Vec<P>) -> Vec<SeriesNo> {
    let counts: Vec<usize> = wanted.iter().map(|lists| count(lists)).collect();
    let least_without = |skipped: Option<usize>| {
        let others = counts.iter().enumerate().filter(|&(at, _)| Some(at) != skipped);
        others.map(|(_, &count)| count).min().unwrap_or(usize::MAX)
    };
    let lists = wanted.into_iter().enumerate();
    let wanted =
        Intersection::new(lists.map(|(at, lists)| Lists::new(lists, least_without(Some(at)))).collect());
    match unwanted.is_empty() {
        true => wanted.collect_all(),
        false => Difference::new(wanted, Lists::new(unwanted, least_without(None))).collect_all(),
    }
}

/// The lists of the values that `matcher`, which refuses the empty value, accepts.
fn accepted<'a, S: PostingsSource>(matcher: &Matcher, source: &'a S) -> Result<Vec<S::Walk<'a>>, Error> {
    match (matcher.op().is_negative(), matcher.literals()) {
        (false, Some(values)) => lists_of(matcher, values, source),
        (false, None) => source.lists_where(matcher.name(), matcher.prefix(), &mut |v| matcher.matches(v)),
        (true, _) => source.lists_where(matcher.name(), b"", &mut |v| matcher.matches(v)),
    }
}

/// The lists of the values that `matcher`, which accepts the empty value, refuses.
fn refused<'a, S: PostingsSource>(matcher: &Matcher, source: &'a S) -> Result<Vec<S::Walk<'a>>, Error> {
    match (matcher.op().is_negative(), matcher.literals()) {
        (true, Some(values)) => lists_of(matcher, values, source),
        (true, None) => source.lists_where(matcher.name(), matcher.prefix(), &mut |v| !matcher.matches(v)),
        (false, _) => source.lists_where(matcher.name(), b"", &mut |v| !matcher.matches(v)),
    }
}

fn lists_of<'a, S: PostingsSource>(
    matcher: &Matcher,
    values: &[Box<[u8]>],
    source: &'a S,
) -> Result<Vec<S::Walk<'a>>, Error> {
    let mut lists = Vec::new();
    for value in values.iter().filter(|value| !value.is_empty()) {
        lists.extend(source.list(matcher.name(), value)?);
    }
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::labels::{Labels, MatchOp};

    /// Lists in maps, as plain as they can be.
    #[derive(Default)]
    struct Lists {
        all: Vec<SeriesNo>,
        lists: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<SeriesNo>>>,
    }

    impl Lists {
        fn of(series: &[Labels]) -> Self {
            let mut lists = Self::default();
            for (no, labels) in (1u32..).zip(series) {
                lists.all.push(SeriesNo(no * 3));
                for (name, value) in labels.iter() {
                    let values = lists.lists.entry(name.to_vec()).or_default();
                    values.entry(value.to_vec()).or_default().push(SeriesNo(no * 3));
                }
            }
            lists
        }
    }

    impl PostingsSource for Lists {
        type Walk<'a> = ListWalk<&'a [SeriesNo]>;

        fn all(&self) -> Result<Self::Walk<'_>, Error> {
            Ok(ListWalk::new(&self.all))
        }

        fn list(&self, name: &[u8], value: &[u8]) -> Result<Option<Self::Walk<'_>>, Error> {
            let list = self.lists.get(name).and_then(|values| values.get(value));
            Ok(list.map(|list| ListWalk::new(list.as_slice())))
        }

        fn lists_where(
            &self,
            name: &[u8],
            prefix: &[u8],
            keep: &mut dyn FnMut(&[u8]) -> bool,
        ) -> Result<Vec<Self::Walk<'_>>, Error> {
            let values = self.lists.get(name).into_iter().flatten();
            let kept = values.filter(|(value, _)| value.starts_with(prefix) && keep(value));
            Ok(kept.map(|(_, list)| ListWalk::new(list.as_slice())).collect())
        }
    }

    fn matcher() -> impl Strategy<Value = Matcher> {
        let op = prop_oneof![
            Just(MatchOp::Equal),
            Just(MatchOp::NotEqual),
            Just(MatchOp::Regex),
            Just(MatchOp::NotRegex)
        ];
        let value = prop_oneof![
            Just(""),
            Just("1"),
            Just("2"),
            Just("1|2"),
            Just("1|"),
            Just(".*"),
            Just(".+"),
            Just("1.*"),
            Just("|2.+"),
            Just("x"),
            Just("[12]"),
            Just("12?"),
        ];
        (op, prop_oneof![Just("a"), Just("b"), Just("none")], value)
            .prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap())
    }

    proptest! {
        #[test]
        fn as_if_every_series_were_asked(
            values in proptest::collection::btree_set(("[12]{0,2}", "[12]{0,2}"), 0..12),
            matchers in proptest::collection::vec(matcher(), 0..4),
        ) {
            let series: Vec<Labels> =
                values.iter().map(|(a, b)| Labels::from_pairs([("a", a), ("b", b)]).unwrap()).collect();
            let accepted = |labels: &Labels| {
                matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()))
            };
            let model: Vec<_> =
                (1u32..).zip(&series).filter(|(_, l)| accepted(l)).map(|(no, _)| SeriesNo(no * 3)).collect();
            prop_assert_eq!(select_postings(&matchers, &Lists::of(&series)).unwrap(), model);
        }
    }
}
