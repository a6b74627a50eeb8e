use millm_plugin_api::PluginError;

/// Why an SAE cannot do what it is asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SaeError {
    /// A weight is no number.
    #[error("element {index} of {tensor} is not finite")]
    NotFinite {
        /// SAELens's name of the tensor.
        tensor: &'static str,
        /// Which element, row after row.
        index: usize,
    },
    /// The rows that came are no rows of the activation that it reads.
    #[error("rows of {expected} numbers are expected, and there are {found} numbers in all")]
    WrongWidth {
        /// `d_in`, or `d_out`.
        expected: usize,
        /// How many came.
        found: usize,
    },
    /// A row has a number that is none, so that it has no features.
    #[error("row {row} of the activation is not finite")]
    RowNotFinite {
        /// From 0.
        row: usize,
    },
    /// Matching pursuit leads away from a row, as it may where rows of `W_dec` are longer than √2.
    #[error("matching pursuit does not converge on row {row} of the activation: what is left of it is not finite")]
    Diverged {
        /// From 0.
        row: usize,
    },
    /// It has fewer features.
    #[error("there is no feature {feature}; they are 0 to {}", d_sae - 1)]
    NoFeature {
        /// What was asked for.
        feature: u32,
        /// How many there are.
        d_sae: u32,
    },
    /// Features compete in groups of one size.
    #[error("{d_sae} features are not {k} groups of one size")]
    Groups {
        /// How many groups.
        k: u32,
        /// How many features.
        d_sae: u32,
    },
    /// There is no memory for the encoder.
    #[error("the encoder takes {bytes} bytes of memory, which there are not")]
    NoMemory {
        /// How many.
        bytes: usize,
    },
    /// Its files cannot be read, or its plugin failed.
    #[error(transparent)]
    Source(#[from] PluginError),
}
