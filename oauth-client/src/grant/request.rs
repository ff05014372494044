//! A grant, and the access wanted with it.

use std::sync::Arc;

use super::Grant;
use crate::exchange::Parameters;

/// A token request before it is sent: which grant, and for what. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    grant: Arc<dyn Grant>,
    wanted: Arc<Wanted>,
}

#[derive(Clone, Debug, Default)]
struct Wanted {
    scope: Vec<String>,
    audience: Option<String>,
    resource: Vec<String>,
    parameters: Vec<(String, String)>,
}

impl TokenRequest {
    /// A request by any grant, your own included.
    pub fn new(grant: impl Grant) -> Self {
        Self { grant: Arc::new(grant), wanted: Arc::default() }
    }

    /// The scopes to ask for (RFC 6749 section 3.3). Without any, the server decides.
    #[must_use]
    pub fn scope<I: IntoIterator<Item: Into<String>>>(self, scope: I) -> Self {
        self.with(|wanted| wanted.scope = scope.into_iter().map(Into::into).collect())
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

    /// One more parameter, sent as it is. Not for secrets: it is shown in `Debug`.
    #[must_use]
    pub fn parameter(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|wanted| wanted.parameters.push((name.into(), value.into())))
    }

    /// The grant.
    #[must_use]
    pub fn grant(&self) -> &dyn Grant {
        &*self.grant
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
        self.shared_parameters(&mut parameters);
        self.grant.parameters(&mut parameters);
        parameters
    }

    /// The parameters of a request that refreshes what this one got. Scope and audience stay what they were
    /// (RFC 6749 section 6); a resource may be named anew (RFC 8707 section 2.2).
    pub(crate) fn to_refresh_parameters(&self, grant: &super::RefreshToken) -> Parameters {
        let mut parameters = Parameters::default();
        parameters.set("grant_type", grant.grant_type().to_owned());
        self.shared_parameters(&mut parameters);
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

    /// What tells this request's tokens from those of others: subject, scopes in order of the alphabet, audience,
    /// resources.
    pub(crate) fn identity(&self) -> (Option<&str>, Vec<&str>, Option<&str>, Vec<&str>) {
        let mut scope: Vec<_> = self.wanted.scope.iter().map(String::as_str).collect();
        scope.sort_unstable();
        scope.dedup();
        let mut resource: Vec<_> = self.wanted.resource.iter().map(String::as_str).collect();
        resource.sort_unstable();
        (self.grant.subject(), scope, self.wanted.audience.as_deref(), resource)
    }

    fn with(mut self, change: impl FnOnce(&mut Wanted)) -> Self {
        change(Arc::make_mut(&mut self.wanted));
        self
    }
}
