use std::sync::Arc;

use millm_containers::{Container, ContainerError};
use millm_plugin_api::{DType, HookPattern, HookPoint, HookSite, TensorRef};

use super::{
    said::Said,
    vector::{Part, Profile, Vector},
};

/// The most numbers of a file. A view of few bytes can be a tensor of any size.
const MAX_NUMBERS: u64 = 16 << 20;
/// The types that vectors are in, in files that are not control vectors.
const FLOATS: [DType; 4] = [DType::F32, DType::F16, DType::BF16, DType::F64];
/// What stands before the number of a block in the name of its vector.
const PREFIXES: [&str; 3] = ["direction.", "layer_", ""];

/// The control vector in a GGUF file, by the rules of llama.cpp: `direction.N` is added to what leaves block N, counted from 0,
/// and there is none for block 0.
pub(super) fn control_vector(file: &Container, said: &Said) -> Result<Vector, String> {
    let architecture = file.texts().get("general.architecture").map_or("", String::as_str);
    if architecture != "controlvector" {
        return Err(format!("its general.architecture is '{architecture}', and only a 'controlvector' steers"));
    }
    if said.hook_point.is_some() || said.layers.is_some() {
        return Err("a control vector says itself where it belongs, so the JSON file beside it can only say \
                    'recommended_strength'"
            .into());
    }
    let layer = |name: &str| name.strip_prefix("direction.").and_then(number).filter(|layer| *layer > 0);
    let named = file.names().map(|name| {
        let layer = layer(name).ok_or_else(|| format!("tensor '{name}' is not 'direction.N', with N from 1 on"))?;
        Ok((layer, name))
    });
    parts(file, named.collect::<Result<_, String>>()?, &HookSite::RESID_POST, &[DType::F32], said)
}

/// The vector in any other file: one, or one for each of several blocks if it is said where those belong.
pub(super) fn vector(file: &Container, said: Said) -> Result<Vector, String> {
    let names: Vec<&str> = file.names().collect();
    let &[name] = &names[..] else { return map(file, &names, &said) };
    let tensor = file.tensor(name).map_err(|error| without_path(&error))?;
    match tensor.shape().len() {
        1 => single(&tensor, name, said),
        2 => rows(&tensor, name, &said),
        _ => Err(format!("tensor '{name}' has the shape {:?}: neither a vector nor one per block", tensor.shape())),
    }
}

/// The error without the file.
pub(super) fn without_path(error: &ContainerError) -> String {
    match error {
        ContainerError::Io { source, .. } => source.to_string(),
        ContainerError::Invalid { reason, .. } => reason.clone(),
        ContainerError::Missing { name, .. } => format!("there is no tensor '{name}'"),
    }
}

fn single(tensor: &TensorRef<'_>, name: &str, said: Said) -> Result<Vector, String> {
    let is_every_block = said.hook_point.as_deref().is_some_and(|point| point.starts_with("blocks.*."));
    if said.layers.is_some() || is_every_block && layers_of(&[name]).is_some() {
        return Err(format!("tensor '{name}' is one vector, and it is said to be one for each of several blocks"));
    }
    let values = numbers(tensor, name, &FLOATS)?;
    let strength = said.strength();
    Ok(Vector::Single { values, profile: said.hook_point.map(|hook_point| Profile { hook_point, strength }) })
}

/// One row per block.
fn rows(tensor: &TensorRef<'_>, name: &str, said: &Said) -> Result<Vector, String> {
    let site = site(said, || format!("tensor '{name}' has the shape {:?}", tensor.shape()))?;
    let rows = tensor.shape()[0];
    let layers: Vec<u32> = match &said.layers {
        Some(layers) => layers.clone(),
        None => (0..u32::try_from(rows).unwrap_or(u32::MAX)).collect(),
    };
    if layers.is_empty() || layers.len() as u64 != rows || !layers.is_sorted_by(|one, next| one < next) {
        return Err(format!("tensor '{name}' has {rows} rows, so 'layers' must be as many numbers, in rising order"));
    }
    fits_in_memory(rows, tensor.shape()[1])?;
    let part = |(row, layer): (usize, &u32)| {
        let row = tensor.at(0, row).map_err(|error| error.to_string())?;
        Ok(Part { hook_point: at(*layer, &site), values: numbers(&row, name, &FLOATS)? })
    };
    let parts = layers.iter().enumerate().map(part).collect::<Result<_, String>>()?;
    Ok(Vector::Parts { parts, strength: said.strength(), is_whole: said.layers.is_none() })
}

/// One tensor per block, called by its number.
fn map(file: &Container, names: &[&str], said: &Said) -> Result<Vector, String> {
    let holds = || format!("the file holds {} tensors", names.len());
    let Some(layers) = layers_of(names).filter(|layers| !layers.is_empty()) else {
        return Err(format!("{}, not exactly one, and not one 'layer_N' for each of several blocks", holds()));
    };
    let site = site(said, holds)?;
    if said.layers.is_some() {
        return Err("its tensors are called by the numbers of their blocks, so 'layers' has nothing to say".into());
    }
    parts(file, layers.into_iter().zip(names.iter().copied()).collect(), &site, &FLOATS, said)
}

/// The tensors of these names as vectors for blocks.
fn parts(
    file: &Container,
    mut named: Vec<(u32, &str)>,
    site: &HookSite,
    dtypes: &[DType],
    said: &Said,
) -> Result<Vector, String> {
    named.sort_unstable();
    let (count, mut expected) = (named.len() as u64, None);
    let part = |(layer, name): (u32, &str)| {
        let tensor = file.tensor(name).map_err(|error| without_path(&error))?;
        let &[len] = tensor.shape() else {
            return Err(format!("tensor '{name}' has the shape {:?}, and a vector has one dimension", tensor.shape()));
        };
        let expected = *expected.get_or_insert(len);
        if len != expected {
            return Err(format!("tensor '{name}' has {len} elements, and others have {expected}"));
        }
        fits_in_memory(count, len)?;
        Ok(Part { hook_point: at(layer, site), values: numbers(&tensor, name, dtypes)? })
    };
    let parts = named.into_iter().map(part).collect::<Result<Arc<[_]>, String>>()?;
    if parts.is_empty() {
        return Err("the file holds no tensors".into());
    }
    Ok(Vector::Parts { parts, strength: said.strength(), is_whole: false })
}

/// The numbers of a vector.
fn numbers(tensor: &TensorRef<'_>, name: &str, dtypes: &[DType]) -> Result<Arc<[f32]>, String> {
    if !dtypes.contains(&tensor.dtype()) {
        let known: Vec<_> = dtypes.iter().map(|dtype| dtype.as_str()).collect();
        let found = tensor.dtype();
        return Err(format!("tensor '{name}' must be {}, it is {}", known.join(" or "), found.as_str()));
    }
    let len = tensor.shape().iter().product();
    if len == 0 {
        return Err(format!("tensor '{name}' is empty"));
    }
    fits_in_memory(1, len)?;
    let values = tensor.to_vec().map_err(|error| error.to_string())?;
    match values.iter().position(|element| !element.is_finite()) {
        Some(index) => Err(format!("tensor '{name}': element {index} is not a finite number")),
        None => Ok(values.into()),
    }
}

fn fits_in_memory(vectors: u64, len: u64) -> Result<(), String> {
    match vectors.checked_mul(len) {
        Some(numbers) if numbers <= MAX_NUMBERS => Ok(()),
        _ => Err(format!("it has {vectors} vectors of {len} numbers, at most {MAX_NUMBERS} numbers are allowed")),
    }
}

/// The site of every block that several vectors are said to be for. `what` the file has, if nothing is said.
fn site(said: &Said, what: impl Fn() -> String) -> Result<HookSite, String> {
    match said.hook_point.as_deref().map(str::parse) {
        Some(Ok(HookPattern::EveryBlock(site))) => Ok(site),
        Some(_) => Err(format!("{}, so its hook_point must be that of every block, 'blocks.*.…'", what())),
        None => Err(format!(
            "{}, and nothing says where they belong; a JSON file of the same name can: \
             {{\"hook_point\": \"blocks.*.hook_resid_post\"}}",
            what()
        )),
    }
}

/// The numbers in the names, if these are those of blocks.
fn layers_of(names: &[&str]) -> Option<Vec<u32>> {
    let under = |prefix: &str| names.iter().map(|name| name.strip_prefix(prefix).and_then(number)).collect();
    PREFIXES.into_iter().find_map(under)
}

/// A number as nothing but its digits.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

fn at(layer: u32, site: &HookSite) -> String {
    HookPoint::block(layer, site.clone()).to_string()
}
