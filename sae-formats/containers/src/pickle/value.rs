use std::sync::Arc;

use millm_plugin_api::DType;

/// What a pickle makes. What has parts is an [`Object`], named by its number: a pickle may put a list into itself, and nest
/// without end.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    Object(usize),
    Global(Global),
    /// The numbers of tensors: what they are, and the file they are in.
    Storage(DType, Arc<str>),
    Tensor(Arc<Tensor>),
}

#[derive(Clone, Debug)]
pub(super) enum Object {
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(Vec<(Value, Value)>),
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) dtype: DType,
    /// The name of its file.
    pub(crate) storage: Arc<str>,
    /// Of its first element, in elements.
    pub(crate) offset: usize,
    pub(crate) size: Vec<usize>,
    /// In elements.
    pub(crate) stride: Vec<usize>,
}

/// What a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    /// The storages of a type. `None` if it is a type that no tensor here has.
    Storage(Option<DType>),
    /// The type itself.
    Dtype,
}

impl Global {
    /// What is meant by a name, if it is on the list.
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch", "FloatStorage") => Self::Storage(Some(DType::F32)),
            ("torch", "DoubleStorage") => Self::Storage(Some(DType::F64)),
            ("torch", "HalfStorage") => Self::Storage(Some(DType::F16)),
            ("torch", "BFloat16Storage") => Self::Storage(Some(DType::BF16)),
            ("torch", "IntStorage") => Self::Storage(Some(DType::I32)),
            ("torch", "LongStorage") => Self::Storage(Some(DType::I64)),
            ("torch", "BoolStorage" | "ByteStorage" | "CharStorage" | "ShortStorage") => Self::Storage(None),
            ("torch", "float32" | "float64" | "float16" | "bfloat16" | "int32" | "int64") => Self::Dtype,
            _ => return None,
        })
    }
}
