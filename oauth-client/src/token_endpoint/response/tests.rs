use std::time::Duration;

use super::*;
use crate::dialect::{sailpoint, slack, standard, teen_quotes};

const SENT: Now = Now { wall: Duration::from_secs(1000), monotonic: Duration::from_secs(5) };

fn response(status: u16, body: impl Into<Bytes>) -> Result<TokenSet, Error> {
    let secret = Secret::from("s3cr3t");
    let response = Response::builder().status(status).body(body.into()).unwrap();
    decode(response, SENT, SENT, &standard(), None, [&secret].into_iter()).map_err(|failed| failed.error)
}

fn with(members: &str) -> Result<TokenSet, Error> {
    response(200, format!(r#"{{"access_token":"t","token_type":"Bearer"{members}}}"#))
}

#[test]
fn a_plain_response_is_read_whole_and_the_rest_is_kept() {
    let tokens = response(
        201,
        r#"{"access_token":"acc3ss","token_type":"bearer","expires_in":3600,"refresh_token":"r3fresh","scope":"read write","tenant":"x"}"#,
    )
    .unwrap();
    assert_eq!(tokens.access_token().expose(), "acc3ss");
    assert_eq!(tokens.refresh_token().unwrap().expose(), "r3fresh");
    assert_eq!(tokens.lifetime(), Some(Duration::from_secs(3600)));
    assert_eq!(tokens.issued_at(), SENT.wall);
    assert_eq!(tokens.scope().unwrap(), ["read", "write"]);
    assert_eq!(tokens.extra()["tenant"], "x");
    let shown = format!("{tokens:?}");
    assert!(!shown.contains("acc3ss") && !shown.contains("r3fresh"), "{shown}");
}

#[test]
fn a_lifetime_is_a_number_a_fraction_or_a_string_of_one() {
    let lifetime = |value: &str| {
        with(&format!(r#","expires_in":{value}"#)).map(|tokens| tokens.lifetime().map(|l| l.as_secs()))
    };
    for (value, seconds) in [
        ("3600", 3600),
        ("\"3600\"", 3600),
        ("3600.9", 3600),
        ("3.6e3", 3600),
        ("0", 0),
        ("-1", 0),
        ("-0.5", 0),
    ] {
        assert_eq!(lifetime(value).unwrap(), Some(seconds), "{value}");
    }
    assert_eq!(lifetime("null").unwrap(), None);
    assert!(lifetime("1e300").is_ok(), "no overflow");
    for value in ["true", "{}", "\"soon\"", "\"NaN\"", "[60]"] {
        let error = lifetime(value).unwrap_err();
        assert!(
            error.code() == "malformed_response" && error.to_string().contains("expires_in"),
            "{value}: {error}"
        );
    }
}

#[test]
fn a_token_type_may_be_missing_or_oddly_cased_but_not_unknown() {
    for kind in ["", r#","token_type":"bearer""#, r#","token_type":"BEARER""#, r#","token_type":null"#] {
        assert!(response(200, format!(r#"{{"access_token":"t"{kind}}}"#)).is_ok(), "{kind}");
    }
    for kind in ["mac", "N_A", "DPoP", ""] {
        let error = response(200, format!(r#"{{"access_token":"t","token_type":"{kind}"}}"#)).unwrap_err();
        assert_eq!(error.code(), "unsupported_token_type", "{kind}");
    }
}

#[test]
fn an_access_token_that_could_break_a_header_is_refused() {
    for token in [r#""""#, "5", "null", r#""a\r\nX: y""#, r#""ü""#, r#""a b""#, r#""\u0000""#] {
        let error = response(200, format!(r#"{{"access_token":{token}}}"#)).unwrap_err();
        assert_eq!(error.code(), "malformed_response", "{token}");
    }
    assert_eq!(response(200, "{}").unwrap_err().code(), "malformed_response");
}

#[test]
fn scope_may_be_a_list_and_null_is_absent() {
    assert_eq!(with(r#","scope":["a","b c"]"#).unwrap().scope().unwrap(), ["a", "b c"]);
    assert_eq!(with(r#","scope":null"#).unwrap().scope(), None);
    for odd in [r#","scope":5"#, r#","scope":{}"#, r#","scope":["a",5]"#] {
        assert_eq!(with(odd).unwrap().scope(), None, "what is no scope costs no token: {odd}");
    }
    assert!(
        with(r#","refresh_token":"""#).unwrap().refresh_token().is_none(),
        "an empty one replaces nothing"
    );
}

#[test]
fn words_of_a_scope_are_separated_by_spaces_or_else_by_commas() {
    for (text, words) in [
        ("repo,gist,user:email", &["repo", "gist", "user:email"][..]),
        ("repo, gist", &["repo,", "gist"]),
        ("read write", &["read", "write"]),
        (" read\\twrite ", &["read", "write"]),
        ("read", &["read"]),
        ("", &[]),
        (",", &[]),
    ] {
        assert_eq!(with(&format!(r#","scope":"{text}""#)).unwrap().scope().unwrap(), words, "{text}");
    }
}

#[test]
fn a_member_that_does_not_fit_costs_no_token() {
    for odd in ["false", "{}", "[]", "5", "null", r#""""#] {
        for member in ["refresh_token", "id_token"] {
            let tokens = with(&format!(r#","{member}":{odd}"#)).unwrap();
            assert!(tokens.refresh_token().is_none() && tokens.id_token().is_none(), "{member} {odd}");
        }
    }
    assert_eq!(with(r#","expires_in":"""#).unwrap().lifetime(), None);
}

#[test]
fn a_form_is_read_as_json_is_whatever_its_media_type() {
    let tokens =
        response(200, "access_token=gho_1&scope=repo%2Cgist&token_type=bearer&expires_in=60\n").unwrap();
    assert_eq!(tokens.access_token().expose(), "gho_1");
    assert_eq!(tokens.scope().unwrap(), ["repo", "gist"]);
    assert_eq!(tokens.lifetime(), Some(Duration::from_secs(60)));
    let error =
        response(200, "error=bad_verification_code&error_description=The+code+is+incorrect").unwrap_err();
    assert_eq!((error.code(), error.description()), ("bad_verification_code", Some("The code is incorrect")));
    let error = response(400, "error=invalid_grant").unwrap_err();
    assert_eq!(error.code(), "invalid_grant");
    for body in [
        "access_token=a&access_token=b",
        "access_token=<html>",
        "token=a",
        "access_token=",
        "access_token=a b",
        "access_token=a%0d%0aX:%20y",
        "access_token",
    ] {
        assert_eq!(response(200, body).unwrap_err().code(), "malformed_response", "{body}");
    }
}

#[test]
fn an_error_behind_nulls_is_that_error() {
    for (body, code) in [
        (
            r#"{"access_token":null,"token_type":null,"error":"invalid_client","scope":null}"#,
            "invalid_client",
        ),
        (r#"{"access_token":"","error":"invalid_grant","refresh_token":""}"#, "invalid_grant"),
        (r#"{"access_token":null,"error":"","error_description":null}"#, "malformed_response"),
        (r#"{"access_token":null,"error":null}"#, "malformed_response"),
    ] {
        assert_eq!(response(200, body).unwrap_err().code(), code, "{body}");
    }
    let beside = r#"{"access_token":"t","error":"","error_description":null,"id_token":null,"refresh_token":null,"scope":null}"#;
    assert_eq!(response(200, beside).unwrap().access_token().expose(), "t");
}

#[test]
fn the_end_of_a_token_may_be_a_date() {
    let dialect = standard().expires_at("expires_at");
    let read = |value: &str| {
        let body = format!(r#"{{"access_token":"t","expires_at":{value}}}"#);
        let response = Response::new(Bytes::from(body));
        let read = decode(response, SENT, SENT, &dialect, None, std::iter::empty());
        read.map(|tokens| tokens.lifetime().map(|lifetime| lifetime.as_millis()))
            .map_err(|failed| failed.error)
    };
    for (value, milliseconds) in [
        (r#""1970-01-01T00:20:00Z""#, 200_000),
        (r#""1970-01-01T01:20:00.5+01:00""#, 200_500),
        (r#""Thu, 01 Jan 1970 00:20:00 GMT""#, 200_000),
        (r#""1970-01-01T00:00:00Z""#, 0),
        ("1200", 200_000),
        (r#""1200""#, 200_000),
        ("1893456000", 1_893_455_000_000),
        ("1893456000000", 1_893_455_000_000),
    ] {
        assert_eq!(read(value).unwrap(), Some(milliseconds), "{value}");
    }
    assert_eq!(read("null").unwrap(), None);
    assert_eq!(read(r#""""#).unwrap(), None);
    for none in [r#""soon""#, r#""2030-13-01T00:00:00Z""#, "true"] {
        let error = read(none).unwrap_err();
        assert!(error.to_string().contains("expires_at"), "{none}: {error}");
    }
}

#[test]
fn zero_can_mean_that_the_lifetime_is_unknown() {
    let dialect = standard().zero_lifetime_is_unknown();
    let read = |value: &str| {
        let body = format!(r#"{{"access_token":"t","expires_in":{value}}}"#);
        let read = decode(Response::new(Bytes::from(body)), SENT, SENT, &dialect, None, std::iter::empty());
        read.map_err(|failed| failed.error).unwrap()
    };
    for zero in ["0", "\"0\"", "-1"] {
        assert_eq!(read(zero).lifetime(), None, "{zero}");
    }
    assert_eq!(read("60").lifetime(), Some(Duration::from_secs(60)));
    assert_eq!(with(r#","expires_in":0"#).unwrap().lifetime(), Some(Duration::ZERO));
}

#[test]
fn what_is_not_json_or_says_a_thing_twice_is_malformed_and_not_quoted() {
    for body in [
        "<!doctype html><title>Log in s3cr3t</title>",
        "",
        r#"{"access_token":"s3cr3t","access_token":"b"}"#,
        "[1]",
    ] {
        let error = response(200, body).unwrap_err();
        assert_eq!(error.code(), "malformed_response");
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
    }
}

#[test]
fn an_error_response_keeps_code_status_and_text() {
    for code in
        ["invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"]
    {
        let body = format!(r#"{{"error":"{code}","error_description":"no","error_uri":"https://e"}}"#);
        let error = response(400, body).unwrap_err();
        assert_eq!((error.code(), error.description(), error.uri()), (code, Some("no"), Some("https://e")));
        assert_eq!(error.status().unwrap(), 400);
        assert!(!error.is_transient());
    }
    assert_eq!(response(200, r#"{"error":"invalid_grant"}"#).unwrap_err().code(), "invalid_grant");
}

#[test]
fn an_error_response_without_a_code_gets_one_from_its_status() {
    let by_status =
        [(400, "invalid_request"), (401, "invalid_client"), (403, "access_denied"), (404, "invalid_request")];
    let transient = [(429, "rate_limited"), (500, "server_error"), (503, "server_error")];
    for (status, code) in by_status.into_iter().chain(transient) {
        for body in ["<html>oops</html>", "", "{}", r#"{"error":5}"#, r#"{"error":"a\"b"}"#] {
            let error = response(status, body).unwrap_err();
            assert_eq!(error.code(), code, "{status} {body}");
            assert_eq!(error.is_transient(), status == 429 || status >= 500);
        }
    }
}

#[test]
fn hostile_text_is_cut_escaped_and_rid_of_our_secrets() {
    let long = "x".repeat(20_000);
    let body =
        format!(r#"{{"error":"invalid_client","error_description":"bad secret s3cr3t \u001b[31m {long}"}}"#);
    let error = response(401, body).unwrap_err();
    let text = error.description().unwrap();
    assert!(text.starts_with("bad secret [redacted] \\u{1b}[31m"), "{text}");
    assert!(text.chars().count() <= 530, "cut before it was escaped");
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));
}

#[test]
fn a_type_that_is_not_understood_is_named_without_secrets() {
    for (kind, shown) in
        [("mac", "mac"), ("s3cr3t=Mac", "[redacted]=Mac"), ("x-t0ken-1234567", "x-[redacted]")]
    {
        let body = format!(r#"{{"access_token":"t0ken-1234567","token_type":"{kind}"}}"#);
        let error = response(200, body).unwrap_err();
        assert!(error.to_string().contains(&format!("of type {shown:?},")), "{error}");
        assert!(
            !format!("{error:?}").contains("s3cr3t") && !format!("{error:?}").contains("t0ken-1"),
            "{error:?}"
        );
    }
}

#[test]
fn retry_after_is_kept_with_the_error_response() {
    let response = Response::builder().status(503).header("retry-after", "30").body(Bytes::new()).unwrap();
    let error = decode(response, SENT, SENT, &standard(), None, std::iter::empty()).err().unwrap().error;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
}

#[test]
fn a_response_with_a_token_and_an_error_is_that_error() {
    for (error, code) in [
        (r#""invalid_scope""#, "invalid_scope"),
        (r#""access_denied""#, "access_denied"),
        (r#""no such code \"""#, "invalid_request"),
        (r#"{"code":5}"#, "invalid_request"),
        ("true", "invalid_request"),
        ("1", "invalid_request"),
    ] {
        let members = format!(
            r#","refresh_token":"r3fresh","id_token":"1d","error":{error},"error_description":"t0ken r3fresh s3cr3t""#
        );
        let body = format!(r#"{{"access_token":"t0ken","token_type":"Bearer"{members}}}"#);
        let error = response(200, body).unwrap_err();
        assert_eq!((error.code(), error.status().unwrap().as_u16()), (code, 200), "{error}");
        assert_eq!(error.description(), Some("[redacted] [redacted] [redacted]"));
        let shown = format!("{error} {error:?} {:?}", error.unrecognized());
        assert!(!shown.contains("t0ken") && !shown.contains("r3fresh"), "{shown}");
    }
    // Some servers have an empty one in each response.
    for empty in ["\"\"", "null", "false", "0", "{}", "[]"] {
        assert!(with(&format!(r#","error":{empty}"#)).is_ok(), "{empty}");
    }
}

#[test]
fn no_error_shows_a_token_that_came_with_it() {
    for (status, body) in [
        (
            500,
            r#"{"access_token":"s3cr3t-at-0123","refresh_token":"s3cr3t-rt-0123","id_token":"s3cr3t-it-0123"}"#,
        ),
        (503, r#"{"data":{"access_token":"s3cr3t-at-0123"},"list":[{"refresh_token":"s3cr3t-rt-0123"}]}"#),
        (400, "access_token=s3cr3t-at-0123&refresh_token=s3cr3t-rt-0123%2F"),
        (200, r#"{"access_token":null,"refresh_token":"s3cr3t-rt-0123","error":"invalid_client"}"#),
        (200, r#"{"access_token":"s3cr3t at-0123","refresh_token":"s3cr3t-rt-0123"}"#),
        (200, r#"{"access_token":"s3cr3t-at-0123","access_token":"s3cr3t-rt-0123"}"#),
        (200, r#"{"access_token":"s3cr3t-at-0123","error":{"message":"s3cr3t-at-0123"}}"#),
        (200, r#"{"accessToken":"s3cr3t-at-0123"}"#),
        (200, r#"{"access_token":"s3cr3t-at-0123","expires_in":"s3cr3t"}"#),
    ] {
        for dialect in [standard(), slack(), sailpoint()] {
            let response = Response::builder().status(status).body(Bytes::from(body)).unwrap();
            let decoded = decode(response, SENT, SENT, &dialect, None, std::iter::empty());
            let failed = decoded.err().unwrap();
            let text = failed.error.error_response().and_then(|response| response.unrecognized.clone());
            let shown = format!("{0} {0:?} {text:?}", failed.error);
            assert!(!shown.contains("s3cr3t"), "{status} {body}: {shown}");
        }
    }
}

#[test]
fn what_a_server_says_of_a_token_is_kept() {
    let error =
        response(400, r#"{"refresh_token":"expired","access_token":"is not of this client"}"#).unwrap_err();
    assert_eq!(
        error.unrecognized(),
        Some(r#"{"refresh_token":"expired","access_token":"is not of this client"}"#)
    );
}

#[test]
fn an_odd_date_costs_no_token_whose_lifetime_is_known() {
    let read = |members: &str| {
        let body = Bytes::from(format!(r#"{{"access_token":"t","token_type":"bearer"{members}}}"#));
        let response = Response::builder().status(200).body(body).unwrap();
        let secrets = std::iter::empty();
        let tokens = decode(response, SENT, SENT, &teen_quotes(), None, secrets);
        tokens.map(|tokens| tokens.lifetime()).map_err(|failed| failed.error.to_string())
    };
    for odd in [r#""soon""#, "true", r#""2014-13-41""#] {
        let known = read(&format!(r#","expires":{odd},"expires_in":600"#));
        assert_eq!(known, Ok(Some(Duration::from_secs(600))), "{odd}");
        for unknown in ["", r#","expires_in":null"#] {
            let error = read(&format!(r#","expires":{odd}{unknown}"#)).unwrap_err();
            assert!(error.contains("expires"), "{error}");
        }
    }
}
