use std::{
    ops::Range,
    time::{Duration, Instant},
};

use millm_plugin_api::{
    ErrorKind, HookId, HookPointSpec, ModelSpec, PluginError, RowSet, RowShape, TensorMut, hook::HookVisitor,
};

use crate::{
    captures::{LentRows, Reading},
    interventions::Pass,
    request::Request,
};

/// The rows of a step that belong to one request.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    pub(super) request: &'a Request,
    /// Which choice of the step it is.
    pub(super) part: usize,
    /// What is done to it. `None` if nothing is.
    pub(super) pass: Option<Pass<'a>>,
    /// Where what it reads goes. `None` if it reads nothing, or has read everything.
    pub(super) reading: Option<&'a mut Reading>,
    /// Its rows of the batch.
    pub(super) batch: Range<usize>,
    /// Its rows of those whose logits are wanted.
    pub(super) logits: Range<usize>,
    /// Positions of these.
    pub(super) logit_positions: Vec<usize>,
    /// Position of its first row.
    pub(super) start: usize,
}

impl Rows<'_> {
    fn edit(&mut self, point: HookId, rows: RowSet, data: &mut [f32], width: usize) -> Result<(), PluginError> {
        let Some(pass) = &mut self.pass else { return Ok(()) };
        match rows {
            RowSet::Batch => pass.visit(point, self.start..self.start + self.batch.len(), data, width),
            RowSet::Logits => pass.visit(point, self.logit_positions.iter().copied(), data, width),
        }
    }
}

/// Edits and reads the activations of one step, for every request its own rows.
#[derive(Debug)]
pub(super) struct Visitor<'a> {
    pub(super) spec: &'a ModelSpec,
    /// In the order of the batch; only those that edit or read.
    pub(super) rows: Vec<Rows<'a>>,
    /// Rows of the whole step.
    pub(super) batch_rows: usize,
    /// How many of them have logits.
    pub(super) logit_rows: usize,
    /// Time that edits have taken.
    pub(super) editing: Duration,
}

impl HookVisitor for Visitor<'_> {
    fn visit(&mut self, point: HookId, first_row: usize, mut activation: TensorMut<'_>) -> Result<(), PluginError> {
        let hook = self.spec.hook_points.get(point.0 as usize).ok_or_else(|| {
            let message = format!("hook point number {} of {}", point.0, self.spec.hook_points.len());
            PluginError::new(ErrorKind::INTERNAL, message)
        })?;
        let shape: Vec<usize> = activation.shape().iter().map(|extent| *extent as usize).collect();
        if let RowShape::Keys { heads, .. } = hook.row {
            return self.visit_keys(point, hook, heads as usize, first_row, &shape, activation.as_f32_mut()?);
        }
        let (width, rows) = (hook.row.elements(0), self.rows_at(hook));
        if first_row != 0 || shape != [rows, width] {
            return Err(misshapen(hook, &format!("{:?} from row 0", [rows, width]), &shape, first_row));
        }
        let data = activation.as_f32_mut()?;
        let own = |Rows { batch, logits, .. }: &Rows<'_>| {
            let rows = if hook.rows == RowSet::Batch { batch } else { logits };
            rows.start * width..rows.end * width
        };
        let since = Instant::now();
        for rows in self.rows.iter_mut().filter(|rows| rows.pass.is_some()) {
            let own = own(rows);
            rows.edit(point, hook.rows, &mut data[own], width)?;
        }
        self.editing += since.elapsed();
        for rows in self.rows.iter_mut() {
            let data = &data[own(rows)];
            if let Some(reading) = &mut rows.reading {
                let chunk = rows.start..rows.start + rows.batch.len();
                reading.copy(rows.request, &LentRows { point, rows: hook.rows, chunk, data, width });
            }
        }
        Ok(())
    }
}

impl Visitor<'_> {
    fn rows_at(&self, hook: &HookPointSpec) -> usize {
        if hook.rows == RowSet::Batch { self.batch_rows } else { self.logit_rows }
    }

    /// The rows of one sequence, `[rows, heads, keys]`. There is nothing to edit.
    fn visit_keys(
        &mut self,
        point: HookId,
        hook: &HookPointSpec,
        heads: usize,
        first_row: usize,
        shape: &[usize],
        data: &[f32],
    ) -> Result<(), PluginError> {
        let Some(own) = self.rows.iter_mut().find(|own| own.batch.contains(&first_row)) else {
            // Nobody reads this sequence, so its length is not known here.
            return match *shape {
                [rows, found, keys] if found == heads && rows <= keys && first_row + rows <= self.batch_rows => Ok(()),
                _ => Err(misshapen(hook, &format!("[rows, {heads}, keys]"), shape, first_row)),
            };
        };
        let rows = own.batch.len();
        let chunk = own.start..own.start + rows;
        if first_row != own.batch.start || shape != [rows, heads, chunk.end] {
            let expected = format!("{:?} from row {}", [rows, heads, chunk.end], own.batch.start);
            return Err(misshapen(hook, &expected, shape, first_row));
        }
        if let Some(reading) = &mut own.reading {
            let width = heads * chunk.end;
            reading.copy(own.request, &LentRows { point, rows: hook.rows, chunk, data, width });
        }
        Ok(())
    }
}

fn misshapen(hook: &HookPointSpec, expected: &str, found: &[usize], first_row: usize) -> PluginError {
    let message = format!(
        "at {} the model lent an activation of shape {found:?} from row {first_row}, expected was {expected}",
        hook.point,
    );
    PluginError::new(ErrorKind::INTERNAL, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Captures, Interventions, LogitLens, interventions::Timeline};

    const WIDTH: usize = 2;

    fn spec() -> ModelSpec {
        let hook = |name: &str, row| HookPointSpec::new(name.parse().unwrap(), row);
        let flat = RowShape::Flat { width: WIDTH as u32 };
        ModelSpec {
            d_model: WIDTH as u32,
            d_vocab: WIDTH as u32,
            hook_points: vec![
                hook("hook_embed", flat),
                hook("blocks.0.attn.hook_pattern", RowShape::Keys { heads: 1, masked: 0.0 }).read_only("it is a test"),
                hook("logits", flat).at_logits(),
            ],
            ..ModelSpec::default()
        }
    }

    fn request(spec: &ModelSpec, point: u32, position: usize) -> Request {
        let mut interventions = Interventions::default();
        interventions.add_vector(spec, "hook_embed", [10.0, 20.0].into(), 1.0).unwrap();
        interventions.add_vector(spec, "logits", [5.0, 5.0].into(), 1.0).unwrap();
        let captures = Captures::new(vec![HookId(point)], vec![position]);
        Request::reading(vec![0; 3], interventions, captures, LogitLens::default())
    }

    /// Lends an activation to a visitor in a step of four rows, the last three of which belong to `request` and lie at
    /// positions 0 to 2; the last two have logits.
    fn visit(
        spec: &ModelSpec,
        request: &Request,
        reading: &mut Reading,
        point: u32,
        first_row: usize,
        activation: TensorMut<'_>,
    ) -> Result<(), PluginError> {
        let (reading, logit_positions) = (Some(reading), vec![1, 2]);
        let timeline = Timeline { tokens: &request.prompt, prompt_len: 3 };
        let pass = Some(Pass::new(&request.interventions, timeline, 0, 0, 16));
        let rows = vec![Rows { request, part: 0, pass, reading, batch: 1..4, logits: 0..2, logit_positions, start: 0 }];
        Visitor { spec, rows, batch_rows: 4, logit_rows: 2, editing: Duration::ZERO }.visit(
            HookId(point),
            first_row,
            activation,
        )
    }

    #[test]
    fn a_request_edits_its_own_rows_and_then_reads_them() {
        let (spec, mut data) = (spec(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let request = request(&spec, 0, 1);
        let mut reading = Reading::new(&request, &spec).unwrap();
        let activation = TensorMut::rows(&mut data, WIDTH).unwrap();
        visit(&spec, &request, &mut reading, 0, 0, activation).unwrap();
        assert_eq!(data, [0.0, 1.0, 12.0, 23.0, 14.0, 25.0, 16.0, 27.0]);
        let captured = reading.finish(&request, &spec).unwrap();
        assert_eq!(captured.activations[0].data, [14.0, 25.0]);
    }

    #[test]
    fn where_logits_are_wanted_rows_are_counted_among_those() {
        let (spec, mut data) = (spec(), [1.0, 2.0, 3.0, 4.0]);
        let request = request(&spec, 2, 1);
        let mut reading = Reading::new(&request, &spec).unwrap();
        let activation = TensorMut::rows(&mut data, WIDTH).unwrap();
        visit(&spec, &request, &mut reading, 2, 0, activation).unwrap();
        assert_eq!(data, [6.0, 7.0, 8.0, 9.0]);
        // The first logits are those of position 1, then comes what is drawn from.
        assert_eq!(reading.finish(&request, &spec).unwrap().activations[0].data, [6.0, 7.0]);
    }

    #[test]
    fn an_activation_of_another_shape_is_named() {
        let spec = spec();
        let request = request(&spec, 1, 1);
        let mut reading = Reading::new(&request, &spec).unwrap();
        let mut failure = |point, first_row, shape: &[usize]| {
            let mut data = vec![0.0; shape.iter().product()];
            let activation = match *shape {
                [_, heads, keys] => TensorMut::keys(&mut data, heads, keys),
                _ => TensorMut::rows(&mut data, shape[1]),
            };
            visit(&spec, &request, &mut reading, point, first_row, activation.unwrap()).unwrap_err().to_string()
        };
        let few = failure(0, 0, &[3, WIDTH]);
        assert!(few.contains("hook_embed") && few.contains("[3, 2]") && few.contains("[4, 2]"), "{few}");
        assert!(failure(0, 0, &[4, 3]).contains("[4, 3]"));
        assert!(failure(0, 1, &[4, WIDTH]).contains("from row 1"));
        assert!(failure(2, 0, &[4, WIDTH]).contains("expected was [2, 2]"));
        assert!(failure(1, 1, &[3, 3]).contains("expected was [3, 1, 3]"));
        assert!(failure(1, 1, &[3, 1, 4]).contains("[3, 1, 4]"));
        assert!(failure(1, 1, &[3, 2, 3]).contains("[3, 2, 3]"));
        assert!(failure(1, 2, &[3, 1, 3]).contains("from row 2"));
        assert!(failure(1, 0, &[1, 2, 3]).contains("expected was [rows, 1, keys]"));
        assert!(failure(3, 0, &[4, WIDTH]).contains("number 3 of 3"));
    }
}
