//! What an operator can look at or change about a rejection.

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};

use super::rejection::Rejection;
use crate::bearer;
use crate::introspect::IntrospectedTokens;
use crate::issuer::{IssuerState, Profile};
use crate::request::is_preflight;

/// Where a role or another claim was asked for.
const OTHER_THAN_SCOPES: &str = "what is required is a role or another claim, which the token lacks: compare the rule with \
     Guard::explain of the token; for roles in another claim set roles_claim";

/// A bearer token would be rejected here.
const NO_BOUND_TOKEN: &str = "the client has to send a token bound to its key as `Authorization: DPoP`, with a proof; if it \
     does, look for a proxy that removes the header";

/// What to look at or to change. `profile` is that of the token's issuer, where it is known.
pub(crate) fn of_rejection(rejection: &Rejection, profile: Option<Profile>) -> Option<&'static str> {
    let claim = match rejection {
        Rejection::InsufficientScope { needed } if needed.is_empty() => return Some(OTHER_THAN_SCOPES),
        Rejection::MissingBoundToken => return Some(NO_BOUND_TOKEN),
        Rejection::InvalidToken(invalid) => invalid.claim(),
        _ => None,
    };
    match claim {
        Some(claim) => Some(of_claim(claim, profile)),
        None => of_reason(rejection.reason()),
    }
}

/// What kind of token is expected of an issuer. `None` where its server alone decides.
pub(crate) fn profile(issuer: &IssuerState) -> Option<Profile> {
    let asks = issuer.introspector.as_ref().is_some_and(|one| one.tokens == IntrospectedTokens::Any);
    (!asks).then_some(issuer.rules.profile)
}

/// Of a claim that is missing, or of the wrong type.
fn of_claim(claim: &str, profile: Option<Profile>) -> &'static str {
    match claim {
        "iss" | "aud" | "exp" => OF_EVERY_TOKEN,
        "sub" | "client_id" | "iat" | "jti" if profile == Some(Profile::Rfc9068) => OF_RFC_9068,
        _ => OF_A_SETTING,
    }
}

const OF_EVERY_TOKEN: &str = "each access token needs iss, aud and exp, whatever the profile: look at the token with \
     Guard::explain, and have the issuer put the claim in; for tokens without aud set any_audience and clients";
const OF_RFC_9068: &str = "the issuer's tokens may be no RFC 9068 access tokens, which have sub, client_id, iat and jti: \
     set profile = \"jwt\" if the claim is absent";
const OF_A_SETTING: &str = "the claim has another type than in RFC 7519, or a setting needs it, as max_token_age_seconds \
     needs iat: look at the token with Guard::explain";

/// What to look at or to change, by the reason of a rejection. Settings are named as in a configuration file.
pub(crate) fn of_reason(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "missing_token" => {
            "the client has to send `Authorization: Bearer`; if it does, look for a proxy that removes the header, or name another place with token_header or token_cookie"
        }
        "invalid_request" => "the client has to change the request",
        "insufficient_scope" => {
            "the client has to ask for the scopes of the challenge; if the token has them in another claim, set scope_claim or scope_separator, for roles roles_claim"
        }
        "insufficient_user_authentication" => {
            "the client has to log the user in again, as the challenge says"
        }
        "no_rule" => "add a [[rule]] for the route, or leave out default_access = \"deny\"",
        "origin_not_allowed" => "add the page's origin to allowed_origins",
        "token_too_long" => "raise max_token_bytes of the issuer if its tokens are longer than 8 KiB",
        "token_malformed" => {
            "this is no JWT: if the issuer's tokens are opaque, set [issuer.introspection]; if the client sends an ID token or a key of its own, it has to send the access token"
        }
        "header_malformed" | "claims_malformed" => {
            "the token is not well-formed; look at it with Guard::explain"
        }
        "algorithm_unsupported" => {
            "the issuer has to sign with RS256, PS256, ES256, EdDSA or one of their kin"
        }
        "algorithm_not_allowed" => {
            "add the token's alg to algorithms of the issuer, if it is meant to be accepted"
        }
        "issuer_unknown" => {
            "issuer has to be exactly the token's iss, with or without a slash at the end as it is there"
        }
        "type_mismatch" => {
            "RFC 9068 access tokens have the typ at+jwt: if the issuer's access tokens have JWT or none, set profile = \"jwt\"; if this is an ID token, the client has to send the access token"
        }
        "audience_mismatch" => {
            "set audience of the issuer to what the token's aud names, if it stands for this API; else the client has to ask for a token for this API (audience or resource)"
        }
        "expired" => {
            "the client has to get a new token; if it did, compare the clocks of both machines (leeway_seconds)"
        }
        "not_yet_valid" => "compare the clocks of both machines (leeway_seconds)",
        "too_old" => "raise max_token_age_seconds of the issuer, or have it issue shorter-lived tokens",
        "client_not_allowed" => "add the client to clients of the issuer",
        "required_claim_mismatch" => "compare require of the issuer with the token, see Guard::explain",
        "bound_to_key" => {
            "the token is bound to a key of the client (cnf): accept proofs with [dpop] or [certificates]"
        }
        "scheme_mismatch" => {
            "the client has to send a bound token with the scheme DPoP and a proof, and any other as Bearer"
        }
        "token_not_bound" => {
            "the client has to ask for a bound token (RFC 9449), or leave out mode = \"require\""
        }
        "token_not_bound_to_certificate" => {
            "the client has to get its token over a connection with its certificate (RFC 8705), or leave out mode = \"require\" of [certificates]"
        }
        "proof_key_mismatch" => "the client has to sign its proof with the key that the token was issued for",
        "certificate_mismatch" => {
            "the client has to connect with the certificate that the token was issued for; behind a proxy, check source of [certificates] and trusted_proxies"
        }
        "proof_missing" => "the client has to send a DPoP proof with each request (RFC 9449)",
        "proof_htu_mismatch" => {
            "the proof is for another URL: set public_url to what clients see, or trusted_proxies to the proxies in front"
        }
        "proof_too_old" | "proof_from_the_future" => {
            "the client has to make a proof for each request; if it does, compare the clocks (max_age_seconds of [dpop])"
        }
        "proof_algorithm_not_allowed" => {
            "add the proof's alg to algorithms of [dpop], if it is meant to be accepted"
        }
        "proof_replayed" => {
            "the client has to make a new proof for each request, also when it tries one again"
        }
        "revoked" => "the token, its session or its user was revoked: the user has to log in again",
        "revocations_unavailable" => {
            "a source of revocations is away, see the log and Guard::health: bring it back (for [revocation] file create the file; empty is fine), or set on_outage = \"serve\""
        }
        "key_unknown" => {
            "the issuer's key set has no such key: check jwks_uri or jwks_file, and whether the token is from another environment"
        }
        "key_of_another_issuer" => {
            "the key set names another issuer for this key: check the tenant in issuer and jwks_uri"
        }
        "signature_invalid" => {
            "the token was changed, or is from another environment whose keys have the same ids"
        }
        "claims_do_not_fit" => {
            "change the type given to GuardBuilder::claims, or what the issuer puts into the claim: misfit names it"
        }
        "token_inactive" => {
            "the authorization server says no: the token was revoked, has expired, or this guard's client_id may not ask about it"
        }
        "introspection_contradicts" => {
            "the server's response is about another iss or sub: check the endpoint of [issuer.introspection]"
        }
        _ => return None,
    })
}

/// What a request has in place of a token, where that shows what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InsteadOfToken {
    /// `Authorization: DPoP`, which is another scheme without settings for it.
    Dpop,
    /// A JWT without a scheme.
    NoScheme,
    /// A CORS preflight request.
    Preflight,
}

impl InsteadOfToken {
    /// For a request in which no token was found.
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Option<Self> {
        let Some(value) = headers.get(AUTHORIZATION) else {
            return is_preflight(method, headers).then_some(Self::Preflight);
        };
        if bearer::is_dpop(headers) {
            return Some(Self::Dpop);
        }
        // The header of a JWT is a JSON object, which begins so in base64url.
        value.as_bytes().starts_with(b"eyJ").then_some(Self::NoScheme)
    }

    /// Where it says more of this rejection than the rejection itself.
    pub(crate) fn advice(self, rejection: &Rejection) -> Option<&'static str> {
        match (self, rejection) {
            (Self::Dpop, Rejection::MissingToken) => {
                Some("the scheme of Authorization is DPoP, and this guard takes Bearer alone: set [dpop]")
            }
            (Self::NoScheme, Rejection::MissingToken) => Some(
                "Authorization has a token without a scheme: the client has to write `Bearer ` in front of it",
            ),
            (Self::Preflight, Rejection::MissingToken | Rejection::MissingBoundToken) => Some(
                "this is a CORS preflight request, which never has a token: put the CORS layer outside of the guard, or set allow_preflight",
            ),
            _ => None,
        }
    }
}
