//! The operation that an MCP request names, in its headers and in its body.
//!
//! The Model Context Protocol sends one JSON-RPC message with each `POST` and, from version 2026-07-28 on, repeats its
//! method and the name of the tool, prompt, resource or task in `Mcp-Method` and `Mcp-Name`. Rules are chosen by these
//! headers, before the body is read; the body is compared with them afterwards.

use std::borrow::Cow;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};

use crate::jose::{decode_base64url, json};

const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const VERSION: &str = "mcp-protocol-version";

/// The first version of the protocol that requires the headers.
const FIRST_VERSION: &str = "2026-07-28";

/// What encloses a value that cannot stand in a header as it is.
const ENCODED: [&str; 2] = ["=?base64?", "?="];

/// The member of `params` that `Mcp-Name` repeats, for the methods that have one.
pub(super) fn name_member(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result" => Some("taskId"),
        _ => None,
    }
}

/// What the headers of a request ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    /// They do not say: it could be anything.
    Unknown,
    Known {
        method: Cow<'a, str>,
        /// `None`: a method that has no name, or one whose name this version does not know.
        name: Option<Cow<'a, str>>,
    },
}

impl<'a> Operation<'a> {
    /// A request of an older version of the protocol, without a method, or without the name that its method needs is
    /// unknown, whatever else it says.
    ///
    /// # Errors
    /// A header is malformed or doubled.
    pub(super) fn read(headers: &'a HeaderMap) -> Result<Self, &'static str> {
        let claimed = Claimed::read(headers)?;
        let version = only(headers, VERSION, "MCP-Protocol-Version occurs twice")?;
        let Some(method) = claimed.method else { return Ok(Self::Unknown) };
        // Without a version the body vouches for the headers, as it does with one.
        if version.is_some_and(|version| !has_headers(version)) {
            return Ok(Self::Unknown);
        }
        match (name_member(&method), claimed.name) {
            (Some(_), None) => Ok(Self::Unknown),
            (Some(_), name) => Ok(Self::Known { method, name }),
            (None, _) => Ok(Self::Known { method, name: None }),
        }
    }
}

/// The two headers, decoded.
struct Claimed<'a> {
    method: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
}

impl<'a> Claimed<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, &'static str> {
        let method = only(headers, METHOD, "Mcp-Method occurs twice")?;
        let name = only(headers, NAME, "Mcp-Name occurs twice")?;
        let method = method.map(|raw| decode(raw).ok_or("Mcp-Method is malformed")).transpose()?;
        if method.as_ref().is_some_and(|method| method.is_empty()) {
            return Err("Mcp-Method is empty");
        }
        Ok(Self { method, name: name.map(|raw| decode(raw).ok_or("Mcp-Name is malformed")).transpose()? })
    }
}

/// The value of a header that may occur once.
fn only<'a>(
    headers: &'a HeaderMap,
    name: &str,
    twice: &'static str,
) -> Result<Option<&'a [u8]>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(twice);
    }
    // RFC 9110 section 5.5: blanks around a value are not part of it.
    Ok(first.map(|value| value.as_bytes().trim_ascii()))
}

/// A header's value: visible ASCII with blanks in it, or `=?base64?…?=` around UTF-8.
fn decode(raw: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(raw).ok()?;
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return None;
    }
    let [open, close] = ENCODED;
    let encoded = text
        .split_at_checked(open.len())
        .filter(|(start, _)| start.eq_ignore_ascii_case(open))
        .and_then(|(_, rest)| rest.strip_suffix(close));
    let Some(encoded) = encoded else { return Some(Cow::Borrowed(text)) };
    String::from_utf8(decode_base64(encoded)?).ok().map(Cow::Owned)
}

/// Base64 with the standard alphabet and its padding (RFC 4648 section 4), and nothing else.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) || text.contains(['-', '_']) {
        return None;
    }
    let bare = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    decode_base64url(&bare.replace('+', "-").replace('/', "_")).ok()
}

/// Whether a version has the headers. Versions are dates; what is no date is none that is known to have them.
fn has_headers(version: &[u8]) -> bool {
    let is_date = version.len() == FIRST_VERSION.len()
        && version.iter().zip(FIRST_VERSION.bytes()).all(|(byte, model)| match model {
            b'-' => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date && version >= FIRST_VERSION.as_bytes()
}

/// Compares a body with the headers that were believed.
///
/// # Errors
/// The body says something else than the headers, is a batch, or is not one JSON object that every reader reads alike.
pub(crate) fn compare(headers: &HeaderMap, body: &[u8]) -> Result<(), &'static str> {
    const OTHER_METHOD: &str = "Mcp-Method and the body's method differ";
    const OTHER_NAME: &str = "Mcp-Name and the body's name differ";
    let claimed = Claimed::read(headers)?;
    if body.is_empty() {
        return match claimed {
            Claimed { method: Some(_), .. } => Err(OTHER_METHOD),
            Claimed { name: Some(_), .. } => Err(OTHER_NAME),
            _ => Ok(()),
        };
    }
    // The service would read what it decodes, and a text can be a JSON object before and another one afterwards.
    if !headers.get_all(CONTENT_ENCODING).iter().all(is_identity) {
        return Err("the body has a Content-Encoding");
    }
    let body = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8")?;
    if body.trim_start().starts_with('[') {
        return Err("the body is a batch of messages");
    }
    let message = Message::read(body)?;
    if let Some(claimed) = &claimed.method
        && !message.method.is_some_and(|method| method.is(claimed))
    {
        return Err(OTHER_METHOD);
    }
    let method = message.method.map(json::Text::decode);
    // Checked without a claim too: the service reads it, and has to read what others read.
    let names = Names::read(message.params, method.as_deref().and_then(name_member))?;
    match &claimed.name {
        Some(claimed) if !names.has(claimed) => Err(OTHER_NAME),
        _ => Ok(()),
    }
}

/// Whether it names no coding, or the one that changes nothing (RFC 9110 section 8.4.1).
fn is_identity(codings: &HeaderValue) -> bool {
    let mut codings = codings.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
}

/// The parts of a JSON-RPC message that decide what it asks for.
#[derive(Default)]
struct Message<'a> {
    method: Option<json::Text<'a>>,
    params: Option<&'a str>,
}

impl<'a> Message<'a> {
    fn read(text: &'a str) -> Result<Self, &'static str> {
        let (mut message, mut odd) = (Self::default(), None);
        json::read_object(text, &mut |name, value, raw| match name.decode().as_ref() {
            "method" => match value {
                json::Value::String(text) => message.method = Some(text),
                _ => odd = Some("the body's method is not a string"),
            },
            "params" => message.params = Some(raw),
            name if is_alike(name, "method") || is_alike(name, "params") => odd = Some(ALIKE),
            _ => {}
        })
        .map_err(describe)?;
        odd.map_or(Ok(message), Err)
    }
}

/// What `Mcp-Name` could stand for.
#[derive(Default)]
struct Names<'a> {
    found: [Option<json::Text<'a>>; 3],
}

impl<'a> Names<'a> {
    /// The member that the method names things by. For a method that is not known, any of them.
    fn read(params: Option<&'a str>, member: Option<&'static str>) -> Result<Self, &'static str> {
        const ALL: [&str; 3] = ["name", "uri", "taskId"];
        let Some(params) = params.filter(|params| params.starts_with('{')) else {
            return Ok(Self::default());
        };
        let (mut names, mut odd) = (Self::default(), None);
        json::read_object(params, &mut |name, value, _| {
            let name = name.decode();
            for (place, known) in names.found.iter_mut().zip(ALL) {
                if member.is_some_and(|member| member != known) {
                    continue;
                }
                if *name == *known {
                    *place = value.as_text();
                } else if member.is_some() && is_alike(&name, known) {
                    odd = Some(ALIKE);
                }
            }
        })
        .map_err(describe)?;
        odd.map_or(Ok(names), Err)
    }

    fn has(&self, wanted: &str) -> bool {
        self.found.iter().flatten().any(|name| name.is(wanted))
    }
}

/// Some readers take member names without regard to capitals, and the last of several.
const ALIKE: &str = "the body has a member that some readers take for another";

/// Whether they differ in capitals alone, by any reader's rules: `ſ` is a small `S`, and the Kelvin sign a large `k`.
fn is_alike(name: &str, known: &str) -> bool {
    let folded = |text: &str| text.to_lowercase().to_uppercase();
    name != known && folded(name) == folded(known)
}

fn describe(malformed: json::Malformed) -> &'static str {
    match malformed {
        json::Malformed::NotAnObject => "the body is not a JSON object",
        json::Malformed::Syntax => "the body is not valid JSON",
        json::Malformed::Duplicate => "the body has a member twice",
        json::Malformed::TooDeep => "the body nests too deep",
    }
}

#[cfg(test)]
mod tests;
