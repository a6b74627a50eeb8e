use std::collections::BTreeMap;

use millm_plugin_api::{DType, TensorRef};

use crate::error::Reason;

/// Where the tensors of a GGUF file are: version 2 or 3, little-endian.
pub(crate) struct Gguf {
    tensors: BTreeMap<String, Tensor>,
    /// Where the numbers begin.
    data: usize,
    texts: BTreeMap<String, String>,
}

struct Tensor {
    /// ggml's number of the type.
    kind: u32,
    shape: Vec<usize>,
    /// From where the numbers begin, in bytes.
    offset: u64,
}

pub(crate) const MAGIC: &[u8; 4] = b"GGUF";
/// What numbers are aligned to where nothing else is said.
const ALIGNMENT: usize = 32;
/// The key that says something else.
const ALIGNMENT_KEY: &str = "general.alignment";
/// The most dimensions there are.
const MAX_DIMENSIONS: u32 = 4;
/// The deepest list of lists.
const MAX_DEPTH: usize = 4;

impl Gguf {
    pub(crate) fn open(bytes: &[u8]) -> Reason<Self> {
        let mut reader = Reader { rest: bytes };
        reader.take::<4>()?;
        let version = reader.u32()?;
        if !(2..=3).contains(&version) {
            return Err(format!("version {version} of GGUF is not supported; there are 2 and 3"));
        }
        let (tensors, keys) = (reader.u64()?, reader.u64()?);
        let mut texts = BTreeMap::new();
        for _ in 0..keys {
            let key = reader.text()?;
            let kind = reader.u32()?;
            if let Some(text) = reader.value(kind, 0)? {
                texts.insert(key, text);
            }
        }
        let mut found = BTreeMap::new();
        for _ in 0..tensors {
            let name = reader.text()?;
            let dimensions = reader.u32()?;
            if dimensions > MAX_DIMENSIONS {
                return Err(format!("tensor '{name}' has {dimensions} dimensions"));
            }
            let extents = (0..dimensions).map(|_| Ok(usize::try_from(reader.u64()?).unwrap_or(usize::MAX)));
            let mut shape = extents.collect::<Reason<Vec<_>>>()?;
            // The one that changes fastest comes first.
            shape.reverse();
            let tensor = Tensor { kind: reader.u32()?, shape, offset: reader.u64()? };
            if found.insert(name.clone(), tensor).is_some() {
                return Err(format!("there are two tensors '{name}'"));
            }
        }
        let alignment = texts.get(ALIGNMENT_KEY).map_or(Ok(ALIGNMENT), |text| text.parse());
        let alignment = alignment.ok().filter(|alignment| alignment.is_power_of_two());
        let alignment = alignment.ok_or_else(|| format!("its '{ALIGNMENT_KEY}' is no power of two"))?;
        let data = (bytes.len() - reader.rest.len()).checked_next_multiple_of(alignment).ok_or_else(cut_off)?;
        Ok(Self { tensors: found, data, texts })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(crate) fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    pub(crate) fn tensor<'a>(&self, bytes: &'a [u8], name: &str) -> Option<Reason<TensorRef<'a>>> {
        let Tensor { kind, shape, offset } = self.tensors.get(name)?;
        let begin = usize::try_from(*offset).ok().and_then(|offset| self.data.checked_add(offset));
        let numbers = begin.and_then(|begin| bytes.get(begin..)).ok_or("its numbers are not there".to_owned());
        Some(numbers.and_then(|numbers| {
            TensorRef::contiguous(numbers, dtype(*kind)?, shape).map_err(|error| error.to_string())
        }))
    }
}

fn dtype(kind: u32) -> Reason<DType> {
    Ok(match kind {
        0 => DType::F32,
        1 => DType::F16,
        26 => DType::I32,
        27 => DType::I64,
        28 => DType::F64,
        30 => DType::BF16,
        other => return Err(format!("its numbers are quantised (ggml type {other}), which is not supported here")),
    })
}

fn cut_off() -> String {
    "it is cut off".to_owned()
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Reason<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Reason<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Reason<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Reason<String> {
        let len = usize::try_from(self.u64()?).map_err(|_| cut_off())?;
        let (text, rest): (&'a [u8], _) = self.rest.split_at_checked(len).ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// A value as a text. `None` for a list, which is only passed over.
    fn value(&mut self, kind: u32, depth: usize) -> Reason<Option<String>> {
        Ok(Some(match kind {
            0 => self.take().map(u8::from_le_bytes)?.to_string(),
            1 => self.take().map(i8::from_le_bytes)?.to_string(),
            2 => self.take().map(u16::from_le_bytes)?.to_string(),
            3 => self.take().map(i16::from_le_bytes)?.to_string(),
            4 => self.u32()?.to_string(),
            5 => self.take().map(i32::from_le_bytes)?.to_string(),
            6 => self.take().map(f32::from_le_bytes)?.to_string(),
            7 => (self.take::<1>()? != [0]).to_string(),
            8 => self.text()?,
            9 if depth < MAX_DEPTH => {
                let (kind, len) = (self.u32()?, self.u64()?);
                for _ in 0..len {
                    self.value(kind, depth + 1)?;
                }
                return Ok(None);
            }
            10 => self.u64()?.to_string(),
            11 => self.take().map(i64::from_le_bytes)?.to_string(),
            12 => self.take().map(f64::from_le_bytes)?.to_string(),
            other => return Err(format!("a value has the type {other}, which is not known")),
        }))
    }
}
