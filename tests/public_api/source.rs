//! A crate as the files say it is: its modules with their items. Nothing is built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::{Attribute, Item, Meta, Visibility};

use crate::resolve::{self, Import};
use crate::text;

/// A crate's modules by their path, such as `oauth_guard::config`.
pub(crate) struct Krate {
    pub(crate) name: String,
    pub(crate) modules: BTreeMap<String, Module>,
}

pub(crate) struct Module {
    pub(crate) items: Vec<Item>,
    /// Where the first item of a name is.
    pub(crate) names: BTreeMap<String, usize>,
    /// The names that its `use` items bring in.
    pub(crate) imports: Vec<Import>,
    /// The conditions under which it is there, of its parents too.
    pub(crate) cfg: Vec<String>,
}

/// Reads a crate from its root file. `read` has the text of a file, if it is there.
pub(crate) fn load(name: &str, root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Krate {
    let mut krate = Krate { name: name.to_owned(), modules: BTreeMap::new() };
    let text = read(root).unwrap_or_else(|| panic!("{} is not there", root.display()));
    let folder = root.parent().unwrap().to_owned();
    let mut loader = Loader { krate: &mut krate, read };
    loader.module(name.to_owned(), parse(root, &text), &folder, Vec::new());
    krate
}

struct Loader<'a> {
    krate: &'a mut Krate,
    read: &'a dyn Fn(&Path) -> Option<String>,
}

impl Loader<'_> {
    /// Keeps the items of a module, and reads the modules in it; their files are in `folder`.
    fn module(&mut self, path: String, items: Vec<Item>, folder: &Path, cfg: Vec<String>) {
        let mut kept = Vec::new();
        for item in items.into_iter().flat_map(expanded) {
            let attributes = attributes(&item);
            if is_absent(attributes) {
                continue;
            }
            if let Item::Mod(module) = &item {
                let cfg = cfg.iter().cloned().chain(conditions(&module.attrs)).collect();
                let child = format!("{path}::{}", module.ident);
                match &module.content {
                    Some((_, items)) => {
                        let folder = folder.join(module.ident.to_string());
                        self.module(child, items.clone(), &folder, cfg);
                    }
                    None => self.file(child, module, folder, cfg),
                }
            }
            kept.push(item);
        }
        let uses = kept.iter().filter_map(|item| if let Item::Use(item) = item { Some(item) } else { None });
        let imports = uses.flat_map(resolve::imports).collect();
        let mut names = BTreeMap::new();
        for (at, item) in kept.iter().enumerate() {
            if let Some(name) = name(item) {
                names.entry(name).or_insert(at);
            }
        }
        self.krate.modules.insert(path, Module { items: kept, names, imports, cfg });
    }

    fn file(&mut self, path: String, module: &syn::ItemMod, folder: &Path, cfg: Vec<String>) {
        let name = module.ident.to_string();
        let elsewhere = module.attrs.iter().find_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("path") => {
                Some(text::line(&pair.value).trim_matches('"').to_owned())
            }
            _ => None,
        });
        let candidates: Vec<PathBuf> = match elsewhere {
            Some(file) => vec![folder.join(file)],
            None => vec![folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")],
        };
        let found = candidates.iter().find_map(|file| Some((file, (self.read)(file)?)));
        let (file, text) = found.unwrap_or_else(|| panic!("no file for the module {path}: {candidates:?}"));
        self.module(path, parse(file, &text), &folder.join(&name), cfg);
    }
}

fn parse(file: &Path, text: &str) -> Vec<Item> {
    syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", file.display())).items
}

/// A macro whose input is items, such as `pin_project!`, stands for them. Others stay as they are.
fn expanded(item: Item) -> Vec<Item> {
    if let Item::Macro(invocation) = &item
        && invocation.ident.is_none()
        && let Ok(file) = syn::parse2::<syn::File>(invocation.mac.tokens.clone())
        && !file.items.is_empty()
        && !file.items.iter().any(|item| matches!(item, Item::Verbatim(_) | Item::Macro(_)))
    {
        return file.items;
    }
    vec![item]
}

/// The visibility of an item, if it has one.
pub(crate) fn visibility(item: &Item) -> Option<&Visibility> {
    Some(match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::ExternCrate(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Mod(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::TraitAlias(item) => &item.vis,
        Item::Type(item) => &item.vis,
        Item::Union(item) => &item.vis,
        Item::Use(item) => &item.vis,
        _ => return None,
    })
}

pub(crate) fn is_public(item: &Item) -> bool {
    matches!(visibility(item), Some(Visibility::Public(_)))
}

/// The name that an item defines in its module.
pub(crate) fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Mod(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The conditions of `#[cfg(…)]`, as they are written.
pub(crate) fn conditions(attributes: &[Attribute]) -> Vec<String> {
    let lists = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => Some(text::line(&list.tokens)),
        _ => None,
    });
    lists.collect()
}

/// Whether it exists only in tests.
pub(crate) fn is_absent(attributes: &[Attribute]) -> bool {
    conditions(attributes).iter().any(|condition| {
        let condition = condition.replace(' ', "");
        condition == "test"
            || condition == "doctest"
            || condition.starts_with("all(doctest,")
            || condition.starts_with("all(test,")
    })
}

pub(crate) fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("doc") && text::line(&list.tokens) == "hidden",
        _ => false,
    })
}
