/// What is done to a row before it is encoded, and undone to what is decoded: SAELens's `normalize_activations`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Normalization {
    /// Nothing.
    #[default]
    None,
    /// `u = x · input`, and `output = y / output`: factors that are those of a data set.
    Dataset {
        /// What rows are multiplied by.
        input: f64,
        /// What a decoded row is divided by.
        output: f64,
    },
    /// `constant_norm_rescale`: `u = x · c` with `c = √d_in / ‖x‖`, and `output = y / c`.
    ConstantNormRescale {
        /// A smaller norm counts as this one. 0 in SAELens.
        min_norm: f64,
    },
    /// `layer_norm`: `u = (x − μ) / (σ + 1e-5)` with the deviation of a sample (`n − 1`), and `output = y · σ + μ`.
    LayerNorm,
}
