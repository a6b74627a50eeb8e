use std::sync::Arc;

use millm_plugin_api::sae::Normalization;

/// How the model's activation becomes the one that an SAE was trained on, and back.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Site {
    /// It is that.
    #[default]
    Raw,
    /// Without its mean.
    Centred,
    /// Without a constant row.
    Shifted(Arc<[f32]>),
    /// Divided by a factor.
    Unscaled(f32),
}

/// What LayerNorm of SAELens adds to a deviation.
const EPSILON: f32 = 1e-5;

/// A row as it is encoded, and what brings a decoded one back.
#[derive(Clone, Debug)]
pub(super) struct Input {
    /// Before the norm, which is what a skip connection reads.
    pub(super) fixed: Vec<f32>,
    pub(super) normalized: Vec<f32>,
    mean: f32,
    back: Back,
}

/// What undoes a norm: `y · scale + shift`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Back {
    scale: f32,
    shift: f32,
}

impl Input {
    pub(super) fn of(row: &[f32], site: &Site, normalization: Normalization) -> Self {
        let mut fixed = row.to_vec();
        let mut mean_of_site = 0.0;
        match site {
            Site::Raw => {}
            Site::Centred => {
                mean_of_site = mean(row);
                fixed.iter_mut().for_each(|number| *number -= mean_of_site);
            }
            Site::Shifted(constant) => fixed.iter_mut().zip(&constant[..]).for_each(|(number, shift)| *number -= shift),
            Site::Unscaled(factor) => fixed.iter_mut().for_each(|number| *number /= factor),
        }
        let mut normalized = fixed.clone();
        let back = normalize(&mut normalized, normalization);
        Self { fixed, normalized, mean: mean_of_site, back }
    }

    /// Brings a decoded row back to where the model's own rows are.
    pub(super) fn undo(&self, decoded: &mut [f32], site: &Site) {
        let Back { scale, shift } = self.back;
        decoded.iter_mut().for_each(|number| *number = *number * scale + shift);
        match site {
            Site::Raw => {}
            Site::Centred => decoded.iter_mut().for_each(|number| *number += self.mean),
            Site::Shifted(constant) => {
                decoded.iter_mut().zip(&constant[..]).for_each(|(number, shift)| *number += shift)
            }
            Site::Unscaled(factor) => decoded.iter_mut().for_each(|number| *number *= factor),
        }
    }

    /// What a number in the SAE's own units is in the model's.
    pub(super) fn unit(&self, site: &Site) -> f32 {
        match site {
            Site::Unscaled(factor) => self.back.scale * factor,
            Site::Raw | Site::Centred | Site::Shifted(_) => self.back.scale,
        }
    }
}

/// Sums in f64, so that the order of a row's numbers does not matter.
fn mean(row: &[f32]) -> f32 {
    (row.iter().map(|number| f64::from(*number)).sum::<f64>() / row.len() as f64) as f32
}

fn normalize(row: &mut [f32], normalization: Normalization) -> Back {
    let squares = |row: &[f32]| row.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>();
    match normalization {
        Normalization::None => Back { scale: 1.0, shift: 0.0 },
        Normalization::Dataset { input, output } => {
            row.iter_mut().for_each(|number| *number *= input as f32);
            Back { scale: output.recip() as f32, shift: 0.0 }
        }
        Normalization::ConstantNormRescale { min_norm } => {
            let norm = squares(row).sqrt().max(min_norm);
            let factor = ((row.len() as f64).sqrt() / norm) as f32;
            row.iter_mut().for_each(|number| *number *= factor);
            Back { scale: factor.recip(), shift: 0.0 }
        }
        Normalization::LayerNorm => {
            let mean = mean(row);
            row.iter_mut().for_each(|number| *number -= mean);
            let deviation = (squares(row) / (row.len() as f64 - 1.0)).sqrt() as f32;
            row.iter_mut().for_each(|number| *number /= deviation + EPSILON);
            Back { scale: deviation, shift: mean }
        }
    }
}
