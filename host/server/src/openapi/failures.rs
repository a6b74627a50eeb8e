//! What can fail, at each URL.

use std::collections::BTreeMap;

use utoipa::{
    Modify,
    openapi::{ContentBuilder, HttpMethod, OpenApi, Ref, ResponseBuilder, path::Operation},
};

use crate::error::Kind;

/// Adds the errors to every operation, with the status that the table of errors has.
pub(super) struct Failures;

impl Modify for Failures {
    fn modify(&self, document: &mut OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let methods = [
                (HttpMethod::Get, &mut item.get),
                (HttpMethod::Post, &mut item.post),
                (HttpMethod::Patch, &mut item.patch),
                (HttpMethod::Delete, &mut item.delete),
            ];
            for (method, operation) in
                methods.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
            {
                add(path, &method, operation);
            }
        }
    }
}

fn add(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    let can = |kind: Kind| match kind {
        // As the routes have it: what has no key has a security of its own, which is none.
        Kind::InvalidApiKey => operation.security.is_none(),
        Kind::ForeignOrigin => *method != HttpMethod::Get,
        Kind::Internal => true,
        _ => kind.operations().any(|operation| operation == id),
    };
    let openai = !path.starts_with("/api/");
    let mut by_status: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for kind in Kind::ALL.iter().copied().filter(|kind| can(*kind)) {
        let code = if openai { kind.openai_code().unwrap_or("null").to_owned() } else { kind.code() };
        let codes = by_status.entry(kind.status().as_str().to_owned()).or_default();
        let code = format!("`{code}`");
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    let body = if openai { Ref::from_schema_name("OpenAiFailure") } else { Ref::from_schema_name("Failure") };
    for (status, codes) in by_status {
        let response = ResponseBuilder::new()
            .description(codes.join(", "))
            .content("application/json", ContentBuilder::new().schema(Some(body.clone())).build())
            .build();
        operation.responses.responses.entry(status).or_insert_with(|| response.into());
    }
}

#[cfg(test)]
mod tests {
    use utoipa::OpenApi as _;

    use super::{super::Document, *};

    #[test]
    fn whatever_the_table_of_errors_names_is_an_operation() {
        let items = Document::openapi().paths.paths.into_values();
        let operations = items.flat_map(|item| [item.get, item.post, item.patch, item.delete].into_iter().flatten());
        let ids: Vec<String> = operations.filter_map(|operation| operation.operation_id).collect();
        for kind in Kind::ALL {
            let mut named = kind.operations();
            assert_eq!(named.find(|id| !ids.iter().any(|known| known == id)), None, "{kind:?}");
        }
    }
}
