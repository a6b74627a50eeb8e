//! The reference: a golden file.

use std::{collections::BTreeMap, fs, ops::Range, path::Path};

use millm_loader::hashes::sha256;
use millm_plugin_api::ModelSpec;
use safetensors::{SafeTensors, tensor::Metadata};

use super::{
    error::{FORMAT, GoldenError},
    prompt::{Prompt, Reader, Tensors},
};

/// A golden file, checked against the model that it is about.
#[derive(Debug)]
pub(crate) struct Golden {
    bytes: Vec<u8>,
    pub(crate) sha256: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) prompts: Vec<Prompt>,
}

impl Golden {
    /// Reads the file and holds every tensor of it against `spec`.
    pub(crate) fn read(path: &Path, spec: &ModelSpec) -> Result<Self, GoldenError> {
        if !fs::metadata(path)?.is_file() {
            // Reading a pipe or a device might never end.
            return Err(GoldenError::NotAFile);
        }
        Self::parse(fs::read(path)?, spec)
    }

    fn parse(bytes: Vec<u8>, spec: &ModelSpec) -> Result<Self, GoldenError> {
        let (length, header) = SafeTensors::read_metadata(&bytes)?;
        let metadata: BTreeMap<String, String> = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let field = |name: &str| metadata.get(name).cloned().unwrap_or_default();
        if field("format") != FORMAT {
            return Err(GoldenError::Format(field("format")));
        }
        if field("model_type") != spec.model_type {
            return Err(GoldenError::ModelType { expected: spec.model_type.clone(), found: field("model_type") });
        }
        let reader = Reader::new(&bytes, length, spec);
        let mut prompts = Vec::new();
        for (index, tensors) in by_prompt(&header) {
            match tensors.first_key_value() {
                Some((name, _)) if index != prompts.len() || !tensors.contains_key("tokens") => {
                    return Err(match prompts.len() {
                        0 => GoldenError::NoPrompt,
                        missing => GoldenError::Gap { name: format!("p{index}.{name}"), missing },
                    });
                }
                _ => prompts.push(reader.prompt(index, &tensors)?),
            }
        }
        if prompts.is_empty() {
            return Err(GoldenError::NoPrompt);
        }
        Ok(Self { sha256: sha256(&bytes), bytes, metadata, prompts })
    }

    /// The elements of a point, by where they are.
    pub(crate) fn elements(&self, place: &Range<usize>) -> impl Iterator<Item = f32> {
        self.bytes[place.clone()].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }
}

/// The tensors of every prompt.
fn by_prompt(header: &Metadata) -> BTreeMap<usize, Tensors<'_>> {
    let mut prompts: BTreeMap<usize, Tensors<'_>> = BTreeMap::new();
    for (name, info) in header.tensors() {
        let Some((prompt, rest)) = name.split_once('.') else { continue };
        let index: Option<usize> = prompt.strip_prefix('p').and_then(|index| index.parse().ok());
        // What merely looks like it, such as p01, is none.
        if let Some(index) = index.filter(|index| *prompt == format!("p{index}")) {
            prompts.entry(index).or_default().insert(rest.to_owned(), info);
        }
    }
    prompts
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use millm_plugin_api::{HookId, HookPointSpec, RowShape};
    use safetensors::{
        Dtype,
        tensor::{TensorView, serialize},
    };

    use super::*;

    fn spec() -> ModelSpec {
        let hook = |name: &str, row| HookPointSpec::new(name.parse().unwrap(), row);
        ModelSpec {
            model_type: "toy".into(),
            d_vocab: 5,
            n_ctx: 4,
            hook_points: vec![
                hook("hook_embed", RowShape::Flat { width: 2 }),
                hook("blocks.0.attn.hook_pattern", RowShape::Keys { heads: 3, masked: 0.0 }),
            ],
            ..ModelSpec::default()
        }
    }

    /// A file with these tensors, by name, shape and elements; the numbers of `I64` are whole.
    fn file(format: &str, model_type: &str, tensors: &[(&str, Dtype, &[usize])]) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(_, dtype, shape)| {
                vec![0; shape.iter().product::<usize>() * if *dtype == Dtype::I64 { 8 } else { 4 }]
            })
            .collect();
        let view = |((name, dtype, shape), data): (&(&str, Dtype, &[usize]), &'static [u8])| {
            ((*name).to_owned(), TensorView::new(*dtype, shape.to_vec(), data).unwrap())
        };
        let leaked = bytes.into_iter().map(|bytes| &*bytes.leak());
        let metadata = HashMap::from([("format".into(), format.into()), ("model_type".into(), model_type.into())]);
        serialize(tensors.iter().zip(leaked).map(view), Some(metadata)).unwrap()
    }

    fn message(format: &str, model_type: &str, tensors: &[(&str, Dtype, &[usize])]) -> String {
        Golden::parse(file(format, model_type, tensors), &spec()).unwrap_err().to_string()
    }

    #[test]
    fn prompts_points_and_what_the_model_lacks_are_found() {
        let tensors: &[(&str, Dtype, &[usize])] = &[
            ("p0.tokens", Dtype::I64, &[2]),
            ("p0.greedy", Dtype::I64, &[2]),
            ("p0.hook_embed", Dtype::F32, &[2, 2]),
            ("p0.blocks.0.attn.hook_pattern", Dtype::F32, &[3, 2, 2]),
            ("p0.blocks.1.hook_z", Dtype::F32, &[1]),
            ("p0.steered.logits", Dtype::F32, &[1]),
            ("p1.tokens", Dtype::I64, &[1]),
        ];
        let golden = Golden::parse(file(FORMAT, "toy", tensors), &spec()).unwrap();
        assert_eq!(golden.prompts.len(), 2);
        assert_eq!((golden.prompts[0].points.len(), golden.prompts[0].greedy.len()), (2, 2));
        assert_eq!(golden.prompts[0].foreign, ["blocks.1.hook_z"]);
        assert_eq!(golden.elements(&golden.prompts[0].points[&HookId(0)]).collect::<Vec<_>>(), [0.0; 4]);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected_and_found() {
        let tokens: (&str, Dtype, &[usize]) = ("p0.tokens", Dtype::I64, &[2]);
        assert!(message("other", "toy", &[tokens]).contains("\"other\", expected \"millm-golden-1\""));
        assert!(message(FORMAT, "gpt2", &[tokens]).contains("model_type \"gpt2\", this one is of \"toy\""));
        assert!(message(FORMAT, "toy", &[("p1.tokens", Dtype::I64, &[2])]).contains("p0.tokens is missing"));
        assert!(message(FORMAT, "toy", &[]).contains("p0.tokens is missing"));
        for (name, missing) in [("p2.tokens", 1), ("p1.hook_embed", 1), ("p7.x", 1)] {
            let gap = message(FORMAT, "toy", &[tokens, (name, Dtype::I64, &[1])]);
            assert!(gap.contains(&format!("{name} belongs to no prompt: the tensor p{missing}.tokens")), "{gap}");
        }
        let empty = message(FORMAT, "toy", &[tokens, ("p1.tokens", Dtype::I64, &[0])]);
        assert!(empty.contains("the tensor p1.tokens is empty"), "{empty}");
        let shape = message(FORMAT, "toy", &[tokens, ("p0.hook_embed", Dtype::F32, &[2, 3])]);
        assert!(shape.contains("p0.hook_embed must be F32 of shape [2, 2], found F32 of shape [2, 3]"), "{shape}");
        assert!(message(FORMAT, "toy", &[("p0.tokens", Dtype::F32, &[2])]).contains("found F32 of shape [2]"));
        let long = message(FORMAT, "toy", &[tokens, ("p0.greedy", Dtype::I64, &[3])]);
        assert!(long.contains("p0 has 5 tokens with its continuation, this model's context is 4"), "{long}");
        assert!(Golden::parse(vec![1, 2, 3], &spec()).unwrap_err().to_string().contains("not a safetensors file"));
        let mut foreign_token = file(FORMAT, "toy", &[tokens]);
        let last = foreign_token.len() - 8;
        foreign_token[last] = 5;
        let error = Golden::parse(foreign_token, &spec()).unwrap_err().to_string();
        assert!(error.contains("each from 0 to 4, found 5"), "{error}");
    }
}
