//! What a plugin author implements.

use crate::{
    batch::Batch,
    error::{ErrorKind, PluginError, Result},
    hook::Hooks,
    host::Host,
    spec::{LoadOptions, ModelFiles, ModelSpec, PageUsage},
};

/// A family of models, such as Llama. Made once, when the plugin is opened.
#[diagnostic::on_unimplemented(note = "`export_plugin!` takes values of types that implement `Architecture`")]
pub trait Architecture: Send + Sync + 'static {
    /// What [`load`](Self::load) makes.
    type Model: Model;

    /// The values of `model_type` in `config.json` that this architecture loads. Asked once.
    fn model_types(&self) -> Vec<String>;

    /// Loads a model. Called from a thread of its own, possibly several times for several models; may block, use
    /// [`Host::parallel`] and report [`Host::progress`].
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG`, `INVALID_WEIGHTS` or `IO`, with the field, tensor or file in the message; `UNSUPPORTED` for what
    /// the architecture cannot compute exactly; `CANCELLED` soon after [`Host::cancelled`] turns true.
    fn load(&self, files: &ModelFiles, options: &LoadOptions, host: &Host) -> Result<Self::Model>;
}

/// Loaded weights and the memory for KV pages. Shared by every sequence.
///
/// All methods are called from one thread at a time, the model's engine thread. A panic in [`forward`](Self::forward) or
/// [`unembed`](Self::unembed) costs the sequences of that step and nothing else, since the weights are not written; a
/// panic elsewhere poisons the model.
pub trait Model: Send + Sync + 'static {
    /// The model's KV caches.
    type Sequence: Sequence;

    /// Fixed facts. Asked once, after loading.
    fn spec(&self) -> &ModelSpec;

    /// How full the KV memory is. Asked before every step, so it must be cheap.
    fn pages(&self) -> PageUsage;

    /// An empty sequence. Takes no page yet.
    ///
    /// The host knows already that it will have at least `expected` positions. A model with
    /// [`n_ctx_short`](ModelSpec::n_ctx_short) must know on which side of it a sequence will be; a sequence that crosses
    /// it after all is made anew by the host, which `forward` can rely on.
    ///
    /// # Errors
    ///
    /// If the model cannot hold another sequence.
    fn new_sequence(&self, expected: usize) -> Result<Self::Sequence>;

    /// Runs one step: appends each span's rows to its sequence, calls `hooks` in the order of computation, and writes
    /// `logits`, `[batch.logit_rows.len(), d_vocab]`.
    ///
    /// A row's numbers depend on its own sequence only: not on its neighbours, on how a prompt is cut into steps, or on
    /// the number of threads. The host asserts this bit for bit.
    ///
    /// # Errors
    ///
    /// After an error the host drops every sequence of the step and computes the innocent ones anew.
    fn forward(
        &self,
        batch: &Batch<'_>,
        sequences: &mut [&mut Self::Sequence],
        hooks: &mut Hooks<'_>,
        logits: &mut [f32],
    ) -> Result<()>;

    /// What the model would say if the residual stream ended here: final norm, head and whatever `forward` does to
    /// logits, from `resid`, `[rows, d_model]`, to `logits`, `[rows, d_vocab]`. The stream that leaves the last block
    /// yields the very bits of `forward`. For the logit lens.
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED` if the model has no residual stream, which is what the provided method answers.
    fn unembed(&self, resid: &[f32], logits: &mut [f32]) -> Result<()> {
        let _ = (resid, logits);
        Err(PluginError::new(ErrorKind::UNSUPPORTED, "this model has no residual stream to unembed"))
    }
}

/// One sequence's KV cache: the plugin knows its layout, the host decides how long it lives.
pub trait Sequence: Sized + Send + 'static {
    /// Positions computed so far.
    fn len(&self) -> usize;

    /// Whether nothing has been computed yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets every position from `len` on and frees the pages that no longer hold any. `len` ≤ [`len`](Self::len).
    fn truncate(&mut self, len: usize);

    /// A second sequence with the same first `len` positions; pages are shared until one of the two writes to them.
    ///
    /// # Errors
    ///
    /// If the model cannot hold another sequence.
    fn fork(&self, len: usize) -> Result<Self>;

    /// KV bytes this sequence holds, pages it shares included.
    fn bytes(&self) -> usize;
}
