//! Why claims do not fit the user's type: which claim, and what was expected of it, without its value.

use super::place_in;
use crate::escape::escaped;
use crate::json;

/// What an error of deserialization is about.
pub(crate) fn describe(payload: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The names of fields, and what a type expects, are the program's own.
    if let Some(name) = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return format!("the field `{name}` has no claim; make it optional, or have the issuer add it");
    }
    // The error stands at the value before it. The name of a claim is no secret, but the token's.
    if let Some((name, rest)) = text.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        let expected = rest.strip_prefix(", expected ").and_then(|rest| rest.split(" at line ").next());
        let name = escaped(name);
        return match expected {
            Some(expected) => format!("the claim `{name}`: the type expects {expected}"),
            None => format!("the claim `{name}` is none that the type has"),
        };
    }
    let Some(claim) = claim_at(payload, error.line(), error.column()) else {
        return "the claims do not fit as a whole".to_owned();
    };
    // What stands in front of the last one quotes the value, which may hold anything. Messages of types quote what they like.
    let is_of_serde = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant `"]
        .iter()
        .any(|start| text.starts_with(start));
    let expected = text.rsplit_once(", expected ").filter(|_| is_of_serde);
    let expected = expected.map(|(_, rest)| rest.split(" at line ").next().unwrap_or(rest));
    match expected {
        Some(expected) => format!("the claim `{claim}`: the type expects {expected}"),
        None => format!("the claim `{claim}` is none that the type has, or not of its form"),
    }
}

/// The member at a position, which is the last one that begins before it.
fn claim_at(payload: &str, line: usize, column: usize) -> Option<String> {
    let before: usize = payload.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let at = before + column;
    let mut found = None;
    json::read_object(payload, &mut |name, _, raw| {
        if place_in(payload, raw).start <= at {
            found = Some(escaped(&name.decode()));
        }
    })
    .ok()?;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Mine {
        tenant: String,
        level: Option<u8>,
        deep: Option<Deep>,
        kind: Option<Kind>,
        odd: Option<Odd>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        One,
        Two,
    }

    /// A type whose error message is its own, and quotes the value.
    #[derive(Debug)]
    struct Odd;

    impl<'de> serde::Deserialize<'de> for Odd {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            Err(serde::de::Error::custom(format!("not odd: {text}")))
        }
    }

    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Deep {
        list: Vec<u8>,
    }

    #[test]
    fn the_claim_is_named_and_its_value_is_not() {
        for (payload, expected) in [
            (
                r#"{"level":1}"#,
                "the field `tenant` has no claim; make it optional, or have the issuer add it",
            ),
            (r#"{"tenant":"secret","level":"secret"}"#, "the claim `level`: the type expects u8"),
            (r#"{"tenant":["secret"]}"#, "the claim `tenant`: the type expects a string"),
            ("{\"tenant\":\"a\",\n\n \"level\":\n 700}", "the claim `level`: the type expects u8"),
            (r#"{"deep":{"list":[1,"secret"]},"tenant":"a"}"#, "the claim `deep`: the type expects u8"),
            (
                r#"{"tenant":"a","level":"x, expected secret at line 1"}"#,
                "the claim `level`: the type expects u8",
            ),
            (
                r#"{"tenant":"a","kind":"x, expected secret"}"#,
                "the claim `kind`: the type expects `one` or `two`",
            ),
            (
                r#"{"tenant":"a","odd":"x, expected secret"}"#,
                "the claim `odd` is none that the type has, or not of its form",
            ),
            (
                r#"{"tenant":"a","secr\u0065t":1}"#,
                "the claim `secret`: the type expects one of `tenant`, `level`, `deep`, `kind`, `odd`",
            ),
        ] {
            let error = serde_json::from_str::<Mine>(payload).unwrap_err();
            assert_eq!(describe(payload, &error), expected, "{error}");
        }
    }
}
