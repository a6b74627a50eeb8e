//! When an intervention touches a row.

use millm_engine::{Bound, Condition, InterventionError};

use super::{
    Steerable,
    refusal::{of_sae, refuse},
};
use crate::{
    error::{ApiError, Kind},
    fields::Fields,
};

/// Reads `when`. A feature is one of the SAE that it names, else of `sae`, else of the only one.
pub(super) fn read(
    fields: &mut Fields,
    sae: Option<&str>,
    steerable: Steerable<'_>,
) -> Result<Option<Condition>, ApiError> {
    let Some(mut when) = fields.object("when")? else { return Ok(None) };
    let own = when.string("sae")?;
    let feature = when.integer("feature", 0..=u32::MAX.into())?;
    let number = |when: &mut Fields, key| when.decimal(key, f64::MIN..=f64::MAX);
    let (above, below) = (number(&mut when, "above")?, number(&mut when, "below")?);
    when.deny_rest()?;
    let feature = when.require("feature", feature)? as u32;
    let (key, bound) = match (above, below) {
        (Some(bound), None) => ("above", Bound::Above(bound as f32)),
        (None, Some(bound)) => ("below", Bound::Below(bound as f32)),
        (None, None) => return Err(when.require::<()>("above", None).err().unwrap_or_else(ApiError::internal)),
        (Some(_), Some(_)) => {
            let path = when.path("below");
            let message = format!("Invalid '{path}': a condition has 'above' or 'below', and not both.");
            return Err(ApiError::at(Kind::InvalidValue, path, message));
        }
    };
    let sae = steerable.saes.get(own.as_deref().or(sae), &when.path("sae"))?;
    let condition = Condition::new(steerable.spec, &sae.hook_point, &sae.sae, feature, bound);
    condition.map(Some).map_err(|error| match &error {
        InterventionError::Sae(error) => of_sae(error, &when.path("feature")),
        InterventionError::TargetNotFinite => {
            let path = when.path(key);
            ApiError::at(Kind::InvalidValue, path.clone(), format!("Invalid '{path}': it is too large."))
        }
        _ => refuse(&error, |_| when.path("sae")),
    })
}
