//! The request: parameters, form-encoded.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use url::form_urlencoded;

use crate::token::Secret;
use crate::transport::wiped;

/// The parameters of a token request, in the order they are set. Secrets among them are redacted in `Debug`.
#[derive(Clone, Default)]
pub struct Parameters(Vec<(Cow<'static, str>, Value)>);

#[derive(Clone)]
enum Value {
    Plain(String),
    Secret(Secret),
}

impl Parameters {
    /// Sets a parameter, replacing what was set under that name: RFC 6749 section 3.2 allows each name once.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.replace(name.into(), Value::Plain(value.into()));
    }

    /// Sets a parameter whose value must never be printed.
    pub fn set_secret(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Secret>) {
        self.replace(name.into(), Value::Secret(value.into()));
    }

    /// Adds one more value under a name that may repeat, such as `resource` (RFC 8707 section 2).
    pub fn add(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.0.push((name.into(), Value::Plain(value.into())));
    }

    /// The secrets among the values, so that they can be taken out of what the server writes back.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> + Clone {
        self.0.iter().filter_map(|(_, value)| match value {
            Value::Secret(secret) => Some(secret),
            Value::Plain(_) => None,
        })
    }

    fn replace(&mut self, name: Cow<'static, str>, value: Value) {
        self.0.retain(|(set, _)| *set != name);
        self.0.push((name, value));
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| match value {
            Value::Plain(text) => (&**name, text.as_str()),
            Value::Secret(secret) => (&**name, secret.expose()),
        })
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, value)| match value {
            Value::Plain(text) => (name, text.as_str()),
            Value::Secret(_) => (name, "redacted"),
        });
        f.debug_map().entries(shown).finish()
    }
}

/// RFC 6749 appendix B: `application/x-www-form-urlencoded`, in a buffer that is wiped.
pub(crate) fn form(parameters: &Parameters) -> Bytes {
    // Room for the worst case from the start: a buffer that grows leaves copies of the secrets behind.
    let room = parameters.pairs().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(room));
    form.extend_pairs(parameters.pairs());
    wiped(form.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_sent_once_unless_it_may_repeat() {
        let mut parameters = Parameters::default();
        parameters.set("scope", "read");
        parameters.set("scope", "read write");
        parameters.add("resource", "urn:a");
        parameters.add("resource", "urn:b");
        parameters.set_secret("client_secret", "p&q=r +");
        assert_eq!(
            form(&parameters),
            "scope=read+write&resource=urn%3Aa&resource=urn%3Ab&client_secret=p%26q%3Dr+%2B"
        );
        assert!(!format!("{parameters:?}").contains("p&q"));
    }
}
