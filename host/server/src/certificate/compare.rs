//! How two tensors agree.

use serde::Serialize;
use utoipa::ToSchema;

/// What counts as equal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Tolerance {
    /// Largest difference, relative to the reference's largest element.
    pub(crate) relative_error: f64,
    /// How far the ratio of the norms may be from 1.
    pub(crate) norm_ratio: f64,
}

impl Tolerance {
    /// For two computations in f32 of the same weights.
    pub(crate) const F32: Self = Self { relative_error: 1e-4, norm_ratio: 1e-4 };
}

/// How two tensors agree. A cosine alone cannot see a factor, hence the ratio of norms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Agreement {
    /// Largest difference of two elements.
    pub(crate) max_error: f64,
    /// The same, relative to the reference's largest element. Infinite, which JSON has as null, if that is 0.
    #[schema(required, value_type = Option<f64>)]
    pub(crate) relative_error: f64,
    /// Cosine of the angle between them.
    pub(crate) cosine: f64,
    /// Norm of what was found, by that of the reference. Infinite if that is 0.
    #[schema(required, value_type = Option<f64>)]
    pub(crate) norm_ratio: f64,
    /// Elements where one is masked or not finite and the other is not.
    pub(crate) mismatched: usize,
}

impl Agreement {
    /// Compares what was `found` with the `reference`, of one length. Elements that are −∞ in both, as masked scores
    /// are, agree and do not count further.
    pub(crate) fn of(found: &[f32], reference: impl Iterator<Item = f32>) -> Self {
        let (mut max_error, mut largest, mut mismatched) = (0.0_f64, 0.0_f64, 0);
        let (mut product, mut found_square, mut reference_square) = (0.0, 0.0, 0.0);
        for (found, reference) in found.iter().copied().zip(reference) {
            if found == f32::NEG_INFINITY && reference == f32::NEG_INFINITY {
                continue;
            }
            if !found.is_finite() || !reference.is_finite() {
                mismatched += 1;
                continue;
            }
            let (found, reference) = (f64::from(found), f64::from(reference));
            max_error = max_error.max((found - reference).abs());
            largest = largest.max(reference.abs());
            product += found * reference;
            found_square += found * found;
            reference_square += reference * reference;
        }
        // Nothing compared with nothing is equal; something compared with nothing is infinitely far.
        let ratio = |a: f64, b: f64| if a == b { 1.0 } else { a / b };
        Self {
            max_error,
            relative_error: if max_error == 0.0 { 0.0 } else { max_error / largest },
            cosine: ratio(product, (found_square * reference_square).sqrt()),
            norm_ratio: ratio(found_square.sqrt(), reference_square.sqrt()),
            mismatched,
        }
    }

    /// The worst of both, in every respect.
    pub(crate) fn worst(self, other: Self) -> Self {
        let farther = |a: f64, b: f64| if (a - 1.0).abs() >= (b - 1.0).abs() { a } else { b };
        Self {
            max_error: self.max_error.max(other.max_error),
            relative_error: self.relative_error.max(other.relative_error),
            cosine: self.cosine.min(other.cosine),
            norm_ratio: farther(self.norm_ratio, other.norm_ratio),
            mismatched: self.mismatched + other.mismatched,
        }
    }

    /// Whether that counts as equal.
    pub(crate) fn is_within(&self, tolerance: Tolerance) -> bool {
        // Written so that a NaN is not within.
        self.mismatched == 0
            && self.relative_error <= tolerance.relative_error
            && (self.norm_ratio - 1.0).abs() <= tolerance.norm_ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(found: &[f32], reference: &[f32]) -> Agreement {
        Agreement::of(found, reference.iter().copied())
    }

    #[test]
    fn equal_tensors_agree_and_a_factor_shows_in_the_norm_alone() {
        let same = agreement(&[1.0, -2.0, 3.0], &[1.0, -2.0, 3.0]);
        assert_eq!((same.max_error, same.relative_error, same.norm_ratio), (0.0, 0.0, 1.0));
        assert!(same.is_within(Tolerance::F32) && (same.cosine - 1.0).abs() < 1e-12);
        let twice = agreement(&[2.0, -4.0, 6.0], &[1.0, -2.0, 3.0]);
        assert!((twice.cosine - 1.0).abs() < 1e-12 && twice.norm_ratio == 2.0 && !twice.is_within(Tolerance::F32));
        assert_eq!((twice.max_error, twice.relative_error), (3.0, 1.0));
    }

    #[test]
    fn masks_must_coincide() {
        let masked = f32::NEG_INFINITY;
        assert!(agreement(&[1.0, masked], &[1.0, masked]).is_within(Tolerance::F32));
        for (found, reference) in
            [([1.0, 0.0], [1.0, masked]), ([1.0, masked], [1.0, 0.0]), ([1.0, f32::NAN], [1.0, 0.0])]
        {
            let agreement = agreement(&found, &reference);
            assert_eq!(agreement.mismatched, 1);
            assert!(!agreement.is_within(Tolerance::F32));
        }
    }

    #[test]
    fn zeros_agree_with_zeros_only() {
        assert!(agreement(&[0.0; 3], &[0.0; 3]).is_within(Tolerance::F32));
        assert!(!agreement(&[1e-9, 0.0], &[0.0; 2]).is_within(Tolerance::F32));
        assert!(!agreement(&[0.0; 2], &[1.0, 0.0]).is_within(Tolerance::F32));
    }

    #[test]
    fn the_worst_of_two_is_worst_in_every_respect() {
        let (near, far) = (agreement(&[1.0, 2.0], &[1.0, 2.0]), agreement(&[1.0, 1.0], &[1.0, 2.0]));
        let worst = near.worst(far);
        assert_eq!(worst, far.worst(near));
        assert_eq!((worst.max_error, worst.norm_ratio), (far.max_error, far.norm_ratio));
    }
}
