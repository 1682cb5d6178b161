//! `info`: adds labels of info series, which are found by `instance` and `job`.
//!
//! Which info series there are is asked before anything is evaluated, so more of them may come than Prometheus asks for; those whose `instance` or
//! `job` no series has are left out here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sarsen_block::{Labels, LabelsBuilder, METRIC_NAME, Matcher};

use crate::Error;
use crate::eval::{Column, ColumnBuilder};

/// Labels by which info series are found; hard-wired in Prometheus, too.
const IDENTIFYING: [&[u8]; 2] = [b"instance", b"job"];

/// What is joined.
#[derive(Debug)]
pub(crate) struct InfoJoin<'a> {
    /// The series to which labels are added.
    pub(crate) base: Vec<Column>,
    /// Info series; the number at a step is the time of the sample in milliseconds.
    pub(crate) info: Vec<Column>,
    /// What info series are called: series that are called so go through as they are.
    pub(crate) names: &'a [Matcher],
    /// Matchers of the labels that are added; empty: all labels are.
    pub(crate) data: &'a [Matcher],
    /// How many steps there are.
    pub(crate) steps: usize,
}

/// Info series with the same name, `instance` and `job`; at each step the one whose sample is newest.
struct Group {
    columns: Vec<Column>,
}

/// Name, `instance` and `job`.
type Signature = [Vec<u8>; 3];

/// Adds the labels. Several series of the result may have the same labels.
///
/// # Errors
/// [`Error::Execution`] if two info series are equally new, or say different things.
pub(crate) fn info(join: InfoJoin<'_>) -> Result<Vec<Column>, Error> {
    let is_info = |column: &Column| {
        let name = column.labels.get(METRIC_NAME).unwrap_or_default();
        join.names.iter().all(|matcher| matcher.matches(name))
    };
    let tell = |column: Column| {
        let is_info = is_info(&column);
        (column, is_info)
    };
    let base: Vec<(Column, bool)> = join.base.into_iter().map(tell).collect();
    let groups = groups(join.info, &base);
    // Winners of each step of each group, sought only where there is something to join.
    let mut active = vec![false; join.steps];
    for (column, _) in &base {
        for (step, active) in active.iter_mut().enumerate() {
            *active = *active || column.cell(step).is_some();
        }
    }
    let mut winners: BTreeMap<&Signature, Vec<Option<usize>>> = BTreeMap::new();
    for (signature, group) in &groups {
        winners.insert(signature, group.winners(&active)?);
    }
    let required = join.data.iter().any(|matcher| !matcher.matches_empty());
    let joiner = Joiner { groups: &groups, winners: &winners, data: join.data, required };
    let mut result = Vec::new();
    for (column, is_info) in base {
        if is_info {
            result.push(column);
        } else {
            joiner.join(&column, join.steps, &mut result)?;
        }
    }
    Ok(result)
}

fn identity(labels: &Labels) -> [Vec<u8>; 2] {
    IDENTIFYING.map(|name| labels.get(name).unwrap_or_default().to_vec())
}

/// Those that some series of `base` may go with.
fn groups(info: Vec<Column>, base: &[(Column, bool)]) -> BTreeMap<Signature, Group> {
    let mut known: [BTreeSet<Vec<u8>>; 2] = Default::default();
    for (column, _) in base.iter().filter(|(_, is_info)| !is_info) {
        for (known, value) in known.iter_mut().zip(identity(&column.labels)) {
            if !value.is_empty() {
                known.insert(value);
            }
        }
    }
    let mut groups: BTreeMap<Signature, Group> = BTreeMap::new();
    if known.iter().all(BTreeSet::is_empty) {
        return groups;
    }
    for column in info {
        let identity = identity(&column.labels);
        if known.iter().zip(&identity).all(|(known, value)| known.is_empty() || known.contains(value)) {
            let [instance, job] = identity;
            let name = column.labels.get(METRIC_NAME).unwrap_or_default().to_vec();
            groups
                .entry([name, instance, job])
                .or_insert_with(|| Group { columns: Vec::new() })
                .columns
                .push(column);
        }
    }
    groups
}

impl Group {
    /// At each active step the series whose sample is newest.
    fn winners(&self, active: &[bool]) -> Result<Vec<Option<usize>>, Error> {
        let mut winners = vec![None; active.len()];
        for (step, winner) in
            winners.iter_mut().enumerate().filter(|(step, _)| active.get(*step) == Some(&true))
        {
            let mut best: Option<(usize, i64)> = None;
            for (at, column) in self.columns.iter().enumerate() {
                let Some(time) = column.float(step).map(|time| time as i64) else { continue };
                match best {
                    Some((other, newest)) if newest == time => {
                        return Err(self.duplicate((other, newest), (at, time)));
                    }
                    Some((_, newest)) if newest > time => {}
                    _ => best = Some((at, time)),
                }
            }
            *winner = best.map(|(at, _)| at);
        }
        Ok(winners)
    }

    fn duplicate(&self, existing: (usize, i64), new: (usize, i64)) -> Error {
        let labels =
            |at: usize| self.columns.get(at).map(|column| column.labels.to_string()).unwrap_or_default();
        let (old, old_time) = (labels(existing.0), existing.1);
        let (new, new_time) = (labels(new.0), new.1);
        Error::Execution(format!(
            "found duplicate series for info metric: existing {old} @ {old_time}, new {new} @ {new_time}"
        ))
    }
}

struct Joiner<'a> {
    groups: &'a BTreeMap<Signature, Group>,
    winners: &'a BTreeMap<&'a Signature, Vec<Option<usize>>>,
    data: &'a [Matcher],
    /// Whether a series without any info series is left out.
    required: bool,
}

/// Info series of one step that go with a series: of each group at most one.
type Found<'a> = Vec<Option<&'a Column>>;

impl Joiner<'_> {
    fn join(&self, base: &Column, steps: usize, result: &mut Vec<Column>) -> Result<(), Error> {
        let identity = identity(&base.labels);
        let groups: Vec<_> = self
            .winners
            .iter()
            .filter(|([_, instance, job], _)| [instance, job] == [&identity[0], &identity[1]])
            .filter_map(|(signature, winners)| self.groups.get(*signature).zip(Some(winners)))
            .collect();
        let mut columns: Vec<(Labels, ColumnBuilder)> = Vec::new();
        let mut places: BTreeMap<Vec<Option<usize>>, Option<usize>> = BTreeMap::new();
        for step in 0..steps {
            let Some(cell) = base.cell(step) else { continue };
            let choice: Vec<_> =
                groups.iter().map(|(_, winners)| winners.get(step).copied().flatten()).collect();
            let place = match places.get(&choice) {
                Some(place) => *place,
                None => {
                    let found = groups.iter().zip(&choice).map(|((group, _), at)| group.columns.get((*at)?));
                    let place = self.labels(base, &found.collect())?.map(|labels| {
                        let known = columns.iter().position(|(other, _)| *other == labels);
                        known.unwrap_or_else(|| {
                            columns.push((labels, ColumnBuilder::new(steps)));
                            columns.len() - 1
                        })
                    });
                    places.insert(choice, place);
                    place
                }
            };
            if let Some((_, column)) = place.and_then(|place| columns.get_mut(place)) {
                column.cell(step, cell);
            }
        }
        result.extend(
            columns.into_iter().map(|(labels, column)| column.finish(Arc::new(labels), base.drop_name)),
        );
        Ok(())
    }

    /// The labels of the series with those of its info series; `None` if it is left out.
    fn labels(&self, base: &Column, found: &Found<'_>) -> Result<Option<Labels>, Error> {
        if found.iter().all(Option::is_none) {
            return Ok((!self.required).then(|| (*base.labels).clone()));
        }
        let mut added: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
        for (name, value) in found.iter().flatten().flat_map(|column| column.labels.iter()) {
            let wanted = self.data.is_empty() || self.data.iter().any(|matcher| matcher.name() == name);
            if name == METRIC_NAME || !wanted {
                continue;
            }
            if added.get(name).is_some_and(|other| *other != value) {
                let name = String::from_utf8_lossy(name);
                return Err(Error::Execution(format!("conflicting label: {name}")));
            }
            if base.labels.get(name).is_none() {
                added.insert(name, value);
            }
        }
        let mut builder = LabelsBuilder::new();
        base.labels.iter().chain(added).for_each(|(name, value)| builder.push(name, value));
        builder.build().map(Some).map_err(|error| Error::Execution(error.to_string()))
    }
}
