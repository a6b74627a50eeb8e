//! What a client learns when a hook point is not there.

use millm_engine::HookPointError;

use super::Kind;

impl From<&HookPointError> for Kind {
    fn from(error: &HookPointError) -> Self {
        match error {
            HookPointError::Unknown { .. } => Self::UnknownHookPoint,
            HookPointError::Absent { .. } => Self::AbsentHookPoint,
        }
    }
}
