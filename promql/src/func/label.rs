//! `label_replace` and `label_join`: labels out of labels.
//!
//! Samples are not looked at. Whether series that become equal may be put together is the engine's to say.

use std::sync::Arc;

use sarsen_block::{METRIC_NAME, Rewriter};

use crate::Error;
use crate::eval::{Column, VectorCall, with};

pub(super) fn label_replace(call: &mut VectorCall<'_>) -> Result<Vec<Column>, Error> {
    let mut texts = call.texts.iter().map(Vec::as_slice);
    let mut text = || texts.next().unwrap_or_default();
    let (target, replacement, source, expression) = (text(), text(), text(), text());
    let rewriter = Rewriter::new(expression, replacement).map_err(|_| {
        let expression = String::from_utf8_lossy(expression);
        Error::Execution(format!("invalid regular expression in label_replace(): {expression}"))
    })?;
    check_name(target, "destination", "label_replace")?;
    let mut columns = std::mem::take(&mut call.vector);
    for column in &mut columns {
        if let Some(value) = rewriter.rewrite(column.labels.get(source).unwrap_or_default()) {
            set(column, target, &value);
        }
    }
    Ok(columns)
}

pub(super) fn label_join(call: &mut VectorCall<'_>) -> Result<Vec<Column>, Error> {
    let [target, separator, sources @ ..] = &*call.texts else {
        return Ok(std::mem::take(&mut call.vector));
    };
    for source in sources {
        check_name(source, "source", "label_join")?;
    }
    check_name(target, "destination", "label_join")?;
    let mut columns = std::mem::take(&mut call.vector);
    for column in &mut columns {
        let values = sources.iter().map(|source| column.labels.get(source).unwrap_or_default());
        let value = values.collect::<Vec<_>>().join(separator.as_slice());
        set(column, target, &value);
    }
    Ok(columns)
}

fn set(column: &mut Column, name: &[u8], value: &[u8]) {
    if column.labels.get(name).unwrap_or_default() != value {
        column.labels = Arc::new(with(column.labels.as_ref().as_ref(), name, value));
    }
    // A name that is written is meant to stay.
    if name == METRIC_NAME {
        column.drop_name = false;
    }
}

/// Any text that is not empty is a name.
fn check_name(name: &[u8], which: &str, function: &str) -> Result<(), Error> {
    if !name.is_empty() && std::str::from_utf8(name).is_ok() {
        return Ok(());
    }
    let name = String::from_utf8_lossy(name);
    Err(Error::Execution(format!("invalid {which} label name in {function}(): {name}")))
}
