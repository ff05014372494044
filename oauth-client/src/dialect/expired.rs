//! How an API reports an expired token in a body.

use serde_json::Value;

use super::path::Path;
use crate::json;

/// The largest body that is inspected, in bytes.
pub(crate) const MAX_BODY: usize = 4096;

/// What a body has to say, in all of these places, to mean "your token has expired".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExpiredResponse(Vec<(Path, String)>);

impl ExpiredResponse {
    pub(crate) fn new(says: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(says.into_iter().map(|(path, text)| (Path::new(path), text)).collect())
    }

    /// Whether nothing at all is asked of a body: then none is taken for a response of this kind.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this whole body says so.
    pub(crate) fn is(&self, body: &[u8]) -> bool {
        let Ok(object) = json::object(body) else { return false };
        let document = Value::Object(object);
        !self.is_empty() && self.0.iter().all(|(path, text)| path.text_of(&document).as_ref() == Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_places_have_to_say_so() {
        let says = [("result.code", "invalid_grant"), ("status", "error")];
        let expired = ExpiredResponse::new(says.map(|(path, text)| (path.to_owned(), text.to_owned())));
        assert!(expired.is(br#"{"status":"error","result":{"message":"x","code":"invalid_grant"}}"#));
        for other in [
            &br#"{"status":"ok","result":{"code":"invalid_grant"}}"#[..],
            br#"{"status":"error","result":{"code":"no_such_app"}}"#,
            br#"{"status":"error","result":"invalid_grant"}"#,
            br#"[{"status":"error"}]"#,
            b"{",
            b"",
        ] {
            assert!(!expired.is(other), "{}", String::from_utf8_lossy(other));
        }
        assert!(!ExpiredResponse::default().is(b"{}"));
    }
}
