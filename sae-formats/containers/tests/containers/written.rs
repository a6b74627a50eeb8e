use std::fs;

use millm_containers::Container;
use millm_plugin_api::{DType, TensorRef};

use crate::{fixture, open};

/// A matrix row by row.
fn rows(tensor: &TensorRef<'_>) -> Vec<Vec<f32>> {
    (0..tensor.shape()[0] as usize).map(|row| tensor.at(0, row).unwrap().to_vec().unwrap()).collect()
}

/// 0, 1, ... 11.
fn counts() -> Vec<Vec<f32>> {
    (0..3).map(|row| (0..4).map(|column| (4 * row + column) as f32).collect()).collect()
}

#[test]
fn tensors_are_read_in_whatever_form_they_lie() {
    for (file, name, dtype) in [
        ("stored.npz", "counts", DType::F32),
        ("stored.npz", "fortran", DType::F32),
        ("stored.npz", "half", DType::F16),
        ("stored.npz", "double", DType::F64),
        ("deflated.npz", "counts", DType::F32),
        ("deflated.npz", "fortran", DType::F32),
        ("state.pt", "counts", DType::F32),
        ("state.pt", "transposed", DType::F32),
        ("state.pt", "bfloat", DType::BF16),
        ("state.pt", "half", DType::F16),
        ("state.pt", "parameter", DType::F64),
        ("module.pt", "weight", DType::F32),
        ("nested.pt", "sae.counts", DType::F32),
        ("bare.pt", "tensor", DType::F32),
        ("plain.safetensors", "counts", DType::F32),
        ("vector.gguf", "counts", DType::F32),
        ("vector.gguf", "half", DType::F16),
        ("plain.safetensors", "bfloat", DType::BF16),
    ] {
        let file = open(file);
        let tensor = file.tensor(name).unwrap();
        assert_eq!((tensor.dtype(), rows(&tensor)), (dtype, counts()), "{file:?} {name}");
    }
}

#[test]
fn a_file_in_memory_is_as_one_on_disk() {
    let path = fixture("stored.npz");
    let file = Container::of(&path, fs::read(&path).unwrap()).unwrap();
    assert_eq!(rows(&file.tensor("counts").unwrap()), counts());
    let error = Container::of(&path, b"nonsense".to_vec()).unwrap_err().to_string();
    assert!(error.contains("neither safetensors nor npz") && error.contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn views_of_a_storage_have_their_own_offset_and_strides() {
    let file = open("state.pt");
    let part: Vec<Vec<f32>> = [4, 12, 20].map(|first| (first..first + 4).map(|n| n as f32).collect()).into();
    assert_eq!(rows(&file.tensor("part").unwrap()), part);
}

#[test]
fn numbers_without_a_shape_and_texts_are_there_too() {
    for file in ["stored.npz", "deflated.npz", "state.pt"] {
        let file = open(file);
        let k = file.tensor("k").unwrap();
        assert_eq!((k.shape(), k.dtype()), (&[][..], DType::I64));
    }
    let nested = open("nested.pt");
    let text = |name: &str| nested.texts()[name].as_str();
    assert_eq!(
        (text("activation"), text("activation_state_dict.k"), text("activation_state_dict.postact_fn")),
        ("TopK", "32", "ReLU")
    );
    assert_eq!(open("plain.safetensors").texts()["architecture"], "standard");
    let vector = open("vector.gguf");
    let text = |name: &str| vector.texts()[name].as_str();
    assert_eq!((text("general.architecture"), text("controlvector.layer_count")), ("controlvector", "2"));
    assert_eq!(vector.tensor("direction.1").unwrap().to_vec().unwrap(), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn names_are_in_the_order_of_the_alphabet() {
    assert_eq!(open("stored.npz").names().collect::<Vec<_>>(), ["counts", "double", "fortran", "half", "k"]);
    let names = ["bfloat", "counts", "half", "k", "parameter", "part", "transposed"];
    assert_eq!(open("state.pt").names().collect::<Vec<_>>(), names);
    let error = open("plain.safetensors").tensor("W_enc").unwrap_err().to_string();
    assert!(error.contains("no tensor 'W_enc'; there are: bfloat, counts"), "{error}");
    assert!(error.contains(fixture("plain.safetensors").to_str().unwrap()), "{error}");
}
