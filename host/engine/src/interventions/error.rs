use millm_plugin_api::HookPoint;

use crate::hook_points::HookPointError;

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
    /// It would touch nothing.
    #[error("there are no positions from {start} to {end}")]
    NoPositions {
        /// The first one.
        start: usize,
        /// The one after the last.
        end: usize,
    },
}
