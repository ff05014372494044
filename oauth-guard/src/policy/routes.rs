//! From a path and a method to the rule that counts for them.
//!
//! A tree with one node for each segment. A request is walked down it segment by segment, so that what it costs depends
//! on its own length and not on how many rules there are.

use std::collections::HashMap;

use http::Method;

use super::path::{self, Ambiguous, MOST_SEGMENT_BYTES, Segment};

/// Rules, by their number, in the places they were put.
#[derive(Debug, Default)]
pub(super) struct Routes {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    /// By what the segment says once its percent-encodings are resolved.
    texts: HashMap<Box<[u8]>, (Box<str>, Self)>,
    one: Option<Box<Self>>,
    /// What counts here and for everything below that has nothing of its own.
    rest: Methods,
    here: Methods,
}

/// The rules of one place. A list: there are a handful of methods.
#[derive(Debug, Default)]
struct Methods {
    named: Vec<(Method, usize)>,
    others: Option<usize>,
}

impl Routes {
    /// Puts a rule where its pattern says, for these methods or, if there are none, for all. The error is for whoever
    /// wrote it.
    pub(super) fn insert(&mut self, pattern: &str, methods: &[Method], rule: usize) -> Result<(), Wrong> {
        let Some(inside) = path::inside(pattern) else {
            return Err(Wrong::Pattern("expected a path from the root, such as /orders/{id}"));
        };
        if path::has_dot_step(pattern) {
            return Err(Wrong::Pattern("has a step `.` or `..`, and requests with those are refused"));
        }
        let mut node = &mut self.root;
        let mut segments = inside.into_iter().flat_map(|inside| inside.split('/')).peekable();
        while let Some(segment) = segments.next() {
            match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) if !is_name(name.strip_prefix('*').unwrap_or(name)) => {
                    return Err(Wrong::Pattern(
                        "a placeholder is a name in braces: {id}, or {*rest} at the end",
                    ));
                }
                Some(name) if name.starts_with('*') => {
                    return match segments.peek() {
                        None => node.rest.insert(methods, rule),
                        Some(_) => {
                            Err(Wrong::Pattern("{*rest} stands for all that follows, so it comes last"))
                        }
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

/// Why a rule cannot be put anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Pattern(&'static str),
    /// Another rule counts for the same requests.
    Twice(usize),
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

    fn text(&mut self, segment: &str) -> Result<&mut Self, Wrong> {
        if segment.contains(['{', '}', '?', '#']) {
            return Err(Wrong::Pattern("a segment is either text or one placeholder, and there is no query"));
        }
        let key: Box<[u8]> = match path::read(segment) {
            Ok(Segment::Plain(text)) => text.as_bytes().into(),
            Ok(Segment::Encoded(decoded)) if segment.is_ascii() && !segment.contains(' ') => {
                decoded.bytes().into()
            }
            Ok(Segment::Encoded(_)) => {
                return Err(Wrong::Pattern("write it as it is sent: what is not ASCII is percent-encoded"));
            }
            Ok(Segment::Long) => {
                const { assert!(MOST_SEGMENT_BYTES == 255) };
                return Err(Wrong::Pattern("a segment has 255 bytes at most"));
            }
            Err(Ambiguous(why)) => return Err(Wrong::Pattern(why)),
        };
        let (written, node) = self.texts.entry(key).or_insert_with(|| (segment.into(), Self::default()));
        if **written != *segment {
            return Err(Wrong::Pattern("another rule writes the same segment with other percent-encodings"));
        }
        Ok(node)
    }
}

impl Methods {
    fn insert(&mut self, methods: &[Method], rule: usize) -> Result<(), Wrong> {
        if methods.is_empty() {
            return match self.others.replace(rule) {
                None => Ok(()),
                Some(other) => Err(Wrong::Twice(other)),
            };
        }
        for method in methods {
            match self.named.iter().find(|(named, _)| named == method) {
                Some((_, other)) if *other != rule => return Err(Wrong::Twice(*other)),
                Some(_) => {}
                None => self.named.push((method.clone(), rule)),
            }
        }
        Ok(())
    }

    fn find(&self, method: &Method) -> Option<usize> {
        let named = |wanted: &Method| self.named.iter().find(|(one, _)| one == wanted).map(|(_, rule)| *rule);
        // RFC 9110 §9.3.2: HEAD is GET without the body, and frameworks answer it from the GET handler.
        let as_get = || (*method == Method::HEAD).then(|| named(&Method::GET)).flatten();
        named(method).or_else(as_get).or(self.others)
    }
}

struct Walk<'a> {
    method: &'a Method,
    /// Nodes that were looked at.
    steps: usize,
}

impl Walk<'_> {
    fn start(&mut self, routes: &Routes, path: &str) -> Result<Option<usize>, Ambiguous> {
        let Some(inside) = path::inside(path) else { return Ok(None) };
        if path::has_dot_step(path) {
            return Err(Ambiguous("the path has a step `.` or `..`"));
        }
        self.walk(&routes.root, inside)
    }

    /// What is odd about a segment matters only while there are rules that it could hide from: outside of the tree,
    /// no rule is stricter than none.
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
