mod parts;

use std::{process::Command, sync::Arc};

use half::{bf16, f16};
use millm_plugin_api::{HookPoint, HookPointSpec, HookSite, RowShape};
use safetensors::{
    Dtype,
    tensor::{TensorView, serialize},
};

use super::{vector::Profile, *};

fn file(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let view = |dtype, shape: &[usize], data| TensorView::new(dtype, shape.to_vec(), data).unwrap();
    let tensors = tensors.iter().map(|(name, dtype, shape, data)| (*name, view(*dtype, shape, data)));
    serialize(tensors, None).unwrap()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// A file that Python wrote.
fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vectors").join(name)).unwrap()
}

/// A single vector.
fn single(vectors: &Vectors, name: &str) -> (Arc<[f32]>, Option<Profile>) {
    match vectors.get(name) {
        Ok(Vector::Single { values, profile }) => (values, profile),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn vectors_of_three_dtypes_are_read_as_f32() {
    let f16s: Vec<u8> = [1.5, -2.0].iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
    let bf16s: Vec<u8> = [1.5, -2.0].iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect();
    let folder = folder(&[
        ("a.safetensors", file(&[("any", Dtype::F32, &[2], &f32s(&[1.5, -2.0]))])),
        ("b.safetensors", file(&[("name", Dtype::F16, &[2], &f16s)])),
        ("c.safetensors", file(&[("", Dtype::BF16, &[2], &bf16s)])),
        ("notes.txt", b"not a vector".to_vec()),
    ]);
    let vectors = Vectors::load(&[folder.path().into(), "/nonexistent".into()]);
    for name in ["a", "b", "c"] {
        assert_eq!(*single(&vectors, name).0, [1.5, -2.0]);
    }
    assert_eq!(vectors.get("notes"), Err(VectorError::Unknown(vec!["a".into(), "b".into(), "c".into()])));
}

#[test]
fn the_vectors_of_the_first_folder_win() {
    let first = folder(&[("sea.safetensors", file(&[("v", Dtype::F32, &[1], &f32s(&[1.0]))]))]);
    let second = folder(&[("sea.safetensors", file(&[("v", Dtype::F32, &[1], &f32s(&[2.0]))]))]);
    let vectors = Vectors::load(&[first.path().into(), second.path().into()]);
    assert_eq!(*single(&vectors, "sea").0, [1.0]);
}

#[test]
fn a_broken_file_costs_its_name_and_nothing_else() {
    let good = f32s(&[1.0, 2.0]);
    let mut truncated = file(&[("v", Dtype::F32, &[2], &good)]);
    truncated.pop();
    let folder = folder(&[
        ("good.safetensors", file(&[("v", Dtype::F32, &[2], &good)])),
        ("empty.safetensors", Vec::new()),
        ("truncated.safetensors", truncated),
        ("huge-header.safetensors", u64::MAX.to_le_bytes().to_vec()),
        ("two.safetensors", file(&[("a", Dtype::F32, &[2], &good), ("b", Dtype::F32, &[2], &good)])),
        ("matrix.safetensors", file(&[("v", Dtype::F32, &[1, 2], &good)])),
        ("nothing.safetensors", file(&[("v", Dtype::F32, &[0], &[])])),
        ("integers.safetensors", file(&[("v", Dtype::I32, &[2], &good)])),
        ("nan.safetensors", file(&[("v", Dtype::F32, &[2], &f32s(&[0.0, f32::NAN]))])),
        ("odd name.safetensors", file(&[("v", Dtype::F32, &[2], &good)])),
    ]);
    let pipe = Command::new("mkfifo").arg(folder.path().join("pipe.safetensors")).status();
    assert!(pipe.unwrap().success());
    let vectors = Vectors::load(&[folder.path().into()]);
    assert_eq!(vectors.by_name.len(), 10);
    for (name, vector) in &vectors.by_name {
        assert_eq!(vector.is_ok(), name == "good", "{name}: {vector:?}");
    }
    assert_eq!(vectors.get("nan"), Err(VectorError::Unusable("tensor 'v': element 1 is not a finite number".into())));
}

#[test]
fn a_file_may_say_how_to_steer_with_its_vector() {
    let file = |metadata: &[(&str, &str)]| {
        let data = f32s(&[1.0, 2.0]);
        let view = TensorView::new(Dtype::F32, vec![2], &data).unwrap();
        let metadata = metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        serialize([("v", view)], Some(metadata)).unwrap()
    };
    let point = |name| ("hook_point", name);
    let folder = folder(&[
        ("plain.safetensors", file(&[("concept", "sea")])),
        ("point.safetensors", file(&[point("hook_embed")])),
        ("both.safetensors", file(&[point("hook_embed"), ("recommended_strength", "-2.5")])),
        ("elsewhere.safetensors", file(&[point("blocks.7.hook_resid_post")])),
        ("odd.safetensors", file(&[point("hook_embed"), ("recommended_strength", "1e99")])),
    ]);
    let mut vectors = Vectors::load(&[folder.path().into()]);
    let hook_embed = HookPointSpec::new(HookPoint::model(HookSite::EMBED), RowShape::Flat { width: 2 });
    vectors.fit(&ModelSpec { hook_points: vec![hook_embed], ..ModelSpec::default() });
    assert_eq!(vectors.profiles().collect::<Vec<_>>(), ["both", "point"]);
    let strength = |name| single(&vectors, name).1.map(|profile| profile.strength);
    assert_eq!([strength("plain"), strength("point"), strength("both")], [None, Some(1.0), Some(-2.5)]);
    assert_eq!(strength("elsewhere"), None);
    assert!(matches!(vectors.get("odd"), Err(VectorError::Unusable(reason)) if reason.contains("1e99")));
}

#[test]
fn a_vector_is_the_same_in_every_kind_of_file() {
    let hostile = include_bytes!("../../../../../sae-formats/containers/tests/fixtures/hostile.pt");
    let folder = folder(&[
        ("safetensors.safetensors", file(&[("v", Dtype::F32, &[2], &f32s(&[1.0, 2.0]))])),
        ("npz.npz", fixture("single.npz")),
        ("pt.pt", fixture("single.pt")),
        ("pth.pth", fixture("single.pt")),
        ("hostile.pt", hostile.to_vec()),
        ("vast.pt", fixture("vast.pt")),
        ("liar.npz", fixture("control.gguf")),
        ("fibber.gguf", fixture("single.npz")),
        // Those that come first count, whatever the later ones say.
        ("first.npz", fixture("single.npz")),
        ("first.gguf", fixture("control.gguf")),
        ("broken.safetensors", b"nonsense".to_vec()),
        ("broken.npz", fixture("single.npz")),
    ]);
    let vectors = Vectors::load(&[folder.path().into()]);
    for name in ["safetensors", "npz", "pt", "pth", "first"] {
        assert_eq!((&*single(&vectors, name).0, single(&vectors, name).1), (&[1.0, 2.0][..], None), "{name}");
    }
    for (name, mention) in [
        ("hostile", "'posix.system', which is no tensor and is not run"),
        ("vast", "at most 16777216 numbers"),
        ("liar", "'.npz'"),
        ("fibber", "'.gguf'"),
        ("broken", "neither safetensors nor npz"),
    ] {
        let Err(VectorError::Unusable(reason)) = vectors.get(name) else { panic!("{name} is usable") };
        assert!(reason.contains(mention) && !reason.contains(folder.path().to_str().unwrap()), "{name}: {reason}");
    }
}

#[test]
fn a_json_file_beside_a_vector_says_what_its_metadata_could() {
    let said = |metadata: &[(&str, &str)]| {
        let data = f32s(&[1.0, 2.0]);
        let view = TensorView::new(Dtype::F32, vec![2], &data).unwrap();
        let metadata = metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        serialize([("v", view)], Some(metadata)).unwrap()
    };
    let json = |text: &str| text.as_bytes().to_vec();
    let folder = folder(&[
        ("a.npz", fixture("single.npz")),
        ("a.json", json(r#"{"hook_point": "hook_embed", "recommended_strength": 3}"#)),
        ("b.pt", fixture("single.pt")),
        ("b.json", json(r#"{"hook_point": "hook_embed", "scale": 3.0}"#)),
        ("c.safetensors", said(&[("hook_point", "hook_embed")])),
        ("c.json", json(r#"{"hook_point": "hook_embed", "scale": 3}"#)),
        ("place.safetensors", said(&[("hook_point", "hook_embed")])),
        ("place.json", json(r#"{"hook_point": "blocks.0.hook_resid_post"}"#)),
        ("strength.safetensors", said(&[("hook_point", "hook_embed"), ("recommended_strength", "2")])),
        ("strength.json", json(r#"{"scale": 3}"#)),
        ("twice.npz", fixture("single.npz")),
        ("twice.json", json(r#"{"hook_point": "hook_embed", "scale": 3, "recommended_strength": 3}"#)),
        ("misspelt.npz", fixture("single.npz")),
        ("misspelt.json", json(r#"{"hook_piont": "hook_embed"}"#)),
        ("large.npz", fixture("single.npz")),
        ("large.json", json(r#"{"hook_point": "hook_embed", "scale": 1e99}"#)),
        ("long.npz", fixture("single.npz")),
        ("long.json", vec![b' '; 65537]),
        ("alone.json", json("{}")),
    ]);
    let vectors = Vectors::load(&[folder.path().into()]);
    let expected = Profile { hook_point: "hook_embed".into(), strength: 3.0 };
    for name in ["a", "b", "c"] {
        assert_eq!(single(&vectors, name).1.as_ref(), Some(&expected), "{name}");
    }
    for (name, mention) in [
        ("place", "disagree about 'hook_point'"),
        ("strength", "disagree about 'recommended_strength'"),
        ("twice", "duplicate field"),
        ("misspelt", "hook_piont"),
        ("large", "1e99"),
        ("long", "at most 65536"),
    ] {
        let Err(VectorError::Unusable(reason)) = vectors.get(name) else { panic!("{name} is usable") };
        assert!(reason.contains(mention), "{name}: {reason}");
    }
    assert!(matches!(vectors.get("alone"), Err(VectorError::Unknown(_))));
    // What is beside it is part of it.
    let digest = |vectors: &Vectors| vectors.digests().find(|(name, _)| *name == "a").unwrap().1;
    fs::write(folder.path().join("a.json"), r#"{"hook_point": "hook_embed"}"#).unwrap();
    assert_ne!(digest(&vectors), digest(&Vectors::load(&[folder.path().into()])));
}
