//! What is read, and what stays in memory.

use millm_plugin_api::sae::SaeTensor;

use super::*;
use crate::{sae::Attached, threads::Threads};

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

#[test]
fn an_encoder_of_16_bits_takes_half_the_memory_and_computes_the_same() {
    let activations = [
        Activation::Relu,
        Activation::Gated,
        Activation::MatchingPursuit { residual_threshold: 0.01, max_iterations: 9, stop_on_duplicate_support: true },
    ];
    for activation in activations {
        let expected = sae(spec(activation)).encode(&Serial, &rows(), &Site::Raw).unwrap();
        for (dtype, size) in [(DType::F32, 4), (DType::BF16, 2), (DType::F16, 2), (DType::F64, 4)] {
            let sae = watched(spec(activation), dtype, &Watch::default()).unwrap();
            let (vectors, encoder) = (sae.bytes_held(), sae.encoder_bytes());
            assert_eq!(encoder, size * (D_IN * D_SAE) as u64, "{dtype:?}");
            sae.load_encoder().unwrap();
            assert_eq!(sae.bytes_held(), vectors + encoder, "{dtype:?}");
            let found = sae.encode(&Serial, &rows(), &Site::Raw).unwrap();
            assert_eq!(bits(&found), bits(&expected), "{activation:?} {dtype:?}");
            assert_eq!(sae.bytes_held(), vectors + encoder, "{dtype:?}");
        }
    }
}

#[test]
fn norms_of_the_decoder_are_loaded_with_the_encoder() {
    for decoder_norm in [DecoderNorm::Activations, DecoderNorm::Gate] {
        let watch = Watch::default();
        let spec = SaeSpec { decoder_norm, ..spec(Activation::TopK { k: 2, relu: true }) };
        let sae = watched(spec, DType::F32, &watch).unwrap();
        let vectors = sae.bytes_held();
        sae.load_encoder().unwrap();
        assert_eq!(sae.encoder_bytes(), ((D_IN + 1) * D_SAE * 4) as u64);
        assert_eq!(sae.bytes_held(), vectors + sae.encoder_bytes());
        watch.asked();
        sae.encode(&Serial, &rows(), &Site::Raw).unwrap();
        assert_eq!(watch.asked(), [], "{decoder_norm:?}");
    }
}

#[test]
fn what_a_feature_is_steered_by_is_read_once_and_alone() {
    for (decoder_norm, expected) in [
        (DecoderNorm::Unused, &[SaeTensor::W_ENC][..]),
        (DecoderNorm::Activations, &[SaeTensor::W_ENC, SaeTensor::W_DEC]),
        (DecoderNorm::Gate, &[SaeTensor::W_ENC, SaeTensor::W_DEC]),
    ] {
        let watch = Watch::default();
        let sae = watched(SaeSpec { decoder_norm, ..spec(Activation::JumpRelu) }, DType::BF16, &watch).unwrap();
        let vectors = sae.bytes_held();
        let attached = Attached { sae: sae.into(), site: Site::Raw.into(), threads: Threads::new(1).unwrap() };
        watch.asked();
        let first = attached.measure(&rows()[..D_IN], 0).unwrap();
        assert_eq!(watch.asked(), expected, "{decoder_norm:?}");
        assert_eq!(attached.measure(&rows()[..D_IN], 0).unwrap(), first);
        assert_eq!(watch.asked(), [], "{decoder_norm:?}");
        attached.sae.load_feature(1).unwrap();
        assert_eq!(watch.asked(), expected, "{decoder_norm:?}");
        attached.measure(&rows()[..D_IN], 1).unwrap();
        assert_eq!(watch.asked(), [], "{decoder_norm:?}");
        let lines = (2 * expected.len() * D_IN * 4) as u64;
        assert_eq!(attached.sae.bytes_held(), vectors + lines, "{decoder_norm:?}");
        // With the whole encoder in memory, no column is read.
        attached.sae.load_encoder().unwrap();
        watch.asked();
        let all = attached.sae.encode(&Serial, &rows(), &Site::Raw).unwrap();
        let other = attached.measure(&rows()[..D_IN], 3).unwrap();
        assert_eq!((other.activation.to_bits(), watch.asked()), (all[3].to_bits(), vec![]), "{decoder_norm:?}");
    }
}

#[test]
fn a_feature_that_competes_is_loaded_with_all_others() {
    let sae = sae(spec(Activation::AbsTopK { k: 2 }));
    let vectors = sae.bytes_held();
    sae.load_feature(3).unwrap();
    assert_eq!(sae.bytes_held(), vectors + sae.encoder_bytes());
    assert_eq!(sae.load_feature(6), Err(SaeError::NoFeature { feature: 6, d_sae: 6 }));
}

#[test]
fn decoding_keeps_nothing_and_reads_no_encoder() {
    let watch = Watch::default();
    let rescaled = SaeSpec { decoder_norm: DecoderNorm::Activations, ..spec(Activation::Relu) };
    let sae = watched(rescaled, DType::F32, &watch).unwrap();
    let before = sae.bytes_held();
    watch.asked();
    let all = Features { indices: (0..D_SAE as u32).collect(), values: vec![1.0; D_SAE] };
    sae.decode(&rows(), &Site::Raw, &vec![all; ROWS]).unwrap();
    assert_eq!(watch.asked(), [SaeTensor::W_DEC, SaeTensor::W_SKIP]);
    assert_eq!(sae.bytes_held(), before);
}

#[test]
fn an_encoder_that_could_not_be_read_is_read_again() {
    let watch = Watch::default();
    let sae = watched(spec(Activation::Relu), DType::F32, &watch).unwrap();
    *watch.withheld.lock().unwrap() = Some(SaeTensor::W_ENC);
    let error = sae.load_encoder().unwrap_err();
    assert!(matches!(&error, SaeError::Source(error) if error.message == "the disk is away"), "{error:?}");
    assert_eq!(sae.encode(&Serial, &rows(), &Site::Raw), Err(error));
    *watch.withheld.lock().unwrap() = None;
    assert_eq!(sae.load_encoder(), Ok(()));
}
