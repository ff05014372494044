//! The parameters of a form request, checked as RFC 6749 section 3.2 and appendix B ask.

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;

use crate::encode::form_pairs;
use crate::wire::response::OAuthError;

#[derive(Clone)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn read(request: &Request<Bytes>) -> Result<Self, OAuthError> {
        let content_type =
            request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(OAuthError::invalid_request("the body must be application/x-www-form-urlencoded"));
        }
        Self::parse(request.body())
    }

    pub(crate) fn parse(text: &[u8]) -> Result<Self, OAuthError> {
        let pairs = form_pairs(text)
            .ok_or_else(|| OAuthError::invalid_request("the parameters are not well encoded"))?;
        for (index, (name, _)) in pairs.iter().enumerate() {
            // RFC 8707 section 2 and RFC 8693 section 2.1 allow these two several times, RFC 6749 section 3.2 nothing
            // else.
            let may_repeat = matches!(name.as_str(), "resource" | "audience");
            if !may_repeat && pairs[..index].iter().any(|(before, _)| before == name) {
                return Err(OAuthError::invalid_request(format!("{name}: sent more than once")));
            }
        }
        // RFC 6749 section 3.2: a parameter without a value counts as omitted.
        Ok(Self(pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Without these parameters.
    pub(crate) fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|(name, _)| !names.contains(&name.as_str()));
        self
    }

    /// With this parameter, in place of any of its name.
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        let mut form = self.without(&[name]);
        form.0.push((name.to_owned(), value.to_owned()));
        form
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::invalid_request(format!("{name}: missing")))
    }
}
