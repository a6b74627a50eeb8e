use super::{Call, Started};
use crate::{
    error::ApiError,
    http::Caller,
    openai::{
        answer::Form,
        best_of,
        receipt::{Draft, Receipt},
    },
};

/// Doing a request again.
impl Call {
    /// With these seeds, one for each prompt, instead of those that it would draw.
    pub(crate) fn seeded(mut self, seeds: &[u64]) -> Self {
        self.requests.iter_mut().zip(seeds).for_each(|(request, seed)| request.sampling.seed = *seed);
        let receipt = self.form.receipt.map(|draft| draft.seeded(seeds.to_vec()));
        Self { form: Form { receipt, ..self.form }, ..self }
    }

    /// Sent elsewhere first.
    pub(crate) fn sent_to(self, endpoint: &'static str) -> Self {
        let receipt = self.form.receipt.map(|draft| draft.sent_to(endpoint));
        Self { form: Form { receipt, ..self.form }, ..self }
    }

    /// The hash of the request, if that steers.
    pub(crate) fn request_sha256(&self) -> Option<&str> {
        self.form.receipt.as_ref().map(Draft::request_sha256)
    }

    /// Answers, and yields the receipt.
    pub(crate) async fn replay(self, caller: &Caller) -> Result<Receipt, ApiError> {
        let (computed, shown) = (self.computed, self.form.choices);
        let Started { generation, form, .. } = self.start(caller)?;
        let choices = best_of::select(generation.collect().await?.choices, computed, shown);
        let steered = (0..).zip(choices).filter_map(|(index, choice)| Some((index, choice.steered?)));
        form.receipt.map(|draft| draft.finish(steered.collect()).receipt).ok_or_else(ApiError::internal)
    }

    /// Prompts that it has.
    pub(crate) fn prompts(&self) -> usize {
        self.requests.len()
    }
}
