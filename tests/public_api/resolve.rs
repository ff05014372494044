//! What a name stands for: through imports, re-exports, globs and new names, to the module that defines it.

use std::collections::BTreeSet;

use syn::{Item, UseTree};

use crate::source::{Krate, Module};

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Module(String),
    /// An item of this crate, by the module that defines it and its name there.
    Item(Definition),
    /// Something of another crate, as it is written.
    Foreign(String),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Definition {
    pub(crate) module: String,
    pub(crate) name: String,
}

/// One name that a `use` brings in: what it is called here, and the path it stands for. `*` for a glob.
pub(crate) struct Import {
    pub(crate) name: String,
    pub(crate) path: Vec<String>,
}

/// The names of a `use`, one by one.
pub(crate) fn imports(item: &syn::ItemUse) -> Vec<Import> {
    let start = if item.leading_colon.is_some() { vec![String::new()] } else { Vec::new() };
    let mut found = Vec::new();
    leaves(&item.tree, start, &mut found);
    found
}

fn leaves(tree: &UseTree, mut path: Vec<String>, found: &mut Vec<Import>) {
    match tree {
        UseTree::Path(tree_path) => {
            path.push(tree_path.ident.to_string());
            leaves(&tree_path.tree, path, found);
        }
        UseTree::Name(name) if name.ident == "self" => {
            found.push(Import { name: path.last().unwrap().clone(), path });
        }
        UseTree::Name(name) => {
            path.push(name.ident.to_string());
            found.push(Import { name: name.ident.to_string(), path });
        }
        UseTree::Rename(rename) => {
            if rename.ident != "self" {
                path.push(rename.ident.to_string());
            }
            found.push(Import { name: rename.rename.to_string(), path });
        }
        UseTree::Glob(_) => found.push(Import { name: "*".to_owned(), path }),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, path.clone(), found)),
    }
}

impl Krate {
    /// What a path means in a module.
    pub(crate) fn resolve(&self, module: &str, path: &[String]) -> Option<Target> {
        self.follow(module, path, &mut BTreeSet::new())
    }

    fn follow(&self, module: &str, path: &[String], seen: &mut BTreeSet<(String, String)>) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Target::Module(self.name.clone()),
            "self" => Target::Module(module.to_owned()),
            "super" => Target::Module(module.rsplit_once("::")?.0.to_owned()),
            // `::http` is never of this crate.
            "" => return Some(Target::Foreign(rest.join("::"))),
            name => match self.look_up(module, name, seen) {
                Some(found) => found,
                None if rest.is_empty() => return None,
                None => return Some(Target::Foreign(path.join("::"))),
            },
        };
        self.descend(start, rest, seen)
    }

    /// From what the first part of a path means to what the whole path means.
    fn descend(
        &self,
        start: Target,
        rest: &[String],
        seen: &mut BTreeSet<(String, String)>,
    ) -> Option<Target> {
        let Some((first, after)) = rest.split_first() else { return Some(start) };
        match start {
            Target::Module(module) if first == "super" => {
                let parent = module.rsplit_once("::")?.0.to_owned();
                self.descend(Target::Module(parent), after, seen)
            }
            Target::Module(module) => {
                let next = self.look_up(&module, first, seen)?;
                self.descend(next, after, seen)
            }
            Target::Foreign(path) => Some(Target::Foreign(format!("{path}::{}", rest.join("::")))),
            // A variant, or an item that belongs to a type.
            Target::Item(_) => None,
        }
    }

    /// A name in the scope of a module: defined there, imported there, or by a glob.
    fn look_up(&self, module: &str, name: &str, seen: &mut BTreeSet<(String, String)>) -> Option<Target> {
        if !seen.insert((module.to_owned(), name.to_owned())) {
            return None;
        }
        let Module { items, names, imports, .. } = self.modules.get(module)?;
        if let Some(at) = names.get(name) {
            return Some(match &items[*at] {
                Item::Mod(_) => Target::Module(format!("{module}::{name}")),
                _ => Target::Item(Definition { module: module.to_owned(), name: name.to_owned() }),
            });
        }
        if let Some(import) = imports.iter().find(|import| import.name == name) {
            return self
                .follow(module, &import.path, seen)
                .or_else(|| Some(Target::Foreign(import.path.join("::"))));
        }
        for import in imports.iter().filter(|import| import.name == "*") {
            if let Some(Target::Module(from)) = self.follow(module, &import.path, &mut seen.clone())
                && let Some(found) = self.look_up(&from, name, seen)
            {
                return Some(found);
            }
        }
        // A macro of this module may have made it: its whole text then stands for the item.
        let is_made = items.iter().any(|item| {
            matches!(item, Item::Macro(made) if made.ident.is_none() && has_word(&made.mac.tokens, name))
        });
        is_made.then(|| Target::Item(Definition { module: module.to_owned(), name: name.to_owned() }))
    }
}

fn has_word(tokens: &proc_macro2::TokenStream, word: &str) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        proc_macro2::TokenTree::Ident(found) => found == word,
        proc_macro2::TokenTree::Group(group) => has_word(&group.stream(), word),
        _ => false,
    })
}
