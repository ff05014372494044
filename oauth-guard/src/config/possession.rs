//! The keys of proofs of possession: `public_url`, `trusted_proxies`, and the tables `dpop` and `certificates`.

use std::time::Duration;

use oauth_client::config::schema::{Key, Kind, join};
use oauth_client::config::tree::Table;

use crate::error::Problem;
use crate::guard::GuardBuilder;
use crate::jose::Algorithm;
use crate::possession::{CertificateSource, Certificates, Dpop};

pub(super) const DPOP: &[Key] = &[
    Key::new(
        "mode",
        Kind::OneOf(&["accept", "require"]),
        "\"accept\"",
        "mode = \"require\"",
        "accept: bound tokens need a proof, others are accepted as Bearer; require: bound tokens only.",
    ),
    Key::new(
        "algorithms",
        Kind::SomeOf(super::keys::ALGORITHMS),
        "ES256, ES384, EdDSA, RS256, PS256",
        "algorithms = [\"ES256\", \"EdDSA\"]",
        "The only signature algorithms of proofs to accept.",
    ),
    Key::new(
        "max_age_seconds",
        Kind::Number(1),
        "60",
        "max_age_seconds = 60",
        "How old a proof may be, by its iat; it may be 5 seconds ahead.",
    ),
    Key::new(
        "nonce",
        Kind::OneOf(&["off", "require"]),
        "\"off\"",
        "nonce = \"require\"",
        "require: each proof needs a nonce of this guard's, so that none is made for later.",
    ),
    Key::new(
        "nonce_seconds",
        Kind::Number(1),
        "300",
        "nonce_seconds = 300",
        "How long a nonce is good. From half of that on, good responses bring the next one. Needs nonce, and has no effect where that is \"off\".",
    ),
    Key::new(
        "nonce_key",
        Kind::Secret,
        "made at start",
        "nonce_key = { file = \"nonce.key\" }",
        "The key that nonces are sealed with, which the guards of a fleet share: at least 32 bytes in base64. Needs nonce, and has no effect where that is \"off\".",
    ),
];

pub(super) const CERTIFICATES: &[Key] = &[
    Key::new(
        "source",
        Kind::OneOf(&["connection", "client-cert", "xfcc", "nginx"]),
        "\"connection\"",
        "source = \"xfcc\"",
        "Where the caller's certificate is found: on the connection, or in the header Client-Cert (RFC 9440), x-forwarded-client-cert (Envoy) or ssl-client-cert (nginx, escaped PEM) of a trusted proxy.",
    ),
    Key::new(
        "mode",
        Kind::OneOf(&["accept", "require"]),
        "\"accept\"",
        "mode = \"require\"",
        "accept: tokens that are bound to a certificate need it, others are accepted; require: only tokens that are bound to one.",
    ),
];

/// What the keys say.
pub(super) fn apply(
    mut builder: GuardBuilder,
    table: Table<'_>,
    problems: &mut Vec<Problem>,
) -> GuardBuilder {
    if let Some(url) = table.text("public_url") {
        builder = builder.public_url(url);
    }
    if table.has("trusted_proxies") {
        builder = builder.trusted_proxies(table.texts("trusted_proxies"));
    }
    if let Some(table) = table.table("dpop") {
        builder = builder.dpop(dpop(table, problems));
    }
    if let Some(table) = table.table("certificates") {
        builder = builder.certificates(certificates(table));
    }
    builder
}

fn dpop(table: Table<'_>, problems: &mut Vec<Problem>) -> Dpop {
    let mut dpop = Dpop::new();
    if table.text("mode") == Some("require") {
        dpop = dpop.required();
    }
    if table.has("algorithms") {
        dpop = dpop.algorithms(table.texts("algorithms").into_iter().filter_map(Algorithm::from_name));
    }
    if let Some(seconds) = table.number("max_age_seconds") {
        dpop = dpop.max_age(Duration::from_secs(seconds));
    }
    dpop = match table.text("nonce") {
        Some("require") => dpop.require_nonce(),
        Some(_) => dpop.nonce_off(),
        None => dpop,
    };
    if let Some(seconds) = table.number("nonce_seconds") {
        dpop = dpop.nonce_lifetime(Duration::from_secs(seconds));
    }
    let mut own = Vec::new();
    if let Some(key) = table.secret("nonce_key", &mut own) {
        dpop = dpop.nonce_key(key);
    }
    let named = |problem: Problem| Problem { field: join("dpop", &problem.field), ..problem };
    problems.extend(own.into_iter().map(named));
    dpop
}

fn certificates(table: Table<'_>) -> Certificates {
    let certificates = Certificates::from(match table.text("source") {
        Some("client-cert") => CertificateSource::ClientCert,
        Some("xfcc") => CertificateSource::Xfcc,
        Some("nginx") => CertificateSource::Nginx,
        _ => CertificateSource::Connection,
    });
    if table.text("mode") == Some("require") { certificates.required() } else { certificates }
}
