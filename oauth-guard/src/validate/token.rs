//! One token, taken apart and decoded: what validation, explanations and the log read.

use super::claims::ClaimSet;
use crate::error::TokenError;
use crate::escape::escaped;
use crate::jose::{self, CompactJws, Header, Scratch, Typ};
use crate::json;
use crate::reject::log::Origin;

/// What a token is decoded into, on the stack as long as it is of a usual size.
pub(crate) struct Buffers {
    header: Scratch,
    payload: Scratch,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self { header: Scratch::new(), payload: Scratch::new() }
    }
}

/// A token whose form is right. Nothing in it is verified; each part is read on its own, so that an explanation shows
/// the claims of a token whose header is malformed.
pub(crate) struct ParsedToken<'a> {
    pub(crate) compact: CompactJws<'a>,
    pub(crate) header: Result<Header<'a>, TokenError>,
    /// The payload as JSON text.
    pub(crate) payload: Result<&'a str, TokenError>,
    pub(crate) claims: Result<ClaimSet<'a>, TokenError>,
}

impl<'a> ParsedToken<'a> {
    /// Checks size and form, and decodes both parts.
    pub(crate) fn parse(
        token: &'a str,
        max_bytes: usize,
        buffers: &'a mut Buffers,
    ) -> Result<Self, TokenError> {
        check_size(token, max_bytes)?;
        let compact = jose::split(token)?;
        let header = jose::read_header(&compact, &mut buffers.header);
        let payload = compact.payload(&mut buffers.payload).map_err(TokenError::from);
        let claims = payload.and_then(ClaimSet::read);
        Ok(Self { compact, header, payload, claims })
    }

    /// Whether it is surely a JWS, as [`is_jws`] says: both parts are read already.
    pub(crate) fn is_jws(&self) -> bool {
        self.header.is_ok() && self.payload.is_ok() && jose::decode_base64url(self.compact.signature).is_ok()
    }

    /// What the log says of it. A configured issuer is named in full, any other name is escaped and cut.
    pub(crate) fn origin(&self, is_configured: impl FnOnce(&str) -> bool) -> Origin {
        let name = self.claims.as_ref().ok().and_then(|claims| claims.issuer().ok());
        let key_id = self.header.as_ref().ok().and_then(|header| header.key_id.as_deref());
        Origin {
            issuer: name.map(|name| if is_configured(&name) { name.into_owned() } else { escaped(&name) }),
            key_id: key_id.map(escaped),
            typ: self.header.as_ref().ok().and_then(|header| typ(header.typ)),
            ..Origin::default()
        }
    }
}

/// A `typ` in words, for the log.
fn typ(typ: Typ) -> Option<&'static str> {
    Some(match typ {
        Typ::Absent => "none",
        Typ::Jwt => "JWT",
        Typ::AccessToken => return None,
        _ => "another",
    })
}

/// Whether a token is a JWS by its form: three base64url parts, the first one a JSON object with `alg`. Everything else
/// is opaque.
pub(crate) fn is_jws(token: &str) -> bool {
    let Ok(compact) = jose::split(token) else { return false };
    let parts = [compact.header, compact.payload, compact.signature];
    let [Ok(header), Ok(_), Ok(_)] = parts.map(jose::decode_base64url) else { return false };
    let mut has_algorithm = false;
    let read = std::str::from_utf8(&header)
        .ok()
        .and_then(|text| json::read_object(text, &mut |name, _, _| has_algorithm |= name.is("alg")).ok());
    read.is_some() && has_algorithm
}

pub(crate) fn check_size(token: &str, max_bytes: usize) -> Result<(), TokenError> {
    if token.len() > max_bytes { Err(TokenError::TooLong) } else { Ok(()) }
}
