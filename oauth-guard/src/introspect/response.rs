//! What a server says of a token (RFC 7662 section 2.2), read strictly.

use crate::json::Value;
use crate::validate::ClaimSet;

/// Why a response is no response: the endpoint is in trouble, and nothing is said of the token.
pub(super) const TROUBLE: &str = "malformed_response";

/// Reads a response: what it says of an active token. The members about an inactive token mean nothing.
///
/// # Errors
/// What is wrong, by the name of a member.
pub(super) fn read(body: &str) -> Result<Option<ClaimSet<'_>>, &'static str> {
    let claims = ClaimSet::read(body).map_err(|_| "not one JSON object, each member once")?;
    match claims.get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Ok(None),
        _ => return Err("active"),
    }
    for name in ["scope", "aud"] {
        if !matches!(claims.present(name), None | Some(Value::String(_)))
            && !is_list_of_strings(&claims, name)
        {
            return Err(name);
        }
    }
    for name in ["client_id", "username", "token_type", "sub", "iss", "jti"] {
        if !matches!(claims.present(name), None | Some(Value::String(_))) {
            return Err(name);
        }
    }
    for name in ["exp", "iat", "nbf"] {
        if claims.present(name).is_some_and(|value| value.as_seconds().is_none()) {
            return Err(name);
        }
    }
    if !matches!(claims.present("cnf"), None | Some(Value::Object(_))) {
        return Err("cnf");
    }
    Ok(Some(claims))
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
        read(body).map(|claims| claims.is_some())
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
