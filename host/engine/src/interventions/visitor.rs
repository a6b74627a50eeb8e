use millm_plugin_api::{ErrorKind, HookId, PluginError, TensorMut, hook::HookVisitor};

use super::Interventions;

/// The rows of a step that belong to one request.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) interventions: &'a Interventions,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

/// Applies every request's interventions to its own rows of one step.
#[derive(Debug)]
pub(crate) struct Visitor<'a> {
    /// Only requests that have interventions.
    pub(crate) edited: Vec<Rows<'a>>,
    /// Rows of the whole step.
    pub(crate) rows: usize,
}

impl HookVisitor for Visitor<'_> {
    fn visit(&mut self, point: HookId, _: usize, mut activation: TensorMut<'_>) -> Result<(), PluginError> {
        let shape = activation.shape();
        let width = match *shape {
            [rows, width] if rows as usize == self.rows => width as usize,
            _ => {
                let message = format!("an activation of shape {shape:?} in a step of {} rows", self.rows);
                return Err(PluginError::new(ErrorKind::INTERNAL, message));
            }
        };
        let data = activation.as_f32_mut()?;
        for Rows { interventions, first, count } in &self.edited {
            interventions.apply(point, &mut data[first * width..(first + count) * width], width)?;
        }
        Ok(())
    }
}
