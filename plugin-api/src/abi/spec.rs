//! A model's facts, as they cross.

use abi_stable::{
    StableAbi,
    std_types::{ROption, RString, RVec},
};

use crate::{
    error::{ErrorKind, PluginError},
    hook::ParseHookPointError,
    spec::{AbsentHookPoint, HookPointSpec, ModelSpec, RowSet, RowShape},
    tensor::DType,
};

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
    n_ctx_short: ROption<u32>,
    dtype: u16,
    layer_norm: bool,
    embed_scale: ROption<f32>,
    n_params: u64,
    hook_points: RVec<HookPointAbi>,
    absent: RVec<AbsentAbi>,
}

#[repr(C)]
#[derive(StableAbi)]
struct HookPointAbi {
    name: RString,
    row: RowShapeAbi,
    at_logits: bool,
    read_only: ROption<RString>,
}

/// A number instead of an enum, so that a kind this side does not know is an error and not undefined behaviour.
#[repr(C)]
#[derive(StableAbi)]
struct RowShapeAbi {
    kind: u16,
    /// Width, or heads.
    first: u32,
    /// `d_head`, or the bits of `masked`.
    second: u32,
}

#[repr(C)]
#[derive(StableAbi)]
struct AbsentAbi {
    pattern: RString,
    reason: RString,
}

const FLAT: u16 = 0;
const HEADS: u16 = 1;
const KEYS: u16 = 2;

impl From<RowShape> for RowShapeAbi {
    fn from(row: RowShape) -> Self {
        let (kind, first, second) = match row {
            RowShape::Flat { width } => (FLAT, width, 0),
            RowShape::Heads { heads, d_head } => (HEADS, heads, d_head),
            RowShape::Keys { heads, masked } => (KEYS, heads, masked.to_bits()),
        };
        Self { kind, first, second }
    }
}

impl TryFrom<RowShapeAbi> for RowShape {
    type Error = PluginError;

    fn try_from(RowShapeAbi { kind, first, second }: RowShapeAbi) -> Result<Self, PluginError> {
        match kind {
            FLAT if first > 0 => Ok(Self::Flat { width: first }),
            HEADS if first > 0 && second > 0 => Ok(Self::Heads { heads: first, d_head: second }),
            KEYS if first > 0 => Ok(Self::Keys { heads: first, masked: f32::from_bits(second) }),
            _ => Err(wrong(format!("a hook point has rows of kind {kind} and extents {first}, {second}"))),
        }
    }
}

fn wrong(message: String) -> PluginError {
    PluginError::new(ErrorKind::INTERNAL, format!("the plugin describes its model wrongly: {message}"))
}

fn malformed(error: &ParseHookPointError) -> PluginError {
    wrong(error.to_string())
}

impl From<&HookPointSpec> for HookPointAbi {
    fn from(spec: &HookPointSpec) -> Self {
        Self {
            name: spec.point.to_string().into(),
            row: spec.row.into(),
            at_logits: spec.rows == RowSet::Logits,
            read_only: spec.read_only.as_deref().map(RString::from).into(),
        }
    }
}

impl TryFrom<HookPointAbi> for HookPointSpec {
    type Error = PluginError;

    fn try_from(hook: HookPointAbi) -> Result<Self, PluginError> {
        if hook.at_logits && hook.row.kind == KEYS {
            return Err(wrong(format!("{} has keys, and so a row for every row of the batch", hook.name)));
        }
        Ok(Self {
            point: hook.name.parse().map_err(|error| malformed(&error))?,
            row: hook.row.try_into()?,
            rows: if hook.at_logits { RowSet::Logits } else { RowSet::Batch },
            read_only: hook.read_only.into_option().map(String::from),
        })
    }
}

impl From<&AbsentHookPoint> for AbsentAbi {
    fn from(absent: &AbsentHookPoint) -> Self {
        Self { pattern: absent.pattern.to_string().into(), reason: absent.reason.as_str().into() }
    }
}

impl TryFrom<AbsentAbi> for AbsentHookPoint {
    type Error = PluginError;

    fn try_from(absent: AbsentAbi) -> Result<Self, PluginError> {
        let pattern = absent.pattern.parse().map_err(|error| malformed(&error))?;
        Ok(Self { pattern, reason: absent.reason.into() })
    }
}

impl From<&ModelSpec> for SpecAbi {
    fn from(spec: &ModelSpec) -> Self {
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
            n_ctx_short: spec.n_ctx_short.into(),
            dtype: spec.dtype.0,
            layer_norm: spec.layer_norm,
            embed_scale: spec.embed_scale.into(),
            n_params: spec.n_params,
            hook_points: spec.hook_points.iter().map(HookPointAbi::from).collect(),
            absent: spec.absent.iter().map(AbsentAbi::from).collect(),
        }
    }
}

impl TryFrom<SpecAbi> for ModelSpec {
    type Error = PluginError;

    fn try_from(spec: SpecAbi) -> Result<Self, PluginError> {
        let hook_points: Vec<HookPointSpec> =
            spec.hook_points.into_iter().map(HookPointSpec::try_from).collect::<Result<_, _>>()?;
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = hook_points.iter().find(|hook| !seen.insert(&hook.point)) {
            return Err(wrong(format!("{} occurs twice", twice.point)));
        }
        for (field, size) in [("d_model", spec.d_model), ("d_vocab", spec.d_vocab), ("n_ctx", spec.n_ctx)] {
            if size == 0 {
                return Err(wrong(format!("{field} is 0")));
            }
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
            n_ctx_short: spec.n_ctx_short.into_option(),
            dtype: DType(spec.dtype),
            layer_norm: spec.layer_norm,
            embed_scale: spec.embed_scale.into_option(),
            n_params: spec.n_params,
            hook_points,
            absent: spec.absent.into_iter().map(AbsentHookPoint::try_from).collect::<Result<_, _>>()?,
        })
    }
}
