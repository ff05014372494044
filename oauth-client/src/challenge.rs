//! What an answer's `WWW-Authenticate` says (RFC 9110 section 11.6.1).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// One challenge: a scheme, and what it says about itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

/// All challenges of an answer, in order. Several may share a header, and what is malformed is skipped up to the next
/// comma.
pub(crate) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut found = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        read(&mut found, Cursor(value.as_bytes()));
    }
    found
}

impl Challenge {
    /// Whether this is its scheme, whose case does not count.
    pub(crate) fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The first value of a parameter, the case of whose name does not count.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

fn read(found: &mut Vec<Challenge>, mut rest: Cursor<'_>) {
    // Parameters belong to the challenges of their own header only.
    let first = found.len();
    while !rest.0.is_empty() {
        rest.skip(|byte| matches!(byte, b',' | b' ' | b'\t'));
        let word = rest.take(is_token);
        if word.is_empty() {
            rest.skip_to_comma();
            continue;
        }
        let after_word = rest;
        rest.skip_spaces();
        let has_challenge = found.len() > first;
        match found.last_mut().filter(|_| has_challenge) {
            Some(challenge) if rest.eat(b'=') => {
                rest.skip_spaces();
                match rest.value() {
                    Some(value) => challenge.parameters.push((text(word), value)),
                    None => rest.skip_to_comma(),
                }
            }
            _ => {
                rest = after_word;
                found.push(Challenge { scheme: text(word), parameters: Vec::new() });
                rest.skip_token68();
            }
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What has not been read yet.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.0.iter().position(|byte| !wanted(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn skip(&mut self, unwanted: impl Fn(u8) -> bool) {
        self.take(unwanted);
    }

    fn skip_spaces(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn eat(&mut self, wanted: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == wanted => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// A parameter's value: a token or a quoted string.
    fn value(&mut self) -> Option<String> {
        if !self.eat(b'"') {
            let value = self.take(is_token);
            return (!value.is_empty()).then(|| text(value));
        }
        let mut value = Vec::new();
        while let Some((&byte, rest)) = self.0.split_first() {
            self.0 = rest;
            match byte {
                b'"' => return Some(text(&value)),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    value.push(escaped);
                }
                _ => value.push(byte),
            }
        }
        None
    }

    /// Skips what some schemes have in place of parameters.
    fn skip_token68(&mut self) {
        let mut ahead = *self;
        ahead.skip_spaces();
        ahead.skip(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        ahead.skip(|byte| byte == b'=');
        ahead.skip_spaces();
        if matches!(ahead.0.first(), None | Some(b',')) {
            *self = ahead;
        }
    }

    fn skip_to_comma(&mut self) {
        while let Some((&byte, rest)) = self.0.split_first() {
            match byte {
                b',' => return,
                b'"' if self.value().is_some() => {}
                _ => self.0 = rest,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&'static str]) -> Vec<Challenge> {
        let headers = values.iter().map(|value| (WWW_AUTHENTICATE, HeaderValue::from_static(value)));
        challenges(&headers.collect())
    }

    fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Challenge {
        let parameters = parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Challenge { scheme: scheme.into(), parameters }
    }

    #[test]
    fn challenges_share_headers_in_every_way_the_grammar_allows() {
        assert_eq!(
            read(&[
                r#"Bearer realm="a, \"b\"", error=invalid_token, DPoP algs="ES256 PS256" , error="use_dpop_nonce""#,
                "Negotiate",
                "Basic",
                "NTLM TlRMTVNTUAAC==, Newauth x = y,,",
            ]),
            [
                challenge("Bearer", &[("realm", "a, \"b\""), ("error", "invalid_token")]),
                challenge("DPoP", &[("algs", "ES256 PS256"), ("error", "use_dpop_nonce")]),
                challenge("Negotiate", &[]),
                challenge("Basic", &[]),
                challenge("NTLM", &[]),
                challenge("Newauth", &[("x", "y")]),
            ]
        );
    }

    #[test]
    fn names_are_found_in_any_case_and_the_first_of_two_values_counts() {
        let [found] = &read(&[r#"dpop Error="use_dpop_nonce", error="x""#])[..] else { panic!("one") };
        assert!(found.is("DPoP") && !found.is("Bearer"));
        assert_eq!(found.parameter("error"), Some("use_dpop_nonce"));
        assert_eq!(found.parameter("errors"), None);
    }

    #[test]
    fn what_is_malformed_spoils_nothing_else() {
        for broken in [
            "",
            ",",
            "=",
            "\"",
            "\"\\",
            "Bearer =",
            "Bearer error=",
            "Bearer error=\"x",
            "error=\"x\"",
            "é",
            "(a), b=",
        ] {
            let headers = [(WWW_AUTHENTICATE, HeaderValue::from_bytes(broken.as_bytes()).unwrap())];
            let found = challenges(&headers.into_iter().collect());
            assert!(found.iter().all(|one| one.parameter("error").is_none()), "{broken:?}: {found:?}");
        }
        let found = read(&[r#"(bad, "in, quotes"), DPoP error="use_dpop_nonce""#, "Bearer"]);
        assert_eq!(found, [challenge("DPoP", &[("error", "use_dpop_nonce")]), challenge("Bearer", &[])]);
    }
}
