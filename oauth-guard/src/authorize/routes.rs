//! From a path and a method to the rule that applies.
//!
//! A tree with one node for each segment. A lookup walks down segment by segment, so its cost depends on the length of
//! the path and not on the number of rules.

use std::collections::HashMap;

use http::Method;

use super::path::{self, Ambiguous, MOST_SEGMENT_BYTES, Segment};

/// Rules, by their index, at the nodes of their patterns.
#[derive(Debug, Default)]
pub(super) struct Routes {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    /// By the segment with its percent-encodings decoded.
    texts: HashMap<Box<[u8]>, (Box<str>, Self)>,
    one: Option<Box<Self>>,
    /// `{*rest}`: applies here and to everything below without a rule of its own.
    rest: Methods,
    here: Methods,
}

/// The rules of one node, by method. A list: there are only a few methods.
#[derive(Debug, Default)]
struct Methods {
    named: Vec<(Method, usize)>,
    others: Option<usize>,
}

impl Routes {
    /// Inserts a rule at its pattern, for these methods or, if there are none, for all. The error is for the author of
    /// the rule.
    pub(super) fn insert(
        &mut self,
        pattern: &str,
        methods: &[Method],
        rule: usize,
    ) -> Result<(), PatternError> {
        let Some(inside) = path::inside(pattern) else {
            return Err(PatternError::Invalid("expected a path from the root, such as /orders/{id}"));
        };
        if path::has_dot_segment(pattern) {
            return Err(PatternError::Invalid(
                "has a segment `.` or `..`, and requests with those are rejected",
            ));
        }
        let mut node = &mut self.root;
        let mut segments = inside.into_iter().flat_map(|inside| inside.split('/')).peekable();
        while let Some(segment) = segments.next() {
            match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) if !is_name(name.strip_prefix('*').unwrap_or(name)) => {
                    return Err(PatternError::Invalid(
                        "a placeholder is a name in braces: {id}, or {*rest} at the end",
                    ));
                }
                Some(name) if name.starts_with('*') => {
                    return match segments.peek() {
                        None => node.rest.insert(methods, rule),
                        Some(_) => Err(PatternError::Invalid(
                            "{*rest} stands for all that follows, so it comes last",
                        )),
                    };
                }
                Some(_) => node = node.one.get_or_insert_default(),
                None => node = node.text(segment)?,
            }
        }
        node.here.insert(methods, rule)
    }

    /// The most specific rule for a request: text before `{placeholder}` before `{*rest}`, from left to right, and a
    /// rule that names the method before one that does not.
    pub(super) fn find(&self, path: &str, method: &Method) -> Result<Option<usize>, Ambiguous> {
        Walk { method, steps: 0 }.start(self, path)
    }
}

/// Why a rule cannot be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatternError {
    Invalid(&'static str),
    /// Another rule applies to the same requests.
    Duplicate(usize),
}

impl Node {
    #[cold]
    fn encoded(&self, segment: &str) -> Result<Option<&(Box<str>, Self)>, Ambiguous> {
        Ok(match path::read(segment)? {
            Segment::Plain(text) => self.texts.get(text.as_bytes()),
            Segment::Encoded(decoded) => self.texts.get(decoded.bytes()),
            Segment::Long => None,
        })
    }

    fn text(&mut self, segment: &str) -> Result<&mut Self, PatternError> {
        if segment.contains(['{', '}', '?', '#']) {
            return Err(PatternError::Invalid(
                "a segment is either text or one placeholder, and there is no query",
            ));
        }
        let key: Box<[u8]> = match path::read(segment) {
            Ok(Segment::Plain(text)) => text.as_bytes().into(),
            Ok(Segment::Encoded(decoded)) if segment.is_ascii() && !segment.contains(' ') => {
                decoded.bytes().into()
            }
            Ok(Segment::Encoded(_)) => {
                return Err(PatternError::Invalid(
                    "write it as it is sent: percent-encode what is not ASCII",
                ));
            }
            Ok(Segment::Long) => {
                const { assert!(MOST_SEGMENT_BYTES == 255) };
                return Err(PatternError::Invalid("a segment has 255 bytes at most"));
            }
            Err(Ambiguous(why)) => return Err(PatternError::Invalid(why)),
        };
        let (written, node) = self.texts.entry(key).or_insert_with(|| (segment.into(), Self::default()));
        if **written != *segment {
            return Err(PatternError::Invalid(
                "another rule writes the same segment with other percent-encodings",
            ));
        }
        Ok(node)
    }
}

impl Methods {
    fn insert(&mut self, methods: &[Method], rule: usize) -> Result<(), PatternError> {
        if methods.is_empty() {
            return match self.others.replace(rule) {
                None => Ok(()),
                Some(other) => Err(PatternError::Duplicate(other)),
            };
        }
        for method in methods {
            match self.named.iter().find(|(named, _)| named == method) {
                Some((_, other)) if *other != rule => return Err(PatternError::Duplicate(*other)),
                Some(_) => {}
                None => self.named.push((method.clone(), rule)),
            }
        }
        Ok(())
    }

    fn find(&self, method: &Method) -> Option<usize> {
        let named = |wanted: &Method| self.named.iter().find(|(one, _)| one == wanted).map(|(_, rule)| *rule);
        // RFC 9110 section 9.3.2: HEAD is GET without the body, and frameworks route it to the GET handler.
        let as_get = || (*method == Method::HEAD).then(|| named(&Method::GET)).flatten();
        named(method).or_else(as_get).or(self.others)
    }
}

struct Walk<'a> {
    method: &'a Method,
    /// Nodes visited.
    steps: usize,
}

impl Walk<'_> {
    fn start(&mut self, routes: &Routes, path: &str) -> Result<Option<usize>, Ambiguous> {
        let Some(inside) = path::inside(path) else { return Ok(None) };
        if path::has_dot_segment(path) {
            return Err(Ambiguous("the path has a segment `.` or `..`"));
        }
        self.walk(&routes.root, inside)
    }

    /// An ambiguous segment matters only while there are rules that it could evade: outside of the tree there are none.
    fn walk(&mut self, node: &Node, rest: Option<&str>) -> Result<Option<usize>, Ambiguous> {
        self.steps += 1;
        let Some(rest) = rest else {
            return Ok(node.here.find(self.method).or_else(|| node.rest.find(self.method)));
        };
        let (segment, more) = match rest.split_once('/') {
            Some((segment, more)) => (segment, Some(more)),
            None => (rest, None),
        };
        let text =
            if path::is_plain(segment) { node.texts.get(segment.as_bytes()) } else { node.encoded(segment)? };
        if let Some((written, node)) = text {
            if **written != *segment {
                return Err(Ambiguous("the path spells a rule's text with other percent-encodings"));
            }
            if let Some(rule) = self.walk(node, more)? {
                return Ok(Some(rule));
            }
        }
        if let Some(node) = &node.one
            && let Some(rule) = self.walk(node, more)?
        {
            return Ok(Some(rule));
        }
        match node.rest.find(self.method) {
            Some(rule) => {
                for segment in more.into_iter().flat_map(|more| more.split('/')) {
                    path::read(segment)?;
                }
                Ok(Some(rule))
            }
            None => Ok(None),
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests;
