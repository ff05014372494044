//! What is wrong with a logout token or a security event token, once, as one table: what to send, what must come back, whether
//! it may have an effect, and which clause says so.

use std::fmt;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{BACKCHANNEL_LOGOUT, SecurityEvent};
use crate::encode::percent_encode;
use crate::keys::{Alg, TestKey};
use crate::mint::TokenBuilder;
use crate::server::MockServer;

/// The endpoint that gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttackedEndpoint {
    /// For logout tokens, as a form.
    BackchannelLogout,
    /// For security event tokens that are pushed.
    SecurityEvents,
}

/// One row of the table.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct StatementAttack {
    /// A stable name for reports.
    pub id: &'static str,
    /// The endpoint.
    pub endpoint: AttackedEndpoint,
    /// What must hold, in one sentence.
    pub rule: &'static str,
    /// Where that is written.
    pub clause: &'static str,
    /// What must come back.
    pub expected: ExpectedAnswer,
    make: fn(&StatementContext) -> Parcel,
}

/// What must come back, and whether tokens end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectedAnswer {
    /// It is taken, and the user's tokens end.
    Effect,
    /// It is taken, and the user's tokens end; or it gets 400, and nothing ends: the standards allow both.
    EffectOrRefused,
    /// It is taken, or gets 400. What it means for tokens is the receiver's choice, as far as it is taken: a standard
    /// describes the event, and leaves open what follows from it.
    Choice,
    /// It is taken, and nothing ends.
    NoEffect,
    /// 400, and nothing ends. At the endpoint for security events with this error code (RFC 8935 section 2.4).
    Refused(&'static str),
    /// 405, and nothing ends.
    MethodNotAllowed,
}

/// One request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Parcel {
    /// The method.
    pub method: Method,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// Who sends it, to whom, and about whom.
#[derive(Clone, Debug)]
pub struct StatementContext {
    logout: TokenBuilder,
    event: TokenBuilder,
    issuer: String,
    audience: String,
    subject: String,
    now: i64,
    key: TestKey,
    public_jwk: Value,
}

impl StatementContext {
    /// For one request: by the server's first issuer, to the client of that id, about that user.
    #[must_use]
    pub fn new(server: &MockServer, client_id: &str, subject: &str) -> Self {
        let key = server.keys().current();
        Self {
            logout: server.logout_token(client_id, subject),
            event: server.security_event(client_id, SecurityEvent::SessionRevoked, subject),
            issuer: server.issuer().to_owned(),
            audience: client_id.to_owned(),
            subject: subject.to_owned(),
            now: server.clock().now_unix(),
            public_jwk: key.public_jwk(),
            key,
        }
    }
}

impl Parcel {
    /// A logout token as a form (OpenID Connect Back-Channel Logout section 2.5).
    #[must_use]
    pub fn logout(token: &str) -> Self {
        Self::form(format!("logout_token={}", percent_encode(token)))
    }

    /// A security event token (RFC 8935 section 2.1).
    #[must_use]
    pub fn event(token: impl Into<String>) -> Self {
        Self::new("application/secevent+jwt", token.into())
    }

    fn form(body: String) -> Self {
        Self::new("application/x-www-form-urlencoded", body)
    }

    fn new(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, content_type: Some(content_type.to_owned()), body: body.into() }
    }

    /// The request, to this address.
    ///
    /// # Errors
    /// When the address is no URL.
    pub fn to_http(&self, url: &str) -> Result<http::Request<Bytes>, http::Error> {
        let mut request = http::Request::builder().method(self.method.clone()).uri(url);
        if let Some(kind) = &self.content_type {
            request = request.header(http::header::CONTENT_TYPE, kind);
        }
        request.body(self.body.clone())
    }
}

impl StatementAttack {
    /// What to send.
    #[must_use]
    pub fn parcel(&self, context: &StatementContext) -> Parcel {
        (self.make)(context)
    }
}

impl fmt::Debug for StatementAttack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementAttack")
            .field("id", &self.id)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The whole table.
pub fn all() -> impl Iterator<Item = &'static StatementAttack> {
    [LOGOUT_COMMON, LOGOUT, LOGOUT_WIRE, EVENTS_COMMON, EVENTS, EVENTS_WIRE].into_iter().flatten()
}

const OK: ExpectedAnswer = ExpectedAnswer::Effect;
const OK_OR_NONE: ExpectedAnswer = ExpectedAnswer::EffectOrRefused;
const CHOICE: ExpectedAnswer = ExpectedAnswer::Choice;
const NOTHING: ExpectedAnswer = ExpectedAnswer::NoEffect;
const REQUEST: ExpectedAnswer = ExpectedAnswer::Refused("invalid_request");
const KEY: ExpectedAnswer = ExpectedAnswer::Refused("invalid_key");
const ISSUER: ExpectedAnswer = ExpectedAnswer::Refused("invalid_issuer");
const AUDIENCE: ExpectedAnswer = ExpectedAnswer::Refused("invalid_audience");

macro_rules! rows {
    ($endpoint:ident, $wrap:expr, $builder:ident, [$($id:literal, $rule:literal, $clause:literal, $expected:expr, $make:expr;)*]) => {
        &[$(StatementAttack {
            id: $id,
            endpoint: AttackedEndpoint::$endpoint,
            rule: $rule,
            clause: $clause,
            expected: $expected,
            make: |context| {
                let change: fn(TokenBuilder, &StatementContext) -> TokenBuilder = $make;
                $wrap(&change(context.$builder.clone(), context).build())
            },
        }),*]
    };
}

macro_rules! raw {
    ($endpoint:ident, [$($id:literal, $rule:literal, $clause:literal, $expected:expr, $make:expr;)*]) => {
        &[$(StatementAttack {
            id: $id,
            endpoint: AttackedEndpoint::$endpoint,
            rule: $rule,
            clause: $clause,
            expected: $expected,
            make: $make,
        }),*]
    };
}

/// What both kinds have in common.
macro_rules! common {
    ($endpoint:ident, $wrap:expr, $builder:ident) => {
        rows!($endpoint, $wrap, $builder, [
            "good", "a good one ends the user's tokens", "Back-Channel Logout 2.7, RFC 8935 2.2", OK, |token, _| token;
            "aud-list", "aud may be a list with the receiver in it", "RFC 7519 4.1.3", OK,
                |token, context| token.claim("aud", vec!["other", context.audience.as_str()]);
            "unsigned", "alg none is refused", "Back-Channel Logout 2.6, RFC 8417 5.1", REQUEST, |token, _| token.unsigned();
            "foreign-key", "a signature by another key is refused", "RFC 7515 5.2", KEY, |token, context| {
                token.signed_with(&TestKey::generate(context.key.alg()).with_kid(context.key.kid()))
            };
            "unknown-key", "a key that the issuer does not publish is refused", "RFC 7515 6", KEY, |token, context| {
                token.signed_with(&TestKey::generate(context.key.alg()).with_kid("never-published"))
            };
            "public-key-as-secret", "a public key is no HMAC secret", "RFC 8725 2.1", KEY,
                |token, context| token.signed_with_secret(Alg::Hs256, context.public_jwk.to_string());
            "own-key", "a key in the header is not used", "RFC 8725 3.10", KEY, |token, context| {
                let key = TestKey::generate(context.key.alg());
                let jwk = key.public_jwk();
                token.signed_with(&key).header("jwk", jwk)
            };
            "empty-signature", "a signature is there", "RFC 7515 5.2", REQUEST, |token, _| token.signature(Vec::new());
            "crit", "an extension that is not understood is refused", "RFC 7515 4.1.11", REQUEST,
                |token, _| token.header("crit", json!(["b64"])).header("b64", true);
            "typ-access-token", "an access token is none of these", "RFC 8725 3.11", REQUEST, |token, _| token.typ("at+jwt");
            "typ-other", "another type is refused", "RFC 8725 3.11", REQUEST, |token, _| token.typ("dpop+jwt");
            "iss-missing", "iss is required", "Back-Channel Logout 2.4, RFC 8417 2.2", REQUEST, |token, _| token.without("iss");
            "iss-unknown", "an unknown issuer is refused", "Back-Channel Logout 2.6", ISSUER,
                |token, _| token.issuer("https://attacker.example");
            "iss-list", "iss is one string", "RFC 7519 4.1.1", REQUEST,
                |token, context| token.claim("iss", vec![context.issuer.as_str()]);
            "aud-missing", "aud is required here", "Back-Channel Logout 2.4", REQUEST, |token, _| token.without("aud");
            "aud-other", "what is for others is refused", "Back-Channel Logout 2.6", AUDIENCE, |token, _| token.audience("other");
            "aud-number", "aud is a string or a list of strings", "RFC 7519 4.1.3", REQUEST, |token, _| token.claim("aud", 7);
            "aud-mixed", "aud is a list of strings only", "RFC 7519 4.1.3", REQUEST,
                |token, context| token.claim("aud", json!([context.audience, 7]));
            "iat-missing", "iat is required", "Back-Channel Logout 2.4, RFC 8417 2.2", REQUEST, |token, _| token.without("iat");
            "iat-future", "iat is not in the future", "Back-Channel Logout 2.6", REQUEST,
                |token, context| token.issued_at(context.now + 600).expires_at(context.now + 900);
            "iat-text", "iat is a number", "RFC 7519 2", REQUEST, |token, context| token.claim("iat", context.now.to_string());
            "exp-over", "what has expired is refused", "Back-Channel Logout 2.6", REQUEST,
                |token, context| token.issued_at(context.now - 600).expires_at(context.now - 300);
            "exp-text", "exp is a number", "RFC 7519 2", REQUEST, |token, _| token.claim("exp", "later");
            "jti-missing", "jti is required", "Back-Channel Logout 2.4, RFC 8417 2.2", REQUEST, |token, _| token.without("jti");
            "jti-empty", "jti names it", "RFC 7519 4.1.7", REQUEST, |token, _| token.claim("jti", "");
            "jti-number", "jti is a string", "RFC 7519 4.1.7", REQUEST, |token, _| token.claim("jti", 7);
            "events-missing", "without events it is another kind of token", "Back-Channel Logout 2.4, RFC 8417 2.2", REQUEST,
                |token, _| token.without("events");
            "events-text", "events is an object", "RFC 8417 2.2", REQUEST, |token, _| token.claim("events", BACKCHANNEL_LOGOUT);
            "events-list", "events is an object", "RFC 8417 2.2", REQUEST,
                |token, _| token.claim("events", vec![BACKCHANNEL_LOGOUT]);
            "events-empty", "events has at least one member", "RFC 8417 2.2", REQUEST, |token, _| token.claim("events", json!({}));
            "event-text", "each event is an object", "RFC 8417 2.2", REQUEST, |token, _| token.claim(
                "events",
                json!({ BACKCHANNEL_LOGOUT: "x", (SecurityEvent::SessionRevoked.uri()): "x" })
            );
            "nonce", "an ID token cannot be passed for one of these", "Back-Channel Logout 2.4", REQUEST,
                |token, _| token.nonce("n-0S6_WzA2Mj");
            "payload-list", "the claims are an object", "RFC 7519 7.2", REQUEST, |token, _| token.raw_payload("[]");
            "duplicate-member", "a member is there once", "RFC 7519 4", REQUEST, |token, context| {
                let claims = Value::Object(token.claims().clone()).to_string();
                let again = format!(r#"{{"iss":"{}",{}"#, context.issuer, claims.trim_start_matches('{'));
                token.raw_payload(again)
            };
            "too-long", "a token has a limit", "RFC 8725 3.8", REQUEST, |token, _| token.claim("x", "x".repeat(9000));
        ])
    };
}

static LOGOUT_COMMON: &[StatementAttack] = common!(BackchannelLogout, Parcel::logout, logout);
static EVENTS_COMMON: &[StatementAttack] = common!(SecurityEvents, Parcel::event, event);

static LOGOUT: &[StatementAttack] = rows!(BackchannelLogout, Parcel::logout, logout, [
    "typ-absent", "typ may be left out", "Back-Channel Logout 2.4", OK, |token, _| token.without_header("typ");
    "typ-jwt", "typ may be JWT", "Back-Channel Logout 2.4", OK, |token, _| token.typ("JWT");
    "typ-secevent", "a security event token is none of these", "RFC 8725 3.11", REQUEST, |token, _| token.typ("secevent+jwt");
    "exp-missing", "exp is required; a fresh one without it may count, as in earlier drafts", "Back-Channel Logout 2.4", OK_OR_NONE,
        |token, _| token.without("exp");
    "exp-missing-old", "an old one without exp is refused", "Back-Channel Logout 2.4", REQUEST,
        |token, context| token.without("exp").issued_at(context.now - 600);
    "subject-missing", "sub or sid is there", "Back-Channel Logout 2.4", REQUEST, |token, _| token.without("sub");
    "sub-number", "sub is a string", "RFC 7519 4.1.2", REQUEST, |token, _| token.claim("sub", 7);
    "sid-number", "sid is a string", "Back-Channel Logout 2.4", REQUEST, |token, _| token.claim("sid", 7);
    "other-event", "without the logout event it is another kind of token", "Back-Channel Logout 2.6", REQUEST,
        |token, _| token.claim("events", json!({ (SecurityEvent::SessionRevoked.uri()): {} }));
    "more-events", "other events may stand beside it", "Back-Channel Logout 2.4", OK,
        |token, _| token.claim("events", json!({ BACKCHANNEL_LOGOUT: {}, "https://other.example/event": {} }));
]);

static EVENTS: &[StatementAttack] = rows!(SecurityEvents, Parcel::event, event, [
    "typ-absent", "typ is secevent+jwt", "RFC 8417 2.3", REQUEST, |token, _| token.without_header("typ");
    "typ-jwt", "typ is secevent+jwt", "RFC 8417 2.3", REQUEST, |token, _| token.typ("JWT");
    "typ-logout", "a logout token is none of these", "RFC 8725 3.11", REQUEST, |token, _| token.typ("logout+jwt");
    "old", "an event that comes late counts: it may have waited for its receiver", "RFC 8417 2.2", NOTHING,
        |token, context| token.issued_at(context.now - 86_400);
    "subject-missing", "an event names its subject", "RFC 9493 4", REQUEST, |token, _| token.without("sub_id");
    "subject-text", "a subject is an object", "RFC 9493 3", REQUEST, |token, context| token.claim("sub_id", context.subject.as_str());
    "subject-without-format", "a subject has a format", "RFC 9493 3", REQUEST,
        |token, context| token.claim("sub_id", json!({ "iss": context.issuer, "sub": context.subject }));
    "subject-without-sub", "iss_sub has both", "RFC 9493 3.2.3", REQUEST,
        |token, context| token.claim("sub_id", json!({ "format": "iss_sub", "iss": context.issuer }));
    "subject-of-another-issuer", "an issuer ends only its own tokens", "RFC 8417 5.2", NOTHING, |token, context| {
        token.claim("sub_id", json!({ "format": "iss_sub", "iss": "https://other.example", "sub": context.subject }))
    };
    "subject-email", "an address is in no token", "RFC 9493 3.2.2", NOTHING,
        |token, _| token.claim("sub_id", json!({ "format": "email", "email": "ada@example.com" }));
    "subject-in-event", "the subject may stand in the event", "CAEP 2, RFC 8417 2.2", OK, |token, context| {
        let subject = json!({ "format": "iss_sub", "iss": context.issuer, "sub": context.subject });
        token.without("sub_id").claim("events", json!({ (SecurityEvent::SessionRevoked.uri()): { "subject": subject } }))
    };
    "subject-type", "the older form of RISC may be understood", "RISC 1.0 (draft)", CHOICE, |token, context| {
        let subject = json!({ "subject_type": "iss-sub", "iss": context.issuer, "sub": context.subject });
        token.without("sub_id").claim("events", json!({ (SecurityEvent::AccountDisabled.uri()): { "subject": subject } }))
    };
    "subject-complex", "a complex subject has a user", "CAEP 2", OK, |token, context| token.claim("sub_id", json!({
        "format": "complex",
        "user": { "format": "iss_sub", "iss": context.issuer, "sub": context.subject },
        "device": { "format": "opaque", "id": "d1" },
    }));
    "credential-change", "a credential change may end tokens", "CAEP 3.3", CHOICE,
        |token, _| token.claim("events", json!({ (SecurityEvent::CredentialChange.uri()): {} }));
    "token-claims-change", "changed claims may end tokens", "CAEP 3.2", CHOICE,
        |token, _| token.claim("events", json!({ (SecurityEvent::TokenClaimsChange.uri()): {} }));
    "account-disabled", "a disabled account has no tokens", "RISC 2.4", OK,
        |token, _| token.claim("events", json!({ (SecurityEvent::AccountDisabled.uri()): {} }));
    "account-purged", "a purged account has no tokens", "RISC 2.2", OK,
        |token, _| token.claim("events", json!({ (SecurityEvent::AccountPurged.uri()): {} }));
    "unknown-event", "an event that is not known has no effect", "RFC 8417 2.2", NOTHING,
        |token, _| token.claim("events", json!({ "https://other.example/event": {} }));
]);

static LOGOUT_WIRE: &[StatementAttack] = raw!(BackchannelLogout, [
    "get", "it is posted", "Back-Channel Logout 2.5", ExpectedAnswer::MethodNotAllowed,
        |context| Parcel { method: Method::GET, ..Parcel::logout(&context.logout.clone().build()) };
    "no-form", "it comes as a form", "Back-Channel Logout 2.5", REQUEST, |context| {
        Parcel { content_type: Some("application/json".to_owned()), ..Parcel::logout(&context.logout.clone().build()) }
    };
    "no-content-type", "it comes as a form", "Back-Channel Logout 2.5", REQUEST,
        |context| Parcel { content_type: None, ..Parcel::logout(&context.logout.clone().build()) };
    "charset", "a form may name its charset", "RFC 9110 8.3.1", OK, |context| Parcel {
        content_type: Some("application/x-www-form-urlencoded; charset=UTF-8".to_owned()),
        ..Parcel::logout(&context.logout.clone().build())
    };
    "empty", "there is a token", "Back-Channel Logout 2.5", REQUEST, |_| Parcel::form(String::new());
    "other-parameter", "the token has its name", "Back-Channel Logout 2.5", REQUEST,
        |context| Parcel::form(format!("token={}", context.logout.clone().build()));
    "twice", "there is one token", "Back-Channel Logout 2.5", REQUEST, |context| {
        let token = context.logout.clone().build();
        Parcel::form(format!("logout_token={token}&logout_token={token}"))
    };
    "no-jwt", "it is a signed JWT", "Back-Channel Logout 2.4", REQUEST, |_| Parcel::logout("s3cr3t");
    "five-parts", "an encrypted one that the API cannot read is refused", "Back-Channel Logout 2.6", REQUEST,
        |context| Parcel::logout(&format!("{}.a.b", context.logout.clone().build()));
    "padding", "base64url has no padding", "RFC 7515 2", REQUEST,
        |context| Parcel::logout(&format!("{}=", context.logout.clone().build()));
    "body-too-long", "a body has a limit", "RFC 9110 15.5.14", REQUEST,
        |context| Parcel::form(format!("x={}&logout_token={}", "x".repeat(100_000), context.logout.clone().build()));
]);

static EVENTS_WIRE: &[StatementAttack] = raw!(SecurityEvents, [
    "get", "it is posted", "RFC 8935 2.1", ExpectedAnswer::MethodNotAllowed,
        |context| Parcel { method: Method::GET, ..Parcel::event(context.event.clone().build()) };
    "no-content-type", "its type is application/secevent+jwt", "RFC 8935 2.1", REQUEST,
        |context| Parcel { content_type: None, ..Parcel::event(context.event.clone().build()) };
    "json", "its type is application/secevent+jwt", "RFC 8935 2.1", REQUEST, |context| {
        let text = Value::String(context.event.clone().build()).to_string();
        Parcel { content_type: Some("application/json".to_owned()), ..Parcel::event(text) }
    };
    "empty", "there is a token", "RFC 8935 2.1", REQUEST, |_| Parcel::event("");
    "no-jwt", "it is a signed JWT", "RFC 8935 2.1", REQUEST, |_| Parcel::event("s3cr3t");
    "two", "there is one token", "RFC 8935 2.1", REQUEST, |context| {
        let token = context.event.clone().build();
        Parcel::event(format!("{token}\n{token}"))
    };
    "no-utf8", "it is text", "RFC 7515 7.1", REQUEST,
        |_| Parcel::new("application/secevent+jwt", Bytes::from_static(&[0xff, 0xfe, b'.', b'.']));
    "body-too-long", "a body has a limit", "RFC 9110 15.5.14", REQUEST, |_| Parcel::event("x".repeat(100_000));
]);
