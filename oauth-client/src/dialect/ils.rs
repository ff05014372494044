//! ILS, by its page "Authentication".
//!
//! The page lists the headers of each response, and the lists are empty as published: a `Retry-After` is honoured where
//! one comes. `server_busy` is taken as "later" whatever status it comes with.

use serde::Deserialize;

use super::open::{list, one_of, open_enum, text};
use super::{Dialect, ErrorShape};

/// What ILS does differently from RFC 6749.
pub fn ils() -> Dialect {
    Dialect::new("ils")
        .base_url("https://api.ils.live")
        .token_path("/api/oauth/token")
        .json()
        .without_grant_type()
        .grants(["client_credentials"])
        .client_auth(["client_secret_post"])
        .parameter_name("client_id", "clientId")
        .parameter_name("client_secret", "clientSecret")
        .error(
            ErrorShape::own()
                .code("statusInfoSet.ils_codeMinor")
                .description("statusInfoSet.ils_description"),
        )
        .error(ErrorShape::own().description("errors.0.message"))
        .transient("server_busy")
        .error_type::<StatusInfo>()
}

/// The page's "Error Status Info".
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StatusInfo {
    /// What is wrong, each thing by itself.
    #[serde(deserialize_with = "list")]
    pub errors: Vec<Fault>,
    /// The HTTP status as the body repeats it, which is a string.
    #[serde(rename = "statusCode", deserialize_with = "text")]
    pub status_code: Option<String>,
    /// How it went, in ILS's own terms.
    #[serde(rename = "statusInfoSet")]
    pub status_info_set: Option<StatusInfoSet>,
}

/// One of the things that are wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Fault {
    /// Where: ideally the field.
    #[serde(deserialize_with = "text")]
    pub location: Option<String>,
    /// Why.
    #[serde(deserialize_with = "text")]
    pub reason: Option<String>,
    /// The same at length.
    #[serde(deserialize_with = "text")]
    pub message: Option<String>,
}

/// How a request went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StatusInfoSet {
    /// Whether it went well.
    #[serde(rename = "ils_codeMajor", deserialize_with = "one_of")]
    pub code_major: Option<CodeMajor>,
    /// What exactly happened.
    #[serde(rename = "ils_codeMinor", deserialize_with = "one_of")]
    pub code_minor: Option<CodeMinor>,
    /// How bad it is.
    #[serde(rename = "ils_codeSeverity", deserialize_with = "one_of")]
    pub code_severity: Option<CodeSeverity>,
    /// The same as text.
    #[serde(rename = "ils_description", deserialize_with = "text")]
    pub description: Option<String>,
}

open_enum! {
    /// `ils_codeMajor`.
    CodeMajor {
        Success = "success",
        Failure = "failure",
    }
}

open_enum! {
    /// `ils_codeMinor`.
    CodeMinor {
        FullSuccess = "full success",
        PartialSuccess = "partial success",
        UnknownObject = "unknown object",
        InvalidData = "invalid data",
        Unauthorized = "unauthorized",
        Forbidden = "forbidden",
        ServerBusy = "server_busy",
    }
}

open_enum! {
    /// `ils_codeSeverity`.
    CodeSeverity {
        Status = "status",
        Error = "error",
        Warning = "warning",
    }
}
