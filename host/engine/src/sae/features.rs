/// The features of one row that are active, by their index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// In ascending order.
    pub indices: Vec<u32>,
    /// Their activations.
    pub values: Vec<f32>,
}

impl Features {
    /// Those that are not 0 among the activations of all features.
    pub fn of_dense(activations: &[f32]) -> Self {
        let active = (0..).zip(activations).filter(|(_, value)| **value != 0.0);
        let (indices, values) = active.unzip();
        Self { indices, values }
    }

    /// Each with its activation.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.indices.iter().copied().zip(self.values.iter().copied())
    }

    /// How many are active: the row's L0.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}
