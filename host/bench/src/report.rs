//! All that was found, for programs.

use millm_plugin_api::{DType, ModelSpec};
use serde::Serialize;

use crate::{checkpoint::Checkpoint, costs::Costs, machine::Machine, measurement::Measurement};

/// All that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Version of this program.
    pub millm: &'static str,
    /// What the machine can do.
    pub machine: Machine,
    /// How often everything was measured; what is told are medians and quartiles.
    pub repeats: usize,
    /// Every model in every dtype.
    pub models: Vec<ModelReport>,
}

/// What was found of one model in one dtype.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelReport {
    /// What the user calls it.
    pub model: String,
    /// Its family.
    pub model_type: String,
    /// Of its weights while it was measured.
    pub dtype: &'static str,
    /// Of its weights on disk, if a copy of them was measured.
    pub converted_from: Option<&'static str>,
    /// Number of weights; tied ones count once.
    pub n_params: u64,
    /// What its steps read and multiply, if that can be counted.
    pub costs: Option<Costs>,
    /// Why it cannot.
    pub costs_unknown: Option<String>,
    /// In the order in which they were made.
    pub measurements: Vec<Measurement>,
}

impl ModelReport {
    /// Of a model that was loaded from the checkpoint, and of which nothing has been measured yet.
    pub fn new(model: &str, spec: &ModelSpec, converted_from: Option<DType>, checkpoint: &Checkpoint) -> Self {
        let costs = Costs::of(spec, checkpoint);
        Self {
            model: model.to_owned(),
            model_type: spec.model_type.clone(),
            dtype: checkpoint.dtype().unwrap_or(spec.dtype).as_str(),
            converted_from: converted_from.map(DType::as_str),
            n_params: spec.n_params,
            costs: costs.ok(),
            costs_unknown: costs.err().map(|error| error.to_string()),
            measurements: Vec::new(),
        }
    }
}
