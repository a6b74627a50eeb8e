//! A certificate for people.

use std::fmt::Write;

use super::{Certificate, Status};

/// The certificate for people: a line per hook point, then the sum.
pub(crate) fn table(certificate: &Certificate) -> String {
    let mut text = String::new();
    let width = certificate.hook_points.iter().map(|point| point.name.len()).max().unwrap_or_default().max(10);
    // Writing to a text cannot fail.
    let _ = writeln!(
        text,
        "{:width$}  {:>10}  {:>10}  {:>12}  {:>12}  status",
        "hook point", "max error", "relative", "cosine", "norm ratio"
    );
    for point in &certificate.hook_points {
        let status = status(point.status);
        let _ = match (&point.agreement, &point.reason) {
            (Some(found), _) => writeln!(
                text,
                "{:width$}  {:>10.2e}  {:>10.2e}  {:>12.9}  {:>12.9}  {status}",
                point.name, found.max_error, found.relative_error, found.cosine, found.norm_ratio
            ),
            (None, Some(reason)) => writeln!(text, "{:width$}  {status}: {reason}", point.name),
            (None, None) => {
                writeln!(text, "{:width$}  {:>10}  {:>10}  {:>12}  {:>12}  {status}", point.name, "-", "-", "-", "-")
            }
        };
    }
    let counts =
        [Status::Verified, Status::Unverified, Status::Failed].map(|kind| (certificate.count(kind), status(kind)));
    let counts: Vec<_> = counts.iter().map(|(count, kind)| format!("{count} {kind}")).collect();
    let _ = write!(text, "hook points: {}", counts.join(", "));
    if let Some(greedy) = certificate.greedy {
        let _ = write!(text, "; greedy tokens: {} of {} agree", greedy.agreeing, greedy.of);
    }
    let tolerance = certificate.tolerance;
    let _ = writeln!(
        text,
        "\n{} (verified means: relative error at most {:e}, norm ratio within {:e} of 1)",
        status(certificate.status),
        tolerance.relative_error,
        tolerance.norm_ratio
    );
    text
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Verified => "verified",
        Status::Unverified => "unverified",
        Status::Failed => "FAILED",
    }
}
