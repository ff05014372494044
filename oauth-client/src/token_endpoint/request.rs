//! The request: parameters, written as the dialect says.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use url::{Url, form_urlencoded};

use super::deferred::{Deferred, RequestContext, deferred, read};
use crate::dialect::Dialect;
use crate::error::{BoxError, Error};
use crate::secret::SecretSource;
use crate::token::Secret;
use crate::transport::wiped;

/// The parameters of a token request, in the order they are set. Secrets among them are redacted in `Debug`.
#[derive(Clone, Default)]
pub struct Parameters(Vec<(Cow<'static, str>, Value)>);

#[derive(Clone)]
enum Value {
    Plain(String),
    Secret(Secret),
    /// Not computed yet.
    Deferred(Deferred),
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

    /// Sets a parameter that is computed again for every request, right before the request is sent, such as an assertion
    /// that is valid for one use (RFC 7523 section 3). It is a secret like any other. If it cannot be computed, nothing
    /// is sent and the error has the code `secret`.
    ///
    /// ```
    /// use oauth_client::Secret;
    /// use oauth_client::token_endpoint::{Parameters, RequestContext};
    ///
    /// let mut parameters = Parameters::default();
    /// parameters.set_deferred("assertion", |context: RequestContext| async move {
    ///     let now = context.now.as_secs();
    ///     Ok::<_, std::io::Error>(Secret::new(format!("for {} at {now}", context.audience)))
    /// });
    /// ```
    pub fn set_deferred<F, E>(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        compute: impl Fn(RequestContext) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<Secret, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.set_deferred_value(name, deferred(compute));
    }

    /// Sets a parameter from a [source of secrets](crate::secret), read again for every request unless it never changes.
    pub fn set_from(&mut self, name: &'static str, source: &SecretSource) {
        match source.fixed() {
            Some(secret) => self.set_secret(name, secret.clone()),
            None => self.set_deferred_value(name, read(name, source)),
        }
    }

    pub(crate) fn set_deferred_value(&mut self, name: impl Into<Cow<'static, str>>, value: Deferred) {
        self.replace(name.into(), Value::Deferred(value));
    }

    /// Computes all deferred values.
    pub(crate) async fn compute(&mut self, context: &RequestContext) -> Result<(), Error> {
        for (name, value) in &mut self.0 {
            if let Value::Deferred(deferred) = value {
                let computed = deferred.compute(context.clone()).await;
                // Our own errors are complete already, such as why a source has no token.
                let failed = |source: BoxError| match source.downcast::<Error>() {
                    Ok(error) => *error,
                    Err(source) => Error::secret(name.as_ref(), source),
                };
                *value = Value::Secret(computed.map_err(failed)?);
            }
        }
        Ok(())
    }

    /// Adds one more value under a name that may repeat, such as `resource` (RFC 8707 section 2).
    pub fn add(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.0.push((name.into(), Value::Plain(value.into())));
    }

    /// The secrets among the values, so that they can be taken out of what the server writes back.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> + Clone {
        self.0.iter().filter_map(|(_, value)| match value {
            Value::Secret(secret) => Some(secret),
            Value::Plain(_) | Value::Deferred(_) => None,
        })
    }

    /// What is set under a name, if it is no secret.
    pub(crate) fn plain(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(set, value)| match value {
            Value::Plain(text) if set == name => Some(text.as_str()),
            _ => None,
        })
    }

    /// The secret that is set under a name.
    pub(crate) fn secret(&self, name: &str) -> Option<&Secret> {
        self.0.iter().find_map(|(set, value)| match value {
            Value::Secret(secret) if set == name => Some(secret),
            _ => None,
        })
    }

    /// All that is set under a name that may repeat, but for secrets.
    pub(crate) fn all_plain(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(move |(set, value)| match value {
            Value::Plain(text) if set == name => Some(text.as_str()),
            _ => None,
        })
    }

    fn replace(&mut self, name: Cow<'static, str>, value: Value) {
        self.0.retain(|(set, _)| *set != name);
        self.0.push((name, value));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(set, _)| set != name);
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| match value {
            Value::Plain(text) => Some((&**name, text.as_str())),
            Value::Secret(secret) => Some((&**name, secret.expose())),
            Value::Deferred(_) => None,
        })
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, value)| match value {
            Value::Plain(text) => (name, text.as_str()),
            Value::Secret(_) => (name, "redacted"),
            Value::Deferred(_) => (name, "computed when sent"),
        });
        f.debug_map().entries(shown).finish()
    }
}

/// A token request, ready to be sent.
pub(crate) struct Encoded {
    pub(crate) url: Url,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

/// Writes the parameters as the dialect says, for the endpoint at `url`.
pub(crate) fn encode(mut parameters: Parameters, mut url: Url, dialect: &Dialect) -> Result<Encoded, Error> {
    for name in &dialect.required {
        if !parameters.0.iter().any(|(set, _)| set == name) {
            let message = format!("is missing; provider {} needs it with every request", dialect.name);
            return Err(Error::config(&format!("params.{name}"), message));
        }
    }
    if !dialect.sends_grant_type {
        parameters.0.retain(|(name, _)| name != "grant_type");
    }
    for (name, value) in &parameters.0 {
        if let Value::Plain(value) = value
            && dialect.query.iter().any(|query| query == name)
        {
            url.query_pairs_mut().append_pair(dialect.name_of(name), value);
        }
    }
    let is_secret = |value: &Value| !matches!(value, Value::Plain(_));
    parameters.0.retain(|(name, value)| is_secret(value) || !dialect.query.iter().any(|query| query == name));
    for (name, _) in &mut parameters.0 {
        let theirs = dialect.name_of(name);
        if theirs != name {
            *name = Cow::Owned(theirs.to_owned());
        }
    }
    Ok(if dialect.json {
        Encoded { url, content_type: "application/json", body: json(&parameters)? }
    } else {
        Encoded { url, content_type: "application/x-www-form-urlencoded", body: form(&parameters) }
    })
}

/// RFC 6749 appendix B: `application/x-www-form-urlencoded`, in a buffer that is wiped.
fn form(parameters: &Parameters) -> Bytes {
    // Room for the worst case from the start: a buffer that grows leaves copies of the secrets behind.
    let room = parameters.pairs().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(room));
    form.extend_pairs(parameters.pairs());
    wiped(form.finish())
}

/// One JSON object of strings, likewise in a buffer that is wiped.
fn json(parameters: &Parameters) -> Result<Bytes, Error> {
    let room = parameters.pairs().map(|(name, value)| 6 * (name.len() + value.len()) + 8).sum::<usize>() + 2;
    let mut text = Vec::with_capacity(room);
    let wrong = || Error::config("parameters", "cannot be written as JSON");
    serde_json::to_writer(&mut text, &Plaintext(parameters)).map_err(|_| wrong())?;
    String::from_utf8(text).map(wiped).map_err(|_| wrong())
}

/// What is sent, secrets included. Other modules cannot serialize [`Parameters`] this way.
struct Plaintext<'a>(&'a Parameters);

impl Serialize for Plaintext<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (n, (name, value)) in self.0.pairs().enumerate() {
            if self.0.pairs().take(n).any(|(earlier, _)| earlier == name) {
                continue;
            }
            let all: Vec<_> = self.0.pairs().skip(n).filter(|(other, _)| *other == name).collect();
            match all.len() {
                1 => map.serialize_entry(name, value)?,
                _ => map.serialize_entry(name, &all.iter().map(|(_, value)| *value).collect::<Vec<_>>())?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect;

    fn parameters() -> Parameters {
        let mut parameters = Parameters::default();
        parameters.set("grant_type", "client_credentials");
        parameters.set("scope", "read");
        parameters.set("scope", "read write");
        parameters.add("resource", "urn:a");
        parameters.add("resource", "urn:b");
        parameters.set("client_id", "a\"b");
        parameters.set_secret("client_secret", "p&q=r +");
        parameters
    }

    #[test]
    fn a_name_is_sent_once_unless_it_may_repeat() {
        let parameters = parameters();
        assert_eq!(
            form(&parameters),
            "grant_type=client_credentials&scope=read+write&resource=urn%3Aa&resource=urn%3Ab&client_id=a%22b&client_secret=p%26q%3Dr+%2B"
        );
        assert!(!format!("{parameters:?}").contains("p&q"));
    }

    #[test]
    fn json_has_strings_and_a_list_for_what_repeats() {
        let url = Url::parse("https://a/t").unwrap();
        let encoded = encode(parameters(), url, &dialect::standard().json()).unwrap();
        assert_eq!(encoded.content_type, "application/json");
        assert_eq!(
            encoded.body,
            r#"{"grant_type":"client_credentials","scope":"read write","resource":["urn:a","urn:b"],"client_id":"a\"b","client_secret":"p&q=r +"}"#
        );
    }

    #[test]
    fn a_dialect_renames_leaves_out_and_puts_into_the_query_but_never_a_secret() {
        let dialect = Dialect::new("x")
            .without_grant_type()
            .parameter_name("client_id", "clientId")
            .in_query("client_id")
            .in_query("client_secret")
            .in_query("resource");
        let encoded = encode(parameters(), Url::parse("https://a/t?v=1").unwrap(), &dialect).unwrap();
        assert_eq!(encoded.url.as_str(), "https://a/t?v=1&resource=urn%3Aa&resource=urn%3Ab&clientId=a%22b");
        assert_eq!(encoded.body, "scope=read+write&client_secret=p%26q%3Dr+%2B");
        let missing = encode(parameters(), Url::parse("https://a").unwrap(), &dialect.required("tenant"));
        assert!(missing.err().unwrap().problems()[0].field == "params.tenant");
    }
}
