//! Plain data that crosses the boundary, and its conversion from and to the public types.

use std::ffi::c_void;

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RString, RVec},
};

use crate::{
    error::{ErrorKind, PluginError},
    spec::PageUsage,
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
