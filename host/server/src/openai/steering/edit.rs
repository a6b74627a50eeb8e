//! One intervention, in full or in short.

use std::sync::Arc;

use millm_engine::{Action, InterventionError, Interventions, Scope};
use millm_plugin_api::{HookId, HookSite, ModelSpec};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Steerable, Steering, condition,
    direction::{Asked, Direction},
    op::{Op, Unit},
    refusal::{Part, refuse},
};
use crate::{
    error::{ApiError, Kind},
    fields::Fields,
    selector::Selector,
};

/// Where an intervention stands in a request, which says how much of it is spelt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `steering.interventions`.
    Intervention,
    /// `steering.features`: features to add.
    Feature,
    /// `steering.vectors`: vectors to add.
    Vector,
    /// A term of `steering`, if that is a line.
    Line,
}

/// An intervention as it is told.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    /// As the request says it, with what it left out.
    pub(crate) said: Map<String, Value>,
    /// At how many hook points it is done.
    pub(crate) points: usize,
}

impl Form {
    /// What they are called in `steering`.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Intervention | Self::Line => "interventions",
            Self::Feature => "features",
            Self::Vector => "vectors",
        }
    }

    /// The word for one of them.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Intervention | Self::Line => "intervention",
            Self::Feature => "feature",
            Self::Vector => "vector",
        }
    }

    /// Where all of them are, or one.
    pub(super) fn path(self, index: Option<usize>) -> String {
        match (self, index) {
            (Self::Line, _) => "steering".to_owned(),
            (form, Some(index)) => format!("steering.{}[{index}]", form.key()),
            (form, None) => format!("steering.{}", form.key()),
        }
    }

    /// What a feature and a vector are called in one, where they can be.
    pub(super) fn words(self) -> (Option<&'static str>, Option<&'static str>) {
        match self {
            Self::Intervention | Self::Line => (Some("feature"), Some("vector")),
            Self::Feature => (Some("index"), None),
            Self::Vector => (None, Some("name")),
        }
    }
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
    let is_given = hook_point.is_some();
    let hook_point = place(&fields, hook_point, &direction, op)?;
    let at = |part: Part| {
        let (feature, vector) = form.words();
        fields.path(match part {
            Part::HookPoint => "hook_point",
            Part::Direction => match &direction {
                Direction::Feature { .. } => feature.unwrap_or("feature"),
                Direction::Vector { name: Some(_), .. } => vector.unwrap_or("vector"),
                Direction::Vector { name: None, .. } => "values",
            },
            Part::Amount => amount(op),
            Part::Apply => "apply",
            Part::When => "when",
        })
    };
    let (action, strength) = action(&fields, op, unit, &direction, (&hook_point, is_given), scale)
        .map_err(|wrong| wrong.unwrap_or_else(|error| refuse(&error, at)))?;
    let apply = selector.as_ref().map(Selector::selection).unwrap_or_default();
    let inserted = steering.interventions.insert(steerable.spec, &hook_point, action, Scope { apply, when });
    let points = inserted.map_err(|error| refuse(&error, at))?;
    steering.selectors.extend(selector);
    if let Some(strength) = strength {
        said.insert("strength".to_owned(), json!(strength));
    }
    if let Direction::Feature { sae, .. } = &direction {
        said.insert("sae".to_owned(), json!(sae.id));
        said.insert("sae_fingerprint".to_owned(), json!(sae.fingerprint));
    }
    let scale = (scale != 1.0).then(|| json!(scale));
    said.extend(scale.map(|scale| ("scale".to_owned(), scale)));
    steering.edits.push(Edit::new(said, steerable.spec, &points, direction.values()));
    Ok(())
}

/// Where it is done.
fn place(fields: &Fields, given: Option<String>, direction: &Direction, op: Op) -> Result<String, ApiError> {
    if let (Some(given), Direction::Feature { sae, .. }, Op::Move(_)) = (&given, direction, op)
        && *given != sae.hook_point
    {
        let path = fields.path("hook_point");
        let message = format!(
            "Invalid '{path}': features of '{}' are measured at {}, so they cannot be set elsewhere.",
            sae.id, sae.hook_point
        );
        return Err(ApiError::at(Kind::InvalidValue, path, message));
    }
    let usual = match (direction, op) {
        (Direction::Feature { sae, .. }, Op::Move(_)) => Some(sae.hook_point.clone()),
        _ => direction.hook_point(),
    };
    fields.require("hook_point", given.or(usual))
}

/// What is done to a row, and how strongly something is added.
fn action(
    fields: &Fields,
    op: Op,
    unit: Unit,
    direction: &Direction,
    (hook_point, is_given): (&str, bool),
    scale: f64,
) -> Result<(Action, Option<f64>), Result<ApiError, InterventionError>> {
    let times = factor(fields, unit, direction, op, hook_point).map_err(Ok)?;
    let values = direction.values();
    let strength = match (op, direction) {
        (Op::Add { strength: Some(strength) }, _) => strength,
        (Op::Add { strength: None }, Direction::Feature { .. }) => {
            return Err(fields
                .require::<f64>("strength", None)
                .map_err(Ok)
                .err()
                .unwrap_or_else(|| Ok(ApiError::internal())));
        }
        // What its file says holds as a whole: a strength is for a place.
        (Op::Add { strength: None }, Direction::Vector { profile, .. }) => {
            profile.as_ref().filter(|_| !is_given).map_or(1.0, |profile| profile.strength)
        }
        (Op::Move(goal), Direction::Feature { sae, feature, .. }) => {
            let action = Action::move_feature(&sae.sae, *feature, goal.target(times), scale as f32);
            return action.map(|action| (action, None)).map_err(Err);
        }
        (Op::Move(goal) | Op::Project(goal), _) => {
            let action = Action::move_along(values, goal.target(times), scale as f32);
            return action.map(|action| (action, None)).map_err(Err);
        }
    };
    let amount = (strength * times * scale) as f32;
    let action = match unit {
        Unit::ResidualNorm => Action::add_relative(values, amount),
        Unit::Raw | Unit::MaxActivation => Action::add(Arc::clone(values), amount),
    };
    action.map(|action| (action, Some(strength))).map_err(Err)
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
    /// Adds a profile's vector.
    pub(super) fn profile(
        spec: &ModelSpec,
        name: &str,
        hook_point: &str,
        values: Arc<[f32]>,
        strength: f64,
        interventions: &mut Interventions,
    ) -> Result<Self, InterventionError> {
        let action = Action::add(Arc::clone(&values), strength as f32)?;
        let points = interventions.insert(spec, hook_point, action, Scope::default())?;
        let said = json!({ "vector": name, "hook_point": hook_point, "strength": strength });
        let Value::Object(said) = said else { return Ok(Self { said: Map::new(), points: points.len() }) };
        Ok(Self::new(said, spec, &points, &values))
    }

    fn new(mut said: Map<String, Value>, spec: &ModelSpec, points: &[HookId], direction: &[f32]) -> Self {
        let name = |point: &HookId| spec.hook_points.get(point.0 as usize).map(|hook| hook.point.to_string());
        said.insert("hook_points".to_owned(), points.iter().filter_map(name).collect());
        said.shift_remove("hook_point");
        let mut hasher = Sha256::new();
        direction.iter().for_each(|number| hasher.update(number.to_le_bytes()));
        let sha256: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        said.insert("direction_sha256".to_owned(), sha256.into());
        Self { said, points: points.len() }
    }
}
