//! `GET /tokenizer_info`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::parameters,
    app::App,
    error::ApiError,
    models::{Models, Named},
    openapi::described::ModelName,
};

/// What a model's folder says of its tokenizer, under the names of `tokenizer_config.json`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenizerInfo {
    #[schema(required)]
    bos_token: Option<String>,
    #[schema(required)]
    eos_token: Option<String>,
    #[schema(required)]
    pad_token: Option<String>,
    #[schema(required)]
    unk_token: Option<String>,
    #[schema(required)]
    chat_template: Option<String>,
    /// The longest sequence of the model.
    model_max_length: usize,
    /// Tokens of the tokenizer. A model may have more.
    vocab_size: usize,
}

/// Says which tokens structure a model's texts, and how it reads a chat. Also at `/v1/tokenizer_info`.
#[utoipa::path(
    get, path = "/tokenizer_info", operation_id = "getTokenizerInfo", tag = "tokens",
    params(ModelName),
    responses((status = 200, body = TokenizerInfo, description = "What is known of the tokenizer")),
)]
pub(crate) async fn show(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Json<TokenizerInfo>, ApiError> {
    let parameters = parameters(query.as_deref(), &["model"])?;
    let id = parameters.last().map(|(_, id)| percent_decode_str(id).decode_utf8_lossy().into_owned());
    let read = move |models: &Models| {
        let Named { model, .. } = models.named_or_only(id.clone())?;
        let token = |name| model.text.tokenizer.special_tokens().get(name).map(str::to_owned);
        Ok(TokenizerInfo {
            bos_token: token("bos_token"),
            eos_token: token("eos_token"),
            pad_token: token("pad_token"),
            unk_token: token("unk_token"),
            chat_template: model.text.chat_template.as_ref().map(|template| template.source().to_owned()),
            model_max_length: model.engine.n_ctx(),
            vocab_size: model.text.tokenizer.vocab_size(),
        })
    };
    app.models.with(read).await.map(Json)
}
