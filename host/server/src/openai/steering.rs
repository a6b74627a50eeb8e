//! What is done to the activations of a request, and who decides it.
//!
//! * `headers`: what the headers of a request say
//! * `edit`: one intervention
//! * `form`: in full or in short
//! * `op`, `direction`, `condition`: what it does, along what, and when
//! * `vectors`: vectors by name or by value
//! * `expression`: all of it in one line
//! * `refusal`: what the engine refuses, in the words of the request

mod condition;
mod direction;
mod edit;
mod expression;
mod form;
mod headers;
mod op;
mod refusal;
#[cfg(test)]
mod tests;
mod vectors;

use millm_engine::Interventions;
use millm_plugin_api::ModelSpec;
use millm_text::Tokenizer;
use serde_json::Value;

pub(crate) use self::{edit::Edit, headers::SteeringHeaders};
use self::{edit::insert, form::Form};
use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, wrong_type},
    models::{Model, Named, Vectors},
    saes::SaesOf,
    selector::Selector,
};

/// What can be steered, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steerable<'a> {
    model: &'a str,
    spec: &'a ModelSpec,
    vectors: &'a Vectors,
    saes: &'a SaesOf,
    tokenizer: &'a Tokenizer,
    /// The profile in the id that the request has for the model.
    profile: Option<&'a str>,
}

impl<'a> From<&'a Named> for Steerable<'a> {
    fn from(Named { model, profile, saes, .. }: &'a Named) -> Self {
        let Model { id, engine, vectors, text, .. } = &**model;
        let (spec, tokenizer, profile) = (engine.spec(), &text.tokenizer, profile.as_deref());
        Self { model: id, spec, vectors, saes, tokenizer, profile }
    }
}

/// What is done to the activations of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steering {
    pub(crate) interventions: Interventions,
    /// The same, as it is told, in the same order.
    pub(crate) edits: Vec<Edit>,
    /// What was said of positions, to be held against each prompt.
    selectors: Vec<Selector>,
    /// The profile in it, if there is one.
    pub(crate) profile: Option<String>,
    /// In words, for people who chat. Empty if nothing is done.
    pub(crate) status: String,
}

/// Each costs time at every token.
const MAX_EDITS: usize = 256;

impl Steering {
    /// Reads `steering`, `profile` and `steering_scale`.
    ///
    /// Whoever is nearest to the request decides alone: its body, the header `X-Millm-Profile`, the id of the model. A task
    /// of a chat client, such as finding a title, takes only what its body says. Within the body both count, first the
    /// profile; an empty `steering` or `profile` is a decision too, for nothing. `steering.scale` and `steering_scale`
    /// multiply every strength, whoever decided it.
    pub(crate) fn read<'a>(
        fields: &mut Fields,
        steerable: impl Into<Steerable<'a>>,
        headers: &SteeringHeaders,
    ) -> Result<Self, ApiError> {
        let steerable = steerable.into();
        let own = fields.string("profile")?;
        let finite = f64::MIN..=f64::MAX;
        let mut scale = fields.decimal("steering_scale", finite.clone())?.unwrap_or(1.0);
        let (mut lists, mut decided) = (Vec::new(), own.is_some());
        let path = fields.path("steering");
        match fields.take("steering") {
            None => {}
            Some(Value::String(line)) => {
                decided = true;
                lists.push((Form::Line, expression::read(&line, &path)?));
            }
            Some(value @ Value::Object(_)) => {
                decided = true;
                let mut steering = Fields::of(value, path)?;
                for form in [Form::Intervention, Form::Feature, Form::Vector] {
                    lists.push((form, steering.list(form.key())?.unwrap_or_default()));
                }
                scale *= steering.decimal("scale", finite)?.unwrap_or(1.0);
                steering.deny_rest()?;
            }
            Some(other) => return Err(wrong_type(&path, "an object or a string", &other)),
        }
        let own = own.as_deref().filter(|name| !name.is_empty()).map(|name| (name, "profile"));
        let of_header = headers.profile.as_deref().map(|name| (name, SteeringHeaders::PROFILE));
        let of_model = steerable.profile.map(|name| (name, "model"));
        let default = || of_header.or(of_model).filter(|_| !decided && !headers.task);
        let mut steering = Self::default();
        if let Some((name, source)) = own.or_else(default) {
            steering.add_profile(name, source, scale, steerable)?;
        }
        for (form, list) in lists {
            steering.add_list(form, list, scale, steerable)?;
        }
        if steering.interventions.is_empty() {
            steering.status.clear();
        }
        Ok(steering)
    }

    /// Refuses what was said of positions that the prompt, which stands in the parameter `param`, has not.
    pub(crate) fn check(&self, prompt: &[u32], param: &str) -> Result<(), ApiError> {
        self.selectors.iter().try_for_each(|selector| selector.check(prompt, param))
    }

    fn add_list(&mut self, form: Form, list: Vec<Value>, scale: f64, steerable: Steerable<'_>) -> Result<(), ApiError> {
        if list.len() > MAX_EDITS {
            let path = form.path(None);
            let message = format!("Invalid '{path}': at most {MAX_EDITS} are supported, got {}.", list.len());
            return Err(ApiError::at(Kind::ArrayTooLong, path, message));
        }
        match list.len() {
            0 => return Ok(()),
            _ if !self.status.is_empty() => self.status += ", ",
            _ => {}
        }
        self.status += &match list.len() {
            1 => format!("1 {}", form.noun()),
            many => format!("{many} {}s", form.noun()),
        };
        for (index, value) in list.into_iter().enumerate() {
            let fields = Fields::of(value, form.path(Some(index)))?;
            insert(fields, form, scale, steerable, self)?;
        }
        Ok(())
    }

    /// Steers by a profile; `source` is where its name stands.
    fn add_profile(&mut self, name: &str, source: &str, scale: f64, steerable: Steerable<'_>) -> Result<(), ApiError> {
        let Steerable { model, spec, vectors, .. } = steerable;
        let Some((parts, strength)) = vectors.get(name).ok().and_then(|vector| vector.profile()) else {
            let known = vectors.profiles().collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none" } else { &known };
            let message = format!("The model '{model}' has no profile '{}'; there are: {known}.", clip(name));
            return Err(ApiError::at(Kind::ProfileNotFound, source, message));
        };
        let strength = strength * scale;
        let edit = Edit::profile(spec, name, &parts, strength, &mut self.interventions).map_err(|error| {
            // Everything else about a profile was checked when the model was loaded.
            let message = format!("Invalid 'steering_scale': {error}");
            ApiError::at(Kind::InvalidValue, "steering_scale", message)
        })?;
        self.edits.push(edit);
        self.status = match &parts[..] {
            [part] => format!("{name} ×{strength} at {}", part.hook_point),
            parts => format!("{name} ×{strength} at {} hook points", parts.len()),
        };
        self.profile = Some(name.to_owned());
        Ok(())
    }
}
