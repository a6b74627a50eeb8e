/// A tensor of the form. The host refuses a source whose tensors have other shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SaeTensor(pub u16);

impl SaeTensor {
    /// `[d_in, d_sae]`. One of [matching pursuit](super::Activation::MatchingPursuit) has none.
    pub const W_ENC: Self = Self(0);
    /// `[d_sae]`. A gated SAE and one of matching pursuit have none.
    pub const B_ENC: Self = Self(1);
    /// `[d_sae, d_out]`: a row is a feature's direction.
    pub const W_DEC: Self = Self(2);
    /// `[d_out]`.
    pub const B_DEC: Self = Self(3);
    /// `[d_sae]`, of jumprelu.
    pub const THRESHOLD: Self = Self(4);
    /// `[d_sae]`, of a gated SAE.
    pub const B_GATE: Self = Self(5);
    /// `[d_sae]`, of a gated SAE.
    pub const B_MAG: Self = Self(6);
    /// `[d_sae]`, of a gated SAE.
    pub const R_MAG: Self = Self(7);
    /// `[d_out, d_in]`, of a skip transcoder.
    pub const W_SKIP: Self = Self(8);

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::W_ENC,
        Self::B_ENC,
        Self::W_DEC,
        Self::B_DEC,
        Self::THRESHOLD,
        Self::B_GATE,
        Self::B_MAG,
        Self::R_MAG,
        Self::W_SKIP,
    ];

    /// Its name in SAELens's files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::W_ENC => "W_enc",
            Self::B_ENC => "b_enc",
            Self::W_DEC => "W_dec",
            Self::B_DEC => "b_dec",
            Self::THRESHOLD => "threshold",
            Self::B_GATE => "b_gate",
            Self::B_MAG => "b_mag",
            Self::R_MAG => "r_mag",
            Self::W_SKIP => "W_skip",
            _ => "unknown",
        }
    }
}
