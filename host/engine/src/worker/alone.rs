use std::time::Duration;

use millm_plugin_api::{
    HookSet, PluginError,
    loaded::{LoadedModel, Step},
};

use super::visitor::{Rows, Visitor};
use crate::{
    captures::{self, Activation, Captures, LogitLens, Reading},
    config::EngineConfig,
    interventions::Interventions,
    request::Request,
};

/// Reads a prompt of a model that no engine serves, on this thread. The same code collects the activations as in an
/// engine, and the model yields the same bits.
///
/// # Errors
///
/// As [`LoadedModel::forward`]; `OUT_OF_PAGES` if the prompt does not fit into the KV memory.
pub fn read_alone(model: &LoadedModel, prompt: &[u32], captures: &Captures) -> Result<Vec<Activation>, PluginError> {
    let spec = model.spec();
    let request = Request::reading(prompt.to_vec(), Interventions::default(), captures.clone(), LogitLens::default());
    let mut reading = Reading::new(&request, spec)?;
    let sequence = model.new_sequence(prompt.len())?;
    let rows_per_step = EngineConfig::default().step_tokens;
    for start in (0..prompt.len()).step_by(rows_per_step) {
        let chunk = start..prompt.len().min(start + rows_per_step);
        let mut wanted = HookSet::new();
        captures::mark(&request, &chunk, &mut wanted);
        let positions = captures::logit_positions(&request, spec, &chunk);
        let logit_rows: Vec<u32> = positions.iter().map(|position| (position - start) as u32).collect();
        let mut logits = vec![0.0; logit_rows.len() * spec.d_vocab as usize];
        let rows = Rows {
            request: &request,
            part: 0,
            pass: None,
            reading: Some(&mut reading),
            batch: 0..chunk.len(),
            logits: 0..logit_rows.len(),
            logit_positions: positions,
            start,
        };
        let (batch_rows, logit_count) = (chunk.len(), logit_rows.len());
        let mut visitor =
            Visitor { spec, rows: vec![rows], batch_rows, logit_rows: logit_count, editing: Duration::ZERO };
        let step = Step {
            tokens: &prompt[chunk.clone()],
            sequences: &[(&sequence, chunk.len() as u32)],
            logit_rows: &logit_rows,
            wanted: &wanted,
        };
        model.forward(&step, &mut visitor, &mut logits)?;
    }
    Ok(reading.finish(&request, spec)?.activations)
}
