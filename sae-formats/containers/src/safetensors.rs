use std::collections::BTreeMap;

use millm_plugin_api::{DType, TensorRef};
use safetensors::{Dtype, SafeTensors, tensor::Metadata};

use crate::error::Reason;

/// Where the tensors of a safetensors file are.
pub(crate) struct Safetensors {
    metadata: Metadata,
    /// Where the numbers begin.
    data: usize,
    names: Vec<String>,
    texts: BTreeMap<String, String>,
}

impl Safetensors {
    pub(crate) fn open(bytes: &[u8]) -> Reason<Self> {
        let (head, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let mut names: Vec<String> = metadata.tensors().into_keys().collect();
        names.sort_unstable();
        let texts = metadata.metadata().iter().flatten().map(|(key, text)| (key.clone(), text.clone())).collect();
        Ok(Self { data: head + 8, names, texts, metadata })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(crate) fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    pub(crate) fn tensor<'a>(&self, bytes: &'a [u8], name: &str) -> Option<Reason<TensorRef<'a>>> {
        let info = self.metadata.info(name)?;
        let (begin, end) = info.data_offsets;
        let numbers = bytes.get(self.data + begin..self.data + end).ok_or("its numbers are not there".to_owned());
        Some(numbers.and_then(|numbers| {
            let dtype = dtype(info.dtype)?;
            TensorRef::contiguous(numbers, dtype, &info.shape).map_err(|error| error.to_string())
        }))
    }
}

fn dtype(dtype: Dtype) -> Reason<DType> {
    Ok(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        other => return Err(format!("{other:?} is not supported; there are F64, F32, F16, BF16, I64 and I32")),
    })
}
