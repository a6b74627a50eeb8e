use millm_plugin_api::{HookId, PluginError};

use super::{Interventions, intervention::Intervention, tally::Ledger};
use crate::interventions::selection::Timeline;

/// A request's interventions on their way through one step.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    interventions: &'a Interventions,
    /// All tokens up to the last row of the step.
    timeline: Timeline<'a>,
    /// Position of the first row.
    start: usize,
    /// Rows before this position were counted when they were computed for the first time.
    counted: usize,
    /// Positions to a block of the ledger.
    block: usize,
    /// Of each intervention whose condition is on an earlier point, the rows of the step that meet it.
    met: Vec<Vec<bool>>,
    /// What was done to rows that were not counted before.
    ledger: Ledger,
}

impl<'a> Pass<'a> {
    /// Through rows from position `start` to the last of the timeline's tokens.
    pub(crate) fn new(
        interventions: &'a Interventions,
        timeline: Timeline<'a>,
        start: usize,
        counted: usize,
        block: usize,
    ) -> Self {
        let met = vec![Vec::new(); interventions.list.len()];
        Self { interventions, timeline, start, counted, block: block.max(1), met, ledger: Ledger::default() }
    }

    /// What was done, for the first time, to rows of this step.
    pub(crate) fn into_ledger(self) -> Ledger {
        self.ledger
    }

    /// Does everything that belongs at `point` to `data`, rows at these ascending positions, each `width` wide.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if something does not fit, as one made for another model, or an SAE cannot be computed.
    pub(crate) fn visit(
        &mut self,
        point: HookId,
        positions: impl Iterator<Item = usize> + Clone,
        data: &mut [f32],
        width: usize,
    ) -> Result<(), PluginError> {
        let interventions = self.interventions;
        // Before anything is done, since what was done is held against it. NaN where nobody has asked yet.
        let mut norms = Vec::new();
        for (index, found) in interventions.list.iter().enumerate().filter(|(_, found)| found.point == point) {
            found.check_width(width)?;
            norms.resize(data.len() / width, f32::NAN);
            for ((row, norm), position) in data.chunks_exact_mut(width).zip(&mut norms).zip(positions.clone()) {
                self.edit((index, found), position, row, norm)?;
            }
        }
        for (index, found) in interventions.list.iter().enumerate() {
            let Some(condition) = found.condition().filter(|condition| condition.point == point) else { continue };
            if found.point != point {
                let met = &mut self.met[index];
                met.resize(self.timeline.tokens.len() - self.start, false);
                for (row, position) in data.chunks_exact(width).zip(positions.clone()) {
                    if found.selects(position, self.timeline) {
                        met[position - self.start] = condition.is_met(row)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn edit(
        &mut self,
        (index, found): (usize, &Intervention),
        position: usize,
        row: &mut [f32],
        norm: &mut f32,
    ) -> Result<(), PluginError> {
        if !found.selects(position, self.timeline) {
            return Ok(());
        }
        let is_met = match found.condition() {
            None => true,
            Some(condition) if condition.point == found.point => condition.is_met(row)?,
            Some(_) => self.met[index].get(position - self.start).copied().unwrap_or_default(),
        };
        if !is_met {
            return Ok(());
        }
        if norm.is_nan() {
            *norm = millm_kernels::dot(row, row).sqrt();
        }
        let moved = found.apply(row)?;
        if position >= self.counted {
            let generated = position >= self.timeline.prompt_len;
            let count = self.interventions.list.len();
            self.ledger.entry(position / self.block, generated, index, count).note(moved, *norm);
        }
        Ok(())
    }
}
