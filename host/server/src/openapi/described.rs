//! What has no type of its own in this program: what is taken from JSON or from a URL field by field, written piece by
//! piece, or belongs to a crate that knows nothing of OpenAPI.

mod embeddings;
mod flat_tools;
mod generation;
mod management;
mod parameters;
mod plugins;
mod reading;
mod responses;
mod saes;
mod steering;
mod tokens;
mod tools;

pub(crate) use self::{
    embeddings::{EmbeddingAnswer, EmbeddingBody},
    flat_tools::{ResponseTool, ResponseToolChoice},
    generation::{ChatBody, CompletionBody},
    management::{Begun, LoadBody, ModelChange, NewModel, RouterBody, TrustBody, UnloadBody},
    parameters::{ModelId, ModelName, OperationId, PluginName, RequestIdParameter, Steerers, WaitSeconds},
    plugins::Plugin,
    reading::{CaptureAnswer, CaptureBody, LensAnswer, LensBody},
    responses::ResponseBody,
    saes::{AttachBody, EncodeAnswer, EncodeBody, FeatureQuery, NewSae, ReplayBody, SaeId},
    tokens::{DetokenizeBody, TemplateBody, TokenizeBody},
};
