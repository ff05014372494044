//! What a server says of a token (RFC 7662 section 2.2), read strictly.

use crate::json::Value;
use crate::validate::{ClaimSet, Kind};

/// Why a response is no response: the endpoint is in trouble, and nothing is said of the token.
pub(super) const TROUBLE: &str = "malformed_response";

/// Reads a response.
///
/// # Errors
/// Why it is none.
pub(super) fn read(body: &str) -> Result<ClaimSet<'_>, &'static str> {
    ClaimSet::read(body).map_err(|_| "not one JSON object, each member once")
}

/// Whether a response says that the token is active. The members about an inactive token mean nothing.
///
/// # Errors
/// What is wrong, by the name of a member.
pub(super) fn is_active(claims: &ClaimSet<'_>) -> Result<bool, &'static str> {
    match claims.kind("active") {
        Kind::True => {}
        Kind::False => return Ok(false),
        _ => return Err("active"),
    }
    list(claims, "scope", claims.kind("scope"))?;
    list(claims, "aud", claims.kind("aud"))?;
    text("client_id", claims.kind("client_id"))?;
    text("username", claims.kind("username"))?;
    text("token_type", claims.kind("token_type"))?;
    text("sub", claims.kind("sub"))?;
    text("iss", claims.kind("iss"))?;
    text("jti", claims.kind("jti"))?;
    for name in ["exp", "iat", "nbf"] {
        claims.seconds(name).map_err(|_| name)?;
    }
    match claims.kind("cnf") {
        Kind::Absent | Kind::Null | Kind::Object => Ok(true),
        _ => Err("cnf"),
    }
}

#[inline]
fn text(name: &'static str, kind: Kind) -> Result<(), &'static str> {
    if matches!(kind, Kind::Absent | Kind::Null | Kind::String) { Ok(()) } else { Err(name) }
}

/// A string, or a list of them.
#[inline]
fn list(claims: &ClaimSet<'_>, name: &'static str, kind: Kind) -> Result<(), &'static str> {
    if kind == Kind::Array && is_list_of_strings(claims, name) { Ok(()) } else { text(name, kind) }
}

fn is_list_of_strings(claims: &ClaimSet<'_>, name: &str) -> bool {
    match claims.present(name) {
        Some(Value::Array(list)) => list.items().all(|item| item.as_text().is_some()),
        _ => false,
    }
}

/// Whether a response is about another token than the JWT that was asked about.
pub(crate) fn contradicts(response: &ClaimSet<'_>, issuer: &str, subject: Option<&str>) -> bool {
    let differs = |name: &str, ours: Option<&str>| match (response.present(name), ours) {
        (Some(Value::String(theirs)), Some(ours)) => !theirs.is(ours),
        _ => false,
    };
    differs("iss", Some(issuer)) || differs("sub", subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_active(body: &str) -> Result<bool, &'static str> {
        super::is_active(&read(body)?)
    }

    #[test]
    fn only_true_is_active() {
        assert_eq!(is_active(r#"{"active":true}"#), Ok(true));
        assert_eq!(is_active(r#"{"active":false,"exp":"x"}"#), Ok(false));
        for other in
            [r#"{"active":"true"}"#, r#"{"active":1}"#, r#"{"active":null}"#, "{}", r#"{"Active":true}"#]
        {
            assert_eq!(is_active(other).err(), Some("active"), "{other}");
        }
    }

    #[test]
    fn a_member_of_a_wrong_type_is_trouble_and_null_is_absent() {
        for (member, value) in [
            ("scope", "7"),
            ("scope", "[1]"),
            ("aud", "{}"),
            ("aud", "[\"a\",1]"),
            ("client_id", "[]"),
            ("username", "1"),
            ("token_type", "true"),
            ("sub", "1"),
            ("iss", "[\"https://auth.example.com\"]"),
            ("jti", "{}"),
            ("exp", "\"9000000000\""),
            ("iat", "-1"),
            ("nbf", "[]"),
            ("cnf", "\"x\""),
        ] {
            let body = format!(r#"{{"active":true,"{member}":{value}}}"#);
            assert_eq!(is_active(&body).err(), Some(member), "{body}");
            let body = format!(r#"{{"active":true,"{member}":null}}"#);
            assert!(is_active(&body).is_ok(), "{body}");
        }
        for good in [r#""scope":"a b""#, r#""scope":["a"]"#, r#""aud":["a"]"#, r#""exp":9e9"#] {
            assert!(is_active(&format!(r#"{{"active":true,{good}}}"#)).is_ok(), "{good}");
        }
        for bad in [
            "",
            "[]",
            "true",
            r#"{"active":true"#,
            r#"{"active":true} x"#,
            r#"{"active":false,"active":true}"#,
            r#"{"active":true,"ext":{"a":1,"a":2}}"#,
            "<html></html>",
        ] {
            assert!(is_active(bad).is_err(), "{bad}");
        }
    }
}
