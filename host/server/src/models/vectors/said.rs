use std::collections::BTreeMap;

use serde::Deserialize;

/// What is said of a vector, in the metadata of its file or in the JSON file beside it.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    pub(super) hook_point: Option<String>,
    #[serde(alias = "scale")]
    pub(super) recommended_strength: Option<f64>,
    /// The block of each row, counted from 0.
    pub(super) layers: Option<Vec<u32>>,
}

impl Said {
    /// What metadata say. Other keys are no business of ours.
    pub(super) fn of_metadata(metadata: &BTreeMap<String, String>) -> Result<Self, String> {
        let strength = metadata.get("recommended_strength").map(|text| {
            let number = text.parse::<f64>();
            number.map_err(|_| format!("its recommended_strength is {text:?}, which is not a number"))
        });
        let strength = strength.transpose()?;
        Self { hook_point: metadata.get("hook_point").cloned(), recommended_strength: strength, layers: None }.checked()
    }

    /// What a JSON file says, and nothing else.
    pub(super) fn of_json(bytes: &[u8]) -> Result<Self, String> {
        let said: Self = serde_json::from_slice(bytes).map_err(|error| format!("the JSON file beside it: {error}"))?;
        said.checked()
    }

    fn checked(self) -> Result<Self, String> {
        match self.recommended_strength {
            Some(strength) if !(strength as f32).is_finite() => {
                Err(format!("its recommended_strength is {strength:?}, which is not a number that f32 has"))
            }
            _ => Ok(self),
        }
    }

    /// What both say, who must not contradict each other.
    pub(super) fn and(self, other: Self) -> Result<Self, String> {
        fn agreed<T: PartialEq>(what: &str, one: Option<T>, other: Option<T>) -> Result<Option<T>, String> {
            if one.is_some() && other.is_some() && one != other {
                return Err(format!("its metadata and the JSON file beside it disagree about '{what}'"));
            }
            Ok(one.or(other))
        }
        Ok(Self {
            hook_point: agreed("hook_point", self.hook_point, other.hook_point)?,
            recommended_strength: agreed(
                "recommended_strength",
                self.recommended_strength,
                other.recommended_strength,
            )?,
            layers: agreed("layers", self.layers, other.layers)?,
        })
    }

    /// 1 unless something else is said.
    pub(super) fn strength(&self) -> f64 {
        self.recommended_strength.unwrap_or(1.0)
    }
}
