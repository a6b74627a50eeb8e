//! Vectors of several parts: control vectors, and one per block.

use super::*;

/// A GGUF file of tensors, each of so many numbers of a type of ggml, which lie in `data`.
fn gguf(architecture: &str, tensors: &[(&str, u32, u64, &[u8])]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend(text("general.architecture"));
    bytes.extend(8_u32.to_le_bytes());
    bytes.extend(text(architecture));
    let mut data = Vec::new();
    for (name, kind, len, numbers) in tensors {
        bytes.extend(text(name));
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend((data.len() as u64).to_le_bytes());
        data.extend_from_slice(numbers);
        data.resize(data.len().next_multiple_of(32), 0);
    }
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    [bytes, data].concat()
}

/// A model of so many blocks, with a stream of that width.
fn spec(n_layers: u32, width: u32) -> ModelSpec {
    let hook = |layer| HookPointSpec::new(HookPoint::block(layer, HookSite::RESID_POST), RowShape::Flat { width });
    let hook_points = (0..n_layers).map(hook).collect();
    ModelSpec { model_type: "llama".into(), hook_points, n_layers, ..ModelSpec::default() }
}

/// Where the parts of a vector belong, with their first two numbers; and how strongly they are added.
fn parts(vectors: &Vectors, name: &str) -> (Vec<(String, [f32; 2])>, f64) {
    match vectors.get(name) {
        Ok(Vector::Parts { parts, strength, .. }) => {
            let part = |part: &Part| (part.hook_point.clone(), [part.values[0], part.values[1]]);
            (parts.iter().map(part).collect(), strength)
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn refused(vectors: &Vectors, name: &str) -> String {
    match vectors.get(name) {
        Err(VectorError::Unusable(reason)) => reason,
        other => panic!("{name}: {other:?}"),
    }
}

fn json(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[test]
fn a_control_vector_is_for_what_leaves_the_blocks_it_names() {
    let folder = folder(&[
        ("control.gguf", fixture("control.gguf")),
        ("half.gguf", fixture("control.gguf")),
        ("half.json", json(r#"{"scale": 0.5}"#)),
    ]);
    let mut vectors = Vectors::load(&[folder.path().into()]);
    vectors.fit(&spec(6, 128));
    let at = |layer: u32| {
        let number = |index: u32| ((index * 7 + layer * 11) % 29) as f32 / 8.0 - 1.75;
        (format!("blocks.{layer}.hook_resid_post"), [number(0), number(1)])
    };
    assert_eq!(parts(&vectors, "control"), (vec![at(1), at(3), at(5)], 1.0));
    assert_eq!(parts(&vectors, "half"), (vec![at(1), at(3), at(5)], 0.5));
    assert_eq!(vectors.profiles().collect::<Vec<_>>(), ["control", "half"]);
}

#[test]
fn a_control_vector_of_another_model_cannot_be_used() {
    let folder = folder(&[("control.gguf", fixture("control.gguf"))]);
    for (spec, mention) in [
        (spec(5, 128), "it is for block 5, and this model has 5 blocks"),
        (spec(6, 64), "128"),
        (ModelSpec { hook_points: Vec::new(), ..spec(6, 128) }, "unknown hook point"),
    ] {
        let mut vectors = Vectors::load(&[folder.path().into()]);
        vectors.fit(&spec);
        assert!(refused(&vectors, "control").contains(mention), "{}", refused(&vectors, "control"));
        assert_eq!(vectors.profiles().count(), 0);
    }
    // A name is a hint.
    let mut vectors = Vectors::load(&[folder.path().into()]);
    vectors.fit(&ModelSpec { model_type: "gemma2".into(), ..spec(6, 128) });
    assert_eq!(parts(&vectors, "control").0.len(), 3);
}

#[test]
fn control_vectors_that_llama_cpp_would_not_load_are_refused() {
    fn of(tensors: &[(&str, u32, u64, &[u8])]) -> Vec<u8> {
        gguf("controlvector", tensors)
    }
    let (good, nan) = (&f32s(&[1.0, 2.0])[..], &f32s(&[1.0, f32::NAN])[..]);
    let one = ("direction.1", 0, 2, good);
    let files: Vec<(&str, Vec<u8>, &str)> = vec![
        ("zero", of(&[("direction.0", 0, 2, good), one]), "'direction.0' is not"),
        ("letter", of(&[one, ("direction.x", 0, 2, good)]), "'direction.x' is not"),
        ("padded", of(&[one, ("direction.01", 0, 2, good)]), "'direction.01' is not"),
        ("negative", of(&[("direction.-1", 0, 2, good)]), "'direction.-1' is not"),
        ("vast", of(&[("direction.4294967296", 0, 2, good)]), "is not"),
        ("other", of(&[one, ("counts", 0, 2, good)]), "'counts' is not"),
        ("lengths", of(&[one, ("direction.2", 0, 1, good)]), "'direction.2' has 1 elements, and others have 2"),
        ("f16", of(&[("direction.1", 1, 2, good)]), "must be float32"),
        ("nan", of(&[one, ("direction.2", 0, 2, nan)]), "'direction.2': element 1"),
        ("empty", of(&[("direction.1", 0, 0, &[])]), "is empty"),
        ("none", of(&[]), "no tensors"),
        (
            "matrix",
            include_bytes!("../../../../../../sae-formats/containers/tests/fixtures/vector.gguf").to_vec(),
            "counts",
        ),
        ("llama", gguf("llama", &[one]), "'llama'"),
        ("cut", fixture("control.gguf")[..1000].to_vec(), "direction."),
    ];
    let mut written: Vec<_> = files.iter().map(|(name, bytes, _)| (format!("{name}.gguf"), bytes.clone())).collect();
    written.push(("placed.gguf".into(), of(&[one])));
    written.push(("placed.json".into(), json(r#"{"hook_point": "blocks.*.hook_resid_pre"}"#)));
    written.push(("good.gguf".into(), of(&[one])));
    let written: Vec<_> = written.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let folder = folder(&written);
    let vectors = Vectors::load(&[folder.path().into()]);
    assert_eq!(parts(&vectors, "good").0, [("blocks.1.hook_resid_post".to_owned(), [1.0, 2.0])]);
    for (name, _, mention) in &files {
        assert!(refused(&vectors, name).contains(mention), "{name}: {}", refused(&vectors, name));
    }
    assert!(refused(&vectors, "placed").contains("says itself where"));
}

#[test]
fn one_vector_per_block_needs_to_be_told_where() {
    let every = r#"{"hook_point": "blocks.*.hook_resid_post"}"#;
    let layers = r#"{"hook_point": "blocks.*.hook_resid_post", "layers": [0, 2, 10], "scale": 2}"#;
    let safetensors = file(&[("3", Dtype::F32, &[2], &f32s(&[1.0, 2.0])), ("0", Dtype::F32, &[2], &f32s(&[3.0, 4.0]))]);
    let mixed = file(&[("layer_3", Dtype::F32, &[2], &f32s(&[1.0, 2.0])), ("0", Dtype::F32, &[2], &f32s(&[3.0, 4.0]))]);
    let named = file(&[("layer_3", Dtype::F32, &[2], &f32s(&[1.0, 2.0]))]);
    let folder = folder(&[
        ("rows.npz", fixture("rows.npz")),
        ("rows.json", json(every)),
        ("some.npz", fixture("rows.npz")),
        ("some.json", json(layers)),
        ("map.npz", fixture("map.npz")),
        ("map.json", json(every)),
        ("torch.pt", fixture("map.pt")),
        ("torch.json", json(every)),
        ("numbers.safetensors", safetensors.clone()),
        ("numbers.json", json(every)),
        ("silent-rows.npz", fixture("rows.npz")),
        ("silent-map.safetensors", safetensors.clone()),
        ("one-place.npz", fixture("rows.npz")),
        ("one-place.json", json(r#"{"hook_point": "blocks.3.hook_resid_post"}"#)),
        ("no-place.npz", fixture("rows.npz")),
        ("no-place.json", json(r#"{"layers": [0, 1, 2]}"#)),
        ("too-few.npz", fixture("rows.npz")),
        ("too-few.json", json(r#"{"hook_point": "blocks.*.hook_resid_post", "layers": [0, 1]}"#)),
        ("twice.npz", fixture("rows.npz")),
        ("twice.json", json(r#"{"hook_point": "blocks.*.hook_resid_post", "layers": [0, 1, 1]}"#)),
        ("both.safetensors", safetensors),
        ("both.json", json(r#"{"hook_point": "blocks.*.hook_resid_post", "layers": [0, 3]}"#)),
        ("mixed.safetensors", mixed),
        ("mixed.json", json(every)),
        ("named.safetensors", named),
        ("named.json", json(every)),
        ("single.npz", fixture("single.npz")),
        ("single.json", json(r#"{"hook_point": "blocks.*.hook_resid_post", "layers": [4]}"#)),
    ]);
    let mut vectors = Vectors::load(&[folder.path().into()]);
    let at = |layer: u32, values| (format!("blocks.{layer}.hook_resid_post"), values);
    assert_eq!(parts(&vectors, "rows"), (vec![at(0, [1.0, 2.0]), at(1, [3.0, 4.0]), at(2, [5.0, 6.0])], 1.0));
    assert_eq!(parts(&vectors, "some"), (vec![at(0, [1.0, 2.0]), at(2, [3.0, 4.0]), at(10, [5.0, 6.0])], 2.0));
    for name in ["map", "torch"] {
        assert_eq!(parts(&vectors, name), (vec![at(2, [1.0, 2.0]), at(10, [3.0, 4.0])], 1.0), "{name}");
    }
    assert_eq!(parts(&vectors, "numbers"), (vec![at(0, [3.0, 4.0]), at(3, [1.0, 2.0])], 1.0));
    for (name, mention) in [
        ("silent-rows", "nothing says where they belong"),
        ("silent-map", "nothing says where they belong"),
        ("one-place", "that of every block"),
        ("no-place", "nothing says where they belong"),
        ("too-few", "3 rows"),
        ("twice", "rising order"),
        ("both", "'layers' has nothing to say"),
        ("mixed", "not exactly one"),
        ("named", "one for each of several blocks"),
        ("single", "one for each of several blocks"),
    ] {
        assert!(refused(&vectors, name).contains(mention), "{name}: {}", refused(&vectors, name));
    }
    // Rows that nobody counts are one for each block.
    vectors.fit(&spec(11, 2));
    assert_eq!(vectors.profiles().collect::<Vec<_>>(), ["map", "numbers", "some", "torch"]);
    assert_eq!(refused(&vectors, "rows"), "it has 3 rows, and this model has 11 blocks");
}
