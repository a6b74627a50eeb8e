//! What an intervention does.

use millm_engine::Target;

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip},
};

/// What an intervention does, with its numbers as the request has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Op {
    /// `x += strength · v`. A vector's file may know the strength.
    Add { strength: Option<f64> },
    /// Brings a feature's activation, or the projection on a vector, somewhere.
    Move(Goal),
    /// Brings the projection on a vector, or on a feature's direction, somewhere.
    Project(Goal),
}

/// Where something is brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Goal {
    Set(f64),
    Clamp { min: Option<f64>, max: Option<f64> },
    Scale(f64),
}

/// What a number of an intervention is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Unit {
    #[default]
    Raw,
    /// Times the largest activation of the feature that is known.
    MaxActivation,
    /// Times the length of the row, of a vector of length 1.
    ResidualNorm,
}

const OPS: [&str; 6] = ["add", "set", "clamp", "scale", "ablate", "project"];
const UNITS: [(&str, Unit); 3] =
    [("raw", Unit::Raw), ("max_activation", Unit::MaxActivation), ("residual_norm", Unit::ResidualNorm)];

impl Op {
    /// Reads `op`, which is `add` unless it is there, and the numbers that belong to it.
    pub(super) fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let name = fields.string("op")?;
        Self::called(name.as_deref().unwrap_or("add"), fields)
    }

    /// Reads the numbers that belong to the op of that name.
    pub(super) fn called(name: &str, fields: &mut Fields) -> Result<Self, ApiError> {
        let mut number = |key| fields.decimal(key, f64::MIN..=f64::MAX);
        Ok(match name {
            "add" => Self::Add { strength: number("strength")? },
            "set" => {
                let value = number("value")?;
                Self::Move(Goal::Set(fields.require("value", value)?))
            }
            "clamp" => {
                let (min, max) = (number("min")?, number("max")?);
                Self::Move(Goal::Clamp { min, max })
            }
            "scale" => {
                let factor = number("factor")?;
                Self::Move(Goal::Scale(fields.require("factor", factor)?))
            }
            "ablate" => Self::Move(Goal::Set(0.0)),
            "project" => {
                let (min, max, factor) = (number("min")?, number("max")?, number("factor")?);
                match factor {
                    None => Self::Project(Goal::Clamp { min, max }),
                    Some(factor) if min.is_none() && max.is_none() => Self::Project(Goal::Scale(factor)),
                    Some(_) => {
                        let path = fields.path("factor");
                        let message = format!("Invalid '{path}': 'project' takes 'factor', or 'min' and 'max'.");
                        return Err(ApiError::at(Kind::InvalidValue, path, message));
                    }
                }
            }
            other => return Err(unsupported(fields, "op", other, &OPS)),
        })
    }

    /// The same with a strength, where it takes one: `usual` if the request has none.
    pub(super) fn or_strength(self, fields: &Fields, usual: Option<f64>) -> Result<Self, ApiError> {
        match self {
            Self::Add { strength } => Ok(Self::Add { strength: Some(fields.require("strength", strength.or(usual))?) }),
            other => Ok(other),
        }
    }
}

impl Goal {
    /// For the engine, in the units of one.
    pub(super) fn target(self, unit: f64) -> Target {
        let number = |number: f64| (number * unit) as f32;
        match self {
            Self::Set(value) => Target::Set(number(value)),
            Self::Clamp { min, max } => Target::Clamp { min: min.map(number), max: max.map(number) },
            Self::Scale(factor) => Target::Scale(factor as f32),
        }
    }
}

impl Unit {
    /// Reads `unit`.
    pub(super) fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let Some(name) = fields.string("unit")? else { return Ok(Self::default()) };
        let found = UNITS.iter().find(|(known, _)| *known == name);
        found.map(|(_, unit)| *unit).ok_or_else(|| unsupported(fields, "unit", &name, &UNITS.map(|(name, _)| name)))
    }
}

fn unsupported(fields: &Fields, key: &str, found: &str, known: &[&str]) -> ApiError {
    let (path, found) = (fields.path(key), clip(found));
    let message = format!(
        "Unsupported value: '{path}' does not support '{found}'. Supported values are: '{}'.",
        known.join("', '")
    );
    ApiError::at(Kind::UnsupportedValue, path, message).with("expected", known.to_vec()).with("found", found)
}
