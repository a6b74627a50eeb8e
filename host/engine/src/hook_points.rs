//! From the names that users write to the hook points of a model.

use millm_plugin_api::{HookId, HookPattern, ModelSpec};

/// Why a name stands for no hook point of a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookPointError {
    /// The model has none of that name.
    #[error("unknown hook point {name:?}{}", suggest(.nearest.as_deref()))]
    Unknown {
        /// As it was asked for.
        name: String,
        /// The most similar name that the model has, if one is similar.
        nearest: Option<String>,
    },
    /// Other models have it.
    #[error("this model has no hook point {name}: {reason}")]
    Absent {
        /// As it was asked for.
        name: String,
        /// Why this one has not.
        reason: String,
    },
}

fn suggest(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

/// The hook points that `name` stands for, in the order of computation: one, or with `blocks.*.` as many as there are
/// blocks that have it.
///
/// # Errors
///
/// See [`HookPointError`].
pub fn resolve(spec: &ModelSpec, name: &str) -> Result<Vec<HookId>, HookPointError> {
    let asked: Option<HookPattern> = name.parse().ok();
    let Some(asked) = asked else { return Err(unknown(spec, name)) };
    let all = spec.hook_points.iter().enumerate();
    let found: Vec<_> =
        all.filter(|(_, hook)| asked.matches(&hook.point)).map(|(index, _)| HookId(index as u32)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    // A block that does not exist is a mistake of its own, whatever its site.
    let in_range = match &asked {
        HookPattern::One(point) => point.layer.is_none_or(|layer| layer < spec.n_layers),
        HookPattern::EveryBlock(_) => true,
    };
    match spec.absent.iter().find(|absent| in_range && absent.pattern.covers(&asked)) {
        Some(absent) => Err(HookPointError::Absent { name: name.to_owned(), reason: absent.reason.clone() }),
        None => Err(unknown(spec, name)),
    }
}

fn unknown(spec: &ModelSpec, name: &str) -> HookPointError {
    // A name of any length costs the same: only its beginning is compared and echoed.
    let name: String = name.chars().take(100).collect();
    let similar = |candidate: String| (strsim::normalized_damerau_levenshtein(&name, &candidate), candidate);
    let names = spec.hook_points.iter().map(|hook| hook.point.to_string());
    let every = spec.hook_points.iter().filter(|hook| hook.point.layer == Some(0));
    let wildcards = every.map(|hook| HookPattern::EveryBlock(hook.point.site.clone()).to_string());
    let nearest = names.chain(wildcards).map(similar).max_by(|a, b| a.0.total_cmp(&b.0));
    let nearest = nearest.filter(|(similarity, _)| *similarity > 0.6).map(|(_, candidate)| candidate);
    HookPointError::Unknown { name, nearest }
}

#[cfg(test)]
mod tests {
    use millm_plugin_api::{AbsentHookPoint, HookPointSpec, RowShape};

    use super::*;

    fn spec() -> ModelSpec {
        let hook = |name: &str| HookPointSpec::new(name.parse().unwrap(), RowShape::Flat { width: 2 });
        let absent = |pattern: &str, reason: &str| AbsentHookPoint {
            pattern: pattern.parse().unwrap(),
            reason: reason.to_owned(),
        };
        ModelSpec {
            n_layers: 2,
            hook_points: ["hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"].map(hook).to_vec(),
            absent: vec![absent("hook_pos_embed", "no table"), absent("blocks.*.hook_resid_mid", "parallel")],
            ..ModelSpec::default()
        }
    }

    fn ids(name: &str) -> Vec<u32> {
        resolve(&spec(), name).unwrap().into_iter().map(|id| id.0).collect()
    }

    fn message(name: &str) -> String {
        resolve(&spec(), name).unwrap_err().to_string()
    }

    #[test]
    fn a_name_is_one_point_and_a_wildcard_all_blocks() {
        assert_eq!(ids("hook_embed"), [0]);
        assert_eq!(ids("blocks.1.hook_resid_post"), [2]);
        assert_eq!(ids("blocks.*.hook_resid_post"), [1, 2]);
    }

    #[test]
    fn what_a_model_lacks_has_a_reason() {
        for name in ["blocks.*.hook_resid_mid", "blocks.1.hook_resid_mid"] {
            assert_eq!(message(name), format!("this model has no hook point {name}: parallel"));
        }
        assert!(message("hook_pos_embed").ends_with("no table"));
    }

    #[test]
    fn what_nobody_has_gets_a_suggestion() {
        assert!(message("blocks.0.hook_resid_pots").ends_with("did you mean \"blocks.0.hook_resid_post\"?"));
        assert!(message("blocks.*.hook_resid_pots").ends_with("did you mean \"blocks.*.hook_resid_post\"?"));
        assert_eq!(message("something else"), "unknown hook point \"something else\"");
        // Layer counts off by one.
        assert!(message("blocks.2.hook_resid_post").starts_with("unknown hook point"));
        assert!(message("blocks.2.hook_resid_mid").starts_with("unknown hook point"));
        assert!(message(&"x".repeat(1 << 20)).len() < 200);
    }
}
