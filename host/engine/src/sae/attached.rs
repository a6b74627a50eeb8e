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

    /// Measures a feature in one row.
    ///
    /// # Errors
    /// As [`Sae::encode_some`].
    pub(crate) fn measure(&self, row: &[f32], feature: u32) -> Result<Measured, SaeError> {
        let activation = self.sae.encode_some(&self.threads, row, &self.site, &[feature])?;
        let spec = self.sae.spec();
        let unit = Input::of(row, &self.site, spec.normalization).unit(&self.site);
        let unit = match spec.decoder_norm {
            DecoderNorm::Activations => unit / self.sae.rows_of(feature)?.norm(),
            DecoderNorm::Unused | DecoderNorm::Gate => unit,
        };
        Ok(Measured { activation: activation.first().copied().unwrap_or_default(), unit })
    }
}
