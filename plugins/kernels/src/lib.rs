//! The hot loops of millm on the CPU: matrix products, norms, rotary embeddings, activations and attention over
//! key/value pages. Plain functions on slices; the host lends its threads through [`Parallel`].
//!
//! **Every result has one reduction order.** A row of an output depends on that row's inputs and on nothing else: its
//! bits are the same whatever the number of rows, the tiling, the number of threads, the chunks of a prompt or the
//! size of a page. Instruction sets may differ from each other in the last bits; one machine never differs from itself.
//!
//! Where to read on:
//! * [`matmul`], [`dot`]: `weight · x`, the weight in f32, bf16 or f16 ([`Weight`]), everything else in f32
//! * [`normalize`] and [`gain`], [`RopeTable`], [`activate`], [`softcap`]: what a block does between products
//! * [`attention`]: causal attention of a ragged batch over paged keys and values; [`attention_scores`] and
//!   [`softmax_rows`]: its parts, for who wants to see or change them
//! * `simd`, `tile`: eight lanes and the register tile from which the above are made
//! * `panel`: how tasks write disjoint parts of one output
//! * [`limits`]: what the machine could do, for benchmarks

mod activation;
mod attention;
mod exp;
mod function;
pub mod limits;
mod matmul;
mod norm;
mod normal;
mod panel;
mod parallel;
mod rope;
mod scratch;
mod simd;
mod tanh;
#[cfg(test)]
mod testing;
mod tile;
mod weight;

pub use activation::{Activation, activate, activate_mul, softcap};
pub use attention::{AttentionShape, Span, attention, attention_scores, softmax_rows};
pub use matmul::{dot, matmul};
pub use norm::{NormKind, gain, normalize};
pub use parallel::{Parallel, Serial};
pub use rope::RopeTable;
pub use simd::instruction_set;
pub use weight::{Elements, Weight, WeightShapeError};
