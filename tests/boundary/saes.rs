//! SAE formats of plugins: their panics, and sources that are not what they say.

use std::path::Path;

use millm_plugin_api::{
    ErrorKind,
    error::Result,
    loaded::{LoadedSae, LoadedSaeFormat},
    sae::{Activation, FoundSae, SaeFormat, SaeSource, SaeSpec, SaeTensor},
    tensor::{DType, TensorRef},
};

/// Does what the id of an SAE says.
struct Wayward;

struct Source {
    spec: SaeSpec,
    id: String,
    numbers: Vec<u8>,
}

impl SaeFormat for Wayward {
    type Source = Source;

    fn name(&self) -> &str {
        "wayward"
    }

    fn find(&self, files: &[String]) -> Vec<FoundSae> {
        assert!(files.len() < 3, "too many files");
        files.iter().map(|file| FoundSae { id: file.clone(), files: vec![file.clone()] }).collect()
    }

    fn open(&self, root: &Path, id: &str) -> Result<Source> {
        assert_ne!(id, "open", "in {}", root.display());
        let mut spec = SaeSpec { d_in: 3, d_sae: 2, d_out: 3, ..SaeSpec::default() };
        match id {
            "no extent" => spec.d_sae = 0,
            "two widths" => spec.d_out = 4,
            "k" => spec.activation = Activation::TopK { k: 3, relu: true },
            _ => {}
        }
        Ok(Source { spec, id: id.to_owned(), numbers: vec![0; 24] })
    }
}

impl SaeSource for Source {
    fn spec(&self) -> &SaeSpec {
        assert_ne!(self.id, "spec");
        &self.spec
    }

    fn tensor(&self, name: SaeTensor) -> Result<Option<TensorRef<'_>>> {
        assert_ne!(self.id, format!("panics at {}", name.as_str()));
        if !self.spec.needs(name) || self.id == format!("without {}", name.as_str()) {
            return Ok(None);
        }
        let mut shape: Vec<usize> = self.spec.shape_of(name).iter().map(|extent| *extent as usize).collect();
        if self.id == format!("transposed {}", name.as_str()) {
            shape.reverse();
        }
        TensorRef::contiguous(&self.numbers, DType::F32, &shape).map(Some)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        assert_ne!(self.id, "drop");
    }
}

fn open(id: &str) -> Result<LoadedSae> {
    LoadedSaeFormat::in_process(Wayward).unwrap().open(Path::new("/folder"), id)
}

#[test]
fn tensors_are_lent_for_as_long_as_their_sae_lives() {
    let sae = open("good").unwrap();
    let w_enc = sae.tensor(SaeTensor::W_ENC).unwrap().unwrap();
    assert_eq!((w_enc.shape(), w_enc.at(1, 1).unwrap().to_vec().unwrap()), (&[3, 2][..], vec![0.0; 3]));
    assert!(sae.tensor(SaeTensor::THRESHOLD).unwrap().is_none());
}

#[test]
fn a_panic_fails_one_call() {
    let format = LoadedSaeFormat::in_process(Wayward).unwrap();
    let many = vec!["a".to_owned(); 3];
    assert_eq!(format.find(&many).unwrap_err().kind, ErrorKind::PANICKED);
    assert_eq!(format.find(&many[1..]).unwrap().len(), 2);
    for id in ["open", "spec", "panics at W_dec"] {
        let error = format.open(Path::new("/folder"), id).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PANICKED, "{id}: {error}");
    }
    drop(format.open(Path::new("/folder"), "drop").unwrap());
    assert!(format.open(Path::new("/folder"), "good").is_ok());
}

#[test]
fn a_source_is_held_to_what_it_says() {
    for (id, kind, reason) in [
        ("no extent", ErrorKind::INTERNAL, "d_sae is 0"),
        ("two widths", ErrorKind::INTERNAL, "rows of 3 and decodes to rows of 4"),
        ("k", ErrorKind::INTERNAL, "k is 3, and there are 2 features"),
        ("without W_dec", ErrorKind::INVALID_WEIGHTS, "no tensor W_dec"),
        ("without b_enc", ErrorKind::INVALID_WEIGHTS, "no tensor b_enc"),
        ("transposed W_enc", ErrorKind::INVALID_WEIGHTS, "W_enc has the shape [2, 3], not [3, 2]"),
    ] {
        let error = open(id).unwrap_err();
        assert_eq!(error.kind, kind, "{id}: {error}");
        assert!(error.message.contains(reason), "{id}: {error}");
    }
}
