//! A plugin author's model, guarded: every call is checked before and contained while it runs.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use abi_stable::std_types::RSlice;

use super::{
    super::{
        guard::{Guarded, contain},
        raw_tensor::RawTensor,
        spec::SpecAbi,
        types::{BatchAbi, PagesAbi},
    },
    Answer, BorrowedVisitor, ImportedVisitor, ModelAbi, answer,
};
use crate::{
    architecture::{Model, Sequence},
    batch::{Batch, Span},
    error::{ErrorKind, PluginError, Result},
    hook::Hooks,
    spec::ModelSpec,
    tensor::TensorMut,
};

pub(super) struct ExportedModel<M: Model> {
    model: Guarded<M>,
    sequences: Mutex<Sequences<M::Sequence>>,
}

struct Sequences<S> {
    next: u64,
    alive: HashMap<u64, Guarded<S>>,
}

impl<S> Sequences<S> {
    fn insert(&mut self, sequence: S) -> u64 {
        self.next += 1;
        self.alive.insert(self.next, Guarded::new(sequence, "the sequence"));
        self.next
    }

    fn get(&mut self, id: u64) -> Result<&mut Guarded<S>> {
        self.alive.get_mut(&id).ok_or_else(|| invalid(format!("no sequence {id}")))
    }
}

fn invalid(message: String) -> PluginError {
    PluginError::new(ErrorKind::INVALID_ARGUMENT, message)
}

impl<M: Model> ExportedModel<M> {
    pub(super) fn new(model: M) -> Self {
        Self {
            model: Guarded::new(model, "the model"),
            sequences: Mutex::new(Sequences { next: 0, alive: HashMap::new() }),
        }
    }

    fn sequences(&self) -> MutexGuard<'_, Sequences<M::Sequence>> {
        // No author's code runs under this lock without being contained, so it is never left half-changed.
        self.sequences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, abi: &BatchAbi<'_>, visitor: BorrowedVisitor<'_>, logits: &mut [f32]) -> Result<()> {
        let model = self.model.get()?;
        let mut taken = Vec::with_capacity(abi.sequences.len());
        {
            let mut sequences = self.sequences();
            for id in &*abi.sequences {
                match sequences.alive.remove(id) {
                    Some(sequence) => taken.push((*id, sequence)),
                    None => {
                        sequences.alive.extend(taken);
                        return Err(invalid(format!("sequence {id} does not exist or occurs twice")));
                    }
                }
            }
        }
        let result = run(model, abi, &mut taken, visitor, logits);
        if result.as_ref().is_err_and(|error| error.kind == ErrorKind::PANICKED) {
            taken.iter().for_each(|(_, sequence)| sequence.poison());
        }
        self.sequences().alive.extend(taken);
        result
    }
}

fn run<M: Model>(
    model: &M,
    abi: &BatchAbi<'_>,
    taken: &mut [(u64, Guarded<M::Sequence>)],
    visitor: BorrowedVisitor<'_>,
    logits: &mut [f32],
) -> Result<()> {
    let mut sequences = Vec::with_capacity(taken.len());
    for (_, sequence) in taken.iter_mut() {
        sequences.push(sequence.get_mut()?);
    }
    let mut visitor = ImportedVisitor(visitor);
    contain("the model", || {
        let spec = model.spec();
        let starts: Vec<usize> = sequences.iter().map(|sequence| sequence.len()).collect();
        let (spans, positions) = check(spec, abi, &starts, logits.len())?;
        let batch = Batch {
            tokens: abi.tokens.as_slice(),
            positions: &positions,
            spans: &spans,
            logit_rows: abi.logit_rows.as_slice(),
        };
        let mut hooks = Hooks::new(abi.wanted.as_slice(), &mut visitor);
        model.forward(&batch, &mut sequences, &mut hooks, logits)?;
        for (span, sequence) in spans.iter().zip(&sequences) {
            let (expected, found) = (span.start + span.rows, sequence.len());
            if found != expected {
                let message = format!("after the step a sequence has length {found} instead of {expected}");
                return Err(PluginError::new(ErrorKind::INTERNAL, message));
            }
        }
        Ok(())
    })
}

/// Holds the batch against the promises of [`Batch`], so that authors can index without fear.
fn check(spec: &ModelSpec, abi: &BatchAbi<'_>, starts: &[usize], logits: usize) -> Result<(Vec<Span>, Vec<u32>)> {
    if abi.span_rows.len() != starts.len() {
        return Err(invalid(format!("{} spans for {} sequences", abi.span_rows.len(), starts.len())));
    }
    let mut spans = Vec::with_capacity(starts.len());
    let mut positions = Vec::with_capacity(abi.tokens.len());
    for (rows, start) in abi.span_rows.iter().zip(starts) {
        let span = Span { first_row: positions.len(), rows: *rows as usize, start: *start };
        let end = start.saturating_add(span.rows);
        if span.rows == 0 || end > spec.n_ctx as usize {
            return Err(invalid(format!("{} rows after position {start}, n_ctx is {}", span.rows, spec.n_ctx)));
        }
        positions.extend((*start..end).map(|position| position as u32));
        spans.push(span);
    }
    if positions.len() != abi.tokens.len() {
        return Err(invalid(format!("spans of {} rows for {} tokens", positions.len(), abi.tokens.len())));
    }
    if let Some(token) = abi.tokens.iter().find(|token| **token >= spec.d_vocab) {
        return Err(invalid(format!("token {token} is not below d_vocab, {}", spec.d_vocab)));
    }
    let ascending = abi.logit_rows.windows(2).all(|pair| pair[0] < pair[1]);
    let in_batch = abi.logit_rows.last().is_none_or(|row| (*row as usize) < positions.len());
    if !ascending || !in_batch || logits != abi.logit_rows.len() * spec.d_vocab as usize {
        return Err(invalid(format!("{} logits for rows {:?}", logits, abi.logit_rows)));
    }
    Ok((spans, positions))
}

impl<M: Model> ModelAbi for ExportedModel<M> {
    fn spec(&self) -> Answer<SpecAbi> {
        answer(self.model.call(|model| Ok(model.spec().into())))
    }

    fn pages(&self) -> Answer<PagesAbi> {
        answer(self.model.call(|model| Ok(model.pages().into())))
    }

    fn sequence_new(&self, expected: usize) -> Answer<u64> {
        let sequence = self.model.call(|model| model.new_sequence(expected));
        answer(sequence.map(|sequence| self.sequences().insert(sequence)))
    }

    fn sequence_len(&self, sequence: u64) -> Answer<usize> {
        answer(self.sequences().get(sequence).and_then(|sequence| sequence.call(|inner| Ok(inner.len()))))
    }

    fn sequence_truncate(&self, sequence: u64, len: usize) -> Answer<()> {
        answer(self.sequences().get(sequence).and_then(|sequence| {
            sequence.call_mut(|inner| {
                if len > inner.len() {
                    return Err(invalid(format!("cannot truncate {} positions to {len}", inner.len())));
                }
                inner.truncate(len);
                Ok(())
            })
        }))
    }

    fn sequence_fork(&self, sequence: u64, len: usize) -> Answer<u64> {
        let mut sequences = self.sequences();
        let fork = sequences.get(sequence).and_then(|sequence| {
            sequence.call(|inner| {
                if len > inner.len() {
                    return Err(invalid(format!("cannot fork {len} of {} positions", inner.len())));
                }
                inner.fork(len)
            })
        });
        answer(fork.map(|fork| sequences.insert(fork)))
    }

    fn sequence_bytes(&self, sequence: u64) -> Answer<usize> {
        answer(self.sequences().get(sequence).and_then(|sequence| sequence.call(|inner| Ok(inner.bytes()))))
    }

    fn sequence_drop(&self, sequence: u64) -> Answer<()> {
        let removed = self.sequences().alive.remove(&sequence);
        answer(removed.map(drop).ok_or_else(|| invalid(format!("no sequence {sequence}"))))
    }

    fn unembed(&self, resid: RSlice<'_, f32>, logits: RawTensor) -> Answer<()> {
        // SAFETY: the host lends a live tensor for the length of this call.
        let mut logits = unsafe { TensorMut::from_raw(logits) };
        answer(self.model.get().and_then(|model| {
            let logits = logits.as_f32_mut()?;
            // As in `forward`, a panic leaves nothing half changed.
            contain("the model", || {
                let (d_model, d_vocab) = (model.spec().d_model as usize, model.spec().d_vocab as usize);
                let rows = resid.len().checked_div(d_model).unwrap_or_default();
                if resid.len() != rows * d_model || logits.len() != rows * d_vocab {
                    return Err(invalid(format!("{} logits for {} elements of resid", logits.len(), resid.len())));
                }
                model.unembed(resid.as_slice(), logits)
            })
        }))
    }

    fn forward(&self, batch: BatchAbi<'_>, visitor: BorrowedVisitor<'_>, logits: RawTensor) -> Answer<()> {
        // SAFETY: the host lends a live tensor for the length of this call.
        let mut logits = unsafe { TensorMut::from_raw(logits) };
        answer(logits.as_f32_mut().and_then(|logits| self.step(&batch, visitor, logits)))
    }
}
