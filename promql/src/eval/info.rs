//! `info`: series with labels of the info series that go with them.

use super::column::{Column, Grid};
use super::evaluator::Evaluator;
use super::meter::{PerStep, meter_steps};
use super::series::Take;
use crate::Error;
use crate::func::{InfoJoin, info};
use crate::plan::CallNode;

impl<'q> Evaluator<'q> {
    /// The series of a call of `info`.
    pub(super) fn info(&mut self, call: &'q CallNode, grid: Grid) -> Result<Vec<Column>, Error> {
        let before = self.meter.current();
        let (Some(argument), Some(source)) = (call.arguments.first(), &call.info) else {
            return Ok(Vec::new());
        };
        let base = self.columns(argument, grid)?;
        let found = self.selected(&source.selector, grid, Take::InfoTime)?.collect(self)?;
        let steps = grid.steps();
        let gathered = [PerStep::of(&base, steps, false), PerStep::of(&found, steps, false)];
        self.let_go(&base);
        self.let_go(&found);
        let join = InfoJoin { base, info: found, names: &source.names, data: &source.data, steps };
        let columns = self.distinct(info(join)?, grid, true)?;
        self.hold(&columns)?;
        let made = PerStep::of(&columns, steps, true);
        meter_steps(&mut self.meter, before, steps, (&[&gathered[0], &gathered[1]], &made))?;
        Ok(columns)
    }
}
