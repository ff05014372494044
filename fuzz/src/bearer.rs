//! Where a token may stand in a request, read once more in a plain way.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use oauth_guard::{Claims, Guard, Rejection};
use tower::{Layer, ServiceExt, service_fn};

use crate::fixture::{builder, check as ask, claims, issuer, run, token};
use crate::secrets::assert_hidden;
use crate::target::{Target, bounded, filled};

pub const TARGET: Target = Target { check, seeds };

const HEADER: &str = "x-access-token";
const PARAMETER: &str = "access_token";

static TOKEN: LazyLock<String> = LazyLock::new(|| token(&claims()));

/// The header alone; all places; all places, and the token is taken out.
static GUARDS: LazyLock<[Guard; 3]> = LazyLock::new(|| {
    let everywhere = || {
        let builder = builder().issuer(issuer()).token_header(HEADER);
        builder.danger_accept_query_parameter(PARAMETER)
    };
    let plain = builder().issuer(issuer());
    [plain, everywhere(), everywhere().strip_token()].map(|builder| builder.build().expect("a guard"))
});

/// The first byte chooses the guard. Each line is a header, by its first letter, or the query; a dollar stands for the good
/// token.
fn check(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let choice = usize::from(*choice) % 3;
    let Some(request) = request(text) else { return };
    let guard = &GUARDS[choice];
    let found = found(request.headers(), request.uri(), choice > 0);
    let values = request.headers().get_all(AUTHORIZATION).iter().count();
    let length = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let outcome = bounded(length, || ask(guard, &request));
    match &outcome {
        Ok(Some(claims)) => {
            assert_eq!(found, [Some(TOKEN.as_bytes().to_vec())], "{request:?}");
            assert_eq!(claims.subject(), Some("ada"));
        }
        Ok(None) => assert_eq!(found, [], "{request:?}"),
        Err(rejection) => {
            // A good token that stands alone in one place is found.
            let is_alone = found == [Some(TOKEN.as_bytes().to_vec())] && values < 2;
            assert!(!is_alone, "{rejection:?} for {request:?}");
            let response = guard.rejection_response(rejection, &request);
            assert_hidden(&format!("{rejection}{rejection:?}{response:?}"), &secrets());
        }
    }
    forward(guard, request, &outcome, choice);
}

/// What a handler gets to see.
fn forward(guard: &Guard, request: Request<()>, outcome: &Result<Option<Claims>, Rejection>, choice: usize) {
    let query = request.uri().query().is_some();
    let seen: Rc<RefCell<Option<Request<()>>>> = Rc::default();
    let handler = Rc::clone(&seen);
    let service = guard.layer().optional().layer(service_fn(move |request: Request<()>| {
        *handler.borrow_mut() = Some(request);
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    }));
    run(service.oneshot(request)).expect("a response");
    let Some(seen) = seen.take() else {
        assert!(outcome.is_err());
        return;
    };
    let strips = choice == 2;
    if strips {
        assert_eq!(found(seen.headers(), seen.uri(), true), [], "{seen:?}");
    }
    // `Debug` of a URI shows its query. Credentials of another scheme are not the guard's to hide.
    if matches!(outcome, Ok(Some(_))) && (strips || !query) {
        let shown = format!("{:?}", seen.headers().get_all(AUTHORIZATION).iter().collect::<Vec<_>>());
        assert_hidden(&shown, &secrets());
        if choice > 0 {
            assert_hidden(&format!("{:?}", seen.headers().get(HEADER)), &secrets());
        }
    }
}

fn secrets() -> Vec<String> {
    vec![TOKEN.clone(), TOKEN.rsplit('.').next().unwrap_or_default().to_owned()]
}

fn request(text: &[u8]) -> Option<Request<()>> {
    let mut request = Request::get("https://api.example.com/orders").body(()).expect("a request");
    let text = filled(text, &TOKEN)?;
    for line in text.split(|byte| *byte == b'\n').take(16) {
        let Some((place, value)) = line.split_first() else { continue };
        let name = match place {
            b'A' => AUTHORIZATION,
            b'T' => HeaderName::from_static(HEADER),
            b'C' => COOKIE,
            b'Q' => {
                let uri = [b"https://api.example.com/orders?", value].concat();
                *request.uri_mut() = Uri::try_from(uri).ok()?;
                continue;
            }
            _ => HeaderName::from_static("x-other"),
        };
        request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(request)
}

/// The credentials in a request; `None` for something in a place of theirs that is no token.
fn found(headers: &HeaderMap, uri: &Uri, everywhere: bool) -> Vec<Option<Vec<u8>>> {
    let mut found = Vec::new();
    for value in headers.get_all(AUTHORIZATION) {
        found.extend(credentials(value.as_bytes()));
    }
    if everywhere {
        found.extend(headers.get_all(HEADER).iter().map(|value| Some(value.as_bytes().to_vec())));
        let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let tokens = pairs.filter(|(name, _)| name == PARAMETER);
        found.extend(tokens.map(|(_, value)| Some(value.into_owned().into_bytes())));
    }
    found
}

/// Nothing for another scheme, `Some(None)` for a malformed header.
fn credentials(value: &[u8]) -> Option<Option<Vec<u8>>> {
    let is_plain = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let scheme =
        value.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(byte)).count();
    let (scheme, rest) = value.split_at(scheme);
    let scheme = scheme.to_ascii_lowercase();
    if scheme == b"bearer" {
        let token = rest.iter().position(|byte| *byte != b' ').filter(|spaces| *spaces > 0);
        return Some(token.map(|at| rest[at..].to_vec()));
    }
    // `Bearerabc` is this scheme without a space; `Bearers abc` is another scheme.
    let is_glued = scheme.starts_with(b"bearer") && !rest.starts_with(b" ");
    (is_glued || value.is_empty() || (!is_plain && !scheme.starts_with(b"bearer"))).then_some(None)
}

fn seeds() -> Vec<Vec<u8>> {
    let lines = [
        "ABearer $",
        "Abearer  $",
        "ABearer\t$",
        "ABearer$",
        "ABearers $",
        "ABasic YTpi",
        "ADPoP $",
        "T$",
        "Qaccess_token=$",
        "Qa=1&access_token=$&b=2",
        "Qaccess%5Ftoken=$",
        "ABearer $, Bearer $",
        "ABearer \"$\"",
        "A",
        "T",
        "Qaccess_token",
        "Caccess_token=$",
        "ABearer $\nABearer $",
        "ABearer $\nT$",
        "T$\nQaccess_token=$",
        "ABasic YTpi\nT$",
        "O$",
    ];
    (0..3_u8).flat_map(|choice| lines.map(|line| [&[choice][..], line.as_bytes()].concat())).collect()
}
