//! Patterns with `*` for any text.

/// Whether the whole text fits the pattern. `*` stands for any text, also none; everything else for itself.
///
/// Only the last `*` is ever tried again, so the time is bounded by the product of the two lengths.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and where the text that it stands for ends.
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                p += 1;
                star = Some((p, t));
            }
            (Some(wanted), Some(found)) if wanted == found => (p, t) = (p + 1, t + 1),
            (None, None) => return true,
            (_, found) => {
                let Some((behind, end)) = star else { return false };
                if found.is_none() {
                    return false;
                }
                (p, t) = (behind, end + 1);
                star = Some((behind, end + 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition, without cleverness.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|from| naive(rest, &text[from..])),
            Some((wanted, rest)) => {
                text.split_first().is_some_and(|(found, text)| wanted == found && naive(rest, text))
            }
        }
    }

    #[test]
    fn every_short_pattern_matches_as_defined() {
        let letters = |length: u32| {
            (0..3_usize.pow(length)).map(move |mut n| {
                (0..length)
                    .map(|_| {
                        let letter = ['a', 'b', '*'][n % 3];
                        n /= 3;
                        letter
                    })
                    .collect::<String>()
            })
        };
        let mut matched = 0;
        for pattern in (0..6).flat_map(letters) {
            for text in (0..6).flat_map(letters) {
                let expected = naive(pattern.as_bytes(), text.as_bytes());
                assert_eq!(matches(&pattern, &text), expected, "{pattern} {text}");
                matched += u32::from(expected);
            }
        }
        assert!(matched > 10_000, "{matched}");
    }

    #[test]
    fn a_long_text_takes_no_exponential_time() {
        let pattern = "*a".repeat(30);
        assert!(!matches(&format!("{pattern}b"), &"a".repeat(8192)));
    }
}
