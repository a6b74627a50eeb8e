use millm_engine::{Captures, Engine, Event, Interventions, LogitLens, Request};
use millm_plugin_api::HookId;
use millm_text::Tokenizer;

use crate::error::{ApiError, Kind};

/// What attaching an SAE takes of a model.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    /// What requests call the model.
    pub(crate) id: String,
    pub(crate) engine: Engine,
    pub(crate) tokenizer: Tokenizer,
}

impl Base {
    /// Rows of the model at these positions of a prompt, one after the other, for each of `points`. It waits for the engine.
    ///
    /// # Errors
    ///
    /// `ModelFailed`, with what the engine says.
    pub(super) fn read(
        &self,
        prompt: Vec<u32>,
        interventions: Interventions,
        points: &[HookId],
        positions: Vec<usize>,
    ) -> Result<Vec<Vec<f32>>, ApiError> {
        let mut read = points.to_vec();
        read.sort_unstable();
        read.dedup();
        let request = Request::reading(prompt, interventions, Captures::new(read, positions), LogitLens::default());
        let refused = |why: &dyn std::fmt::Display| {
            ApiError::new(Kind::ModelFailed, format!("The model could not be read for the SAE: {why}."))
        };
        let mut events = self.engine.submit(request).map_err(|error| refused(&error))?;
        while let Some(event) = events.blocking_recv() {
            match event {
                Event::Captured(captured) => {
                    let rows_at = |wanted: &HookId| {
                        captured.activations.iter().find(|found| found.point == *wanted).map(|found| found.data.clone())
                    };
                    return points.iter().map(rows_at).collect::<Option<_>>().ok_or_else(ApiError::internal);
                }
                Event::Failed(error) => return Err(refused(&error)),
                _ => {}
            }
        }
        Err(refused(&"its engine has ended"))
    }
}
