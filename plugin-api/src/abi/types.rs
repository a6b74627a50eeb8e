//! Plain data that crosses the boundary, and its conversion from and to the public types.

use std::ffi::c_void;

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RString, RVec},
};

use crate::{
    error::{ErrorKind, PluginError},
    hook::HookPoint,
    spec::{HookPointSpec, ModelSpec, PageUsage},
    tensor::DType,
};

#[repr(C)]
#[derive(StableAbi)]
pub struct ErrorAbi {
    kind: u16,
    message: RString,
    causes: RVec<RString>,
}

impl From<PluginError> for ErrorAbi {
    fn from(error: PluginError) -> Self {
        Self {
            kind: error.kind.0,
            message: error.message.into(),
            causes: error.causes.into_iter().map(RString::from).collect(),
        }
    }
}

impl From<ErrorAbi> for PluginError {
    fn from(error: ErrorAbi) -> Self {
        Self {
            kind: ErrorKind(error.kind),
            message: error.message.into(),
            causes: error.causes.into_iter().map(String::from).collect(),
        }
    }
}

#[repr(C)]
#[derive(StableAbi)]
pub struct HookPointAbi {
    name: RString,
    width: u32,
    writable: bool,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct SpecAbi {
    model_type: RString,
    n_layers: u32,
    d_model: u32,
    n_heads: u32,
    n_key_value_heads: u32,
    d_head: u32,
    d_mlp: u32,
    d_vocab: u32,
    n_ctx: u32,
    dtype: u16,
    n_params: u64,
    hook_points: RVec<HookPointAbi>,
}

impl From<&ModelSpec> for SpecAbi {
    fn from(spec: &ModelSpec) -> Self {
        let hook_point = |spec: &HookPointSpec| HookPointAbi {
            name: spec.point.to_string().into(),
            width: spec.width,
            writable: spec.writable,
        };
        Self {
            model_type: spec.model_type.as_str().into(),
            n_layers: spec.n_layers,
            d_model: spec.d_model,
            n_heads: spec.n_heads,
            n_key_value_heads: spec.n_key_value_heads,
            d_head: spec.d_head,
            d_mlp: spec.d_mlp,
            d_vocab: spec.d_vocab,
            n_ctx: spec.n_ctx,
            dtype: spec.dtype.0,
            n_params: spec.n_params,
            hook_points: spec.hook_points.iter().map(hook_point).collect(),
        }
    }
}

impl TryFrom<SpecAbi> for ModelSpec {
    type Error = PluginError;

    fn try_from(spec: SpecAbi) -> Result<Self, PluginError> {
        let mut hook_points = Vec::with_capacity(spec.hook_points.len());
        for hook in spec.hook_points {
            let point: HookPoint = hook.name.parse().map_err(|error: crate::hook::ParseHookPointError| {
                PluginError::new(ErrorKind::INTERNAL, "the plugin names a malformed hook point").caused_by(&error)
            })?;
            hook_points.push(HookPointSpec { point, width: hook.width, writable: hook.writable });
        }
        Ok(Self {
            model_type: spec.model_type.into(),
            n_layers: spec.n_layers,
            d_model: spec.d_model,
            n_heads: spec.n_heads,
            n_key_value_heads: spec.n_key_value_heads,
            d_head: spec.d_head,
            d_mlp: spec.d_mlp,
            d_vocab: spec.d_vocab,
            n_ctx: spec.n_ctx,
            dtype: DType(spec.dtype),
            n_params: spec.n_params,
            hook_points,
        })
    }
}

#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct PagesAbi {
    page_tokens: u32,
    pages_total: u32,
    pages_free: u32,
}

impl From<PageUsage> for PagesAbi {
    fn from(usage: PageUsage) -> Self {
        Self { page_tokens: usage.page_tokens, pages_total: usage.pages_total, pages_free: usage.pages_free }
    }
}

impl From<PagesAbi> for PageUsage {
    fn from(usage: PagesAbi) -> Self {
        Self { page_tokens: usage.page_tokens, pages_total: usage.pages_total, pages_free: usage.pages_free }
    }
}

#[repr(C)]
#[derive(StableAbi)]
pub struct LoadAbi {
    /// A path as bytes: it need not be UTF-8.
    pub folder: RVec<u8>,
    pub kv_bytes: u64,
}

/// A [`Batch`](crate::Batch), and which sequences its spans belong to.
#[repr(C)]
#[derive(StableAbi)]
pub struct BatchAbi<'a> {
    pub tokens: RSlice<'a, u32>,
    pub sequences: RSlice<'a, u64>,
    /// Rows of each sequence, in order.
    pub span_rows: RSlice<'a, u32>,
    pub logit_rows: RSlice<'a, u32>,
    /// Bitmap of wanted hook points.
    pub wanted: RSlice<'a, u64>,
}

/// A closure of the plugin's that the host runs on its threads: `call(context, index)`.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct TaskAbi {
    pub context: *const c_void,
    pub call: unsafe extern "C" fn(*const c_void, usize),
}

/// What a plugin says about itself once it runs. The same text stands in its file; see `note.rs`.
#[repr(C)]
#[derive(StableAbi)]
pub struct InfoAbi {
    pub note: RSlice<'static, u8>,
    /// Optional abilities by name; unknown ones are ignored by both sides.
    pub features: RVec<RString>,
}
