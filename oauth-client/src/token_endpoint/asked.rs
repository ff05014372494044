//! What a request asked for, to name it where the server refuses that.

use url::Url;

use super::Parameters;
use crate::error::printable;

/// The most that is named, in characters.
const MAX_NAMED: usize = 256;

/// What of a request a server may refuse by itself (RFC 6749 section 5.2, RFC 8707 section 2, RFC 8693 section 2.2.2).
#[derive(Default)]
pub(crate) struct Asked {
    scope: Option<String>,
    resources: Vec<String>,
    audiences: Vec<String>,
}

impl Asked {
    /// What is plain among these parameters: secrets are none of it.
    pub(crate) fn in_parameters(parameters: &Parameters) -> Self {
        let all = |name| parameters.all_plain(name).map(str::to_owned).collect();
        Self {
            scope: parameters.plain("scope").map(str::to_owned),
            resources: all("resource"),
            audiences: all("audience"),
        }
    }

    /// What the URL of an authorization request asks for; `None` where it only refers to what was pushed (RFC 9126) or
    /// signed (RFC 9101).
    pub(crate) fn in_url(url: &Url) -> Option<Self> {
        let mut asked = Self::default();
        for (name, value) in url.query_pairs() {
            match &*name {
                "scope" => asked.scope = Some(value.into_owned()),
                "resource" => asked.resources.push(value.into_owned()),
                "audience" => asked.audiences.push(value.into_owned()),
                "request" | "request_uri" => return None,
                _ => {}
            }
        }
        Some(asked)
    }

    /// The end of the sentence about a refusal with this code, if it is about what was asked for.
    pub(crate) fn refused_with(&self, code: &str) -> Option<String> {
        match code {
            "invalid_scope" => Some(match self.scope.as_deref().filter(|scope| !scope.is_empty()) {
                Some(scope) => format!("for the scope \"{}\"", printable(scope, MAX_NAMED)),
                None => "for a request without a scope".to_owned(),
            }),
            "invalid_target" => {
                let lists = [("resource", &self.resources), ("audience", &self.audiences)];
                let named: Vec<_> = lists
                    .into_iter()
                    .filter(|(_, values)| !values.is_empty())
                    .map(|(what, values)| {
                        format!("the {what} \"{}\"", printable(&values.join(" "), MAX_NAMED))
                    })
                    .collect();
                Some(if named.is_empty() {
                    "for a request without a resource or an audience".to_owned()
                } else {
                    format!("for {}", named.join(" and "))
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_named_in_one_line_of_bounded_length_without_secrets() {
        let mut parameters = Parameters::default();
        let none = Asked::in_parameters(&parameters);
        assert_eq!(none.refused_with("invalid_scope").unwrap(), "for a request without a scope");
        assert!(none.refused_with("invalid_target").unwrap().contains("without a resource or an audience"));
        parameters.set("scope", "read\nadmin");
        parameters.add("resource", "urn:a");
        parameters.add("resource", "urn:b");
        parameters.set_secret("audience", "s3cr3t");
        let asked = Asked::in_parameters(&parameters);
        assert_eq!(asked.refused_with("invalid_scope").unwrap(), r#"for the scope "read\u{a}admin""#);
        assert_eq!(asked.refused_with("invalid_target").unwrap(), r#"for the resource "urn:a urn:b""#);
        assert!(asked.refused_with("invalid_client").is_none());
        parameters.set("audience", "x".repeat(10_000));
        let long = Asked::in_parameters(&parameters).refused_with("invalid_target").unwrap();
        assert!(long.contains("\" and the audience \"xxx") && long.len() < 400, "{long}");
    }

    #[test]
    fn the_url_of_a_login_says_what_it_asked_for_unless_it_only_refers_to_it() {
        let asked =
            |query: &str| Asked::in_url(&Url::parse(&format!("https://as.example/a?{query}")).unwrap());
        let scope = asked("scope=read+admin&state=s3cr3t").unwrap().refused_with("invalid_scope");
        assert_eq!(scope.unwrap(), "for the scope \"read admin\"");
        assert!(asked("client_id=a&request_uri=urn%3Ax").is_none());
    }
}
