//! What an answer says of its request, in headers.

use axum::{http::HeaderValue, response::Response};

use super::super::ignored::Ignored;

/// What an answer says of its request, in headers.
#[derive(Clone, Debug)]
pub(crate) struct Remarks {
    /// The profile that it is steered by.
    pub(crate) profile: Option<String>,
    /// What of it did nothing.
    pub(crate) ignored: Ignored,
}

impl Remarks {
    /// With these names of parameters that do nothing, besides those that it knows of.
    pub(super) fn ignoring(self, names: Vec<String>) -> Self {
        Self { ignored: self.ignored.and(names), ..self }
    }

    /// Adds the headers.
    pub(crate) fn tell(&self, response: &mut Response) {
        let profile = self.profile.as_ref().and_then(|profile| HeaderValue::try_from(profile).ok());
        if let Some(profile) = profile {
            response.headers_mut().insert("x-millm-profile", profile);
        }
        self.ignored.tell(response);
    }
}
