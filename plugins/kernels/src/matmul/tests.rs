use half::{bf16, f16};

use super::{dot, matmul, matmul_on};
use crate::parallel::{Parallel, Serial};
use crate::simd::Isa;
use crate::testing::{Pool, bits, isas, uniform};
use crate::weight::{Elements, Weight};

/// Output and input features: tails of every kind, several stretches of k, several groups of rows.
const SHAPES: [(usize, usize); 7] = [(1, 1), (3, 7), (5, 8), (9, 60), (37, 515), (67, 1030), (258, 2)];

/// Around the changes of path, tile and batch.
const ROWS: [usize; 10] = [1, 2, 3, 4, 5, 7, 13, 96, 97, 131];

/// One weight in the three types, each the nearest to the same numbers.
struct Weights {
    f32: Vec<f32>,
    bf16: Vec<bf16>,
    f16: Vec<f16>,
    n: usize,
    k: usize,
}

impl Weights {
    fn new(n: usize, k: usize) -> Self {
        let f32 = uniform(1, n * k);
        let bf16 = f32.iter().copied().map(bf16::from_f32).collect();
        let f16 = f32.iter().copied().map(f16::from_f32).collect();
        Self { f32, bf16, f16, n, k }
    }

    fn all(&self) -> [Weight<'_>; 3] {
        [Elements::F32(&self.f32), Elements::Bf16(&self.bf16), Elements::F16(&self.f16)]
            .map(|elements| Weight::new(elements, self.n, self.k).unwrap())
    }
}

fn widened(weight: &Weight<'_>) -> Vec<f32> {
    let mut all = vec![0.0; weight.rows() * weight.cols()];
    for (row, out) in all.chunks_mut(weight.cols()).enumerate() {
        weight.copy_row(row, out);
    }
    all
}

fn product(isa: Isa, threads: &dyn Parallel, weight: &Weight<'_>, bias: Option<&[f32]>, x: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; x.len() / weight.cols() * weight.rows()];
    matmul_on(isa, threads, weight, bias, x, &mut out);
    out
}

#[test]
fn every_path_agrees_with_f64() {
    for (n, k) in SHAPES {
        let (weights, bias) = (Weights::new(n, k), uniform(3, n));
        for weight in weights.all() {
            let wide = widened(&weight);
            for (m, isa) in ROWS.into_iter().flat_map(|m| isas().map(|isa| (m, isa))) {
                let x = uniform(2, m * k);
                let out = product(isa, &Serial, &weight, Some(&bias), &x);
                for (index, out) in out.iter().enumerate() {
                    let terms = || {
                        let (x, w) = (&x[index / n * k..][..k], &wide[index % n * k..][..k]);
                        x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w))
                    };
                    let bias = f64::from(bias[index % n]);
                    let error = (f64::from(*out) - terms().sum::<f64>() - bias).abs();
                    let magnitude = terms().map(f64::abs).sum::<f64>() + bias.abs();
                    assert!(error <= 1e-6 * magnitude, "{isa:?} [{m}, {n}, {k}] at {index}: off by {error}");
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_any_batch_on_any_threads() {
    for (n, k) in SHAPES.into_iter().chain([(1031, 515)]) {
        let weights = Weights::new(n, k);
        let x = uniform(2, ROWS[ROWS.len() - 1] * k);
        for (weight, isa) in weights.all().into_iter().flat_map(|weight| isas().map(|isa| (weight, isa))) {
            let alone: Vec<f32> = x.chunks(k).flat_map(|x| product(isa, &Serial, &weight, None, x)).collect();
            for m in ROWS {
                for width in [1, 2, 5] {
                    let batch = product(isa, &Pool(width), &weight, None, &x[..m * k]);
                    assert!(bits(&batch) == bits(&alone[..m * n]), "{isa:?} [{m}, {n}, {k}] on {width} threads");
                }
            }
        }
    }
}

#[test]
fn a_narrow_weight_gives_the_bits_of_its_widened_self() {
    for (n, k) in SHAPES {
        let weights = Weights::new(n, k);
        for (weight, isa) in weights.all().into_iter().flat_map(|weight| isas().map(|isa| (weight, isa))) {
            let wide = widened(&weight);
            let wide = Weight::new(Elements::F32(&wide), n, k).unwrap();
            for m in ROWS {
                let x = uniform(2, m * k);
                let (narrow, wide) = (product(isa, &Serial, &weight, None, &x), product(isa, &Serial, &wide, None, &x));
                assert!(bits(&narrow) == bits(&wide), "{isa:?} [{m}, {n}, {k}]");
            }
        }
    }
}

#[test]
fn every_16_bit_pattern_widens_exactly() {
    let patterns = || 0..=u16::MAX;
    let bf16s: Vec<bf16> = patterns().map(bf16::from_bits).collect();
    let f16s: Vec<f16> = patterns().map(f16::from_bits).collect();
    let n = bf16s.len();
    let exact: [Vec<f32>; 2] = [bf16s.iter().map(|x| x.to_f32()).collect(), f16s.iter().map(|x| x.to_f32()).collect()];
    for (elements, exact) in [Elements::Bf16(&bf16s), Elements::F16(&f16s)].into_iter().zip(exact) {
        let weight = Weight::new(elements, n, 1).unwrap();
        for (isa, m) in isas().into_iter().flat_map(|isa| [(isa, 1), (isa, 4)]) {
            let out = product(isa, &Serial, &weight, None, &vec![1.0; m]);
            for (out, exact) in out.chunks(n).flat_map(|out| out.iter().zip(&exact)) {
                assert!(out == exact || (out.is_nan() && exact.is_nan()), "{out} for {exact}");
            }
        }
    }
}

#[test]
fn the_bias_is_added_after_the_sum() {
    let (weights, bias) = (Weights::new(37, 515), uniform(3, 37));
    for isa in isas() {
        for m in [1, 5] {
            let x = uniform(2, m * 515);
            let mut expected = product(isa, &Serial, &weights.all()[0], None, &x);
            expected.iter_mut().zip(bias.iter().cycle()).for_each(|(out, bias)| *out += bias);
            let out = product(isa, &Serial, &weights.all()[0], Some(&bias), &x);
            assert_eq!(bits(&out), bits(&expected));
        }
    }
}

#[test]
fn a_dot_product_has_the_bits_of_a_matrix_product() {
    for k in [0, 1, 7, 8, 60, 515] {
        let (a, b) = (uniform(1, k), uniform(2, k));
        let mut out = [f32::NAN];
        matmul(&Serial, &Weight::new(Elements::F32(&b), 1, k).unwrap(), None, &a, &mut out);
        assert_eq!(dot(&a, &b).to_bits(), out[0].to_bits());
    }
}

#[test]
fn nan_and_infinity_reach_their_row_and_no_other() {
    let (n, k) = (9, 60);
    let weights = Weights::new(n, k);
    for weight in weights.all() {
        for (isa, m) in isas().into_iter().flat_map(|isa| [(isa, 2), (isa, 7)]) {
            let mut x = uniform(2, m * k);
            let clean = product(isa, &Serial, &weight, None, &x);
            // In the tail of row 0, and as a difference of infinities in row 1.
            x[k - 1] = f32::NAN;
            x[k..][..2].copy_from_slice(&[f32::INFINITY, f32::NEG_INFINITY]);
            let out = product(isa, &Serial, &weight, None, &x);
            assert!(out[..n].iter().all(|out| out.is_nan()));
            assert!(out[n..2 * n].iter().all(|out| !out.is_finite()));
            assert_eq!(bits(&out[2 * n..]), bits(&clean[2 * n..]));
        }
    }
}

#[test]
fn an_empty_dimension_is_no_special_case() {
    let empty = |n, k| Weight::new(Elements::F32(&[]), n, k).unwrap();
    for isa in isas() {
        let weights = Weights::new(3, 7);
        matmul_on(isa, &Serial, &weights.all()[0], None, &[], &mut []);
        matmul_on(isa, &Serial, &empty(0, 7), None, &[1.0; 14], &mut []);
        matmul_on(isa, &Serial, &empty(0, 0), None, &[], &mut []);
        for m in [2, 5] {
            let mut out = vec![f32::NAN; 3 * m];
            matmul_on(isa, &Serial, &empty(3, 0), None, &[], &mut out);
            assert_eq!(out, vec![0.0; 3 * m]);
            matmul_on(isa, &Serial, &empty(3, 0), Some(&[1.0, 2.0, 3.0]), &[], &mut out);
            assert_eq!(out, [1.0, 2.0, 3.0].repeat(m));
        }
    }
}

#[test]
#[should_panic(expected = "x is not [m, 7]")]
fn a_part_of_a_row_is_refused() {
    matmul(&Serial, &Weights::new(3, 7).all()[0], None, &[0.0; 8], &mut [0.0; 3]);
}

#[test]
#[should_panic(expected = "the output is not [2, 3]")]
fn an_output_of_another_shape_is_refused() {
    matmul(&Serial, &Weights::new(3, 7).all()[0], None, &[0.0; 14], &mut [0.0; 3]);
}

#[test]
#[should_panic(expected = "the bias is not [3]")]
fn a_bias_of_another_length_is_refused() {
    matmul(&Serial, &Weights::new(3, 7).all()[0], Some(&[0.0]), &[0.0; 7], &mut [0.0; 3]);
}
