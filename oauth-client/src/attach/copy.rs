use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::body::{Body, Extra, Recording};

/// All that is needed to send a request once more.
#[derive(Clone)]
pub(super) struct RequestCopy {
    method: Method,
    uri: Uri,
    version: Version,
    headers: FlatHeaders,
    extensions: Extensions,
    body: Recording,
}

impl RequestCopy {
    /// Copies the head; the body is recorded while it is sent, up to `max_body` bytes.
    pub(super) fn of<B: http_body::Body>(request: &Request<B>, max_body: usize) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: FlatHeaders::of(request.headers()),
            extensions: request.extensions().clone(),
            body: Recording::of(request.body(), max_body),
        }
    }

    /// What listens to the body that is sent; none when there is nothing to observe.
    pub(super) fn recorder(&self) -> Option<Box<Extra>> {
        self.body.recorder()
    }

    /// Whether the body is known to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.body.is_whole()
    }

    pub(super) fn into_request<B: http_body::Body>(self) -> Request<Body<B>> {
        let mut request = Request::new(self.body.into_body());
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.into_map();
        *request.extensions_mut() = self.extensions;
        request
    }
}

/// Headers in one buffer: name and value of each, both behind their length.
///
/// Most copies are thrown away unread. Cloning the map instead would cost an allocation for each value that was made
/// at run time, because `Bytes` then starts to count its references.
#[derive(Clone)]
struct FlatHeaders(Vec<u8>);

/// Set in the length of a value that must not be shown.
const SENSITIVE: u32 = 1 << 31;

impl FlatHeaders {
    fn of(headers: &HeaderMap) -> Self {
        // Room for most. To count first would take as long as the copying does.
        let mut flat = Vec::with_capacity(48 * headers.len());
        for (name, value) in headers {
            let (name, bytes) = (name.as_str().as_bytes(), value.as_bytes());
            // A header of 2 GiB does not exist; one cut off here would fail to be read below, and be left out.
            let length = u32::try_from(bytes.len()).unwrap_or(0) & !SENSITIVE;
            let mark = if value.is_sensitive() { SENSITIVE } else { 0 };
            let lengths = [u32::try_from(name.len()).unwrap_or(0), length | mark].map(u32::to_ne_bytes);
            flat.extend_from_slice(lengths.as_flattened());
            flat.extend_from_slice(name);
            flat.extend_from_slice(bytes);
        }
        Self(flat)
    }

    fn into_map(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut rest = &self.0[..];
        while let Some((name, value, after)) = next_header(rest) {
            // They were in a map of the same limit.
            let _ = headers.try_append(name, value);
            rest = after;
        }
        headers
    }
}

fn next_header(flat: &[u8]) -> Option<(HeaderName, HeaderValue, &[u8])> {
    let (name_length, rest) = flat.split_first_chunk()?;
    let (value_length, rest) = rest.split_first_chunk()?;
    let (name_length, value_length) = (u32::from_ne_bytes(*name_length), u32::from_ne_bytes(*value_length));
    let (name, rest) = rest.split_at_checked(name_length as usize)?;
    let (value, rest) = rest.split_at_checked((value_length & !SENSITIVE) as usize)?;
    let mut value = HeaderValue::from_bytes(value).ok()?;
    value.set_sensitive(value_length & SENSITIVE != 0);
    Some((HeaderName::from_bytes(name).ok()?, value, rest))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Empty;

    use super::*;

    #[test]
    fn a_copied_head_is_the_same_head() {
        let mut secret = HeaderValue::from_static("k3y");
        secret.set_sensitive(true);
        let mut request = Request::patch("https://api.example.com:8443/a?b=c")
            .version(Version::HTTP_2)
            .header("accept", "text/plain")
            .header("x-many", "one")
            .header("x-many", "")
            .header("x-many", HeaderValue::from_bytes(b"caf\xe9").unwrap())
            .header("x-api-key", secret)
            .extension("an extension")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let copy: Request<Body<Empty<Bytes>>> = RequestCopy::of(&request, 0).into_request();
        assert_eq!(copy.method(), request.method());
        assert_eq!(copy.uri(), request.uri());
        assert_eq!(copy.version(), Version::HTTP_2);
        assert_eq!(copy.headers(), request.headers());
        assert!(copy.headers()["x-api-key"].is_sensitive() && !copy.headers()["accept"].is_sensitive());
        assert_eq!(copy.extensions().get::<&str>(), request.extensions_mut().get::<&str>());
    }
}
