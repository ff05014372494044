//! ID tokens (OpenID Connect Core section 2), good or with one tamper.

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};

use crate::clients::OPENID;
use crate::encode::{b64url, random_text};
use crate::keys::Alg;
use crate::mint::TokenBuilder;
use crate::routes::Call;
use crate::rules::tampers::Tamper;
use crate::state::tokens::Grant;

/// Seconds between a login that is too long ago and now.
const A_DAY: i64 = 24 * 3600;

/// The ID token beside an access token; `None` where none belongs, or a tamper leaves it out.
pub(super) fn beside(
    call: Call<'_>,
    grant: &Grant,
    access_token: &str,
    nonce: Option<&str>,
) -> Option<String> {
    // section 3.1.3.3: it comes with the scope `openid`, and is about a user.
    let belongs = grant.user.is_some() && grant.scope.iter().any(|one| one == OPENID);
    if !belongs || call.shared.tampers.shows(Tamper::IdTokenMissing) {
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
    if let Some(rulings) = call.rulings {
        token = token.set_claims(&rulings.id_token);
    }
    Some(tamper(call, token, grant, now))
}

/// The left half of the hash that belongs to the algorithm of the ID token (section 3.1.3.6).
fn at_hash(alg: Alg, access_token: &str) -> String {
    let hash = match alg {
        Alg::Rs384 | Alg::Ps384 | Alg::Es384 => &SHA384,
        Alg::Rs512 | Alg::Ps512 | Alg::Es512 | Alg::EdDsa | Alg::Ed25519 => &SHA512,
        _ => &SHA256,
    };
    let hash = digest(hash, access_token.as_bytes());
    b64url(&hash.as_ref()[..hash.as_ref().len() / 2])
}

fn tamper(call: Call<'_>, mut token: TokenBuilder, grant: &Grant, now: i64) -> String {
    let mut changed_later = false;
    let later = |seconds: i64| now.saturating_add(seconds);
    for tamper in Tamper::ALL {
        if !tamper.as_str().starts_with("id_token_") || !call.shared.tampers.shows(*tamper) {
            continue;
        }
        token = match tamper {
            Tamper::IdTokenIssuer => token.issuer("https://attacker.example"),
            Tamper::IdTokenAudience => token.audience("another-client"),
            Tamper::IdTokenSecondAudience => {
                token.claim("aud", vec![grant.client.as_str(), "another-client"])
            }
            Tamper::IdTokenAuthorizedParty => token.claim("azp", "another-client"),
            Tamper::IdTokenKey => {
                let current = call.issuer.keys.current();
                // Under the key id that is published, so that nothing but the signature is wrong.
                token.signed_with(&call.issuer.keys.foreign(current.alg()).with_kid(current.kid()))
            }
            Tamper::IdTokenUnsigned => token.unsigned(),
            Tamper::IdTokenExpired => token.issued_at(later(-7200)).expires_at(later(-3600)),
            Tamper::IdTokenFuture => token.issued_at(later(3600)).expires_at(later(7200)),
            Tamper::IdTokenNonce => token.nonce(&random_text::<12>()),
            Tamper::IdTokenNonceMissing => token.without("nonce"),
            Tamper::IdTokenAcr => token.claim("acr", "urn:example:another-acr"),
            Tamper::IdTokenAuthTime => token.claim("auth_time", later(-A_DAY)),
            Tamper::IdTokenHash => token.claim("at_hash", random_text::<16>()),
            Tamper::IdTokenSubjectMissing => token.without("sub"),
            Tamper::IdTokenSignature => {
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
