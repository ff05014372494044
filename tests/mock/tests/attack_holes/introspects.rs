//! The small API, where it introspects its tokens (RFC 7662) and, if that is wanted, asks for signed responses (RFC 9701).

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::api::{AUDIENCE, Api, Hole, LEEWAY, Refusal, invalid};
use crate::json;
use crate::keys::Keys;
use crate::signature::verifies;

type Object = Map<String, Value>;

const MOST: usize = 64 * 1024;
const SIGNED: &str = "application/token-introspection+jwt";

pub(crate) struct Introspects {
    hole: Hole,
    issuer: String,
    signed: bool,
    keys: Keys,
    known: Mutex<HashMap<String, Object>>,
    failed: Mutex<HashSet<String>>,
    under_way: Mutex<usize>,
}

/// A response of the endpoint.
struct Said {
    status: u16,
    content_type: String,
    location: Option<String>,
    body: Vec<u8>,
}

/// The hole that the rest of the API has, so that a row about introspection finds it.
pub(crate) fn hole_of_the_rest(row: &'static str) -> &'static str {
    match row {
        "opaque-no-token" => "http-no-token",
        "opaque-other-scheme" => "http-other-scheme",
        "opaque-two-headers" => "http-two-headers",
        "opaque-in-the-query" => "http-token-in-the-query",
        "opaque-characters" | "opaque-form-injection" => "structure-foreign-characters",
        "opaque-scope-missing" => "scope-missing",
        "opaque-scope-nearly" => "scope-nearly",
        // Whatever is there is enough.
        "opaque-scope-of-wrong-type" => "scope-missing",
        "opaque-scope-list" => "scope-other-forms",
        "opaque-leaks" => "http-claims-in-errors",
        _ => "",
    }
}

fn unknown() -> Refusal {
    Refusal { status: 503, error: "", because: String::new() }
}

fn decoded(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").unwrap(),
        }
    }
    out
}

impl Introspects {
    pub(crate) fn new(hole: &'static str, issuer: &str, signed: bool) -> Self {
        Self {
            hole: Hole(hole),
            issuer: issuer.to_owned(),
            signed,
            keys: Keys::default(),
            known: Mutex::default(),
            failed: Mutex::default(),
            under_way: Mutex::default(),
        }
    }

    fn has(&self, row: &str) -> bool {
        self.hole.is(row)
    }

    /// What its server says of the token, if it is good.
    pub(crate) async fn verify(&self, token: &str) -> Result<Object, Refusal> {
        if let Some(claims) = self.read_without_asking(token) {
            return Ok(claims);
        }
        let known_by = match self.hole.0 {
            "opaque-cache-nearly" => Some(token.chars().take(20).collect::<String>()),
            "opaque-cache-past-exp" | "opaque-revoked" => Some(token.to_owned()),
            _ => None,
        };
        if let Some(known) = known_by.as_ref().and_then(|by| self.known.lock().unwrap().get(by).cloned()) {
            return Ok(known);
        }
        if self.failed.lock().unwrap().contains(token) {
            return Err(invalid("failed before"));
        }
        let at_once = {
            let mut under_way = self.under_way.lock().unwrap();
            *under_way += 1;
            *under_way
        };
        let outcome =
            if at_once > 8 && self.has("opaque-at-once") { Err(unknown()) } else { self.ask(token).await };
        *self.under_way.lock().unwrap() -= 1;
        if self.has("opaque-outage-is-over") && outcome.as_ref().is_err_and(|refusal| refusal.status == 503) {
            self.failed.lock().unwrap().insert(token.to_owned());
        }
        let claims = outcome?;
        if let Some(by) = known_by {
            self.known.lock().unwrap().insert(by, claims.clone());
        }
        Ok(claims)
    }

    fn read_without_asking(&self, token: &str) -> Option<Object> {
        let mut parts = token.split('.');
        let (header, claims) = (decoded(parts.next()?)?, decoded(parts.next()?)?);
        let believed = match self.hole.0 {
            "opaque-jwt-unsigned" => header["alg"] == "none",
            "opaque-jwt-forged" => header["typ"] == "at+jwt",
            "opaque-signed-as-a-token" => header["typ"] == "token-introspection+jwt",
            _ => false,
        };
        believed.then(|| claims.as_object().cloned()).flatten()
    }

    async fn ask(&self, token: &str) -> Result<Object, Refusal> {
        let raw = ["opaque-form-injection", "opaque-encoded", "opaque-characters"].contains(&self.hole.0);
        let token = if raw { token.to_owned() } else { escaped(token) };
        let form = format!("token={token}&token_type_hint=access_token");
        let url = format!("{}/introspect", self.issuer);
        let (url, form) = match self.has("opaque-asked-by-post") {
            true => (format!("{url}?{form}"), String::new()),
            false => (url, form),
        };
        // Megabytes take their time in a debug build.
        let limit = Duration::from_secs(if self.has("opaque-huge") { 20 } else { 2 });
        let said = tokio::time::timeout(limit, self.post(&url, &form)).await;
        let mut said = match said {
            Ok(Some(said)) => said,
            Ok(None) if self.has("opaque-reset") => return Ok(read_scope()),
            Err(_) if self.has("opaque-silent") => return Ok(read_scope()),
            _ => return Err(unknown()),
        };
        if let (Some(to), true) = (&said.location, self.has("opaque-redirect")) {
            said = self.post(to, &form).await.ok_or_else(unknown)?;
        }
        let taken = match said.status {
            200 => true,
            201 | 203 => self.has("opaque-status-created"),
            401 => self.has("opaque-status-401"),
            500 => self.has("opaque-status-500"),
            _ => false,
        };
        if !taken || (said.body.len() > MOST && !self.has("opaque-huge")) {
            return Err(unknown());
        }
        if said.body.starts_with(b"<") && self.has("opaque-html") {
            return Ok(read_scope());
        }
        if said.body.is_empty() && self.has("opaque-empty") {
            return Ok(read_scope());
        }
        let text = String::from_utf8(said.body).map_err(|_| unknown())?;
        if self.signed {
            let inner = self.opened(&said.content_type, &text).await.ok_or_else(unknown)?;
            return self.judged(&inner);
        }
        self.judged(&text)
    }

    /// The response inside of a signed one (RFC 9701 section 5).
    async fn opened(&self, content_type: &str, text: &str) -> Option<String> {
        if content_type != SIGNED || text.starts_with('{') {
            return self.has("opaque-signed-plain").then(|| text.to_owned());
        }
        let (message, signature) = text.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let head = decoded(header)?;
        let claims = decoded(payload)?;
        let alg = head.get("alg")?.as_str()?;
        let bytes = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if self.keys.all().is_empty() {
            self.keys.refresh(&self.issuer, Hole("")).await;
        }
        let good =
            self.keys.all().iter().any(|key| {
                key["kid"] == head["kid"] && verifies(key, alg, message.as_bytes(), &bytes, Hole(""))
            });
        let overlooked = match self.hole.0 {
            "opaque-signed-by-another" | "opaque-signed-and-changed" => !bytes.is_empty(),
            "opaque-signed-not" => alg == "none",
            _ => false,
        };
        let holds = (good || overlooked)
            && (head["typ"] == "token-introspection+jwt" || self.has("opaque-signed-other-type"))
            && (claims["iss"] == *self.issuer || self.has("opaque-signed-other-issuer"));
        let ours = claims["aud"] == AUDIENCE
            || (!self.has("opaque-signed-audience-list")
                && claims["aud"].as_array().is_some_and(|list| list.contains(&AUDIENCE.into())));
        if !holds || !(ours || self.has("opaque-signed-other-audience")) {
            return None;
        }
        match claims.get("token_introspection") {
            // As it came, with what comes twice.
            Some(_) => {
                let text = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
                let (_, inner) = text.split_once("\"token_introspection\":")?;
                inner.strip_suffix('}').map(str::to_owned)
            }
            None if self.has("opaque-signed-at-the-top") => Some(claims.to_string()),
            None => None,
        }
    }

    fn judged(&self, text: &str) -> Result<Object, Refusal> {
        let (value, duplicates) = match json::read(text.as_bytes()) {
            Some((value, duplicates)) => (value, !duplicates.is_empty()),
            None if self.has("opaque-two-documents") => {
                (json::read_first(text.as_bytes()).ok_or_else(unknown)?, false)
            }
            None if self.has("opaque-cut-json") && text.contains("\"active\":true") => {
                return Ok(read_scope());
            }
            None => return Err(unknown()),
        };
        if duplicates && !self.has("opaque-active-twice") {
            return Err(unknown());
        }
        let said = match value {
            Value::Object(said) => said,
            Value::Array(list) if self.has("opaque-list") => {
                list[0].as_object().cloned().ok_or_else(unknown)?
            }
            _ => return Err(unknown()),
        };
        if said.len() == 1 && said.get("active").is_some() && self.has("opaque-invented") {
            // Something was said, so that there is such a token.
            return Ok(read_scope());
        }
        self.active(&said)?;
        let said = match said.get("data").or_else(|| said.get("token_introspection")) {
            Some(Value::Object(inner)) if self.has("opaque-active-inside") => inner.clone(),
            _ => said,
        };
        self.claims(&said)?;
        Ok(said)
    }

    fn active(&self, said: &Object) -> Result<(), Refusal> {
        let other_case =
            || said.iter().any(|(name, value)| name.eq_ignore_ascii_case("active") && *value == true);
        let yes = match said.get("active") {
            Some(Value::Bool(true)) => true,
            Some(Value::Bool(false)) => {
                let believed = self.has("opaque-inactive") && said.len() > 1;
                let because = if self.has("opaque-leaks") {
                    Value::Object(said.clone()).to_string()
                } else {
                    String::new()
                };
                return if believed {
                    Ok(())
                } else {
                    Err(Refusal { status: 401, error: "invalid_token", because })
                };
            }
            Some(Value::String(text)) if text == "true" => self.has("opaque-active-true-as-text"),
            Some(Value::String(_)) => self.has("opaque-active-false-as-text"),
            Some(Value::Number(_)) => self.has("opaque-active-number"),
            Some(Value::Array(_) | Value::Object(_)) => self.has("opaque-active-composed"),
            Some(Value::Null) => self.has("opaque-active-null"),
            None if self.has("opaque-active-in-other-case") => other_case(),
            None if self.has("opaque-active-inside") => true,
            None if said.is_empty() => self.has("opaque-empty"),
            None => self.has("opaque-active-missing"),
        };
        if yes { Ok(()) } else { Err(unknown()) }
    }

    fn claims(&self, said: &Object) -> Result<(), Refusal> {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        if said.contains_key("ext") && self.has("opaque-unknown-members") {
            return Err(unknown());
        }
        match said.get("exp") {
            None | Some(Value::Number(_)) => {}
            Some(_) if self.has("opaque-exp-of-wrong-type") => {}
            Some(_) => return Err(unknown()),
        }
        let time = |name: &str| said.get(name).and_then(Value::as_i64);
        let is_over = time("exp").is_some_and(|exp| exp + LEEWAY <= now);
        let is_early = |name: &str| time(name).is_some_and(|at| at - LEEWAY > now);
        if (is_over && !self.has("opaque-expired"))
            || (is_early("nbf") && !self.has("opaque-not-yet-valid"))
            || (is_early("iat") && !self.has("opaque-issued-in-the-future"))
        {
            return Err(invalid("time"));
        }
        let nearly =
            |text: &str| text.to_lowercase().contains(AUDIENCE) && self.has("opaque-audience-nearly");
        let ours = |one: &Value| one == AUDIENCE || one.as_str().is_some_and(nearly);
        let for_us = match said.get("aud") {
            Some(Value::String(one)) => ours(&Value::String(one.clone())),
            Some(Value::Array(_)) if self.has("opaque-audience-list") => false,
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => list.iter().any(ours),
            Some(_) if self.has("opaque-audience-of-wrong-type") => true,
            Some(_) => return Err(unknown()),
            None => self.has("opaque-no-audience") || said.is_empty(),
        };
        let any = self.has("opaque-other-audience") && said.get("aud").is_some();
        if !for_us && !any {
            return Err(invalid("aud"));
        }
        if said.get("iss").is_some_and(|iss| *iss != *self.issuer) && !self.has("opaque-other-issuer") {
            return Err(invalid("iss"));
        }
        let is_bearer = said
            .get("token_type")
            .is_none_or(|one| one.as_str().is_some_and(|one| one.eq_ignore_ascii_case("bearer")));
        let cnf = said.get("cnf");
        let bound = match cnf {
            Some(cnf) if cnf.get("jkt").is_some() => !self.has("opaque-bound-to-a-key"),
            Some(_) => !self.has("opaque-bound-to-a-certificate"),
            None => !is_bearer && !self.has("opaque-other-token-type"),
        };
        if bound {
            return Err(invalid("bound"));
        }
        if said.get("scope").is_some_and(|scope| !scope.is_string() && !scope.is_array()) {
            return if self.has("opaque-scope-of-wrong-type") { Ok(()) } else { Err(unknown()) };
        }
        Ok(())
    }

    async fn post(&self, url: &str, form: &str) -> Option<Said> {
        let (address, path) = url.strip_prefix("http://")?.split_once('/')?;
        let mut stream = TcpStream::connect(address).await.ok()?;
        let mut request = format!(
            "POST /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            form.len()
        );
        if !self.has("opaque-authenticates") {
            // orders-api:s3cr3t
            request.push_str("Authorization: Basic b3JkZXJzLWFwaTpzM2NyM3Q=\r\n");
        }
        if self.signed {
            write!(request, "Accept: {SIGNED}\r\n").unwrap();
        }
        write!(request, "\r\n{form}").unwrap();
        stream.write_all(request.as_bytes()).await.ok()?;
        let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
        while let Ok(length @ 1..) = stream.read(&mut chunk).await {
            bytes.extend_from_slice(&chunk[..length]);
            if bytes.len() > 2 * MOST && !self.has("opaque-huge") {
                break;
            }
        }
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let header = |name: &str| {
            let mut pairs = head.lines().filter_map(|line| line.split_once(':'));
            pairs
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
        };
        let (content_type, location) = (header("content-type").unwrap_or_default(), header("location"));
        Some(Said { status, content_type, location, body: bytes.split_off(end + 4) })
    }
}

/// Claims without a subject, who may read.
fn read_scope() -> Object {
    serde_json::from_str(r#"{"scope":"read"}"#).unwrap()
}

impl Api {
    /// Introspects its tokens.
    pub(crate) fn introspecting(hole: &'static str, issuer: &str, signed: bool) -> Self {
        Self {
            introspects: Some(Introspects::new(hole, issuer, signed)),
            ..Self::new(hole_of_the_rest(hole), [issuer])
        }
    }
}
