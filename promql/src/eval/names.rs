//! Sets of labels out of sets of labels: some kept, some left out, one set.
//!
//! A run of labels is one run of bytes, sorted by name, so keeping and leaving out are copies of pieces and no sort.

use sarsen_block::{Labels, LabelsRef, METRIC_NAME, append_label};

/// Labels that tell what a metric is, and go when a function makes something else of it.
pub(crate) const NAME_LIKE: [&[u8]; 3] = [METRIC_NAME, b"__type__", b"__unit__"];

/// Appends the labels for which `keep` holds to `out`, in the byte form of a set.
pub(crate) fn put_filtered(out: &mut Vec<u8>, labels: LabelsRef<'_>, mut keep: impl FnMut(&[u8]) -> bool) {
    for (name, value) in labels.iter() {
        if keep(name) {
            append_label(out, name, value);
        }
    }
}

/// The labels for which `keep` holds.
pub(crate) fn filtered(labels: LabelsRef<'_>, keep: impl FnMut(&[u8]) -> bool) -> Labels {
    let mut out = Vec::with_capacity(labels.as_bytes().len());
    put_filtered(&mut out, labels, keep);
    LabelsRef::trusted(&out).to_owned()
}

/// Without name, type and unit.
pub(crate) fn without_name(labels: LabelsRef<'_>) -> Labels {
    filtered(labels, |name| !NAME_LIKE.contains(&name))
}

/// With `name` set to `value`; an empty value takes the label away.
pub(crate) fn with(labels: LabelsRef<'_>, name: &[u8], value: &[u8]) -> Labels {
    let mut out = Vec::with_capacity(labels.as_bytes().len() + name.len() + value.len() + 12);
    let mut put = value.is_empty();
    for (other, text) in labels.iter() {
        if !put && other >= name {
            append_label(&mut out, name, value);
            put = true;
        }
        if other != name {
            append_label(&mut out, other, text);
        }
    }
    if !put {
        append_label(&mut out, name, value);
    }
    LabelsRef::trusted(&out).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn sets_come_out_as_a_builder_would_make_them() {
        let all = labels(&[("__name__", "up"), ("__type__", "gauge"), ("job", "a"), ("z", "1")]);
        assert_eq!(without_name(all.as_ref()), labels(&[("job", "a"), ("z", "1")]));
        assert_eq!(with(all.as_ref(), b"job", b""), filtered(all.as_ref(), |name| name != b"job"));
        for name in ["a", "job", "k", "zz"] {
            let mut pairs = vec![("__name__", "up"), ("__type__", "gauge"), ("job", "a"), ("z", "1")];
            pairs.retain(|(other, _)| *other != name);
            pairs.push((name, "new"));
            assert_eq!(with(all.as_ref(), name.as_bytes(), b"new"), labels(&pairs));
        }
    }
}
