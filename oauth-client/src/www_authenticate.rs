//! `WWW-Authenticate`, read as RFC 9110 section 11.6.1 writes it.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// One challenge of a refused request (RFC 9110 section 11.6.1).
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
/// use oauth_client::discover::Challenge;
///
/// let mut headers = HeaderMap::new();
/// let value = r#"Negotiate YII=, Bearer realm="say \"hi\", or go", error=invalid_token, DPoP algs="ES256""#;
/// headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
///
/// let challenges = Challenge::from_headers(&headers);
/// let schemes: Vec<_> = challenges.iter().map(Challenge::scheme).collect();
/// assert_eq!(schemes, ["Negotiate", "Bearer", "DPoP"]);
/// assert_eq!(challenges[0].token68(), Some("YII="));
/// assert_eq!(challenges[1].parameter("realm"), Some(r#"say "hi", or go"#));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    scheme: String,
    token68: Option<String>,
    parameters: Vec<(String, String)>,
}

/// So many challenges are read at most: more than any client needs.
const MAX_CHALLENGES: usize = 32;

/// And of each so many parameters: looking for those that stand twice takes the longer the more there are.
const MAX_PARAMETERS: usize = 64;

impl Challenge {
    /// All challenges of a response, in order; one header may hold several, and there may be several headers. A
    /// challenge that is malformed, or has a parameter twice, is left out.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Vec<Self> {
        let mut all = Vec::new();
        for value in headers.get_all(WWW_AUTHENTICATE) {
            Reader(value.as_bytes()).challenges(&mut all);
        }
        all.truncate(MAX_CHALLENGES);
        all
    }

    /// The scheme, as it was written; see [`is`](Self::is).
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether it is of this scheme; its case does not count.
    #[must_use]
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The value that schemes such as `Negotiate` have in place of parameters.
    #[must_use]
    pub fn token68(&self) -> Option<&str> {
        self.token68.as_deref()
    }

    /// A parameter's value; the case of names does not count.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// All parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Adds a parameter; each name may appear once, and of two neither can be trusted.
    fn add(&mut self, name: String, value: String) -> Option<()> {
        let is_full = self.parameters.len() >= MAX_PARAMETERS;
        if is_full || self.parameter(&name).is_some() || self.token68.is_some() {
            return None;
        }
        self.parameters.push((name, value));
        Some(())
    }
}

/// What is left of a header.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// `#challenge`, in which commas part challenges as well as their parameters.
    fn challenges(mut self, all: &mut Vec<Challenge>) {
        let mut current = None;
        while all.len() < MAX_CHALLENGES {
            self.skip(|byte| matches!(byte, b' ' | b'\t' | b','));
            if self.0.is_empty() {
                all.extend(current);
                return;
            }
            let read = self.element(&mut current, all);
            self.skip(is_space);
            if read.is_none() || !matches!(self.0.first(), None | Some(b',')) {
                // Of a challenge that is broken in one place, nothing is believed; the next one may be whole.
                current = None;
                self.skip_to_comma();
            }
        }
    }

    fn skip_to_comma(&mut self) {
        while let Some((byte, rest)) = self.0.split_first().filter(|(byte, _)| **byte != b',') {
            self.0 = rest;
            if *byte == b'"' {
                self.quoted();
            }
        }
    }

    /// Either the start of a challenge, or one more parameter of the current one.
    fn element(&mut self, current: &mut Option<Challenge>, all: &mut Vec<Challenge>) -> Option<()> {
        let name = self.token()?;
        let before = self.0;
        self.skip(is_space);
        if self.eat(b'=') {
            return current.as_mut()?.add(name, self.value()?);
        }
        all.extend(current.take());
        let mut challenge = Challenge { scheme: name, ..Challenge::default() };
        if before.first() == Some(&b' ') && !matches!(self.0.first(), None | Some(b',')) {
            if let Some(token68) = self.token68() {
                challenge.token68 = Some(token68);
            } else {
                let name = self.token()?;
                self.skip(is_space);
                let value = self.eat(b'=').then(|| self.value())??;
                challenge.add(name, value)?;
            }
        }
        *current = Some(challenge);
        Some(())
    }

    fn value(&mut self) -> Option<String> {
        self.skip(is_space);
        if self.eat(b'"') { self.quoted() } else { self.token() }
    }

    /// The rest of a quoted string (RFC 9110 section 5.6.4).
    fn quoted(&mut self) -> Option<String> {
        let mut text = Vec::new();
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            match first {
                b'"' => return Some(String::from_utf8_lossy(&text).into_owned()),
                b'\\' => {
                    let (escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    text.push(*escaped);
                }
                byte => text.push(*byte),
            }
        }
    }

    fn token(&mut self) -> Option<String> {
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let length = self.0.iter().take_while(|byte| is_token(byte)).count();
        self.take(length)
    }

    /// RFC 9110 section 11.2: only where the challenge ends behind it; otherwise it is the name of a parameter.
    fn token68(&mut self) -> Option<String> {
        let is_68 = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
        let length = self.0.iter().take_while(|byte| is_68(byte)).count();
        let padding = self.0.get(length..)?.iter().take_while(|byte| **byte == b'=').count();
        let mut rest = Reader(self.0.get(length + padding..)?);
        rest.skip(is_space);
        if length == 0 || !matches!(rest.0.first(), None | Some(b',')) {
            return None;
        }
        self.take(length + padding)
    }

    fn take(&mut self, length: usize) -> Option<String> {
        let (taken, rest) = self.0.split_at_checked(length).filter(|_| length > 0)?;
        self.0 = rest;
        std::str::from_utf8(taken).ok().map(str::to_owned)
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn skip(&mut self, skipped: impl Fn(u8) -> bool) {
        let length = self.0.iter().take_while(|byte| skipped(**byte)).count();
        self.0 = self.0.get(length..).unwrap_or_default();
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let shown = |challenge: &Challenge| {
            let parameters: Vec<_> =
                challenge.parameters().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {}{}", challenge.scheme(), challenge.token68().unwrap_or(""), parameters.join("|"))
        };
        Challenge::from_headers(&headers).iter().map(shown).collect()
    }

    #[test]
    fn what_is_well_written_is_read() {
        for (header, expected) in [
            ("Bearer", &["Bearer "][..]),
            ("Bearer realm=\"a\"", &["Bearer realm=a"]),
            ("Basic realm=x, Bearer a=1 , b = \"2\"", &["Basic realm=x", "Bearer a=1|b=2"]),
            (
                "Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\", Basic realm=\"simple\"",
                &["Newauth realm=apps|type=1|title=Login to \"apps\"", "Basic realm=simple"],
            ),
            ("Negotiate, Bearer x=\"a, Basic realm=b\"", &["Negotiate ", "Bearer x=a, Basic realm=b"]),
            ("Negotiate abc==, Bearer", &["Negotiate abc==", "Bearer "]),
            (", ,Bearer a=1,, b=2,", &["Bearer a=1|b=2"]),
            ("Bearer  scope=\"read write\"", &["Bearer scope=read write"]),
            ("Bearer x=\"\"", &["Bearer x="]),
        ] {
            assert_eq!(read(&[header]), expected, "{header}");
        }
        assert_eq!(read(&["Bearer a=1", "DPoP b=2"]), ["Bearer a=1", "DPoP b=2"]);
    }

    #[test]
    fn what_is_broken_is_left_out_and_spoils_nothing_else() {
        for (header, expected) in [
            ("", &[][..]),
            ("=x", &[]),
            ("Bearer a=\"open", &[]),
            ("Bearer a=\"x\\", &[]),
            ("Basic realm=x, Bearer a=1, a=2, c=3, DPoP b=1", &["Basic realm=x", "DPoP b=1"]),
            ("(bad, \"in, quotes\"), DPoP error=\"x\"", &["DPoP error=x"]),
            ("Bearer =", &[]),
            ("Basic realm=x, Bearer a=1, A=2", &["Basic realm=x"]),
            ("Bearer a=\"1\" b=2", &[]),
            ("Negotiate abc, x=1", &[]),
            ("Bearer a=", &["Bearer a="]), // that is a token68
            ("Bearer a=1, b=", &[]),
            ("Bearer (comment)", &[]),
            ("a=1, Bearer b=2", &["Bearer b=2"]),
        ] {
            assert_eq!(read(&[header]), expected, "{header}");
        }
        assert_eq!(read(&["Bearer a=\"open", "Basic"]), ["Basic "], "another header is another matter");
        assert_eq!(read(&[&"Basic, ".repeat(1000)]).len(), MAX_CHALLENGES);
    }

    #[test]
    fn a_challenge_with_too_many_parameters_is_skipped() {
        let many = |count: usize| {
            let parameters: Vec<_> = (0..count).map(|n| format!("p{n}=1")).collect();
            format!("Bearer {}, Basic", parameters.join(", "))
        };
        assert_eq!(read(&[&many(MAX_PARAMETERS)]).len(), 2);
        assert_eq!(read(&[&many(20_000)]).len(), 1, "and takes no noticeable time");
    }

    #[test]
    fn no_text_makes_it_panic() {
        let alphabet = [" ", ",", "=", "\"", "\\", "a", "B=", "\u{fc}", "~+/", "\t"];
        for n in 0..10_usize.pow(5) {
            let text: String = (0..5).map(|digit| alphabet[n / 10_usize.pow(digit) % 10]).collect();
            Reader(text.as_bytes()).challenges(&mut Vec::new());
        }
    }
}
