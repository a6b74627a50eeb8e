//! What the engine refuses, in the words of the request.

use millm_engine::{InterventionError, SaeError};

use crate::error::{ApiError, Kind};

/// Fault of an intervention that may be at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    HookPoint,
    /// What it goes along.
    Direction,
    /// How far it goes.
    Amount,
    Apply,
    When,
}

/// Why an intervention is refused. `path` says where its parts are.
pub(super) fn refuse(error: &InterventionError, path: impl Fn(Fault) -> String) -> ApiError {
    let (kind, part) = match error {
        InterventionError::HookPoint(error) => (error.into(), Fault::HookPoint),
        InterventionError::ReadOnly { .. } => (Kind::ReadOnlyHookPoint, Fault::HookPoint),
        InterventionError::WrongLength { .. } => (Kind::InvalidVectorLength, Fault::Direction),
        InterventionError::NotFinite { .. } | InterventionError::NoDirection => (Kind::InvalidValue, Fault::Direction),
        InterventionError::Transcoder => (Kind::UnsupportedValue, Fault::Direction),
        InterventionError::StrengthNotFinite
        | InterventionError::TargetNotFinite
        | InterventionError::NoBound
        | InterventionError::EmptyRange { .. } => (Kind::InvalidValue, Fault::Amount),
        InterventionError::NoPositions => (Kind::InvalidSelector, Fault::Apply),
        InterventionError::ConditionNotAtOnePoint | InterventionError::ConditionTooLate { .. } => {
            (Kind::InvalidValue, Fault::When)
        }
        InterventionError::Sae(error) => return of_sae(error, &path(Fault::Direction)),
    };
    let path = path(part);
    ApiError::at(kind, path.clone(), format!("Invalid '{path}': {error}"))
}

/// Why an SAE cannot do what is asked for at `param`.
pub(super) fn of_sae(error: &SaeError, param: &str) -> ApiError {
    let message = format!("Invalid '{param}': {error}.");
    match error {
        SaeError::NoFeature { feature, d_sae } => ApiError::at(Kind::FeatureOutOfRange, param, message)
            .with("maximum", d_sae.saturating_sub(1))
            .with("found", *feature),
        _ => ApiError::at(Kind::InvalidSae, param, message),
    }
}
