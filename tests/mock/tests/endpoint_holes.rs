//! Each row of the table for logout tokens and security events against a small receiver with exactly that hole: the suite must
//! find it, and must find nothing at a receiver without one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use oauth_mock::MockServer;
use oauth_mock::statements::{
    self, Answer, AttackedEndpoint, BACKCHANNEL_LOGOUT, DeliveryError, EndpointCase, EndpointReport,
    EndpointSuite, ExpectedAnswer, SecurityEvent,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How a receiver treats what it should take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Right,
    /// It takes everything, and nothing follows from it.
    Deaf,
    /// It refuses everything, as it should refuse what is bad.
    Strict,
    /// It fails at everything.
    Broken,
}

/// An API that hears of logouts, with one hole.
struct Receiver {
    hole: &'static str,
    manner: Manner,
    /// The scope that the API wants.
    scope: Option<&'static str>,
    issuer: String,
    /// Modulus and exponent.
    key: (Vec<u8>, Vec<u8>),
    now: i64,
    ended: Mutex<HashSet<String>>,
}

type Refusal = &'static str;

impl Receiver {
    fn new(hole: &'static str, server: &MockServer) -> Self {
        let set: Value = serde_json::from_str(&server.keys().jwks_json()).unwrap();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(set["keys"][0][name].as_str().unwrap()).unwrap();
        let key = (part("n"), part("e"));
        let (issuer, now) = (server.issuer().to_owned(), server.clock().now_unix());
        Self { hole, manner: Manner::Right, scope: None, issuer, key, now, ended: Mutex::default() }
    }

    /// Whether a check that one of these rows is about is made.
    fn checks(&self, rows: &[&str]) -> bool {
        !rows.contains(&self.hole)
    }

    fn ensure(&self, holds: bool, err: Refusal, rows: &[&str]) -> Result<(), Refusal> {
        if holds || !self.checks(rows) { Ok(()) } else { Err(err) }
    }

    /// The subject whose tokens end.
    fn receive(&self, endpoint: AttackedEndpoint, token: &str) -> Result<Option<String>, Refusal> {
        const BAD: Refusal = "invalid_request";
        let is_logout = endpoint == AttackedEndpoint::BackchannelLogout;
        let parts: Vec<_> = token.split('.').collect();
        let &[head, payload, signature] = &*parts else { return Err(BAD) };
        self.ensure(token.len() < 8192, BAD, &["too-long"])?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| BAD);
        let object =
            |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok().filter(Value::is_object).ok_or(BAD);
        let bytes = decode(payload)?;
        let (header, claims) = (object(&decode(head)?)?, object(&bytes)?);
        self.ensure(header.get("crit").is_none(), BAD, &["crit"])?;
        let twice =
            std::str::from_utf8(&bytes).unwrap().matches("\"iss\":").count() > 1 + usize::from(!is_logout);
        self.ensure(!twice, BAD, &["duplicate-member"])?;
        let typ = header.get("typ").and_then(Value::as_str);
        let fits = matches!(
            (is_logout, typ),
            (true, None | Some("JWT" | "logout+jwt")) | (false, Some("secevent+jwt"))
        );
        self.ensure(
            fits,
            BAD,
            &["typ-access-token", "typ-other", "typ-secevent", "typ-logout", "typ-absent", "typ-jwt"],
        )?;
        match &claims["iss"] {
            Value::String(name) if *name == self.issuer => {}
            Value::String(_) => self.ensure(false, "invalid_issuer", &["iss-unknown"])?,
            _ => self.ensure(false, BAD, &["iss-missing", "iss-list"])?,
        }
        match &claims["aud"] {
            Value::String(name) => self.ensure(name == "shop", "invalid_audience", &["aud-other"])?,
            Value::Array(list) => {
                self.ensure(list.iter().all(Value::is_string), BAD, &["aud-mixed"])?;
                self.ensure(list.contains(&json!("shop")), "invalid_audience", &[])?;
            }
            _ => self.ensure(false, BAD, &["aud-missing", "aud-number"])?,
        }
        let number = |name: &str| claims.get(name).map(Value::as_i64);
        match number("iat") {
            Some(Some(iat)) => {
                self.ensure(iat <= self.now + 120, BAD, &["iat-future"])?;
                let old = is_logout && claims.get("exp").is_none() && iat < self.now - 120;
                self.ensure(!old, BAD, &["exp-missing-old"])?;
            }
            _ => self.ensure(false, BAD, &["iat-missing", "iat-text"])?,
        }
        match number("exp") {
            Some(Some(exp)) => self.ensure(exp > self.now - 60, BAD, &["exp-over"])?,
            Some(None) => self.ensure(false, BAD, &["exp-text"])?,
            None => {}
        }
        let jti = claims.get("jti").and_then(Value::as_str).unwrap_or_default();
        self.ensure(!jti.is_empty(), BAD, &["jti-missing", "jti-empty", "jti-number"])?;
        self.ensure(claims.get("nonce").is_none(), BAD, &["nonce"])?;
        let events = claims.get("events").and_then(Value::as_object).filter(|events| !events.is_empty());
        self.ensure(
            events.is_some(),
            BAD,
            &["events-missing", "events-text", "events-list", "events-empty"],
        )?;
        let objects = events.is_none_or(|events| events.values().all(Value::is_object));
        self.ensure(objects, BAD, &["event-text"])?;
        let known = |name: &str| events.is_none_or(|events| events.contains_key(name));
        let sub = |value: &Value| value.as_str().map(str::to_owned);
        let subject = if is_logout {
            self.ensure(known(BACKCHANNEL_LOGOUT), BAD, &["other-event"])?;
            self.ensure(claims["sub"].is_string(), BAD, &["subject-missing", "sub-number"])?;
            self.ensure(!claims["sid"].is_number(), BAD, &["sid-number"])?;
            sub(&claims["sub"])
        } else {
            let inner = events.and_then(|events| events.values().find_map(|event| event.get("subject")));
            let subject = inner.or(claims.get("sub_id"));
            let format = |subject: &Value| sub(&subject["format"]).or(sub(&subject["subject_type"]));
            match subject.map(|subject| (format(subject), subject)) {
                Some((Some(format), mut subject)) => {
                    if format == "complex" {
                        subject = &subject["user"];
                    }
                    self.ensure(
                        subject["sub"].is_string() || format == "email",
                        BAD,
                        &["subject-without-sub"],
                    )?;
                    let ours = subject["iss"] == *self.issuer || !self.checks(&["subject-of-another-issuer"]);
                    let old = claims["iat"].as_i64().is_some_and(|iat| iat < self.now - 600);
                    let effective = SecurityEvent::ALL.iter().any(|event| known(event.uri()));
                    let effective = effective || !self.checks(&["unknown-event"]);
                    sub(&subject["sub"]).filter(|_| ours && effective && (!old || !self.checks(&["old"])))
                }
                other => {
                    self.ensure(false, BAD, &["subject-missing", "subject-text", "subject-without-format"])?;
                    other.and_then(|(_, subject)| sub(&subject["sub"]).or(sub(subject)))
                }
            }
        };
        let signature = decode(signature)?;
        if signature.is_empty() {
            self.ensure(false, BAD, &["unsigned", "empty-signature"])?;
        } else {
            let key = RsaPublicKeyComponents { n: &self.key.0, e: &self.key.1 };
            let signed = format!("{head}.{payload}");
            let good = key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).is_ok();
            self.ensure(
                good && header["alg"] == "RS256",
                "invalid_key",
                &["foreign-key", "unknown-key", "public-key-as-secret", "own-key"],
            )?;
        }
        Ok(subject)
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let endpoint = match request.uri().path() {
            "/whoami" => return self.whoami(&request),
            "/logout" => AttackedEndpoint::BackchannelLogout,
            _ => AttackedEndpoint::SecurityEvents,
        };
        let is_logout = endpoint == AttackedEndpoint::BackchannelLogout;
        if request.method() != Method::POST && self.checks(&["get"]) {
            return reply(405, None, is_logout);
        }
        let kind =
            request.headers().get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let kind = kind.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().to_owned();
        let expected =
            if is_logout { "application/x-www-form-urlencoded" } else { "application/secevent+jwt" };
        let typed = kind == expected || !self.checks(&["no-content-type", "no-form", "json"]);
        let body = Limited::new(request.into_body(), 200_000).collect().await.map(|body| body.to_bytes());
        let text = body.ok().and_then(|body| String::from_utf8(body.to_vec()).ok()).unwrap_or_default();
        let token = if is_logout {
            let mut tokens = text.split('&').filter_map(|pair| pair.strip_prefix("logout_token="));
            let first = tokens.next().unwrap_or_default().to_owned();
            if tokens.next().is_some() && self.checks(&["twice"]) { String::new() } else { first }
        } else {
            text.trim_matches('"').to_owned()
        };
        let fits = typed && (text.len() < 20_000 || !self.checks(&["body-too-long", "too-long"]));
        match self.manner {
            Manner::Right => {}
            Manner::Deaf => return reply(if is_logout { 200 } else { 202 }, None, is_logout),
            Manner::Strict => return reply(400, Some("invalid_request"), is_logout),
            Manner::Broken => return reply(500, None, is_logout),
        }
        match if fits { self.receive(endpoint, &token) } else { Err("invalid_request") } {
            Ok(subject) => {
                self.ended.lock().unwrap().extend(subject);
                reply(if is_logout { 200 } else { 202 }, None, is_logout)
            }
            Err(err) => reply(400, Some(err), is_logout),
        }
    }

    fn whoami(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let token =
            request.headers()["authorization"].to_str().unwrap().split('.').nth(1).unwrap().to_owned();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
        if self.scope.is_some_and(|scope| claims["scope"] != scope) {
            return reply(403, None, true);
        }
        let ended = self.ended.lock().unwrap();
        let all = self.hole == "all" && !ended.is_empty();
        let ended = all || ended.contains(claims["sub"].as_str().unwrap());
        reply(if ended { 401 } else { 200 }, None, true)
    }
}

fn reply(status: u16, err: Option<Refusal>, is_logout: bool) -> Response<Full<Bytes>> {
    let body = match err {
        Some(err) if is_logout => json!({ "error": err }).to_string(),
        Some(err) => json!({ "err": err, "description": "no" }).to_string(),
        None => String::new(),
    };
    let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    response.header("cache-control", "no-store").body(Full::from(body)).unwrap()
}

async fn attacked(hole: &'static str, endpoint: Option<AttackedEndpoint>) -> EndpointReport {
    let only = endpoint.map(|_| hole);
    attacked_as(|receiver| receiver, hole, endpoint, only, |suite| suite).await.unwrap()
}

/// Attacks a receiver that is `changed`: one of its endpoints or both, with one row or all.
async fn attacked_as(
    changed: impl FnOnce(Receiver) -> Receiver,
    hole: &'static str,
    endpoint: Option<AttackedEndpoint>,
    only: Option<&str>,
    set: impl FnOnce(EndpointSuite) -> EndpointSuite,
) -> Result<EndpointReport, DeliveryError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut suite = EndpointSuite::new(format!("{base}/whoami"));
    if endpoint != Some(AttackedEndpoint::SecurityEvents) {
        suite = suite.backchannel_logout(format!("{base}/logout"));
    }
    if endpoint != Some(AttackedEndpoint::BackchannelLogout) {
        suite = suite.security_events(format!("{base}/events"));
    }
    let suite = set(only.into_iter().fold(suite, EndpointSuite::only));
    let server = suite.start().await.unwrap();
    let receiver = Arc::new(changed(Receiver::new(hole, &server)));
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let receiver = Arc::clone(&receiver);
            let service = service_fn(move |request| {
                let receiver = Arc::clone(&receiver);
                async move { Ok::<_, Infallible>(receiver.respond(request).await) }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    let report = suite.run(&server).await;
    serving.abort();
    report
}

/// All rows against a receiver of this manner.
async fn attacked_in(manner: Manner) -> EndpointReport {
    let changed = |receiver| Receiver { manner, ..receiver };
    attacked_as(changed, "", None, None, |suite| suite).await.unwrap()
}

#[tokio::test]
async fn nothing_is_found_at_a_receiver_without_a_hole() {
    let report = attacked("", None).await;
    assert_eq!(report.mistakes(), 0, "{report}");
}

#[tokio::test]
async fn each_hole_is_found_by_its_row() {
    // What can only be refused otherwise: there is no token in it that could have an effect.
    let never =
        ["no-jwt", "empty", "five-parts", "padding", "other-parameter", "two", "no-utf8", "payload-list"];
    let (mut found, mut missed) = (0, Vec::new());
    for attack in statements::all() {
        // Those that are to be taken have tests of their own.
        let is_bad = matches!(
            attack.expected,
            ExpectedAnswer::NoEffect | ExpectedAnswer::Refused(_) | ExpectedAnswer::MethodNotAllowed
        );
        let is_possible = !never.contains(&attack.id) && attack.id != "subject-email";
        // A long body of the events is no token, and an event without a subject ends nothing.
        let events = attack.endpoint == AttackedEndpoint::SecurityEvents;
        if !is_bad
            || !is_possible
            || (events && matches!(attack.id, "body-too-long" | "subject-missing" | "subject-without-sub"))
        {
            continue;
        }
        let report = attacked(attack.id, Some(attack.endpoint)).await;
        let case = &report.cases[0];
        if case.mistake.is_some() { found += 1 } else { missed.push((attack.endpoint, attack.id)) }
    }
    assert_eq!(missed, [], "{found} found");
    assert!(found > 60, "{found}");
}

/// The rows of this expectation, with what came of each.
fn of(report: &EndpointReport, expected: ExpectedAnswer) -> Vec<(&'static str, bool, Option<&str>)> {
    let cases = report.cases.iter().filter(|case| case.attack.expected == expected);
    cases.map(|case| (case.attack.id, case.is_hole(), case.mistake.as_deref())).collect()
}

#[tokio::test]
async fn a_logout_that_is_taken_and_has_no_effect_is_a_hole() {
    let report = attacked_in(Manner::Deaf).await;
    for expected in [ExpectedAnswer::Effect, ExpectedAnswer::EffectOrRefused] {
        let cases = of(&report, expected);
        assert!(!cases.is_empty());
        for (id, is_hole, mistake) in cases {
            assert_eq!((is_hole, mistake), (true, Some("taken, and the token is still good")), "{id}");
        }
    }
    // What follows from these is left to the receiver.
    let choices = of(&report, ExpectedAnswer::Choice);
    assert_eq!(choices.len(), 3);
    assert!(choices.iter().all(|(_, is_hole, mistake)| !is_hole && mistake.is_none()), "{choices:?}");
}

#[tokio::test]
async fn a_logout_that_is_refused_is_a_mistake_and_no_hole() {
    let report = attacked_in(Manner::Strict).await;
    assert_eq!(report.holes(), 0, "{report}");
    for (id, _, mistake) in of(&report, ExpectedAnswer::Effect) {
        assert_eq!(mistake, Some("refused"), "{id}");
    }
    for expected in [ExpectedAnswer::EffectOrRefused, ExpectedAnswer::Choice] {
        assert!(of(&report, expected).iter().all(|(.., mistake)| mistake.is_none()), "{report}");
    }
    assert!(report.to_string().contains("MISTAKE: refused"), "{report}");

    let report = attacked_in(Manner::Broken).await;
    assert_eq!(report.holes(), 0, "{report}");
    // It still says which method it wants.
    let right: Vec<_> = report.cases.iter().filter(|case| case.mistake.is_none()).collect();
    assert!(right.len() == 2 && right.iter().all(|case| case.attack.id == "get"), "{report}");
}

#[tokio::test]
async fn an_api_that_takes_no_good_token_is_not_attacked() {
    let scoped = |receiver| Receiver { scope: Some("read"), ..receiver };
    let short = |suite: EndpointSuite| suite.wait(Duration::ZERO);
    let error = attacked_as(scoped, "", None, Some("good"), short).await.unwrap_err().to_string();
    assert!(error.contains("a good token gets 403") && error.contains("--scope"), "{error}");
    let with_scope = |suite: EndpointSuite| suite.wait(Duration::ZERO).scope("read").claim("tenant", "acme");
    let report = attacked_as(scoped, "", None, Some("good"), with_scope).await.unwrap();
    assert_eq!((report.cases.len(), report.mistakes()), (2, 0), "{report}");
}

#[tokio::test]
async fn an_api_that_takes_no_more_good_tokens_is_not_judged() {
    // The first row ends everybody's tokens: nothing that comes later says anything.
    let error =
        attacked_as(|receiver| receiver, "all", None, None, |suite| suite).await.unwrap_err().to_string();
    assert!(error.contains("before aud-list a good token of a new user got 401"), "{error}");
}

#[test]
fn a_receiver_may_put_off_the_refusal_of_an_unknown_key_and_of_nothing_else() {
    let mut put_off = Vec::new();
    for attack in statements::all() {
        let answer = |headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Answer::new(503, headers.collect(), String::new())
        };
        let judge = |headers: &[(&str, &str)]| EndpointCase::judge(attack, answer(headers), true).mistake;
        let no_store = ("cache-control", "no-store");
        assert!(judge(&[no_store]).is_some(), "{}: without Retry-After", attack.id);
        if judge(&[no_store, ("retry-after", "30")]).is_none() {
            put_off.push(attack.id);
            assert_eq!(attack.expected, ExpectedAnswer::Refused("invalid_key"), "{}", attack.id);
        }
    }
    assert_eq!(put_off.iter().filter(|id| **id == "unknown-key").count(), 2, "{put_off:?}");
}
