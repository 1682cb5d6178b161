//! Set operations over any lists, moved by any steps, give what sets of the standard library give.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use sarsen_block::{Difference, Intersection, ListWalk, Postings, SeriesNo, Union};

fuzz_target!(|input: (Vec<BTreeSet<u16>>, BTreeSet<u16>, Vec<Option<u16>>)| {
    let (sets, without, steps) = input;
    let walk =
        |set: &BTreeSet<u16>| ListWalk::new(set.iter().map(|&no| SeriesNo(no.into())).collect::<Vec<_>>());
    let all: BTreeSet<u16> = sets.iter().flatten().copied().collect();
    let common: BTreeSet<u16> =
        all.iter().copied().filter(|no| sets.iter().all(|set| set.contains(no))).collect();
    check(Union::new(sets.iter().map(walk).collect()), &all, &steps);
    check(Intersection::new(sets.iter().map(walk).collect()), &common, &steps);
    let left = all.difference(&without).copied().collect();
    check(Difference::new(Union::new(sets.iter().map(walk).collect()), walk(&without)), &left, &steps);
});

/// Steps: `None` is next, a number is a seek.
fn check(mut walk: impl Postings, model: &BTreeSet<u16>, steps: &[Option<u16>]) {
    let mut stands: Option<u16> = None;
    for step in steps {
        let from = match (*step, stands) {
            (None, None) => Some(0),
            (None, Some(no)) => no.checked_add(1),
            (Some(least), stands) => Some(least.max(stands.unwrap_or(0))),
        };
        let want = from.and_then(|from| model.range(from..).next().copied());
        let got = match *step {
            None => walk.next(),
            Some(least) => walk.seek(SeriesNo(least.into())),
        };
        assert_eq!(got, want.map(|no| SeriesNo(no.into())));
        if want.is_none() {
            return;
        }
        stands = want;
    }
}
