use std::{fmt, sync::Arc};

use abi_stable::{sabi_trait::prelude::TD_Opaque, sabi_types::RMut};

use crate::{
    abi::{
        objects::{BoxedModel, ExportedVisitor, VisitorAbi_TO, erase_model},
        types::BatchAbi,
    },
    architecture::Model,
    error::{PluginError, Result},
    hook::{HookSet, HookVisitor},
    spec::{ModelSpec, PageUsage},
    tensor::TensorMut,
};

/// A [`Model`] of a plugin. Clones are handles to the same model; the last one, or the last sequence, drops it.
#[derive(Clone)]
pub struct LoadedModel {
    shared: Arc<Shared>,
}

struct Shared {
    object: BoxedModel,
    spec: ModelSpec,
}

impl fmt::Debug for LoadedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedModel").field("spec", &self.shared.spec).finish_non_exhaustive()
    }
}

/// The rows of one step: [`Batch`](crate::Batch) from the host's point of view.
#[derive(Debug)]
pub struct Step<'a> {
    /// Token ids of all rows, sequence after sequence.
    pub tokens: &'a [u32],
    /// Each sequence of the step with its number of rows; no sequence twice.
    pub sequences: &'a [(&'a SequenceHandle, u32)],
    /// The rows whose logits are wanted, ascending.
    pub logit_rows: &'a [u32],
    /// The hook points to call back at.
    pub wanted: &'a HookSet,
}

impl LoadedModel {
    pub(super) fn new(object: BoxedModel) -> Result<Self> {
        let spec = object.spec().into_result().map_err(PluginError::from)?.try_into()?;
        Ok(Self { shared: Arc::new(Shared { object, spec }) })
    }

    /// A model without a library around it.
    ///
    /// # Errors
    ///
    /// `PANICKED` if it panics when asked for its spec.
    pub fn in_process(model: impl Model) -> Result<Self> {
        Self::new(erase_model(model))
    }

    /// Fixed facts.
    pub fn spec(&self) -> &ModelSpec {
        &self.shared.spec
    }

    /// How full the KV memory is.
    ///
    /// # Errors
    ///
    /// `PANICKED` or `POISONED`.
    pub fn pages(&self) -> Result<PageUsage> {
        self.shared.object.pages().into_result().map(PageUsage::from).map_err(PluginError::from)
    }

    /// An empty sequence that will have at least `expected` positions.
    ///
    /// # Errors
    ///
    /// As [`Model::new_sequence`], and `PANICKED` or `POISONED`.
    pub fn new_sequence(&self, expected: usize) -> Result<SequenceHandle> {
        let id = self.shared.object.sequence_new(expected).into_result().map_err(PluginError::from)?;
        Ok(SequenceHandle { model: Arc::clone(&self.shared), id })
    }

    /// Runs one step and writes `logits`, `[step.logit_rows.len(), d_vocab]`.
    ///
    /// # Errors
    ///
    /// As [`Model::forward`]; `PANICKED` if the model or the visitor panics; `INVALID_ARGUMENT` if the step breaks the
    /// promises of [`Batch`](crate::Batch). After any error the sequences of the step are of no more use.
    pub fn forward(&self, step: &Step<'_>, visitor: &mut dyn HookVisitor, logits: &mut [f32]) -> Result<()> {
        let sequences: Vec<u64> = step.sequences.iter().map(|(sequence, _)| sequence.id).collect();
        let span_rows: Vec<u32> = step.sequences.iter().map(|(_, rows)| *rows).collect();
        let batch = BatchAbi {
            tokens: step.tokens.into(),
            sequences: sequences.as_slice().into(),
            span_rows: span_rows.as_slice().into(),
            logit_rows: step.logit_rows.into(),
            wanted: step.wanted.as_words().into(),
        };
        let mut visitor = ExportedVisitor(visitor);
        let visitor = VisitorAbi_TO::from_ptr(RMut::new(&mut visitor), TD_Opaque);
        let width = self.shared.spec.d_vocab as usize;
        let logits = TensorMut::rows(logits, width)?;
        self.shared.object.forward(batch, visitor, logits.raw).into_result().map_err(PluginError::from)
    }

    /// Turns rows of the residual stream, `[rows, d_model]`, into `logits`, `[rows, d_vocab]`.
    ///
    /// # Errors
    ///
    /// As [`Model::unembed`]; `PANICKED`, `POISONED`; `INVALID_ARGUMENT` if the lengths do not fit.
    pub fn unembed(&self, resid: &[f32], logits: &mut [f32]) -> Result<()> {
        let logits = TensorMut::rows(logits, self.shared.spec.d_vocab as usize)?;
        self.shared.object.unembed(resid.into(), logits.raw).into_result().map_err(PluginError::from)
    }
}

/// A [`Sequence`](crate::Sequence) inside a plugin. Dropping it frees its pages.
pub struct SequenceHandle {
    model: Arc<Shared>,
    id: u64,
}

impl fmt::Debug for SequenceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SequenceHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SequenceHandle {
    /// Positions computed so far.
    ///
    /// # Errors
    ///
    /// Like all methods here: `PANICKED` or `POISONED`.
    pub fn len(&self) -> Result<usize> {
        self.model.object.sequence_len(self.id).into_result().map_err(PluginError::from)
    }

    /// Whether nothing has been computed yet.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Forgets every position from `len` on.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if the sequence is shorter than `len`.
    pub fn truncate(&self, len: usize) -> Result<()> {
        self.model.object.sequence_truncate(self.id, len).into_result().map_err(PluginError::from)
    }

    /// A second sequence with the same first `len` positions.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if the sequence is shorter than `len`; whatever [`Sequence::fork`](crate::Sequence::fork)
    /// answers.
    pub fn fork(&self, len: usize) -> Result<Self> {
        let id = self.model.object.sequence_fork(self.id, len).into_result().map_err(PluginError::from)?;
        Ok(Self { model: Arc::clone(&self.model), id })
    }

    /// KV bytes it holds.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    pub fn bytes(&self) -> Result<usize> {
        self.model.object.sequence_bytes(self.id).into_result().map_err(PluginError::from)
    }
}

impl Drop for SequenceHandle {
    fn drop(&mut self) {
        // The only failure is a number that does not exist, and this one does.
        let _ = self.model.object.sequence_drop(self.id);
    }
}
