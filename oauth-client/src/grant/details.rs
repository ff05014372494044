//! RFC 9396: what exactly is asked for, beyond scopes.

use serde::Serialize;
use serde_json::Value;

use crate::error::Error;

/// Checks and writes `authorization_details` (RFC 9396 section 2): a list of objects, each with its `type`.
pub(crate) fn authorization_details(details: impl Serialize) -> Result<String, Error> {
    let wrong = |what: &str| {
        Error::config(
            "authorization_details",
            format!("{what}; expected a list of objects, each with a \"type\" (RFC 9396 section 2)"),
        )
    };
    let details = serde_json::to_value(details).map_err(|_| wrong("cannot be written as JSON"))?;
    let Value::Array(items) = &details else { return Err(wrong("is not a list")) };
    match items.iter().position(|item| !item.get("type").is_some_and(Value::is_string)) {
        _ if items.is_empty() => Err(wrong("is empty")),
        Some(n) => Err(wrong(&format!("element {n} names no type"))),
        None => Ok(details.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_are_a_list_of_objects_with_a_type() {
        assert_eq!(
            authorization_details(json!([{"type": "payment", "amount": 1}])).unwrap(),
            r#"[{"amount":1,"type":"payment"}]"#
        );
        for wrong in [json!({"type": "a"}), json!([]), json!([{"type": "a"}, {"typ": "b"}]), json!("a")] {
            let error = authorization_details(wrong).unwrap_err();
            assert_eq!(error.problems()[0].field, "authorization_details");
        }
    }
}
