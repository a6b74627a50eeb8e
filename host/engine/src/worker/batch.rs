use std::{ops::Range, time::Duration};

use millm_plugin_api::{
    HookSet, ModelSpec, PluginError,
    loaded::{LoadedModel, SequenceHandle, Step},
};

use super::{
    choice::{Choice, Lent},
    visitor::{Rows, Visitor},
};
use crate::{
    captures,
    interventions::{Ledger, Pass, Timeline},
};

/// The rows of one step, put together choice by choice.
pub(super) struct Batch<'a> {
    spec: &'a ModelSpec,
    wanted: &'a mut HookSet,
    tokens: Vec<u32>,
    sequences: Vec<(&'a SequenceHandle, u32)>,
    logit_rows: Vec<u32>,
    /// Rows that somebody edits or reads.
    rows: Vec<Rows<'a>>,
    logits: Vec<ChoiceLogits>,
}

/// Which logits of a step are whose.
pub(super) struct ChoiceLogits {
    /// Positions that the choice has computed.
    pub(super) chunk: Range<usize>,
    /// Its rows of the logits.
    pub(super) rows: Range<usize>,
    /// Whether it draws from the last of them.
    pub(super) draws: bool,
}

/// What a step has come to, besides its logits.
pub(super) struct Computed {
    /// Of each choice, in the order in which they were added.
    pub(super) logits: Vec<ChoiceLogits>,
    /// What interventions did to each choice of which there is something to tell, by the choice's place in the step.
    pub(super) ledgers: Vec<(usize, Ledger)>,
    /// Time that interventions have taken.
    pub(super) editing: Duration,
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
            logits: Vec::new(),
        }
    }

    /// Adds the next `rows` rows of a choice.
    pub(super) fn add(&mut self, choice: &'a mut Choice, rows: usize) {
        let Lent { request, tokens, computed, reached, block, sequence, reading } = choice.lend();
        let (first, first_logits) = (self.tokens.len(), self.logit_rows.len());
        let chunk = computed..computed + rows;
        self.tokens.extend_from_slice(&tokens[chunk.clone()]);
        self.sequences.extend(sequence.map(|sequence| (sequence, rows as u32)));
        let mut logit_positions = Vec::new();
        if reading.is_some() {
            captures::mark(request, &chunk, self.wanted);
            logit_positions = captures::logit_positions(request, self.spec, &chunk);
        }
        // A request that is only read draws nothing.
        let draws = chunk.end == tokens.len() && request.max_tokens > 0;
        let last = chunk.end - 1;
        if draws && logit_positions.last() != Some(&last) {
            logit_positions.push(last);
        }
        self.logit_rows.extend(logit_positions.iter().map(|position| (first + position - chunk.start) as u32));
        let logits = first_logits..self.logit_rows.len();
        self.logits.push(ChoiceLogits { chunk: chunk.clone(), rows: logits.clone(), draws });
        let timeline = Timeline { tokens: &tokens[..chunk.end], prompt_len: request.prompt.len() };
        let interventions = &request.interventions;
        let edited = interventions.mark(&chunk, timeline, !logits.is_empty(), self.wanted);
        if reading.is_some() || edited {
            let pass = edited.then(|| Pass::new(interventions, timeline, chunk.start, reached, block));
            let (part, batch, start) = (self.logits.len() - 1, first..first + rows, chunk.start);
            self.rows.push(Rows { request, part, pass, reading, batch, logits, logit_positions, start });
        }
    }

    /// Has it computed. Leaves `logits` with a row for each that is wanted.
    ///
    /// # Errors
    ///
    /// As [`LoadedModel::forward`].
    pub(super) fn compute(self, model: &LoadedModel, logits: &mut Vec<f32>) -> Result<Computed, PluginError> {
        let Self { spec, wanted, tokens, sequences, logit_rows, rows, logits: of_choices } = self;
        logits.resize(logit_rows.len() * spec.d_vocab as usize, 0.0);
        let (batch_rows, logit_count) = (tokens.len(), logit_rows.len());
        let mut visitor = Visitor { spec, rows, batch_rows, logit_rows: logit_count, editing: Duration::ZERO };
        let step = Step { tokens: &tokens, sequences: &sequences, logit_rows: &logit_rows, wanted };
        model.forward(&step, &mut visitor, logits)?;
        let ledger = |rows: Rows<'_>| Some((rows.part, rows.pass?.into_ledger()));
        let ledgers = visitor.rows.into_iter().filter_map(ledger).collect();
        Ok(Computed { logits: of_choices, ledgers, editing: visitor.editing })
    }
}
