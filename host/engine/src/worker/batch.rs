use millm_plugin_api::{
    HookSet, ModelSpec, PluginError,
    loaded::{LoadedModel, SequenceHandle, Step},
};

use super::{
    choice::{Choice, Lent},
    visitor::{Rows, Visitor},
};
use crate::captures;

/// The rows of one step, put together choice by choice.
pub(super) struct Batch<'a> {
    spec: &'a ModelSpec,
    wanted: &'a mut HookSet,
    tokens: Vec<u32>,
    sequences: Vec<(&'a SequenceHandle, u32)>,
    logit_rows: Vec<u32>,
    /// Rows that somebody edits or reads.
    rows: Vec<Rows<'a>>,
    /// For each choice the row of the logits that it draws from, if it is to draw.
    drawn_from: Vec<Option<usize>>,
}

impl<'a> Batch<'a> {
    /// No rows. `wanted` keeps its memory from step to step.
    pub(super) fn new(spec: &'a ModelSpec, wanted: &'a mut HookSet) -> Self {
        wanted.clear();
        Self {
            spec,
            wanted,
            tokens: Vec::new(),
            sequences: Vec::new(),
            logit_rows: Vec::new(),
            rows: Vec::new(),
            drawn_from: Vec::new(),
        }
    }

    /// Adds the next `rows` rows of a choice.
    pub(super) fn add(&mut self, choice: &'a mut Choice, rows: usize) {
        let Lent { request, tokens, computed, sequence, reading } = choice.lend();
        let (first, first_logits) = (self.tokens.len(), self.logit_rows.len());
        let chunk = computed..computed + rows;
        self.tokens.extend_from_slice(&tokens[chunk.clone()]);
        self.sequences.extend(sequence.map(|sequence| (sequence, rows as u32)));
        if reading.is_some() {
            captures::mark(request, &chunk, self.wanted);
            let positions = captures::logit_positions(request, self.spec, &chunk);
            self.logit_rows.extend(positions.iter().map(|position| (first + position - chunk.start) as u32));
        }
        // A request that is only read draws nothing.
        let draws = chunk.end == tokens.len() && request.max_tokens > 0;
        let last = (first + rows - 1) as u32;
        if draws && self.logit_rows.last() != Some(&last) {
            self.logit_rows.push(last);
        }
        let logits = first_logits..self.logit_rows.len();
        self.drawn_from.push(draws.then(|| logits.end - 1));
        request.interventions.mark(!logits.is_empty(), self.wanted);
        if reading.is_some() || !request.interventions.is_empty() {
            self.rows.push(Rows { request, reading, batch: first..first + rows, logits, start: chunk.start });
        }
    }

    /// Has it computed. Leaves `logits` with a row for each that is wanted, and returns for each choice, in the order in
    /// which they were added, which of these it draws from.
    ///
    /// # Errors
    ///
    /// As [`LoadedModel::forward`].
    pub(super) fn compute(self, model: &LoadedModel, logits: &mut Vec<f32>) -> Result<Vec<Option<usize>>, PluginError> {
        let Self { spec, wanted, tokens, sequences, logit_rows, rows, drawn_from } = self;
        logits.resize(logit_rows.len() * spec.d_vocab as usize, 0.0);
        let mut visitor = Visitor { spec, rows, batch_rows: tokens.len(), logit_rows: logit_rows.len() };
        let step = Step { tokens: &tokens, sequences: &sequences, logit_rows: &logit_rows, wanted };
        model.forward(&step, &mut visitor, logits)?;
        Ok(drawn_from)
    }
}
