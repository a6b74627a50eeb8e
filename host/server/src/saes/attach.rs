//! Attaching SAEs to models, and detaching them.

use std::{
    fs,
    path::Path,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use millm_engine::{
    Sae,
    hook_points::resolve,
    sae::{Attached, Site},
};
use millm_plugin_api::{
    HookId, ModelSpec, RowShape,
    sae::{SaeSpec, SiteFix},
};
use millm_store::{Actor, SaeAttachment};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    AttachedSae, Base, SaeView, Saes,
    entry::{Entry, Standing, not_found},
    local::Place,
    refusal::{invalid, mismatch},
    self_test::{self, Tested},
    site::{details, fix_in, restored, site_in, usual},
};
use crate::{
    blocking::blocking,
    error::{ApiError, Kind},
    free_memory::available,
    whole::whole,
};

/// How an SAE is to be attached. Nothing said is as its files say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attach {
    pub(crate) hook_point: Option<String>,
    pub(crate) site_fix: Option<SiteFix>,
    /// The text that it is tested on.
    pub(crate) prompt: Option<String>,
    /// Whether it is not tested.
    pub(crate) untested: bool,
}

impl Saes {
    /// Attaches the SAE to a model, or elsewhere than it was. Requests that run finish with what they began with.
    ///
    /// # Errors
    ///
    /// `SaeNotFound`; `InvalidSae` if its files cannot be used; `SaeMismatch` if the model has nothing that it could read;
    /// `InsufficientMemory`; and what keeps it from being stored.
    pub(crate) async fn attach(&self, id: &str, base: Base, how: Attach, actor: &Actor) -> Result<SaeView, ApiError> {
        let (saes, id, actor) = (self.clone(), id.to_owned(), actor.clone());
        whole(async move { saes.attach_whole(&id, base, how, &actor).await }).await
    }

    async fn attach_whole(&self, id: &str, base: Base, how: Attach, actor: &Actor) -> Result<SaeView, ApiError> {
        let _changing = self.shared.changes.lock().await;
        let place = self.with(id, |entry| entry.place.clone())?;
        let (saes, name) = (self.clone(), id.to_owned());
        let attached = blocking(move || saes.open_at(&name, &place, &base, &how)).await?;
        let mut change = self.shared.store.change(actor).await?;
        self.store_entry(&mut change, id).await?;
        change.attach_sae(id, &attached.row()).await?;
        change.commit().await?;
        self.stand(id, Standing::Attached(Arc::new(attached)))
    }

    /// Detaches the SAE. Requests that run finish with it.
    ///
    /// # Errors
    ///
    /// `SaeNotFound`, `SaeNotAttached`, and what keeps it from being stored.
    pub(crate) async fn detach(&self, id: &str, actor: &Actor) -> Result<SaeView, ApiError> {
        let (saes, id, actor) = (self.clone(), id.to_owned(), actor.clone());
        whole(async move { saes.detach_whole(&id, &actor).await }).await
    }

    async fn detach_whole(&self, id: &str, actor: &Actor) -> Result<SaeView, ApiError> {
        let _changing = self.shared.changes.lock().await;
        if self.with(id, |entry| matches!(entry.standing, Standing::Detached))? {
            let message = format!("The SAE '{id}' is not attached to a model.");
            return Err(ApiError::new(Kind::SaeNotAttached, message));
        }
        let mut change = self.shared.store.change(actor).await?;
        self.store_entry(&mut change, id).await?;
        change.detach_sae(id).await?;
        change.commit().await?;
        self.stand(id, Standing::Detached)
    }

    fn with<T>(&self, id: &str, look: impl FnOnce(&Entry) -> T) -> Result<T, ApiError> {
        let entries = self.entries();
        entries.iter().find(|entry| entry.id == id).map(look).ok_or_else(|| not_found(&entries, id))
    }

    fn stand(&self, id: &str, standing: Standing) -> Result<SaeView, ApiError> {
        let mut entries = self.entries_mut();
        let Some(entry) = entries.iter_mut().find(|entry| entry.id == id) else { return Err(not_found(&entries, id)) };
        entry.standing = standing;
        entry.stored = true;
        entry.updated_at = Timestamp::now().as_millisecond();
        Ok(SaeView::of(entry))
    }

    /// Opens the SAE at its place of the model, and tests it there.
    pub(super) fn open_at(&self, id: &str, place: &Place, base: &Base, how: &Attach) -> Result<AttachedSae, ApiError> {
        let sae = self.sae(place).map_err(|reason| invalid("id", &reason))?;
        let spec = sae.spec();
        let of_files = || spec.hook_name.as_ref().map(ToString::to_string);
        let hook_point = how.hook_point.clone().or_else(of_files).ok_or_else(|| {
            let message = "Missing required parameter: 'hook_point'; the files of the SAE do not say where it belongs.";
            ApiError::at(Kind::MissingParameter, "hook_point", message)
        })?;
        let point = point_of(base.engine.spec(), spec, &hook_point)?;
        let model = base.engine.spec();
        let site = site_in(how.site_fix.unwrap_or_else(|| usual(spec.site_fix, model)), base, point)?;
        check_memory(&sae)?;
        let tested = if how.untested {
            Tested::skipped("it was not asked for")
        } else {
            let out = spec.hook_name_out.as_ref().filter(|_| spec.is_transcoder);
            let out = out.map(|out| resolve(base.engine.spec(), &out.to_string()));
            let out = match out.transpose() {
                Ok(points) => points.and_then(|points| points.first().copied()),
                Err(error) => return Err(mismatch("hook_point", &format!("{error}, where it writes"))),
            };
            // Of its own, so that what testing takes is given back.
            let own = self.sae(place).map_err(|reason| invalid("id", &reason))?;
            self_test::run(&own, &self.shared.threads, base, (point, out), &site, how.prompt.as_deref())?
        };
        self.attached_at(id, place, sae, site, (&base.id, hook_point), tested.json())
    }

    /// Opens the SAE where it was attached: as it was then or, if the model is in memory, as that is now.
    pub(super) fn reattach(
        &self,
        id: &str,
        place: &Place,
        was: &SaeAttachment,
        base: Option<&Base>,
    ) -> Result<AttachedSae, ApiError> {
        let sae = self.sae(place).map_err(|reason| invalid("id", &reason))?;
        let site = match base {
            None => restored(&was.details)?,
            Some(base) => {
                let point = point_of(base.engine.spec(), sae.spec(), &was.hook_point)?;
                site_in(fix_in(&was.details), base, point)?
            }
        };
        self.attached_at(id, place, sae, site, (&was.model, was.hook_point.clone()), was.details["self_test"].clone())
    }

    fn attached_at(
        &self,
        id: &str,
        place: &Place,
        sae: Sae,
        site: Site,
        (model, hook_point): (&str, String),
        self_test: Value,
    ) -> Result<AttachedSae, ApiError> {
        let folder = place.folder();
        let fingerprint = fingerprint(&sae, &folder).map_err(|error| invalid("id", &error))?;
        let sae = Attached { sae: Arc::new(sae), site: Arc::new(site), threads: self.shared.threads.clone() };
        let (id, model, notes) = (id.to_owned(), model.to_owned(), OnceLock::new());
        Ok(AttachedSae { id, model, hook_point, sae, self_test, fingerprint, folder, notes })
    }
}

impl AttachedSae {
    /// As the store keeps it.
    pub(super) fn row(&self) -> SaeAttachment {
        let mut details = details(&self.sae.site);
        details["self_test"] = self.self_test.clone();
        SaeAttachment { model: self.model.clone(), hook_point: self.hook_point.clone(), details }
    }
}

/// The one hook point of the model that is called `name`, if the SAE can read it.
fn point_of(model: &ModelSpec, sae: &SaeSpec, name: &str) -> Result<HookId, ApiError> {
    let points = resolve(model, name)
        .map_err(|error| ApiError::at(Kind::from(&error), "hook_point", format!("Invalid 'hook_point': {error}.")))?;
    let &[point] = &points[..] else {
        let message = format!("'{name}' is {} hook points; an SAE is at one of them", points.len());
        return Err(mismatch("hook_point", &message));
    };
    let hook = &model.hook_points[point.0 as usize];
    if let RowShape::Keys { .. } = hook.row {
        return Err(mismatch("hook_point", &format!("rows at {name} are as long as their sequence")));
    }
    if let Some(head) = sae.hook_head_index {
        return Err(mismatch("hook_point", &format!("it reads head {head} of {name} alone, which is not supported")));
    }
    let width = hook.row.elements(0);
    if width != sae.d_in as usize {
        let trained = sae.declared.model_name.as_ref().map(|name| format!("; it was trained on '{name}'"));
        let trained = trained.unwrap_or_default();
        return Err(mismatch(
            "hook_point",
            &format!("d_in is {}, and rows at {name} have {width} numbers{trained}", sae.d_in),
        ));
    }
    Ok(point)
}

/// Refuses an SAE of which one edit takes a whole encoder, if there is no memory for that.
fn check_memory(sae: &Sae) -> Result<(), ApiError> {
    let (needed, available) = (sae.encoder_bytes(), available());
    if !sae.is_competitive() || needed <= available {
        return Ok(());
    }
    let message = format!(
        "The features of this SAE compete, so that its whole encoder of {} MiB has to be in memory, and {} MiB are available.",
        needed.div_ceil(1 << 20),
        available >> 20
    );
    Err(ApiError::new(Kind::InsufficientMemory, message)
        .with("required_bytes", needed)
        .with("available_bytes", available))
}

/// Of all that the numbers of an SAE depend on but the large matrices, whose names and sizes have to do.
fn fingerprint(sae: &Sae, folder: &Path) -> Result<String, String> {
    let mut hasher = Sha256::new();
    // The form of this is nobody's business but that of one version of this program.
    hasher.update(format!("{:?}", sae.spec()));
    for number in sae.small_numbers() {
        hasher.update(number.to_le_bytes());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| error.to_string())?.filter_map(Result::ok) {
        let bytes = fs::metadata(entry.path()).map(|metadata| metadata.len()).unwrap_or_default();
        files.push((entry.file_name(), bytes));
    }
    files.sort();
    for (name, bytes) in files {
        hasher.update(name.as_encoded_bytes());
        hasher.update([0]);
        hasher.update(bytes.to_le_bytes());
    }
    Ok(hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}
