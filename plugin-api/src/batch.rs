//! One step's work: rows of many sequences, packed without padding.

/// The rows of one sequence in a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index of the sequence's first row in the batch.
    pub first_row: usize,
    /// How many rows it has in this step, at least one.
    pub rows: usize,
    /// Position of its first row, which is the sequence's length before the step.
    pub start: usize,
}

/// A flat, ragged batch of `T` rows. Prefill, decode and resumption are not told apart.
///
/// The adapter around the plugin has checked it: spans lie in order and cover `0..T`, tokens are below `d_vocab`,
/// positions continue their sequences and stay below `n_ctx`, and every sequence occurs once.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Token ids, `[T]`.
    pub tokens: &'a [u32],
    /// Position of every row in its own sequence, `[T]`.
    pub positions: &'a [u32],
    /// Which rows belong to which sequence: `spans[i]` to the `i`-th sequence of the call.
    pub spans: &'a [Span],
    /// The rows whose logits are wanted, ascending. Often only the last of each span, sometimes none.
    pub logit_rows: &'a [u32],
}

impl Batch<'_> {
    /// `T`.
    pub fn rows(&self) -> usize {
        self.tokens.len()
    }
}
