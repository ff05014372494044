//! The exact path of a claim.

use crate::json::Value;

/// Where a claim is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClaimPath {
    /// A name. If no claim has it and it has dots, a path into objects.
    Name(Box<str>),
    /// A JSON Pointer (RFC 6901): the names on the way, unescaped.
    Pointer(Box<[Box<str>]>),
}

impl Default for ClaimPath {
    fn default() -> Self {
        Self::Name(Box::default())
    }
}

impl ClaimPath {
    /// Reads a path. The error is for the author of the configuration.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("expected the path of a claim, such as realm_access.roles");
        }
        if text.contains('*') {
            return Err("there are no wildcards: write the exact path");
        }
        let Some(pointer) = text.strip_prefix('/') else {
            return Ok(Self::Name(text.into()));
        };
        pointer.split('/').map(unescape).collect::<Option<_>>().map(Self::Pointer).ok_or(
            "expected a JSON Pointer: names behind slashes, in which ~ is written ~0 and / is written ~1",
        )
    }

    /// The claim at this path. `get` finds a claim by its whole name.
    pub(crate) fn find<'a>(&self, get: impl Fn(&str) -> Option<Value<'a>>) -> Option<Value<'a>> {
        match self {
            Self::Name(name) => find_by_name(name, get),
            Self::Pointer(names) => {
                let (first, rest) = names.split_first()?;
                rest.iter().try_fold(get(first)?, |value, name| member(value, name))
            }
        }
    }
}

/// The claim with this name. If none has it and the name has dots, what it leads to as a path into objects.
pub(crate) fn find_by_name<'a>(name: &str, get: impl Fn(&str) -> Option<Value<'a>>) -> Option<Value<'a>> {
    get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(get(first)?, member)
    })
}

fn member<'a>(value: Value<'a>, name: &str) -> Option<Value<'a>> {
    if let Value::Object(object) = value { object.get(name) } else { None }
}

/// RFC 6901 section 4. `None` for an empty name and for a `~` that escapes nothing.
fn unescape(name: &str) -> Option<Box<str>> {
    let valid = name.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (valid && !name.is_empty()).then(|| name.replace("~1", "/").replace("~0", "~").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    const CLAIMS: &str = r#"{"roles":"a","realm_access":{"roles":["b"]},"https://x/roles":["c"],"a.b":{"c/d~e":"d"},
        "a":{"b":{"c":"e"}}}"#;

    fn find(path: &str) -> Option<String> {
        let path = ClaimPath::parse(path).unwrap();
        let mut claims = Vec::new();
        json::read_object(CLAIMS, &mut |name, value, _| claims.push((name, value))).unwrap();
        let found =
            path.find(|wanted| claims.iter().find(|(name, _)| name.is(wanted)).map(|(_, value)| *value));
        match found? {
            Value::String(text) => Some(text.decode().into_owned()),
            Value::Array(list) => list.items().next()?.as_text().map(|text| text.decode().into_owned()),
            _ => None,
        }
    }

    #[test]
    fn a_claim_is_found_by_name_path_or_pointer() {
        for (path, found) in [
            ("roles", Some("a")),
            ("/roles", Some("a")),
            ("realm_access.roles", Some("b")),
            ("/realm_access/roles", Some("b")),
            ("/https:~1~1x~1roles", Some("c")),
            ("/a.b/c~1d~0e", Some("d")),
            ("a.b.c", Some("e")),
            ("/a/b/c", Some("e")),
            ("/a.b/c", None),
            ("/realm_access.roles", None),
            ("realm_access.roles.x", None),
            ("/realm_access/roles/0", None),
            ("nothing", None),
            ("Roles", None),
        ] {
            assert_eq!(find(path).as_deref(), found, "{path}");
        }
    }

    #[test]
    fn wildcards_and_broken_paths_are_errors() {
        for path in [
            "",
            "*",
            "resource_access.*.roles",
            "/resource_access/*/roles",
            "$..*",
            "roles[*]",
            "/",
            "//a",
            "/a/",
            "/a~",
            "/a~2b",
        ] {
            assert!(ClaimPath::parse(path).is_err(), "{path}");
        }
        assert_eq!(ClaimPath::parse("a.*.b").unwrap_err(), "there are no wildcards: write the exact path");
    }
}
