//! Responses that come compressed although none was asked for: gateways do that, and a token may be in one.

use std::io::{ErrorKind, Read};

use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zeroize::Zeroizing;

use super::body::Wiped;
use crate::error::{Error, Kind, printable};

/// The most codings, one upon the other, that a response may have: more is made to cost time.
const MAX_CODINGS: usize = 3;

/// How a body may be compressed (RFC 9110 section 8.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    /// What is no coding at all: servers write `utf-8` there, or `none`.
    Other(String),
}

/// The codings of the HTTP Content Coding Registry that are not decoded here.
const NOT_DECODED: &[&str] =
    &["aes128gcm", "br", "compress", "dcb", "dcz", "exi", "pack200-gzip", "x-compress", "zstd"];

/// The body without the codings that the headers name.
pub(super) fn plain(headers: &HeaderMap, body: Bytes, most: usize) -> Result<Bytes, Error> {
    decoded(body, &codings(headers)?, most)
}

/// The codings of a response, in the order in which they were applied. `identity` is none.
fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, Error> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        for name in text.split(',').map(str::trim) {
            match name {
                "" | "identity" => {}
                "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                "deflate" => codings.push(Coding::Deflate),
                _ if NOT_DECODED.contains(&name) => return Err(unknown(name)),
                _ => codings.push(Coding::Other(name.to_owned())),
            }
        }
    }
    if codings.len() > MAX_CODINGS {
        return Err(Error::malformed("content-encoding: names more codings than any server needs"));
    }
    Ok(codings)
}

/// How much is decoded at a time.
const PIECE: usize = 8 * 1024;

/// The body without its codings. Neither it nor what lies between two codings is ever larger than `most` bytes. The bytes
/// are wiped when the last of their clones is dropped, as those of `body` are.
fn decoded(body: Bytes, codings: &[Coding], most: usize) -> Result<Bytes, Error> {
    codings.iter().rev().try_fold(body, |body, coding| match coding {
        Coding::Gzip => gzip(&body, most),
        Coding::Deflate => deflate(&body, most),
        // Nothing that is compressed is text. The parser of what is inside has the last word.
        Coding::Other(_) if is_text(&body) => Ok(body),
        Coding::Other(name) => Err(unknown(name)),
    })
}

fn unknown(name: &str) -> Error {
    Error::malformed(format!(
        "content-encoding: the response is compressed as {:?}, although an uncompressed one was asked for",
        printable(name, 64)
    ))
}

fn is_text(body: &[u8]) -> bool {
    let is_visible = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    str::from_utf8(body).is_ok_and(|text| text.chars().all(is_visible))
}

/// All members of a gzip file (RFC 1952 section 2.2). What follows the last is padding. A body without gzip's first
/// octets was decompressed on its way, by a proxy that left the header: it counts as it stands.
fn gzip(body: &Bytes, most: usize) -> Result<Bytes, Error> {
    const MAGIC: [u8; 2] = [0x1f, 0x8b];
    if !body.starts_with(&MAGIC) {
        return Ok(body.clone());
    }
    let (mut plain, mut rest) = (Wiped::default(), &body[..]);
    while rest.starts_with(&MAGIC) {
        let mut member = GzDecoder::new(rest);
        read(&mut member, &mut plain, most)?;
        rest = member.into_inner();
    }
    Ok(plain.into())
}

/// `deflate` is the zlib format (RFC 9110 section 8.4.1.2); some servers send it without zlib's header.
fn deflate(body: &Bytes, most: usize) -> Result<Bytes, Error> {
    let mut plain = Wiped::default();
    match body[..] {
        [] => {}
        // The method is deflate, and the header is a multiple of 31 (RFC 1950 section 2.2).
        [method, flags, ..]
            if method & 0x0f == 8 && (u16::from(method) << 8 | u16::from(flags)).is_multiple_of(31) =>
        {
            read(&mut ZlibDecoder::new(&body[..]), &mut plain, most)?;
        }
        [b'{' | b'[' | b'<', ..] => return Ok(body.clone()),
        _ => read(&mut DeflateDecoder::new(&body[..]), &mut plain, most)?,
    }
    Ok(plain.into())
}

/// Reads to the end, but never more than `most` bytes in all.
fn read(decoder: &mut impl Read, plain: &mut Wiped, most: usize) -> Result<(), Error> {
    let mut piece = Zeroizing::new([0; PIECE]);
    loop {
        match decoder.read(&mut *piece) {
            Ok(0) => return Ok(()),
            Ok(length) if length > most.saturating_sub(plain.len()) => {
                return Err(Error::new(Kind::TooLarge(most)));
            }
            Ok(length) => plain.extend(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The parser of what is inside has the last word on a body that was cut short.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && plain.len() > 0 => return Ok(()),
            Err(_) => {
                return Err(Error::malformed("content-encoding: the compressed response is damaged"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
