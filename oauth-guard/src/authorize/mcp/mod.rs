//! Rules for the operations of an MCP server: which of them apply to a request.
//!
//! They add to the rule of the route: a request has to satisfy that one and every MCP rule that matches its operation.
//! So no order of rules and no header leads to less than what some rule asks for.

mod glob;
mod message;
mod uri;

use std::collections::BTreeMap;

use http::Method;

pub(crate) use self::message::compare;
use self::message::{Operation, name_member};
use super::path::Ambiguous;
use super::routes::{Lookup, PatternError, Routes, unnamed};
use super::rule::{Access, Rule};
use crate::error::Problems;
use crate::request::RequestHead;

/// The operations that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operations {
    /// With `*` for any text.
    pub(crate) method: String,
    pub(crate) name: Option<Name>,
}

/// The names that a rule is for, with `*` for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pattern: String,
    /// What all spellings of the URIs have in common that it matches.
    skeleton: String,
}

impl Name {
    pub(crate) fn new(pattern: String) -> Self {
        Self { skeleton: uri::skeleton(&pattern), pattern }
    }
}

impl Operations {
    fn include(&self, operation: &Operation<'_>) -> bool {
        let Operation::Known { method, name } = operation else { return true };
        let is_named = || match (&self.name, name) {
            (Some(names), Some(name)) => glob::matches(&names.pattern, name),
            // A rule for all names, or a method whose name is not known: then the rule applies.
            _ => true,
        };
        glob::matches(&self.method, method) && is_named()
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let is_visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_visible(&self.method) {
            return Err((
                "mcp",
                "expected a method such as tools/call, or a pattern such as resources/*".to_owned(),
            ));
        }
        match &self.name {
            Some(name) if name.pattern.is_empty() => {
                Err(("name", "is empty and matches nothing; leave it out for every name".to_owned()))
            }
            Some(_) if !self.method.contains('*') && name_member(&self.method).is_none() => Err((
                "name",
                format!(
                    "{} names nothing; tools/call, prompts/get, resources/read, resources/subscribe, resources/unsubscribe, tasks/get, tasks/update, tasks/cancel and tasks/result do",
                    self.method
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The URIs that choose the rule, where an operation of this method names one.
    fn uris_of(&self, method: &str) -> Option<&Name> {
        let name = self.name.as_ref().filter(|name| name.pattern.bytes().any(|byte| byte != b'*'))?;
        (name_member(method) == Some("uri") && glob::matches(&self.method, method)).then_some(name)
    }
}

/// The MCP rules of a guard, by route.
#[derive(Debug, Default)]
pub(crate) struct McpRules {
    routes: Routes,
    /// Rules, by their index, that the same requests could meet.
    groups: Vec<Box<[usize]>>,
    /// How much of a body is read; `None` where headers are believed without it.
    body_bytes: Option<usize>,
}

impl McpRules {
    /// `body_bytes` as in the field.
    pub(super) fn new(rules: &[Rule], body_bytes: Option<usize>, problems: &mut Problems) -> Self {
        let mut this = Self { body_bytes, ..Self::default() };
        // All rules of a path apply to its requests, and the names of its placeholders make no other path of it.
        let mut by_path = BTreeMap::<String, Vec<usize>>::new();
        for (index, rule) in rules.iter().enumerate() {
            let field = |name: &str| format!("rule[{index}].{name}");
            if rule.unnamed_mcp {
                problems.add(field("name"), "goes with mcp, such as mcp = \"tools/call\"");
            }
            let Some(operations) = &rule.mcp else { continue };
            if rule.is_grpc {
                problems.add(field("mcp"), "needs a path, not a gRPC method");
                continue;
            }
            if let Err((name, why)) = operations.check() {
                problems.add(field(name), why);
            }
            let of_path = by_path.entry(unnamed(&rule.path)).or_default();
            let is_same = |other: &&usize| {
                rules.get(**other).is_some_and(|other| other.mcp == rule.mcp && other.methods == rule.methods)
            };
            if let Some(other) = of_path.iter().find(is_same) {
                let why = format!("applies to the same operations as rule[{other}]; merge them");
                problems.add(field("mcp"), why);
            }
            of_path.push(index);
        }
        for indices in by_path.values() {
            this.insert(indices, rules, problems);
        }
        this
    }

    /// One group for each method that a rule of the path names, and one for the others.
    fn insert(&mut self, indices: &[usize], rules: &[Rule], problems: &mut Problems) {
        let first = indices.first().and_then(|index| rules.get(*index));
        let Some(path) = first.map(|rule| &*rule.path) else { return };
        let methods_of = |index: usize| rules.get(index).and_then(|rule| rule.methods.as_deref());
        let mut named: Vec<Method> = Vec::new();
        for method in indices.iter().filter_map(|index| methods_of(*index)).flatten() {
            if !named.contains(method) {
                named.push(method.clone());
            }
        }
        let applies = |index: &usize, method: &Method| {
            methods_of(*index).is_none_or(|methods| {
                // A rule for GET applies to what is routed as GET too.
                methods.contains(method)
                    || methods.contains(&Method::GET) && matches!(*method, Method::HEAD | Method::CONNECT)
            })
        };
        let mut groups: Vec<(&[Method], Box<[usize]>)> = Vec::new();
        for method in named.chunks(1) {
            let group =
                indices.iter().copied().filter(|index| method.iter().all(|method| applies(index, method)));
            groups.push((method, group.collect()));
        }
        let others: Box<[usize]> =
            indices.iter().copied().filter(|index| methods_of(*index).is_none()).collect();
        if !others.is_empty() {
            groups.push((&[], others));
        }
        for (methods, group) in groups {
            let why = match self.routes.insert(path, methods, self.groups.len()) {
                Ok(()) => {
                    self.groups.push(group);
                    continue;
                }
                Err(PatternError::Invalid(why)) => why.to_owned(),
                Err(PatternError::Duplicate(other)) => {
                    let other =
                        self.groups.get(other).and_then(|group| group.first()).copied().unwrap_or_default();
                    format!("is the path of rule[{other}] in another spelling; write both alike")
                }
            };
            if let Some(index) = indices.first() {
                problems.add(format!("rule[{index}].path"), why);
            }
            return;
        }
    }

    /// What the MCP rules of a request's path say, if it has any.
    pub(super) fn find<'a>(
        &'a self,
        rules: &'a [Rule],
        request: RequestHead<'a>,
    ) -> Result<Option<OfPath<'a>>, Ambiguous> {
        if self.groups.is_empty() {
            return Ok(None);
        }
        // The rules for GET and those for all methods are in one group.
        let lookup = Lookup { method: request.method, as_get: request.is_routed_as_get(), as_any: false };
        let found = self.routes.find(request.path(), lookup)?;
        let groups = found.map(|group| group.and_then(|group| self.groups.get(group)).map(|group| &**group));
        if groups == [None; 2] {
            return Ok(None);
        }
        Ok(Some(OfPath { rules, groups, operation: Operation::Unknown, body_bytes: self.body_bytes }))
    }
}

/// The MCP rules of one request.
#[derive(Clone)]
pub(super) struct OfPath<'a> {
    rules: &'a [Rule],
    /// Two where a slash at the end could select either, as for routes.
    groups: [Option<&'a [usize]>; 2],
    operation: Operation<'a>,
    pub(super) body_bytes: Option<usize>,
}

impl<'a> OfPath<'a> {
    /// Takes the operation from the headers. Until then every rule of the path applies.
    ///
    /// # Errors
    /// A header is malformed or doubled, or a rule depends on a URI that could be read in two ways.
    pub(super) fn read_operation(&mut self, request: RequestHead<'a>) -> Result<(), Ambiguous> {
        let operation = Operation::read(request.headers).map_err(Ambiguous)?;
        if let Operation::Known { method, name: Some(name) } = &operation
            && self.is_unsure_about(method, name)
        {
            return Err(Ambiguous("Mcp-Name is a URI in a spelling that servers could read differently"));
        }
        self.operation = operation;
        Ok(())
    }

    /// Whether rules of the path, apart from those that are only tried out, depend on a URI that could be read in two ways.
    fn is_unsure_about(&self, method: &str, uri: &str) -> bool {
        let of_path = self.groups.into_iter().flatten().flatten().filter_map(|index| self.rules.get(*index));
        let in_force = of_path.filter(|rule| !rule.dry_run).filter_map(|rule| rule.mcp.as_ref());
        let mut names = in_force.filter_map(|mcp| mcp.uris_of(method)).peekable();
        if names.peek().is_none() {
            return false;
        }
        let skeleton = uri::skeleton(uri);
        uri::hides_its_host(uri)
            || names.any(|name| uri::is_ambiguous(&name.pattern, &name.skeleton, uri, &skeleton))
    }

    /// The rules that apply: all of the path where the operation is unknown.
    pub(super) fn rules(&self) -> impl Iterator<Item = &'a Rule> + Clone {
        let [one, other] = self.groups;
        let other = other.filter(|_| one != other);
        one.into_iter().chain(other).flat_map(|group| self.of(group))
    }

    /// Whether there are rules for the path, and what those that apply say of access in each reading of the slash.
    /// `None`: what holds without them holds.
    pub(super) fn access(&self) -> [Option<Access>; 2] {
        self.groups.map(|group| self.of(group?).map(|rule| rule.access).max())
    }

    /// Whether the operation is known, so that the rules that apply are all there is to say about it.
    pub(super) fn is_known(&self) -> bool {
        self.operation != Operation::Unknown
    }

    fn of(&self, group: &'a [usize]) -> impl Iterator<Item = &'a Rule> + Clone {
        let (rules, operation) = (self.rules, &self.operation);
        let all = group.iter().filter_map(move |index| rules.get(*index));
        all.filter(move |rule| rule.mcp.as_ref().is_some_and(|mcp| mcp.include(operation)))
    }
}
