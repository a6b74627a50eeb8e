use std::hash::{Hash, Hasher};

use millm_plugin_api::{HookId, ModelSpec, PluginError};

use super::{InterventionError, action::failed};
use crate::{hook_points::resolve, sae::Attached};

/// When an intervention touches a row: where a feature is active enough in it, or not too active. It is measured in the same
/// pass, in the row as it is when the intervention begins; at an earlier hook point, as it leaves that.
#[derive(Clone, Debug)]
pub struct Condition {
    sae: Attached,
    feature: u32,
    bound: Bound,
    /// Where the SAE is attached.
    pub(super) point: HookId,
}

/// What an activation is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// It has to be larger.
    Above(f32),
    /// It has to be smaller.
    Below(f32),
}

impl Condition {
    /// One on a feature of the SAE at the hook point `name`.
    ///
    /// # Errors
    ///
    /// There is no such point or feature, the bound is not finite, or the SAE cannot be read.
    pub fn new(
        spec: &ModelSpec,
        name: &str,
        sae: &Attached,
        feature: u32,
        bound: Bound,
    ) -> Result<Self, InterventionError> {
        let (Bound::Above(number) | Bound::Below(number)) = bound;
        if !number.is_finite() {
            return Err(InterventionError::TargetNotFinite);
        }
        let &[point] = &resolve(spec, name)?[..] else { return Err(InterventionError::ConditionNotAtOnePoint) };
        // Here, so that what cannot be read fails whoever asks, and no step waits for it.
        sae.sae.load_feature(feature)?;
        Ok(Self { sae: sae.clone(), feature, bound, point })
    }

    /// Whether `row`, one of the SAE's hook point, meets it.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if the row is not finite, or the SAE cannot be read.
    pub(super) fn is_met(&self, row: &[f32]) -> Result<bool, PluginError> {
        let found = self.sae.measure(row, self.feature).map_err(failed)?.activation;
        Ok(match self.bound {
            Bound::Above(bound) => found > bound,
            Bound::Below(bound) => found < bound,
        })
    }

    /// Hashes all of it.
    pub(super) fn hash(&self, hasher: &mut impl Hasher) {
        // Whoever keeps this keeps the SAE, so that no other one has its address.
        (self.sae.address(), self.feature, self.point.0, self.bits()).hash(hasher);
    }

    /// Whether it is the same as `other`.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.feature, self.point, self.bits()) == (other.feature, other.point, other.bits()) && self.sae.is(&other.sae)
    }

    fn bits(&self) -> (bool, u32) {
        match self.bound {
            Bound::Above(bound) => (true, bound.to_bits()),
            Bound::Below(bound) => (false, bound.to_bits()),
        }
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}
