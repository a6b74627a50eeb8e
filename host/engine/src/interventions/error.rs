use millm_plugin_api::HookPoint;

use crate::{hook_points::HookPointError, sae::SaeError};

/// Why an intervention was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InterventionError {
    /// The model has no such hook point.
    #[error(transparent)]
    HookPoint(#[from] HookPointError),
    /// Edits there would not reach the computation.
    #[error("hook point {point} can only be read: {reason}")]
    ReadOnly {
        /// Where.
        point: HookPoint,
        /// Why.
        reason: String,
    },
    /// The vector does not fit the activation.
    #[error("the vector has {found} elements, activations at {point} have {expected}")]
    WrongLength {
        /// Where it was to be added.
        point: HookPoint,
        /// Width of the activation there.
        expected: usize,
        /// Length of the vector.
        found: usize,
    },
    /// An element of the vector is NaN or infinite.
    #[error("element {index} of the vector is not a finite number")]
    NotFinite {
        /// The first such element.
        index: usize,
    },
    /// The strength is NaN or infinite.
    #[error("the strength is not a finite number")]
    StrengthNotFinite,
    /// A vector of zeros has no direction.
    #[error("the vector is zero, so that nothing lies along it")]
    NoDirection,
    /// What something is to be brought to is NaN or infinite.
    #[error("the target is not a finite number")]
    TargetNotFinite,
    /// A range without an end holds everything already.
    #[error("a clamp needs 'min' or 'max'")]
    NoBound,
    /// Nothing lies between the bounds.
    #[error("'min' is {min} and 'max' is {max}")]
    EmptyRange {
        /// The least.
        min: f32,
        /// The most.
        max: f32,
    },
    /// What it reads is not what it writes.
    #[error("a transcoder's features are not parts of the activation that it reads, so that they cannot be set in it")]
    Transcoder,
    /// The SAE has no such feature, or cannot be read.
    #[error(transparent)]
    Sae(#[from] SaeError),
    /// It would touch nothing.
    #[error("no row is chosen")]
    NoPositions,
    /// A condition is on the activation of an SAE, which is at one place.
    #[error("the SAE of a condition is at one hook point")]
    ConditionNotAtOnePoint,
    /// What decides comes after what is decided.
    #[error("the condition is measured at {condition}, which comes after {point}")]
    ConditionTooLate {
        /// Where it is measured.
        condition: HookPoint,
        /// Where something was to be done.
        point: HookPoint,
    },
}
