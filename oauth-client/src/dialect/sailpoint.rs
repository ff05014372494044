//! SailPoint, by its page "Create OAuth Client".
//!
//! The page is of the API that creates clients (see [`manage::sailpoint`](crate::manage::sailpoint)) and names no
//! token endpoint. Assumed is `/oauth/token` below the base URL, as a form, with the client's credentials in the body;
//! another path is set with [`token_path`](super::Dialect::token_path) or
//! [`token_endpoint`](crate::ClientBuilder::token_endpoint), and HTTP Basic works too.

use serde::Deserialize;

use super::open::{list, open_enum, text};
use super::{Dialect, ErrorShape};

/// What SailPoint does differently from RFC 6749.
pub fn sailpoint() -> Dialect {
    Dialect::new("sailpoint")
        .token_path("/oauth/token")
        .client_auth(["client_secret_post", "client_secret_basic"])
        .error(ErrorShape::own().code("detailCode").description("messages.0.text"))
        // A 401 holds a sentence where the code would be: "JWT validation failed: JWT is expired".
        .error(ErrorShape::oauth().codes_are_words())
        .error(ErrorShape::own().description("message"))
        .error_type::<ErrorBody>()
}

/// An error body: of 400, 403 and 500 (`detailCode` and the rest), of 401 (`error`) or of 429 (`message`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ErrorBody {
    /// The fine-grained code: `400.1 Bad Request Content`.
    #[serde(rename = "detailCode", deserialize_with = "text")]
    pub detail_code: Option<String>,
    /// What SailPoint's support asks for.
    #[serde(rename = "trackingId", deserialize_with = "text")]
    pub tracking_id: Option<String>,
    /// The reason in general terms, in one language or several.
    #[serde(deserialize_with = "list")]
    pub messages: Vec<Message>,
    /// What exactly was wrong.
    #[serde(deserialize_with = "list")]
    pub causes: Vec<Message>,
    /// The sentence of a 401.
    #[serde(deserialize_with = "text")]
    pub error: Option<String>,
    /// The sentence of a 429.
    #[serde(deserialize_with = "text")]
    pub message: Option<String>,
}

/// A text and the language it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Message {
    /// The language, as a BCP 47 tag.
    #[serde(deserialize_with = "text")]
    pub locale: Option<String>,
    /// How it was chosen; null on the wire is `None`.
    #[serde(rename = "localeOrigin")]
    pub locale_origin: Option<LocaleOrigin>,
    /// The text.
    #[serde(deserialize_with = "text")]
    pub text: Option<String>,
}

open_enum! {
    /// How the language of a [`Message`] was chosen. The page promises further values without notice.
    LocaleOrigin {
        /// The system's own:
        Default = "DEFAULT",
        /// The one that fits the request best:
        Request = "REQUEST",
    }
}
