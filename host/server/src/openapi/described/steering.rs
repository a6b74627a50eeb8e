//! What is done to activations.

use utoipa::ToSchema;

/// What is done to the activations of this request: in full, or in one line in saklas's language, such as `2 sea@generated -
/// 0.5 my-sae/12`.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum Steering {
    Line(String),
    Full(FullSteering),
}

/// What is done to the activations of this request, in this order.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FullSteering {
    #[schema(max_items = 256)]
    interventions: Option<Vec<Intervention>>,
    /// Features to add.
    #[schema(max_items = 256)]
    features: Option<Vec<SteeringFeature>>,
    /// Vectors to add.
    #[schema(max_items = 256)]
    vectors: Option<Vec<SteeringVector>>,
    /// A factor for every strength, and for how far anything else goes; 1 by default.
    scale: Option<f64>,
}

/// Something that is done along a feature's direction or a vector: exactly one of `feature`, `vector` and `values` is given.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct Intervention {
    /// By default the only SAE that is attached to the model.
    sae: Option<String>,
    #[schema(minimum = 0, maximum = 4294967295_u64)]
    feature: Option<u32>,
    /// A vector of the model.
    vector: Option<String>,
    /// As many as the hook point is wide.
    values: Option<Vec<f32>>,
    /// May be left out of a feature, which belongs where its SAE is, and of a vector whose file says it. Is left out of a
    /// vector of several parts, such as a control vector.
    hook_point: Option<String>,
    op: Option<Op>,
    /// Of `add`.
    strength: Option<f64>,
    unit: Option<Unit>,
    /// Of `set`.
    value: Option<f64>,
    /// Of `clamp` and `project`.
    min: Option<f64>,
    /// Of `clamp` and `project`.
    max: Option<f64>,
    /// Of `scale`, and of `project`.
    factor: Option<f64>,
    apply: Option<Apply>,
    when: Option<When>,
}

/// A feature to add.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct SteeringFeature {
    /// By default the only SAE that is attached to the model.
    sae: Option<String>,
    #[schema(minimum = 0, maximum = 4294967295_u64)]
    index: u32,
    strength: f64,
    unit: Option<Unit>,
    apply: Option<Apply>,
    when: Option<When>,
}

/// A vector to add, either by its name or by its values.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct SteeringVector {
    /// Where it is added, such as `blocks.3.hook_resid_post`. May be left out of a vector whose file says it, and is left out
    /// of one of several parts, such as a control vector.
    hook_point: Option<String>,
    /// A vector of the model.
    name: Option<String>,
    /// As many as the hook point is wide.
    values: Option<Vec<f32>>,
    /// A factor; 1 by default, or what the file says if `hook_point` is left to it too.
    strength: Option<f64>,
    unit: Option<Unit>,
    apply: Option<Apply>,
    when: Option<When>,
}

/// What is done; `add` by default. `a` is the feature's activation in the row `x` as it is then, or the projection on the vector,
/// and `D` the feature's direction, or the vector in length 1: `add`: `x += strength · v`; `set`, `clamp`, `scale`: `x += (t -
/// a) · D`; `ablate`: `set` to 0; `project`: as `clamp` or `scale` of the projection, of features as well.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum Op {
    Add,
    Set,
    Clamp,
    Scale,
    Ablate,
    Project,
}

/// What `strength`, `value`, `min` and `max` are in; `raw` by default. `max_activation`: times the largest activation of the
/// feature that its files tell. `residual_norm`: times the length of the row, of a direction of length 1; of `add` only.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum Unit {
    Raw,
    MaxActivation,
    ResidualNorm,
}

/// The word `all`.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum All {
    All,
}

/// Which rows are touched, in EasySteer's terms: all that something includes, without those that something excludes. Generated
/// tokens are counted from 0.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct Apply {
    prompt: Option<All>,
    /// Wherever one of these tokens stands.
    prompt_tokens: Option<Vec<u32>>,
    /// Negative ones count from the end.
    prompt_positions: Option<Vec<i64>>,
    /// From the first, to before the second.
    #[schema(min_items = 2, max_items = 2)]
    prompt_window: Option<Vec<u32>>,
    generation: Option<All>,
    generation_tokens: Option<Vec<u32>>,
    generation_positions: Option<Vec<u32>>,
    #[schema(min_items = 2, max_items = 2)]
    generation_window: Option<Vec<u32>>,
    exclude_prompt: Option<All>,
    exclude_prompt_tokens: Option<Vec<u32>>,
    exclude_prompt_positions: Option<Vec<i64>>,
    #[schema(min_items = 2, max_items = 2)]
    exclude_prompt_window: Option<Vec<u32>>,
    exclude_generation: Option<All>,
    exclude_generation_tokens: Option<Vec<u32>>,
    exclude_generation_positions: Option<Vec<u32>>,
    #[schema(min_items = 2, max_items = 2)]
    exclude_generation_window: Option<Vec<u32>>,
    /// Leaves out the tokens that begin and end things; alone it includes everything else.
    special_tokens: Option<SpecialTokens>,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum SpecialTokens {
    Skip,
}

/// A row is touched only where a feature is active enough in it, or not too active, in the same pass. Exactly one of `above` and
/// `below` is given.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct When {
    /// By default the intervention's own, or the only one that is attached to the model.
    sae: Option<String>,
    #[schema(minimum = 0, maximum = 4294967295_u64)]
    feature: u32,
    above: Option<f64>,
    below: Option<f64>,
}
