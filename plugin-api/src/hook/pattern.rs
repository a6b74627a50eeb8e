use std::{fmt, str::FromStr};

use super::{HookPoint, HookSite, ParseHookPointError};

/// One hook point (`blocks.3.hook_resid_post`), or the same site of every block (`blocks.*.hook_resid_post`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HookPattern {
    /// This point.
    One(HookPoint),
    /// This site of every block.
    EveryBlock(HookSite),
}

/// What stands for every block.
const WILDCARD: &str = "blocks.*.";

impl HookPattern {
    /// Whether `point` is meant.
    pub fn matches(&self, point: &HookPoint) -> bool {
        match self {
            Self::One(one) => one == point,
            Self::EveryBlock(site) => point.layer.is_some() && point.site == *site,
        }
    }

    /// Whether `point` would be meant if every block had it, so that `blocks.7.hook_z` is about `blocks.*.hook_z`.
    pub fn covers(&self, other: &Self) -> bool {
        match other {
            Self::One(point) => self.matches(point),
            Self::EveryBlock(_) => self == other,
        }
    }
}

impl fmt::Display for HookPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(point) => point.fmt(f),
            Self::EveryBlock(site) => write!(f, "{WILDCARD}{}", site.as_str()),
        }
    }
}

impl FromStr for HookPattern {
    type Err = ParseHookPointError;

    fn from_str(name: &str) -> Result<Self, ParseHookPointError> {
        let Some(site) = name.strip_prefix(WILDCARD) else { return name.parse().map(Self::One) };
        // A site is well formed if it is one in some block.
        let some: Result<HookPoint, _> = format!("blocks.0.{site}").parse();
        let point = some.map_err(|_| ParseHookPointError::new(name))?;
        Ok(Self::EveryBlock(point.site))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(name: &str) -> HookPattern {
        name.parse().unwrap()
    }

    #[test]
    fn a_wildcard_stands_for_every_block_and_nothing_else() {
        let every = pattern("blocks.*.attn.hook_z");
        for (name, meant) in [("blocks.0.attn.hook_z", true), ("blocks.11.attn.hook_z", true), ("hook_embed", false)] {
            assert_eq!(every.matches(&name.parse().unwrap()), meant, "{name}");
            assert!(pattern(name).matches(&name.parse().unwrap()));
        }
        assert!(every.covers(&pattern("blocks.*.attn.hook_z")) && every.covers(&pattern("blocks.3.attn.hook_z")));
        assert!(!every.covers(&pattern("blocks.*.hook_resid_mid")));
        assert_eq!(every.to_string(), "blocks.*.attn.hook_z");
    }

    #[test]
    fn other_stars_are_refused() {
        for text in ["*", "blocks.*", "blocks.*.", "blocks.*.*", "blocks.1*.hook_z", "blocks.**.hook_z", "hook_*"] {
            assert!(text.parse::<HookPattern>().is_err(), "{text}");
        }
    }
}
