use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::{Activation, activate_mul_on, activate_on};
use crate::parallel::{Parallel, Serial};
use crate::simd::Isa;
use crate::testing::{Pool, bits, isas, uniform};

const ALL: [Activation; 5] =
    [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu, Activation::Relu];

fn activated(isa: Isa, threads: &dyn Parallel, activation: Activation, x: &[f32]) -> Vec<f32> {
    let mut out = x.to_vec();
    activate_on(isa, threads, activation, &mut out);
    out
}

/// ½ erfc(x / √2): the series of Φ − ½ around 0, the continued fraction of Mills' ratio in the tails.
fn tail(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
    if x < 0.0 {
        return 1.0 - tail(-x);
    }
    if x > 3.0 {
        return density / (1..200).rev().fold(x, |fraction, k| x + f64::from(k) / fraction);
    }
    let (mut term, mut sum) = (x, x);
    for k in 1..80 {
        term *= x * x / f64::from(2 * k + 1);
        sum += term;
    }
    0.5 - density * sum
}

fn exact(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => x * tail(-x),
        // ½ (1 + tanh y) as it is written loses its small values in f64 too.
        Activation::GeluTanh => x / (1.0 + (-2.0 * (2.0 / PI).sqrt() * (x + 0.044_715 * x.powi(3))).exp()),
        Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
        Activation::Relu => x.max(0.0),
    }
}

#[test]
fn the_reference_is_right_where_tables_are() {
    for (x, erfc) in
        [(0.0, 1.0), (0.5, 0.479_500_122_186_953_5), (2.0, 4.677_734_981_047_266e-3), (5.0, 1.537_459_794_428_035e-12)]
    {
        let tail = tail(x / FRAC_1_SQRT_2);
        assert!((2.0 * tail - erfc).abs() <= 1e-13 * erfc, "{tail} at {x}");
    }
    assert!((tail(3.000_001) - tail(2.999_999)).abs() < 1e-8);
}

#[test]
fn all_agree_with_f64() {
    let ranges = [(-6.0, 6.0), (-1.0, 1.0), (-1e-3, 1e-3), (-1e-30, 1e-30), (-40.0, 40.0)];
    for (isa, activation) in isas().into_iter().flat_map(|isa| ALL.map(|activation| (isa, activation))) {
        for (low, high) in ranges {
            let x: Vec<f32> = (0..=200_000).map(|step| low + (high - low) * (step as f32 / 200_000.0)).collect();
            for (out, x) in activated(isa, &Serial, activation, &x).into_iter().zip(x) {
                let exact = exact(activation, f64::from(x));
                let error = (f64::from(out) - exact).abs();
                // Rounding y ≈ -15 in e⁻ʸ costs 15 half ulps, where the result is 10⁻⁶.
                let bound = 2e-6 * exact.abs() + 1e-12 * f64::from(x).abs() + f64::from(f32::MIN_POSITIVE);
                assert!(error <= bound, "{isa:?} {activation:?}({x}): {out} for {exact}");
            }
        }
    }
}

#[test]
fn an_element_has_the_same_bits_wherever_it_stands_on_any_threads() {
    for (isa, activation) in isas().into_iter().flat_map(|isa| ALL.map(|activation| (isa, activation))) {
        let x = uniform(1, 60_001);
        let whole = activated(isa, &Serial, activation, &x);
        for width in [2, 5] {
            assert_eq!(bits(&activated(isa, &Pool(width), activation, &x)), bits(&whole));
        }
        for start in 0..40 {
            assert_eq!(bits(&activated(isa, &Serial, activation, &x[start..40])), bits(&whole[start..40]));
        }
    }
}

#[test]
fn a_gate_is_the_activation_times_the_other() {
    for (isa, activation) in isas().into_iter().flat_map(|isa| ALL.map(|activation| (isa, activation))) {
        let (x, up) = (uniform(1, 60_001), uniform(2, 60_001));
        let product: Vec<f32> =
            activated(isa, &Serial, activation, &x).iter().zip(&up).map(|(activated, up)| activated * up).collect();
        for threads in [&Serial as &dyn Parallel, &Pool(3)] {
            let mut gate = x.clone();
            activate_mul_on(isa, threads, activation, &mut gate, &up);
            assert_eq!(bits(&gate), bits(&product));
        }
    }
}

#[test]
fn extremes_saturate_and_nan_stays() {
    let x = [f32::INFINITY, f32::MAX, 200.0, 0.0, -200.0, -1e30];
    for (isa, activation) in isas().into_iter().flat_map(|isa| ALL.map(|activation| (isa, activation))) {
        let out = activated(isa, &Serial, activation, &x);
        assert_eq!(out, [f32::INFINITY, f32::MAX, 200.0, 0.0, 0.0, 0.0], "{activation:?}");
        assert!(activated(isa, &Serial, activation, &[f32::NAN])[0].is_nan());
    }
}

#[test]
#[should_panic(expected = "gate and up differ in length")]
fn a_gate_of_another_length_is_refused() {
    activate_mul_on(Isa::detect(), &Serial, Activation::Silu, &mut [0.0; 3], &[0.0; 2]);
}
