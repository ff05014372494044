//! A token in a cookie, against the crate `cookie`.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::LazyLock;

use bytes::Bytes;
use cookie::Cookie;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::Full;
use oauth_guard::Guard;
use tower::{Layer, ServiceExt, service_fn};

use crate::fixture::{builder, check as ask, claims, issuer, run, token};
use crate::target::{Target, bounded, filled};

pub const TARGET: Target = Target { check, seeds };

const NAME: &str = "session";

static TOKEN: LazyLock<String> = LazyLock::new(|| token(&claims()));
static GUARD: LazyLock<Guard> =
    LazyLock::new(|| builder().issuer(issuer()).token_cookie(NAME).strip_token().build().expect("a guard"));

/// Each line is one header; a dollar stands for the good token.
fn check(data: &[u8]) {
    let mut request = Request::get("https://api.example.com/orders").body(()).expect("a request");
    let Some(text) = filled(data, &TOKEN) else { return };
    for line in text.split(|byte| *byte == b'\n').take(8) {
        let Ok(text) = std::str::from_utf8(line) else { return };
        let Ok(value) = HeaderValue::from_str(text) else { return };
        request.headers_mut().append(COOKIE, value);
    }
    let Some((tokens, others)) = cookies(request.headers()) else { return };
    let length = request.headers().values().map(HeaderValue::len).sum();
    match bounded(length, || ask(&GUARD, &request)) {
        Ok(Some(claims)) => {
            assert_eq!(tokens, [&**TOKEN], "{request:?}");
            assert_eq!(claims.subject(), Some("ada"));
        }
        Ok(None) => assert_eq!(tokens, [""; 0], "{request:?}"),
        Err(rejection) => {
            assert!(tokens != [&**TOKEN], "{rejection:?} for {request:?}");
            return;
        }
    }
    // What is handed on has all other cookies, and no token.
    let seen: Rc<RefCell<Option<HeaderMap>>> = Rc::default();
    let handler = Rc::clone(&seen);
    let service = GUARD.layer().optional().layer(service_fn(move |request: Request<()>| {
        *handler.borrow_mut() = Some(request.headers().clone());
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    }));
    run(service.oneshot(request)).expect("a response");
    let seen = seen.take().expect("it was accepted");
    assert_eq!(cookies(&seen), Some((Vec::new(), others)));
}

/// The tokens that are not empty, and the cookies of other names. `None` where blanks stand around
/// the equals sign: these are no cookies (RFC 6265 section 4.2.1), and the crate repairs them.
fn cookies(headers: &HeaderMap) -> Option<(Vec<String>, Vec<(String, String)>)> {
    let (mut tokens, mut others) = (Vec::new(), Vec::new());
    for header in headers.get_all(COOKIE) {
        let text = header.to_str().ok()?;
        for pair in text.split(';') {
            let Ok(cookie) = Cookie::parse(pair) else { continue };
            let is_blank = |char: char| matches!(char, ' ' | '\t');
            if pair
                .split_once('=')
                .is_some_and(|(name, value)| name.ends_with(is_blank) || value.starts_with(is_blank))
            {
                return None;
            }
            let (name, value) = (cookie.name().to_owned(), cookie.value_trimmed().to_owned());
            match name.as_str() {
                NAME if value.is_empty() => {}
                NAME => tokens.push(value),
                _ => others.push((name, value)),
            }
        }
    }
    Some((tokens, others))
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "session=$",
        "a=1; session=$; b=2",
        "session=\"$\"",
        "session=$;session=$",
        "session=",
        "session",
        "session=;session=$",
        "Session=$",
        "xsession=$",
        "session=$x",
        " session=$ ;",
        ";;session=$",
        "session=$\nsession=$",
        "a=1\nsession=$\nb=2",
        "session==$",
        "session=\"$",
        "$=session",
        "a=session=$",
        "session=$,b=2",
        "session=\t$",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
