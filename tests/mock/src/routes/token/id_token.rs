//! ID tokens (OpenID Connect Core §2), good or with one flaw.

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};

use crate::encode::{b64url, random_text};
use crate::flaws::Flaw;
use crate::keys::{Alg, TestKey};
use crate::mint::TokenBuilder;
use crate::routes::Call;
use crate::tokens::Grant;

/// Seconds between a login that is too long ago and now.
const A_DAY: i64 = 24 * 3600;

/// The ID token beside an access token; `None` where none belongs, or a flaw leaves it out.
pub(super) fn beside(
    call: Call<'_>,
    grant: &Grant,
    access_token: &str,
    nonce: Option<&str>,
) -> Option<String> {
    // §3.1.3.3: it comes with the scope `openid`, and speaks of a person.
    let belongs = grant.user.is_some() && grant.scope.iter().any(|one| one == "openid");
    if !belongs || call.shared.flaws.shows(Flaw::IdTokenMissing) {
        return None;
    }
    let now = call.shared.clock.now_unix();
    let mut token = call.shared.mint(call.issuer).typ("JWT").without("client_id").without("jti");
    token = token
        .subject(&grant.subject)
        .audience(&grant.client)
        .claim("auth_time", grant.login.as_ref().map_or(now, |login| login.at))
        .claim("at_hash", at_hash(call.issuer.keys.current().alg(), access_token));
    if let Some(login) = &grant.login {
        token = token.claim("sid", login.session.as_str());
        if !login.acr.is_empty() {
            token = token.claim("acr", login.acr.as_str());
        }
    }
    if let Some(nonce) = nonce {
        token = token.nonce(nonce);
    }
    Some(spoil(call, token, grant, now))
}

/// The left half of the hash that belongs to the algorithm of the ID token (§3.1.3.6).
fn at_hash(alg: Alg, access_token: &str) -> String {
    let hash = match alg {
        Alg::Rs384 | Alg::Ps384 | Alg::Es384 => &SHA384,
        Alg::Rs512 | Alg::Ps512 | Alg::Es512 | Alg::EdDsa | Alg::Ed25519 => &SHA512,
        _ => &SHA256,
    };
    let hash = digest(hash, access_token.as_bytes());
    b64url(&hash.as_ref()[..hash.as_ref().len() / 2])
}

fn spoil(call: Call<'_>, mut token: TokenBuilder, grant: &Grant, now: i64) -> String {
    let mut changed_later = false;
    let later = |seconds: i64| now.saturating_add(seconds);
    for flaw in Flaw::ALL {
        if !flaw.as_str().starts_with("id_token_") || !call.shared.flaws.shows(*flaw) {
            continue;
        }
        token = match flaw {
            Flaw::IdTokenIssuer => token.issuer("https://attacker.example"),
            Flaw::IdTokenAudience => token.audience("another-client"),
            Flaw::IdTokenSecondAudience => token.claim("aud", vec![grant.client.as_str(), "another-client"]),
            Flaw::IdTokenAuthorizedParty => token.claim("azp", "another-client"),
            Flaw::IdTokenKey => {
                let current = call.issuer.keys.current();
                // Under the key id that is published, so that nothing but the signature is wrong.
                token.signed_with(&TestKey::generate(current.alg()).with_kid(current.kid()))
            }
            Flaw::IdTokenUnsigned => token.unsigned(),
            Flaw::IdTokenExpired => token.issued_at(later(-7200)).expires_at(later(-3600)),
            Flaw::IdTokenFuture => token.issued_at(later(3600)).expires_at(later(7200)),
            Flaw::IdTokenNonce => token.nonce(&random_text::<12>()),
            Flaw::IdTokenNonceMissing => token.without("nonce"),
            Flaw::IdTokenAcr => token.claim("acr", "urn:example:another-acr"),
            Flaw::IdTokenAuthTime => token.claim("auth_time", later(-A_DAY)),
            Flaw::IdTokenHash => token.claim("at_hash", random_text::<16>()),
            Flaw::IdTokenSubjectMissing => token.without("sub"),
            Flaw::IdTokenSignature => {
                changed_later = true;
                token
            }
            _ => token,
        };
    }
    if changed_later {
        let signature = token.sign(token.signing_input().as_bytes());
        token = token.subject("somebody-else").signature(signature);
    }
    token.build()
}
