use millm_engine::Captured;

use crate::error::{ApiError, Kind};

/// The vector of each text: what was captured of it, to length one if `normalize` says so.
///
/// # Errors
///
/// `SteeringNotFinite`, or without steering `ModelFailed`, if a number is infinite or none.
pub(super) fn vectors(found: Vec<Captured>, normalize: bool, steered: bool) -> Result<Vec<Vec<f32>>, ApiError> {
    let vector = |(index, captured): (usize, Captured)| {
        let mut vector: Vec<f32> = captured.activations.into_iter().flat_map(|found| found.data).collect();
        if !vector.iter().all(|x| x.is_finite()) {
            return Err(not_finite(index, steered));
        }
        if normalize {
            to_length_one(&mut vector);
        }
        Ok(vector)
    };
    found.into_iter().enumerate().map(vector).collect()
}

fn not_finite(index: usize, steered: bool) -> ApiError {
    let message = format!("The request failed: the embedding of input {index} is not finite");
    if steered {
        let message = format!("{message}; a smaller steering strength may help.");
        return ApiError::at(Kind::SteeringNotFinite, "steering", message);
    }
    tracing::warn!("{message}");
    ApiError::new(Kind::ModelFailed, format!("{message}."))
}

/// Scales a vector to Euclidean length one. One of zeros stays as it is: it has no direction.
fn to_length_one(vector: &mut [f32]) {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

#[cfg(test)]
mod tests {
    use millm_engine::Activation;
    use millm_plugin_api::HookId;

    use super::*;

    fn one(data: &[f32], normalize: bool, steered: bool) -> Result<Vec<f32>, ApiError> {
        let activation = Activation { point: HookId(0), shape: vec![data.len()], data: data.into() };
        let found = Captured { activations: vec![activation], ..Captured::default() };
        Ok(vectors(vec![found], normalize, steered)?.remove(0))
    }

    #[test]
    fn a_vector_keeps_its_length_unless_it_is_to_be_one() {
        assert_eq!(one(&[3.0, -4.0], false, false), Ok(vec![3.0, -4.0]));
        assert_eq!(one(&[3.0, -4.0], true, false), Ok(vec![0.6, -0.8]));
        // Its square would be infinite in f32, or nothing.
        assert_eq!(one(&[3e38, 0.0], true, false), Ok(vec![1.0, 0.0]));
        assert_eq!(one(&[0.0, 1e-40], true, false), Ok(vec![0.0, 1.0]));
    }

    #[test]
    fn zeros_have_no_direction_and_stay_zeros() {
        assert_eq!(one(&[0.0, 0.0], true, false), Ok(vec![0.0, 0.0]));
    }

    #[test]
    fn what_is_not_finite_is_nobodys_embedding() {
        for number in [f32::NAN, f32::INFINITY] {
            assert_eq!(one(&[1.0, number], true, false).unwrap_err().kind, Kind::ModelFailed);
            let error = one(&[1.0, number], false, true).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::SteeringNotFinite, Some("steering")));
        }
    }
}
