//! Every shape of "no", as one type.

use http::StatusCode;
use serde_json::{Map, Value};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::error::{Error, Kind, Refused, printable};
use crate::token::Secret;
use crate::transport::code_of;

/// The most of a server's text that is kept, in characters.
const MAX_TEXT: usize = 512;
/// The longest error code that is believed.
const MAX_CODE: usize = 64;

/// Reads a refusal from whatever came with the status: RFC 6749 section 5.2 where the server keeps to it, the status
/// alone where not.
pub(super) fn refusal<'a>(
    status: StatusCode,
    body: Option<&Map<String, Value>>,
    secrets: impl Iterator<Item = &'a Secret> + Clone,
) -> Error {
    let text = |name: &str| {
        let text = body?.get(name)?.as_str()?;
        Some(printable(&without_secrets(text, secrets.clone()), MAX_TEXT))
    };
    let code = body.and_then(error_code).map_or_else(|| code_of(status), str::to_owned);
    Error::new(Kind::Refused(Refused {
        status,
        code,
        description: text("error_description"),
        uri: text("error_uri"),
    }))
}

/// The server's code, if it is one: RFC 6749 section 5.2 names the characters it may have.
pub(super) fn error_code(body: &Map<String, Value>) -> Option<&str> {
    let code = body.get("error")?.as_str()?;
    let fits = (1..=MAX_CODE).contains(&code.len())
        && code.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\');
    fits.then_some(code)
}

/// Some servers repeat in their error what they were sent, as it was meant or as it was on the wire.
fn without_secrets<'a>(text: &str, secrets: impl Iterator<Item = &'a Secret>) -> String {
    // A secret of a few letters would turn the text to confetti, and is guessed sooner than read in a log.
    secrets.map(Secret::expose).filter(|secret| secret.len() >= 4).fold(text.to_owned(), |text, secret| {
        let form = Zeroizing::new(byte_serialize(secret.as_bytes()).collect::<String>());
        let percent = Zeroizing::new(form.replace('+', "%20"));
        [secret, &form, &percent].into_iter().fold(text, |text, known| text.replace(known, "[redacted]"))
    })
}
