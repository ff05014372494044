//! The nonces that servers demand in the next proof (RFC 9449 sections 8 and 9).

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;

pub(crate) const DPOP_NONCE: &str = "dpop-nonce";

/// The most origins that are remembered; few programs call more. A forgotten origin demands its nonce again, which costs a
/// request.
const MAX_ORIGINS: usize = 100;

/// No server needs more. It goes into every proof, and proofs into a header of a few kilobytes.
const MAX_NONCE: usize = 1024;

/// The last nonce of each origin. Reading takes no lock, and writing never blocks.
#[derive(Debug, Default)]
pub(crate) struct Nonces(ArcSwap<Vec<Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    origin: Arc<str>,
    nonce: Arc<str>,
}

impl Nonces {
    pub(crate) fn of(&self, origin: &str) -> Option<Arc<str>> {
        self.0.load().iter().find(|entry| *entry.origin == *origin).map(|entry| Arc::clone(&entry.nonce))
    }

    /// Learns the nonce of a response. Servers that rotate nonces put them on successes, too (section 8.2).
    pub(crate) fn learn(&self, origin: &str, nonce: &Arc<str>) {
        if self.of(origin).is_some_and(|known| known == *nonce) {
            return;
        }
        self.0.rcu(|entries| {
            let mut entries = Vec::clone(entries);
            match entries.iter_mut().find(|entry| *entry.origin == *origin) {
                Some(entry) => entry.nonce = Arc::clone(nonce),
                None => {
                    if entries.len() >= MAX_ORIGINS {
                        // The one known longest.
                        entries.remove(0);
                    }
                    entries.push(Entry { origin: Arc::from(origin), nonce: Arc::clone(nonce) });
                }
            }
            entries
        });
    }
}

/// The nonce of a response: section 8.1 allows one, of visible characters without quote and backslash.
pub(crate) fn nonce_in(headers: &HeaderMap) -> Option<Arc<str>> {
    let mut values = headers.get_all(DPOP_NONCE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let text = value.to_str().ok()?;
    let fits = (1..=MAX_NONCE).contains(&text.len());
    let is_nonce = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    (fits && is_nonce).then(|| Arc::from(text))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn nonce(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    #[test]
    fn the_last_nonce_of_each_origin_is_remembered() {
        let nonces = Nonces::default();
        nonces.learn("https://a", &nonce("1"));
        nonces.learn("https://b", &nonce("2"));
        nonces.learn("https://a", &nonce("3"));
        assert_eq!(nonces.of("https://a"), Some(nonce("3")));
        assert_eq!(nonces.of("https://b"), Some(nonce("2")));
        assert_eq!(nonces.of("https://c"), None);
    }

    #[test]
    fn there_is_a_bound_and_the_oldest_goes() {
        let nonces = Nonces::default();
        for n in 0..=MAX_ORIGINS {
            nonces.learn(&format!("https://{n}"), &nonce("x"));
        }
        assert_eq!(nonces.0.load().len(), MAX_ORIGINS);
        assert_eq!(nonces.of("https://0"), None);
        assert_eq!(nonces.of("https://1"), Some(nonce("x")));
    }

    #[test]
    fn a_nonce_is_one_header_of_characters_that_need_no_escape() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(DPOP_NONCE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            nonce_in(&headers)
        };
        assert_eq!(read(&["eyJ7S_zG.eyJH0-Z.HX4w-7v"]), Some(nonce("eyJ7S_zG.eyJH0-Z.HX4w-7v")));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["a", "a"]), None, "which of the two?");
        let long = "x".repeat(MAX_NONCE + 1);
        assert!(read(&[&long[1..]]).is_some());
        for bad in ["", "a b", "a\"b", "a\\b", "café", &long] {
            assert_eq!(read(&[bad]), None, "{bad:?}");
        }
    }
}
