//! Token responses and error bodies of every dialect: what is accepted holds a token that a header can carry, no error
//! shows a secret, and a token set survives being stored.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use oauth_client::clock::TestClock;
use oauth_client::dialect::{self, Dialect, ErrorShape};
use oauth_client::grant::{self, TokenRequest};
use oauth_client::{Client, ClientAuth, Error, TokenSet};
use serde_json::{Map, Value, json};

use crate::fixture::{NOW, run, server, within};
use crate::json;
use crate::secrets::{assert_hidden, assert_hidden_in_debug, assert_hidden_in_error};
use crate::target::{Target, bounded, filled};

pub const TARGET: Target = Target { check, seeds };

const CLIENT_SECRET: &str = "cl13nt-s3cr3t/+&=";
const REFRESH_TOKEN: &str = "r3fr3sh t0ken\"\\\u{e9}";
const PASSWORD: &str = "pa55 w0rd<>";
/// Characters of a text that an error keeps, and the sign that it was cut.
const MOST: usize = 512 + 1;
const DIALECTS: usize = 12;
/// Their numbers.
const INFOLINK: usize = 2;
const COMM100: usize = 4;

/// What the server says next.
static NEXT: LazyLock<Arc<Mutex<Response<Bytes>>>> = LazyLock::new(Arc::default);

thread_local! {
    static CLIENTS: RefCell<Vec<(Client, TokenRequest)>> = RefCell::new(clients());
}

fn clients() -> Vec<(Client, TokenRequest)> {
    let custom = Dialect::new("custom")
        .response_member("access_token", "data.tokens.0.value")
        .expires_at("data.until")
        .error(ErrorShape::own().code("fault.code").description("fault.text"));
    let refresh = || grant::refresh_token(REFRESH_TOKEN);
    let post = || ClientAuth::post("svc", CLIENT_SECRET);
    let all: Vec<(Dialect, ClientAuth, TokenRequest)> = vec![
        (dialect::standard(), ClientAuth::basic("svc", CLIENT_SECRET), refresh()),
        (dialect::ils(), post(), grant::client_credentials()),
        (dialect::infolink(), post(), refresh()),
        (dialect::sailpoint(), post(), refresh()),
        (
            dialect::comm100(),
            ClientAuth::none("svc"),
            grant::password("ada", PASSWORD).parameter("partnerId", "1"),
        ),
        (dialect::teen_quotes(), post(), refresh()),
        (dialect::cognito(), post(), refresh()),
        (dialect::entra(), post(), refresh()),
        (dialect::github(), post(), refresh()),
        (dialect::google(), post(), refresh()),
        (dialect::slack(), post(), refresh()),
        (custom, post(), refresh()),
    ];
    let clock = within(|| TestClock::at(NOW));
    let http = server(|| NEXT.lock().map(|next| next.clone()).unwrap_or_default());
    all.into_iter()
        .map(|(dialect, auth, request)| {
            let builder =
                Client::builder().provider(dialect).http(http.clone()).clock(clock.clone()).auth(auth);
            let client = builder.token_endpoint("https://auth.example.com/token").build().expect("a client");
            (client, request)
        })
        .collect()
}

/// Dialect and status are in the first two bytes; a header may be in the first line; the rest is the body. A dollar stands
/// for a secret that was sent, as some servers repeat it.
fn check(data: &[u8]) {
    let [dialect, status, rest @ ..] = data else { return };
    let statuses = [200, 200, 200, 201, 400, 401, 403, 404, 429, 500, 503];
    let status = statuses[usize::from(*status) % statuses.len()];
    let (header, body) = match rest.iter().position(|byte| *byte == b'\n') {
        Some(at) if at < 64 => (&rest[..at], &rest[at + 1..]),
        _ => (&[][..], rest),
    };
    let number = usize::from(*dialect) % DIALECTS;
    let secret = sent(number);
    let Some(body) = filled(body, secret) else { return };
    let mut response = Response::new(Bytes::from(body.clone()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    for name in [RETRY_AFTER, DATE, CONTENT_TYPE] {
        if let Ok(value) = HeaderValue::from_bytes(header) {
            response.headers_mut().insert(name, value);
        }
    }
    CLIENTS.with_borrow(|clients| {
        let (client, request) = &clients[number];
        if let Ok(mut next) = NEXT.lock() {
            *next = response;
        }
        let outcome = bounded(body.len() + 64 * 1024, || run(client.request(request)));
        match outcome {
            Ok(tokens) => accepted(&tokens, &body, status, number == 0),
            Err(error) => refused(&error, &body, status, number),
        }
    });
}

/// A secret of the request. A client of Comm100 has none and sends a password; InfoLink's refresh names no client.
fn sent(number: usize) -> &'static str {
    match number {
        INFOLINK => "",
        COMM100 => PASSWORD,
        _ => CLIENT_SECRET,
    }
}

fn accepted(tokens: &TokenSet, body: &[u8], status: u16, is_standard: bool) {
    assert!((200..300).contains(&status));
    let token = tokens.access_token().expose();
    assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()), "{token:?}");
    let secrets = [tokens.access_token(), tokens.refresh_token().unwrap_or(tokens.access_token())];
    // Members that have no meaning here may repeat it, and are shown.
    let secrets: Vec<String> = secrets.iter().map(|secret| secret.expose().to_owned()).collect();
    if !tokens
        .extra()
        .values()
        .any(|value| secrets.iter().any(|secret| value.to_string().contains(secret.as_str())))
    {
        assert_hidden_in_debug(tokens, &secrets);
    }
    let text = serde_json::to_string(tokens).expect("it can be written");
    let again: TokenSet = serde_json::from_str(&text).expect("it can be read");
    assert_eq!(&again, tokens, "{text}");
    assert_eq!(tokens.issued_at(), Duration::from_secs(NOW));
    let Some(members) = json::document(body).filter(|_| is_standard) else { return };
    assert_eq!(members["access_token"], json!(token));
    assert!(is_good(&members), "accepted {members:?}");
    assert_eq!(
        tokens.refresh_token().map(|token| json!(token.expose())).as_ref(),
        text_of(&members, "refresh_token")
    );
    if let Some(seconds) = members.get("expires_in").and_then(Value::as_u64) {
        assert_eq!(tokens.lifetime(), Some(Duration::from_millis(seconds.saturating_mul(1000))));
    }
}

fn text_of<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.get(name).filter(|value| value.as_str().is_some_and(|text| !text.is_empty()))
}

fn refused(error: &Error, body: &[u8], status: u16, number: usize) {
    let mut secrets = vec![sent(number).to_owned()];
    // The tokens of a response are secrets as well, wherever it is read as an object.
    let members = json::document(body);
    if let Some(members) = &members {
        for name in ["access_token", "refresh_token"] {
            let text = members.get(name).and_then(Value::as_str).unwrap_or_default();
            if text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
                secrets.push(text.to_owned());
            }
        }
    }
    assert_hidden_in_error(error, &secrets);
    for text in
        [error.description(), error.uri(), error.unrecognized(), error.provider_code(), Some(error.code())]
    {
        let text = text.unwrap_or_default();
        assert!(!text.chars().any(char::is_control) && characters(text) <= MOST, "{text:?}");
        assert_hidden(text, &secrets);
    }
    assert!(
        error.retry_after().is_none_or(|wait| wait <= Duration::from_secs(u64::from(u32::MAX))),
        "{error:?}"
    );
    if let Some(members) = members.filter(|_| number == 0 && status < 300) {
        assert!(!is_good(&members), "refused {members:?}: {error}");
    }
}

/// How many characters a text had before some were escaped.
fn characters(text: &str) -> usize {
    let escapes = text.split("\\u{").skip(1).filter_map(|rest| rest.split_once('}'));
    let is_hex = |digits: &str| (1..=6).contains(&digits.len()) && u32::from_str_radix(digits, 16).is_ok();
    let longer: usize = escapes
        .filter(|(digits, _)| is_hex(digits))
        .map(|(digits, _)| "\\u{}".len() + digits.len() - 1)
        .sum();
    text.chars().count() - longer
}

/// RFC 6749 section 5.1, with what servers do to it.
fn is_good(members: &Map<String, Value>) -> bool {
    let token = members.get("access_token").and_then(Value::as_str).unwrap_or_default();
    let is_visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let is_bearer = match members.get("token_type") {
        None | Some(Value::Null) => true,
        Some(Value::String(kind)) => {
            let exchanged = members.get("issued_token_type").is_some_and(Value::is_string);
            kind.eq_ignore_ascii_case("bearer") || (exchanged && kind.eq_ignore_ascii_case("N_A"))
        }
        Some(_) => false,
    };
    let is_lifetime = match members.get("expires_in") {
        None | Some(Value::Null | Value::Number(_)) => true,
        Some(Value::String(text)) => text.is_empty() || text.trim().parse().is_ok_and(f64::is_finite),
        Some(_) => false,
    };
    let names_no_error = match members.get("error") {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(Value::Bool(true)) => false,
    };
    let issued = members.get("issued_token_type").and_then(Value::as_str);
    let is_not_applicable = members
        .get("token_type")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.eq_ignore_ascii_case("N_A"));
    let is_exchange = !is_not_applicable
        || issued.is_some_and(|issued| issued != "urn:ietf:params:oauth:token-type:access_token");
    is_visible && is_bearer && is_exchange && is_lifetime && names_no_error
}

fn seeds() -> Vec<Vec<u8>> {
    let bodies = [
        r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"Bearer","expires_in":3600,"refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA","scope":"a b"}"#,
        r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","expires_in":"3599.5","scope":["a"],"expires":1893459600,"token_type":"bot"}"#,
        r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"N_A","issued_token_type":"urn:ietf:params:oauth:token-type:id_token"}"#,
        r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"$2YotnFZFEjr1zCsicMWpAA"}"#,
        "access_token=2YotnFZFEjr1zCsicMWpAA&token_type=bearer&scope=a%2Cb",
        "error=bad_refresh_token&error_description=The+%24+is+wrong",
        r#"{"error":"invalid_grant","error_description":"the secret $ is wrong","error_uri":"https://x"}"#,
        r#"{"error":"x","access_token":"2YotnFZFEjr1zCsicMWpAA"}"#,
        r#"{"result":{"code":"invalid_grant","message":"gone"},"status":"error"}"#,
        r#"{"statusInfoSet":[{"ils_codeMinor":"server_busy","ils_description":"later"}],"errors":[{"message":"m"}]}"#,
        r#"{"detailCode":"400.1","trackingId":"t","messages":[{"locale":"en","text":"no"}],"causes":[]}"#,
        r#"{"error":"JWT is expired","message":"m"}"#,
        r#"{"ok":false,"error":"ratelimited"}"#,
        r#"{"error":"invalid_grant","error_codes":[50076],"suberror":"basic_action","claims":"{}","trace_id":"t"}"#,
        r#"{"data":{"tokens":[{"value":"2YotnFZFEjr1zCsicMWpAA"}],"until":"2030-01-01T00:00:10Z"}}"#,
        r#"{"fault":{"code":"c","text":"t"}}"#,
        "<html>busy</html>",
        "",
    ];
    let mut seeds = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        for dialect in 0..12_u8 {
            let status = [0, 4, 8][(number + usize::from(dialect)) % 3];
            let header = ["", "120\n", "Fri, 31 Dec 2029 23:59:59 GMT\n"][number % 3];
            seeds.push([&[dialect, status][..], header.as_bytes(), body.as_bytes()].concat());
        }
    }
    seeds
}
