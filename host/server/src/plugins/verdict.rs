//! What an inspection comes to.

use millm_loader::{Inspection, Origin, Outcome};
use millm_store::NewTrust;

/// What trusting the inspected library means, unless it would be refused all the same. Of a bundled one, nobody's word
/// changes what the list beside it says.
pub(super) fn trusting(inspection: &Inspection, origin: Origin) -> Result<NewTrust, String> {
    let (Some(manifest), Some(sha256)) = (&inspection.manifest, &inspection.sha256) else {
        return Err(failures(inspection));
    };
    if !inspection.passed() && (origin == Origin::Bundled || !inspection.only_untrusted()) {
        return Err(failures(inspection));
    }
    let path = inspection.folder.join(&manifest.entry).to_string_lossy().into_owned();
    Ok(NewTrust { sha256: sha256.clone(), name: manifest.name.clone(), path })
}

/// Why the plugin would be refused.
pub(super) fn failures(inspection: &Inspection) -> String {
    let failed = inspection.checks.iter().filter_map(|(_, outcome)| match outcome {
        Outcome::Failed(why) => Some(why.as_str()),
        Outcome::Passed | Outcome::Skipped => None,
    });
    failed.collect::<Vec<_>>().join("; ")
}
