//! The crate as the host uses it: folders in, prompts, tokens and texts out.

#![allow(clippy::unwrap_used, reason = "clippy's exemption for tests does not reach their helpers")]

mod chat_template;
mod detokenizer;
mod folder;
mod generation_config;
mod grammar;
mod hostile_grammar;
mod hostile_template;
mod message_form;
mod message_parts;
mod output;
mod stop;
mod tokenizer;
