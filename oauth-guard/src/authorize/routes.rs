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
    named: Vec<(Method, Entry)>,
    others: Option<Entry>,
}

/// A rule at its node.
#[derive(Clone, Copy, Debug)]
struct Entry {
    rule: usize,
    /// Whether its pattern is written with a slash at the end.
    slash: bool,
}

/// The rules that apply to a request, `None` for the default. They are two where servers differ about a slash at the
/// end: the rule without regard to the slash, and the one that applies if the slash makes it another path. Otherwise
/// both are the same.
pub(super) type Candidates = [Option<usize>; 2];

/// What a request is looked up by besides its path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup<'a> {
    pub(super) method: &'a Method,
    /// Whether rules for `GET` apply too.
    pub(super) as_get: bool,
    /// Whether it may be routed as any other method, too: then a rule for `GET` and one for all methods must not be at one
    /// pattern.
    pub(super) as_any: bool,
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
        let entry = Entry { rule, slash: path::ends_with_slash(pattern) };
        let mut node = &mut self.root;
        let mut segments = inside.into_iter().flat_map(|inside| inside.split('/')).peekable();
        while let Some(segment) = segments.next() {
            match Part::from(segment) {
                Part::Malformed => {
                    return Err(PatternError::Invalid(
                        "a placeholder is a name in braces: {id}, or {*rest} at the end",
                    ));
                }
                Part::Rest => {
                    return match segments.peek() {
                        None => node.rest.insert(methods, entry),
                        Some(_) => Err(PatternError::Invalid(
                            "{*rest} stands for all that follows, so it comes last",
                        )),
                    };
                }
                Part::One => node = node.one.get_or_insert_default(),
                Part::Text => node = node.text(segment)?,
            }
        }
        node.here.insert(methods, entry)
    }

    /// The most specific rule for a request: text before `{placeholder}` before `{*rest}`, from left to right, and a
    /// rule that names the method before one that does not.
    ///
    /// `/docs` and `/docs/` can be one resource or two. A rule that is written in the form of the request applies alone;
    /// if it is written in the other form, the rule that applies without it does too.
    pub(super) fn find(&self, path: &str, lookup: Lookup<'_>) -> Result<Candidates, Ambiguous> {
        let slash = path::ends_with_slash(path);
        let Some(found) = Walk { lookup, form: None, steps: 0 }.start(self, path)? else {
            return Ok([None; 2]);
        };
        if found.in_any_form || found.entry.slash == slash {
            return Ok([Some(found.entry.rule); 2]);
        }
        let exact = Walk { lookup, form: Some(slash), steps: 0 }.start(self, path)?;
        Ok([Some(found.entry.rule), exact.map(|found| found.entry.rule)])
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
        if let Some(form) = foreign(segment) {
            return Err(PatternError::Invalid(form));
        }
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
    fn insert(&mut self, methods: &[Method], entry: Entry) -> Result<(), PatternError> {
        if methods.is_empty() {
            return match self.others.replace(entry) {
                None => Ok(()),
                Some(other) => Err(PatternError::Duplicate(other.rule)),
            };
        }
        for method in methods {
            match self.named.iter().find(|(named, _)| named == method) {
                Some((_, other)) if other.rule != entry.rule => {
                    return Err(PatternError::Duplicate(other.rule));
                }
                Some(_) => {}
                None => self.named.push((method.clone(), entry)),
            }
        }
        Ok(())
    }

    /// The rule for the method, among those written with or without a slash at the end if the form matters.
    fn find(&self, lookup: Lookup<'_>, form: Option<bool>) -> Result<Option<Entry>, Ambiguous> {
        let in_form = |entry: &Entry| form.is_none_or(|slash| entry.slash == slash);
        let named = |wanted: &Method| {
            let entry = self.named.iter().find(|(one, _)| one == wanted).map(|(_, entry)| *entry);
            entry.filter(in_form)
        };
        if let Some(own) = named(lookup.method) {
            return Ok(Some(own));
        }
        let others = self.others.filter(in_form);
        match lookup.as_get.then(|| named(&Method::GET)).flatten() {
            Some(_) if lookup.as_any && others.is_some() => {
                Err(Ambiguous("CONNECT could be under the rule for GET or under the one for all methods"))
            }
            Some(get) => Ok(Some(get)),
            None => Ok(others),
        }
    }
}

struct Walk<'a> {
    lookup: Lookup<'a>,
    /// Whether only rules with, or only rules without a slash at the end are looked for.
    form: Option<bool>,
    /// Nodes visited.
    steps: usize,
}

/// What a walk ends at.
#[derive(Clone, Copy, Debug)]
struct Found {
    entry: Entry,
    /// `{*rest}`: it covers the path with a slash at the end and without.
    in_any_form: bool,
}

impl Walk<'_> {
    fn start(&mut self, routes: &Routes, path: &str) -> Result<Option<Found>, Ambiguous> {
        let inside = path::inside(path);
        if path::has_dot_segment(path) {
            return Err(Ambiguous("the path has a segment `.` or `..`"));
        }
        match inside {
            Some(inside) => self.walk(&routes.root, inside),
            None => self.without_slash(&routes.root, path),
        }
    }

    /// `{*rest}` at the root covers every request. Routers that merely skip the first slash of a path read such a target as
    /// if it had one, so a more specific rule must not be evaded by that.
    #[cold]
    fn without_slash(&mut self, root: &Node, path: &str) -> Result<Option<Found>, Ambiguous> {
        let read = self.walk(root, Some(path).filter(|path| !path.is_empty()))?;
        let covering = self.rest(root)?;
        let rule = |found: &Option<Found>| found.map(|found| found.entry.rule);
        if rule(&read) == rule(&covering) {
            return Ok(covering);
        }
        Err(Ambiguous("the request target has no slash at the start, where a rule could be meant"))
    }

    /// An ambiguous segment matters only while there are rules that it could evade: outside of the tree there are none.
    fn walk(&mut self, node: &Node, rest: Option<&str>) -> Result<Option<Found>, Ambiguous> {
        self.steps += 1;
        let Some(rest) = rest else {
            let here = node.here.find(self.lookup, self.form)?;
            return match here {
                Some(entry) => Ok(Some(Found { entry, in_any_form: false })),
                None => self.rest(node),
            };
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
        let found = self.rest(node)?;
        if found.is_some() {
            for segment in more.into_iter().flat_map(|more| more.split('/')) {
                path::read(segment)?;
            }
        }
        Ok(found)
    }

    fn rest(&self, node: &Node) -> Result<Option<Found>, Ambiguous> {
        let found = node.rest.find(self.lookup, None)?;
        Ok(found.map(|entry| Found { entry, in_any_form: true }))
    }
}

/// What to write instead of a pattern that is another router's: here it would be the text of one segment, and no request
/// has that.
fn foreign(segment: &str) -> Option<&'static str> {
    if segment.contains('*') {
        return Some(
            "`*` is no wildcard here: write {name} for one segment, {*rest} at the end for all that follow, and the bare \
             service name for all methods of a gRPC service",
        );
    }
    if segment.starts_with(':') || segment.contains(['<', '>', '[', ']']) {
        return Some(
            "a placeholder is written in braces: {id} for one segment, {*rest} at the end for all that follow",
        );
    }
    segment
        .contains(';')
        .then_some("requests with a `;` in a segment are rejected; write the path without parameters")
}

/// What a segment of a pattern stands for.
enum Part {
    Text,
    One,
    Rest,
    /// In braces, and no placeholder.
    Malformed,
}

impl From<&str> for Part {
    fn from(segment: &str) -> Self {
        let Some(name) = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) else {
            return Self::Text;
        };
        match name.strip_prefix('*') {
            Some(name) if is_name(name) => Self::Rest,
            None if is_name(name) => Self::One,
            _ => Self::Malformed,
        }
    }
}

/// The pattern without the names of its placeholders, which is the same for patterns of the same requests. A malformed
/// placeholder is left as it is, for the error about it.
pub(super) fn unnamed(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| match Part::from(segment) {
        Part::Rest => "{*}",
        Part::One => "{}",
        Part::Text | Part::Malformed => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests;
