//! Hook points: the named places where the host may read or edit a model's activations.
//!
//! Names are those of TransformerLens: `hook_embed`, `blocks.3.hook_resid_post`, `blocks.0.attn.hook_z`.

mod pattern;
mod point;
mod set;
mod visit;

pub use self::{
    pattern::HookPattern,
    point::{HookPoint, HookSite, ParseHookPointError},
    set::{HookId, HookSet},
    visit::{HookVisitor, Hooks},
};
