//! The web page: one document, made of three files, that talks to the routes of the control port.

use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};

use crate::encode::{escape_html, random_text};
use crate::shared::Shared;
use crate::wire::response::MockResponse;

const DOCUMENT: &str = include_str!("index.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page at `/` of the server itself, once a control port is open.
pub(crate) fn page_of_the_server(shared: &Shared) -> Option<MockResponse> {
    shared.control.get().map(|control| page(control))
}

/// The page, for the control port at `control`; empty where the page is served by that port itself.
pub(super) fn page(control: &str) -> MockResponse {
    let nonce = random_text::<16>();
    let document = DOCUMENT
        .replace("{control}", &escape_html(control))
        .replace("{nonce}", &nonce)
        .replace("{style}", STYLE)
        .replace("{script}", SCRIPT);
    // What others wrote (a client's name, a path in the journal) is shown here, beside secrets.
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src data:; \
         connect-src 'self' {control}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    MockResponse::html(StatusCode::OK, document)
        .with(CONTENT_SECURITY_POLICY, &policy)
        .with(REFERRER_POLICY, "no-referrer")
        .with(X_CONTENT_TYPE_OPTIONS, "nosniff")
}
