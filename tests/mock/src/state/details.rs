//! Fine-grained authorization: `authorization_details` (RFC 9396), of the configured types.

use serde_json::{Map, Value};

use crate::clients::MockClient;
use crate::shared::Shared;
use crate::wire::response::OAuthError;

/// What any type may say (RFC 9396 section 2.2).
const COMMON: [&str; 6] = ["type", "locations", "actions", "datatypes", "identifier", "privileges"];

/// A type of `authorization_details` (RFC 9396 section 2.1).
///
/// Until a field is named it may have any. Then it may have those, and the common ones of RFC 9396 section 2.2.
///
/// ```
/// use oauth_mock::{AuthorizationDetailsType, MockServer};
///
/// let payment = AuthorizationDetailsType::new("payment").required("amount").optional("reference");
/// let server = MockServer::builder().authorization_details_type(payment).in_process();
/// # let _ = server;
/// ```
#[derive(Clone, Debug)]
pub struct AuthorizationDetailsType {
    pub(crate) name: String,
    fields: Vec<(String, Needed)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needed {
    Always,
    Never,
}

impl AuthorizationDetailsType {
    /// A type of this name: the value of `type`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), fields: Vec::new() }
    }

    /// Adds a field without which an object of this type is refused.
    #[must_use]
    pub fn required(mut self, field: impl Into<String>) -> Self {
        self.fields.push((field.into(), Needed::Always));
        self
    }

    /// Adds a field that an object of this type may have.
    #[must_use]
    pub fn optional(mut self, field: impl Into<String>) -> Self {
        self.fields.push((field.into(), Needed::Never));
        self
    }

    /// RFC 9396 section 5: what is missing, unknown or of the wrong kind.
    fn check(&self, object: &Map<String, Value>) -> Result<(), String> {
        let missing =
            self.fields.iter().find(|(name, needed)| *needed == Needed::Always && !object.contains_key(name));
        if let Some((name, _)) = missing {
            return Err(format!("{name}: missing"));
        }
        let texts = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        for (name, value) in object {
            let own = self.fields.iter().any(|(own, _)| own == name);
            let good = match name.as_str() {
                _ if own => true,
                "type" | "identifier" => value.is_string(),
                common if COMMON.contains(&common) => texts(value),
                _ if self.fields.is_empty() => true,
                _ => return Err(format!("{name}: not a field of this type")),
            };
            if !good {
                return Err(format!("{name}: of the wrong kind"));
            }
        }
        Ok(())
    }
}

/// Reads the parameter, for a client that may use some of the server's types.
pub(crate) fn read(shared: &Shared, client: &MockClient, text: &str) -> Result<Vec<Value>, OAuthError> {
    let Ok(Value::Array(objects)) = serde_json::from_str(text) else {
        return Err(invalid("not a JSON array"));
    };
    if objects.is_empty() {
        return Err(invalid("an empty list"));
    }
    for value in &objects {
        let object = value.as_object().ok_or_else(|| invalid("not a list of objects"))?;
        let name = object.get("type").and_then(Value::as_str).ok_or_else(|| invalid("type: missing"))?;
        let known = shared.policy.details_types.iter().find(|known| known.name == name);
        let known = known.ok_or_else(|| invalid("type: not one of authorization_details_types_supported"))?;
        let may = client.details_types.as_ref().is_none_or(|types| types.iter().any(|one| one == name));
        if !may {
            return Err(invalid("type: this client may not use it"));
        }
        known.check(object).map_err(|why| invalid(&why))?;
    }
    Ok(objects)
}

/// What a token gets of what was granted: all of it, or the part that was asked for (RFC 9396 section 6).
pub(crate) fn narrow(granted: &[Value], asked: Option<&[Value]>) -> Result<Vec<Value>, OAuthError> {
    match asked {
        None => Ok(granted.to_vec()),
        Some(asked) if asked.iter().all(|one| granted.contains(one)) => Ok(asked.to_vec()),
        Some(_) => Err(invalid("more than was granted")),
    }
}

fn invalid(why: &str) -> OAuthError {
    OAuthError::bad_request("invalid_authorization_details", format!("authorization_details: {why}"))
}
