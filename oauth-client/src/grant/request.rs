//! A grant, and the access wanted with it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{Grant, authorization_details};
use crate::error::Error;
use crate::token_endpoint::Parameters;

/// A token request before it is sent: which grant, and for what. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    grant: Arc<dyn Grant>,
    /// Whether the grant is on behalf of a subject that it cannot name.
    is_nameless: bool,
    wanted: Arc<Wanted>,
}

#[derive(Clone, Debug, Default)]
struct Wanted {
    subject: Option<String>,
    scope: Vec<String>,
    audience: Option<String>,
    resource: Vec<String>,
    details: Option<String>,
    parameters: Vec<(String, String)>,
    /// The identity of the source whose refresh token it uses, where that is another one.
    shares: Option<Arc<str>>,
    /// Whether the scopes are a part of what was granted, which a refresh has to name (RFC 6749 section 6).
    narrowed: bool,
}

impl TokenRequest {
    /// A request by any grant, your own included.
    pub fn new(grant: impl Grant) -> Self {
        Self { grant: Arc::new(grant), is_nameless: false, wanted: Arc::default() }
    }

    /// A request by a grant that always is on behalf of a subject, whether it can name that subject or not.
    pub(crate) fn on_behalf(grant: impl Grant) -> Self {
        let is_nameless = grant.subject().is_none();
        Self { is_nameless, ..Self::new(grant) }
    }

    /// The scopes to ask for (RFC 6749 section 3.3). Without any, the server decides. A scope has no blank in it:
    /// `["openid read"]` is the same as `["openid", "read"]`.
    #[must_use]
    pub fn scope<I: IntoIterator<Item: Into<String>>>(self, scope: I) -> Self {
        self.with(|wanted| wanted.scope = scopes(scope))
    }

    /// The API the token is for, as servers such as Auth0 understand it (`audience`, also RFC 8693 section 2.1).
    #[must_use]
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.with(|wanted| wanted.audience = Some(audience.into()))
    }

    /// The resources the token is for, as absolute URIs (RFC 8707 section 2).
    #[must_use]
    pub fn resource<I: IntoIterator<Item: Into<String>>>(self, resource: I) -> Self {
        self.with(|wanted| wanted.resource = resource.into_iter().map(Into::into).collect())
    }

    /// What exactly the token is for, where scopes are too coarse (RFC 9396): a list of objects, each with its `type`,
    /// as JSON or as types of your own. What was granted of it is in
    /// [`TokenSet::authorization_details`](crate::TokenSet::authorization_details).
    ///
    /// ```
    /// use oauth_client::grant;
    /// use serde_json::json;
    ///
    /// let payment = json!([{"type": "payment", "amount": "123.50", "currency": "EUR"}]);
    /// let request = grant::client_credentials().authorization_details(payment)?;
    /// # Ok::<(), oauth_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// `config` when it is not such a list.
    pub fn authorization_details(self, details: impl Serialize) -> Result<Self, Error> {
        let details = authorization_details(details)?;
        Ok(self.with(|wanted| wanted.details = Some(details)))
    }

    /// The user on whose behalf the request is made, where the grant itself does not say: two subjects never share a
    /// token. It is not sent.
    ///
    /// A [store](crate::store) finds a user's tokens by it. A request that a user stands behind (a [login](crate::login), a
    /// [refresh token](super::refresh_token), an assertion or a subject token that a function brings) has no other name for that
    /// user: without it, all users of a client would share one entry. So building a source with a store is an error without it.
    ///
    /// A login or a refresh token may do without it in a store that [is for one user](crate::store::TokenStore::is_for_one_user), such
    /// as a [`FileStore`](crate::store::FileStore). A program with a single user and another store gives any fixed text.
    #[must_use]
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.with(|wanted| wanted.subject = Some(subject.into()))
    }

    /// One more parameter, sent as it is. Not for secrets: it is shown in `Debug`.
    #[must_use]
    pub fn parameter(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|wanted| wanted.parameters.push((name.into(), value.into())))
    }

    /// The same access, by the grant of another request.
    pub(crate) fn with_grant_of(&self, other: &Self) -> Self {
        Self { grant: Arc::clone(&other.grant), wanted: Arc::clone(&self.wanted), ..*other }
    }

    /// The grant.
    #[must_use]
    pub fn grant(&self) -> &dyn Grant {
        &*self.grant
    }

    /// The same grant for another part of what it grants, by the refresh token of the source with this identity.
    pub(crate) fn sharing(self, with: &str) -> Self {
        self.with(|wanted| wanted.shares = Some(with.into()))
    }

    /// The same for these scopes, which a refresh names, too.
    pub(crate) fn narrowed_to(self, scope: Vec<String>) -> Self {
        self.with(|wanted| (wanted.scope, wanted.narrowed) = (scopes(scope), true))
    }

    /// All parameters of the request, but for the client's own.
    pub(crate) fn to_parameters(&self) -> Parameters {
        let mut parameters = Parameters::default();
        parameters.set("grant_type", self.grant.grant_type().to_owned());
        if !self.wanted.scope.is_empty() {
            parameters.set("scope", self.wanted.scope.join(" "));
        }
        if let Some(audience) = &self.wanted.audience {
            parameters.set("audience", audience.clone());
        }
        if let Some(details) = &self.wanted.details {
            parameters.set("authorization_details", details.clone());
        }
        self.shared_parameters(&mut parameters);
        self.grant.parameters(&mut parameters);
        parameters
    }

    /// The parameters of a request that refreshes what this one got. Scope, audience and details stay what they were
    /// (RFC 6749 section 6); a resource may be named again (RFC 8707 section 2.2). With `whole` they are named all the
    /// same, for what keeps no record of them.
    pub(crate) fn to_refresh_parameters(&self, grant: &super::RefreshToken, whole: bool) -> Parameters {
        let mut parameters = if whole || self.grant.refresh_token().is_some() {
            // What was granted with the refresh token may be wider than what is asked for here.
            self.to_parameters()
        } else {
            let mut parameters = Parameters::default();
            parameters.set("grant_type", grant.grant_type().to_owned());
            if self.wanted.narrowed {
                parameters.set("scope", self.wanted.scope.join(" "));
            }
            self.shared_parameters(&mut parameters);
            parameters
        };
        grant.parameters(&mut parameters);
        parameters
    }

    fn shared_parameters(&self, parameters: &mut Parameters) {
        for resource in &self.wanted.resource {
            parameters.add("resource", resource.clone());
        }
        for (name, value) in &self.wanted.parameters {
            parameters.set(name.clone(), value.clone());
        }
    }

    /// The identity of this request's tokens, in an order that is always the same: kind of grant,
    /// subject, scopes, audience, resources and what else is sent along.
    pub(crate) fn identity(&self) -> serde_json::Value {
        // However a person once granted it, from then on it is the same refresh token.
        let kind = if self.grant.renewal().needs_a_person() { "person" } else { self.grant.grant_type() };
        let subject = self.wanted.subject.as_deref().or_else(|| self.grant.subject());
        let [mut scope, mut resource] = [self.wanted.scope.clone(), self.wanted.resource.clone()];
        scope.sort_unstable();
        scope.dedup();
        resource.sort_unstable();
        let mut parameters = self.wanted.parameters.clone();
        parameters.sort_unstable();
        let mut identity = vec![json!(kind), json!(subject), json!(scope), json!(self.wanted.audience)];
        identity.extend([json!(resource), json!(parameters)]);
        identity.extend(self.wanted.details.as_ref().map(|details| json!(details)));
        identity.extend(self.wanted.shares.as_ref().map(|shares| json!({"shares": **shares})));
        identity.into()
    }

    /// Whether it is on behalf of a subject, and nothing says of which.
    pub(crate) fn is_nameless(&self) -> bool {
        self.is_nameless && self.wanted.subject.is_none()
    }

    /// Whether it says whose its tokens are, where they are a user's. A login need not, in a store that is one user's.
    pub(crate) fn names_its_user(&self) -> bool {
        let has_subject = self.wanted.subject.is_some() || self.grant.subject().is_some();
        has_subject || !self.is_nameless && !self.grant.renewal().needs_a_person()
    }

    pub(crate) fn has_scope(&self, scope: &str) -> bool {
        self.wanted.scope.iter().any(|one| one == scope)
    }

    /// Whether a further parameter has this name.
    pub(crate) fn has_parameter(&self, name: &str) -> bool {
        self.wanted.parameters.iter().any(|(one, _)| one == name)
    }

    pub(crate) fn resources(&self) -> &[String] {
        &self.wanted.resource
    }

    fn with(mut self, change: impl FnOnce(&mut Wanted)) -> Self {
        change(Arc::make_mut(&mut self.wanted));
        self
    }
}

/// The scopes one by one. Other libraries take several of them as one text, and in such a text no scope is found:
/// neither `openid`, which asks for an ID token, nor one to compare in the key of a store.
pub(crate) fn scopes<I: IntoIterator<Item: Into<String>>>(given: I) -> Vec<String> {
    let given = given.into_iter().map(Into::into);
    given
        .flat_map(|text: String| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::grant::{self, TokenRequest};

    #[test]
    fn scopes_in_one_text_are_the_same_as_scopes_one_by_one() {
        let of = |scope: &[&str]| grant::login().scope(scope.iter().copied());
        let apart = of(&["openid", "read"]);
        for together in [&["openid read"][..], &["read openid"], &[" openid  read "], &["openid", "", "read"]]
        {
            let request = of(together);
            assert!(request.has_scope("openid") && request.has_scope("read"), "{together:?}");
            assert!(!request.has_scope("openid read"), "{together:?}");
            assert_eq!(request.identity(), apart.identity(), "{together:?}");
        }
        assert_eq!(of(&["openid read"]).to_parameters().plain("scope"), Some("openid read"));
        let none = |request: TokenRequest| request.to_parameters().plain("scope").is_none();
        assert!(none(of(&[" "])), "a blank is no scope");
        let narrowed = grant::login().narrowed_to(vec!["openid read".to_owned()]);
        assert!(narrowed.has_scope("read"));
    }
}
