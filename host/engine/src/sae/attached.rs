use std::sync::Arc;

use millm_plugin_api::sae::DecoderNorm;

use super::{Sae, SaeError, Site, input::Input};
use crate::threads::Threads;

/// An SAE at a place of a model. A clone shares everything.
#[derive(Clone, Debug)]
pub struct Attached {
    /// What is attached.
    pub sae: Arc<Sae>,
    /// How the activation there becomes the one that it was trained on.
    pub site: Arc<Site>,
    /// What it is computed on.
    pub threads: Threads,
}

/// What a row has of a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) activation: f32,
    /// How far the feature's row of `W_dec` moves a row of the model for one unit of activation.
    pub(crate) unit: f32,
}

impl Attached {
    /// Whether it is the same SAE, at a place of the same kind.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sae, &other.sae) && self.site == other.site
    }

    /// No other SAE has it while somebody keeps this one.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.sae).addr()
    }

    /// Measures a feature in one row.
    ///
    /// # Errors
    /// As [`Sae::encode_some`].
    pub(crate) fn measure(&self, row: &[f32], feature: u32) -> Result<Measured, SaeError> {
        let spec = self.sae.spec();
        self.sae.has(feature)?;
        let input = Input::of(row, &self.site, spec.normalization);
        let activation = if self.sae.is_competitive() {
            let all = self.sae.encode(&self.threads, row, &self.site)?;
            all[feature as usize]
        } else {
            if row.iter().any(|number| !number.is_finite()) {
                return Err(SaeError::RowNotFinite { row: 0 });
            }
            let (column, norm) = (self.sae.column(feature)?, self.sae.norm_of(feature)?);
            self.sae.activation(&self.sae.subtracted(&input), feature, &column, norm)
        };
        let unit = match spec.decoder_norm {
            DecoderNorm::Activations => input.unit(&self.site) / self.sae.norm_of(feature)?,
            DecoderNorm::Unused | DecoderNorm::Gate => input.unit(&self.site),
        };
        Ok(Measured { activation, unit })
    }
}
