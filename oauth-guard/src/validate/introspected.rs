//! The claims of an introspection response, validated against the issuer's configuration (RFC 7662 section 2.2). The server
//! has checked them too, or should have.

use std::time::Duration;

use oauth_client::clock::Now;

use super::claims::{ClaimSet, Lifetime, Visitor, check_age};
use crate::error::TokenError;
use crate::issuer::IssuerState;
use crate::jose::Issued;
use crate::json::Value;

impl ClaimSet<'_> {
    /// Every check of a well-formed response about an active token, each reported to the visitor. The lifetime ends when
    /// the server is to be asked again, `cache` from now.
    pub(crate) fn validate_introspected<V: Visitor>(
        &self,
        issuer: &IssuerState,
        now: Now,
        cache: Duration,
        visitor: &mut V,
    ) -> Result<Option<Lifetime>, TokenError> {
        let rules = &issuer.rules;
        let leeway = rules.leeway.as_secs();
        let wall = now.wall.as_secs();
        let seconds = |name: &str| self.present(name).and_then(Value::as_seconds);
        let iss = match self.present("iss") {
            Some(Value::String(name)) => {
                let (name, tenant) = (name.decode(), self.text("tid").map(|tenant| tenant.decode()));
                let issued = Issued { issuer: &name, tenant: tenant.as_deref() };
                // A tenant that is configured by name has rules of its own.
                let is_apart = rules.tenants_apart.iter().any(|apart| **apart == *name);
                if issued.is_by(&rules.name) && !is_apart { Ok(()) } else { Err(TokenError::UnknownIssuer) }
            }
            _ => Ok(()),
        };
        visitor.check("iss", iss)?;
        let audience = match self.present("aud") {
            None if !rules.audience.is_empty() => Err(TokenError::Claim("aud")),
            None => Ok(()),
            Some(_) => self.check_audience(&rules.audience),
        };
        visitor.check("aud", audience)?;
        let expires_at = seconds("exp");
        let is_over = expires_at.is_some_and(|exp| wall >= exp.saturating_add(leeway));
        visitor.check("exp", if is_over { Err(TokenError::Expired) } else { Ok(()) })?;
        let issued_at = seconds("iat");
        for (name, at) in [("nbf", seconds("nbf")), ("iat", issued_at)] {
            let is_ahead = at.is_some_and(|at| wall < at.saturating_sub(leeway));
            visitor.check(name, if is_ahead { Err(TokenError::NotYetValid) } else { Ok(()) })?;
        }
        let age = match (rules.max_token_age, issued_at) {
            (Some(_), None) => Err(TokenError::Claim("iat")),
            _ => check_age(rules, issued_at, wall),
        };
        let until_too_old = visitor.check("age", age)?;
        visitor.check("client", self.check_client(rules))?;
        if !rules.required.is_empty() {
            visitor.check("require", self.check_required(rules))?;
        }
        let token_type = match self.present("token_type") {
            Some(Value::String(name)) if name.decode().eq_ignore_ascii_case("bearer") => Ok(()),
            // RFC 9449 section 6.2: `cnf` says to which key.
            Some(Value::String(name)) if name.decode().eq_ignore_ascii_case("dpop") => {
                match self.present("cnf") {
                    Some(Value::Object(cnf)) if cnf.get("jkt").is_some() => Ok(()),
                    _ => Err(TokenError::BoundToKey),
                }
            }
            Some(_) => Err(TokenError::WrongType),
            None => Ok(()),
        };
        visitor.check("token_type", token_type)?;
        let ask_again = wall.saturating_add(cache.as_secs());
        let valid_until = expires_at.unwrap_or(u64::MAX).min(ask_again).min(until_too_old.unwrap_or(0));
        Ok(Some(Lifetime {
            expires_at: expires_at.unwrap_or(ask_again),
            issued_at,
            valid_from: seconds("nbf").max(issued_at).unwrap_or(0).saturating_sub(leeway),
            valid_until,
        }))
    }
}
