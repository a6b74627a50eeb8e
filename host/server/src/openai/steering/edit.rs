//! One intervention, in full or in short.

use std::sync::Arc;

use millm_engine::{Action, InterventionError, Interventions, Scope};
use millm_plugin_api::{HookId, HookSite, ModelSpec};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Steerable, Steering, condition,
    direction::{Asked, Direction},
    form::Form,
    op::{Op, Unit},
    refusal::{Fault, refuse},
};
use crate::{
    error::{ApiError, Kind},
    fields::Fields,
    models::Part,
    selector::Selector,
};

/// An intervention as it is told.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    /// As the request says it, with what it left out.
    pub(crate) said: Map<String, Value>,
    /// At how many hook points it is done.
    pub(crate) points: usize,
}

/// Adds the intervention in `fields` to `steering`, `scale` times as strong as it says.
pub(super) fn insert(
    mut fields: Fields,
    form: Form,
    scale: f64,
    steerable: Steerable<'_>,
    steering: &mut Steering,
) -> Result<(), ApiError> {
    let said = fields.without(&["values"]).map(|(name, value)| (name.clone(), value.clone()));
    let (mut said, sae_said): (Map<_, _>, _) =
        (said.collect(), fields.peek("sae").and_then(Value::as_str).map(str::to_owned));
    let asked = Asked::read(&mut fields, form)?;
    let hook_point = if form == Form::Feature { None } else { fields.string("hook_point")? };
    let op = if matches!(form, Form::Intervention | Form::Line) {
        Op::read(&mut fields)?
    } else {
        Op::called("add", &mut fields)?
    };
    let unit = Unit::read(&mut fields)?;
    let selector = Selector::read_apply(&mut fields, steerable.tokenizer)?;
    let when = condition::read(&mut fields, sae_said.as_deref(), steerable)?;
    fields.deny_rest()?;
    let direction = asked.find(&fields, form, steerable)?;
    let usual = direction.strength(hook_point.is_some());
    let parts = direction.parts(&fields, hook_point, op)?;
    let at = |fault: Fault| {
        let (feature, vector) = form.words();
        fields.path(match fault {
            // One that the file says is the vector's.
            Fault::HookPoint if parts.len() > 1 => vector.unwrap_or("vector"),
            Fault::HookPoint => "hook_point",
            Fault::Direction => match &direction {
                Direction::Feature { .. } => feature.unwrap_or("feature"),
                Direction::Vector { name: Some(_), .. } => vector.unwrap_or("vector"),
                Direction::Vector { name: None, .. } => "values",
            },
            Fault::Amount => amount(op),
            Fault::Apply => "apply",
            Fault::When => "when",
        })
    };
    let op = op.or_strength(&fields, usual)?;
    let apply = selector.as_ref().map(Selector::selection).unwrap_or_default();
    let scope = Scope { apply, when };
    let mut points = Vec::new();
    for part in &parts {
        let times = factor(&fields, unit, &direction, op, &part.hook_point)?;
        let action = action(op, unit, &direction, &part.values, times, scale);
        let inserted = action
            .and_then(|action| steering.interventions.insert(steerable.spec, &part.hook_point, action, scope.clone()));
        points.extend(inserted.map_err(|error| refuse(&error, at))?);
    }
    steering.selectors.extend(selector);
    if let Op::Add { strength: Some(strength) } = op {
        said.insert("strength".to_owned(), json!(strength));
    }
    if let Direction::Feature { sae, .. } = &direction {
        said.insert("sae".to_owned(), json!(sae.id));
        said.insert("sae_fingerprint".to_owned(), json!(sae.fingerprint));
    }
    let scale = (scale != 1.0).then(|| json!(scale));
    said.extend(scale.map(|scale| ("scale".to_owned(), scale)));
    steering.edits.push(Edit::new(said, steerable.spec, &points, &parts));
    Ok(())
}

/// What is done to a row along `values`, with every number `times` and the whole `scale` times as strong.
fn action(
    op: Op,
    unit: Unit,
    direction: &Direction,
    values: &Arc<[f32]>,
    times: f64,
    scale: f64,
) -> Result<Action, InterventionError> {
    let strength = match (op, direction) {
        (Op::Add { strength }, _) => strength.unwrap_or(1.0),
        (Op::Move(goal), Direction::Feature { sae, feature, .. }) => {
            return Action::move_feature(&sae.sae, *feature, goal.target(times), scale as f32);
        }
        (Op::Move(goal) | Op::Project(goal), _) => {
            return Action::move_along(values, goal.target(times), scale as f32);
        }
    };
    let amount = (strength * times * scale) as f32;
    match unit {
        Unit::ResidualNorm => Action::add_relative(values, amount),
        Unit::Raw | Unit::MaxActivation => Action::add(Arc::clone(values), amount),
    }
}

/// What the numbers of an intervention are multiplied by.
fn factor(fields: &Fields, unit: Unit, direction: &Direction, op: Op, hook_point: &str) -> Result<f64, ApiError> {
    let path = fields.path("unit");
    let refuse = |kind, why: &str| Err(ApiError::at(kind, path.clone(), format!("Invalid '{path}': {why}.")));
    match (unit, direction) {
        (Unit::Raw, _) => Ok(1.0),
        (Unit::MaxActivation, _) if matches!(op, Op::Project(_)) => {
            refuse(Kind::InvalidValue, "a projection is not an activation")
        }
        (Unit::MaxActivation, Direction::Vector { .. }) => {
            refuse(Kind::InvalidValue, "'max_activation' is of a feature, and this is a vector")
        }
        (Unit::MaxActivation, Direction::Feature { sae, feature, .. }) => {
            let known = sae.notes().get(feature).and_then(|note| note.max_activation);
            known.map_or_else(
                || {
                    let why = format!("the largest activation of feature {feature} of '{}' is not known", sae.id);
                    refuse(Kind::UnknownMaxActivation, &why)
                },
                Ok,
            )
        }
        (Unit::ResidualNorm, _) => {
            const RESIDUAL: [HookSite; 4] =
                [HookSite::EMBED, HookSite::RESID_PRE, HookSite::RESID_MID, HookSite::RESID_POST];
            if !matches!(op, Op::Add { .. }) {
                return refuse(Kind::InvalidValue, "only what is added can be in 'residual_norm'");
            }
            let site = hook_point
                .rsplit_once("blocks.")
                .map_or(hook_point, |(_, rest)| rest.split_once('.').map_or(rest, |(_, site)| site));
            if RESIDUAL.iter().any(|known| known.as_str() == site) {
                return Ok(1.0);
            }
            refuse(Kind::InvalidValue, &format!("{hook_point} is not the residual stream"))
        }
    }
}

/// The number that is at fault if an amount is.
fn amount(op: Op) -> &'static str {
    use super::op::Goal;
    match op {
        Op::Add { .. } => "strength",
        Op::Move(Goal::Set(_)) | Op::Project(Goal::Set(_)) => "value",
        Op::Move(Goal::Scale(_)) | Op::Project(Goal::Scale(_)) => "factor",
        Op::Move(Goal::Clamp { max: Some(_), min: None }) | Op::Project(Goal::Clamp { max: Some(_), min: None }) => {
            "max"
        }
        Op::Move(Goal::Clamp { .. }) | Op::Project(Goal::Clamp { .. }) => "min",
    }
}

impl Edit {
    /// Adds the parts of a profile.
    pub(super) fn profile(
        spec: &ModelSpec,
        name: &str,
        parts: &[Part],
        strength: f64,
        interventions: &mut Interventions,
    ) -> Result<Self, InterventionError> {
        let mut points = Vec::new();
        for Part { hook_point, values } in parts {
            let action = Action::add(Arc::clone(values), strength as f32)?;
            points.extend(interventions.insert(spec, hook_point, action, Scope::default())?);
        }
        let said = [("vector".to_owned(), json!(name)), ("strength".to_owned(), json!(strength))];
        Ok(Self::new(said.into_iter().collect(), spec, &points, parts))
    }

    fn new(mut said: Map<String, Value>, spec: &ModelSpec, points: &[HookId], parts: &[Part]) -> Self {
        let name = |point: &HookId| spec.hook_points.get(point.0 as usize).map(|hook| hook.point.to_string());
        said.insert("hook_points".to_owned(), points.iter().filter_map(name).collect());
        said.shift_remove("hook_point");
        let mut hasher = Sha256::new();
        let numbers = parts.iter().flat_map(|part| part.values.iter());
        numbers.for_each(|number| hasher.update(number.to_le_bytes()));
        let sha256: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        said.insert("direction_sha256".to_owned(), sha256.into());
        Self { said, points: points.len() }
    }
}
