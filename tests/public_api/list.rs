//! The public items of a crate, one line each: `path: text`, with the conditions under which it is there.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Fields, Item, TraitItem, Visibility};

use crate::resolve::{Definition, Target, imports};
use crate::source::{self, Krate};
use crate::text;
use crate::write::{derives, fields, generics, has, parameters, signature};

/// Where an item can be reached, and under which conditions.
type Places = BTreeMap<Definition, BTreeMap<String, Vec<String>>>;

/// Every public item, sorted.
pub(crate) fn list(krate: &Krate) -> BTreeSet<String> {
    let mut walk = Walk { krate, places: Places::new(), seen: BTreeSet::new(), lines: BTreeSet::new() };
    walk.module(&krate.name, &krate.name, &[]);
    let Walk { places, lines, .. } = walk;
    let mut lister = Lister { krate, places, lines };
    lister.items();
    for (path, module) in &krate.modules {
        lister.impls(path, module);
        lister.macros(path, module);
    }
    lister.lines
}

/// From the root through everything that is public.
struct Walk<'a> {
    krate: &'a Krate,
    places: Places,
    seen: BTreeSet<(String, String)>,
    lines: BTreeSet<String>,
}

impl Walk<'_> {
    /// The public items of `module`, which users see as `public`.
    fn module(&mut self, module: &str, public: &str, cfg: &[String]) {
        if !self.seen.insert((module.to_owned(), public.to_owned())) {
            return;
        }
        let Some(found) = self.krate.modules.get(module) else { return };
        let krate = self.krate;
        for item in found.items.iter().filter(|item| source::is_public(item)) {
            let attributes = source::attributes(item);
            if source::is_hidden(attributes) {
                continue;
            }
            let cfg: Vec<String> = cfg.iter().cloned().chain(source::conditions(attributes)).collect();
            if let Item::Use(item) = item {
                for import in imports(item) {
                    let target = krate.resolve(module, &import.path);
                    self.import(public, &import.name, &import.path, target, &cfg);
                }
            } else if let Some(name) = source::name(item) {
                let target = match item {
                    Item::Mod(_) => Target::Module(format!("{module}::{name}")),
                    _ => Target::Item(Definition { module: module.to_owned(), name: name.clone() }),
                };
                self.import(public, &name, &[], Some(target), &cfg);
            }
        }
    }

    fn import(&mut self, public: &str, name: &str, path: &[String], target: Option<Target>, cfg: &[String]) {
        let here = format!("{public}::{name}");
        match target {
            Some(Target::Module(module)) if name == "*" => self.module(&module, public, cfg),
            Some(Target::Module(module)) => {
                self.lines.insert(line(&here, "pub mod", cfg));
                self.module(&module, &here, cfg);
            }
            Some(Target::Item(definition)) => {
                self.places.entry(definition).or_default().insert(here, cfg.to_vec());
            }
            Some(Target::Foreign(path)) => {
                self.lines.insert(line(&here, &format!("pub use {path}"), cfg));
            }
            None => {
                self.lines.insert(line(&here, &format!("pub use {}", path.join("::")), cfg));
            }
        }
    }
}

pub(crate) fn line(path: &str, text: &str, cfg: &[String]) -> String {
    // Of a module and of an item in it, conditions are often the same.
    let cfg: BTreeSet<_> = cfg.iter().map(String::as_str).collect();
    let cfg: Vec<_> = cfg.into_iter().collect();
    let when = if cfg.is_empty() { String::new() } else { format!("  [{}]", cfg.join(", ")) };
    format!("{path}: {text}{when}")
}

/// From the items that are public, and where, to lines.
pub(crate) struct Lister<'a> {
    pub(crate) krate: &'a Krate,
    places: Places,
    lines: BTreeSet<String>,
}

impl Lister<'_> {
    /// The shortest of its public paths.
    pub(crate) fn canonical(&self, definition: &Definition) -> Option<&str> {
        let paths = self.places.get(definition)?.keys();
        paths.min_by_key(|path| (path.matches("::").count(), path.as_str())).map(String::as_str)
    }

    fn items(&mut self) {
        let krate = self.krate;
        for (definition, places) in self.places.clone() {
            let canonical = self.canonical(&definition).unwrap().to_owned();
            for (other, cfg) in places.iter().filter(|(path, _)| **path != canonical) {
                self.lines.insert(line(other, &format!("pub use {canonical}"), cfg));
            }
            let module = &krate.modules[&definition.module];
            let cfg = &places[&canonical];
            let same = module
                .items
                .iter()
                .filter(|item| source::name(item).is_some_and(|name| name == definition.name));
            let mut is_written = false;
            for item in same.filter(|item| !source::is_hidden(source::attributes(item))) {
                is_written = true;
                let mut cfg = cfg.clone();
                cfg.extend(source::conditions(source::attributes(item)));
                self.item(&canonical, item, &cfg);
            }
            if !is_written {
                self.lines.insert(line(
                    &canonical,
                    &format!("made by a macro in {}", definition.module),
                    cfg,
                ));
            }
        }
    }

    pub(crate) fn put(&mut self, path: &str, text: &str, cfg: &[String]) {
        self.lines.insert(line(path, text, cfg));
    }

    fn item(&mut self, path: &str, item: &Item, cfg: &[String]) {
        let attributes = source::attributes(item);
        let open = if has(attributes, "non_exhaustive") { "#[non_exhaustive] " } else { "" };
        for (derived, condition) in derives(attributes) {
            let cfg: Vec<_> = cfg.iter().cloned().chain(condition).collect();
            self.put(path, &format!("derive {derived}"), &cfg);
        }
        match item {
            Item::Const(item) => {
                self.put(path, &format!("pub const {}: {}", item.ident, text::line(&item.ty)), cfg);
            }
            Item::Static(item) => {
                self.put(path, &format!("pub static {}: {}", item.ident, text::line(&item.ty)), cfg);
            }
            Item::Fn(item) => self.put(path, &format!("pub {}", signature(&item.sig)), cfg),
            Item::Type(item) => {
                let generics = generics(&item.generics);
                self.put(path, &format!("pub type {}{generics} = {}", item.ident, text::line(&item.ty)), cfg);
            }
            Item::Struct(item) => {
                let all = item.fields.iter().all(|field| matches!(field.vis, Visibility::Public(_)));
                let more = match (&item.fields, all) {
                    (Fields::Unit, _) => "",
                    (_, true) => " { all public }",
                    (_, false) => " { .. }",
                };
                let head = format!("{open}pub struct {}{}{more}", item.ident, generics(&item.generics));
                self.put(path, &head, cfg);
                for (number, field) in item.fields.iter().enumerate() {
                    if matches!(field.vis, Visibility::Public(_)) && !source::is_hidden(&field.attrs) {
                        let name = field.ident.as_ref().map_or(number.to_string(), ToString::to_string);
                        let cfg: Vec<_> =
                            cfg.iter().cloned().chain(source::conditions(&field.attrs)).collect();
                        self.put(path, &format!("pub {name}: {}", text::line(&field.ty)), &cfg);
                    }
                }
            }
            Item::Enum(item) => {
                self.put(path, &format!("{open}pub enum {}{}", item.ident, generics(&item.generics)), cfg);
                for variant in item.variants.iter().filter(|variant| !source::is_hidden(&variant.attrs)) {
                    let open = if has(&variant.attrs, "non_exhaustive") { "#[non_exhaustive] " } else { "" };
                    let cfg: Vec<_> = cfg.iter().cloned().chain(source::conditions(&variant.attrs)).collect();
                    let value = variant.discriminant.as_ref();
                    let value = value.map_or(String::new(), |(_, value)| format!(" = {}", text::line(value)));
                    let text = format!("{open}variant {}{}{value}", variant.ident, fields(&variant.fields));
                    self.put(path, &text, &cfg);
                }
            }
            Item::Trait(item) => self.trait_items(path, item, cfg),
            other => self.put(path, &text::line(other), cfg),
        }
    }

    fn trait_items(&mut self, path: &str, item: &syn::ItemTrait, cfg: &[String]) {
        let supertraits = &item.supertraits;
        let above =
            if supertraits.is_empty() { String::new() } else { format!(": {}", text::line(supertraits)) };
        let (generics, clause) = parameters(&item.generics);
        self.put(path, &format!("pub trait {}{generics}{above}{clause}", item.ident), cfg);
        for inner in &item.items {
            let (text, is_provided, attributes) = match inner {
                TraitItem::Fn(item) => (signature(&item.sig), item.default.is_some(), &item.attrs),
                TraitItem::Const(item) => (
                    format!("const {}: {}", item.ident, text::line(&item.ty)),
                    item.default.is_some(),
                    &item.attrs,
                ),
                TraitItem::Type(item) => {
                    let bounds = &item.bounds;
                    let bounds =
                        if bounds.is_empty() { String::new() } else { format!(": {}", text::line(bounds)) };
                    let (generics, clause) = parameters(&item.generics);
                    (
                        format!("type {}{generics}{bounds}{clause}", item.ident),
                        item.default.is_some(),
                        &item.attrs,
                    )
                }
                _ => continue,
            };
            if source::is_hidden(attributes) {
                continue;
            }
            let kind = if is_provided { "provided" } else { "required" };
            let cfg: Vec<_> = cfg.iter().cloned().chain(source::conditions(attributes)).collect();
            self.put(path, &format!("{kind} {text}"), &cfg);
        }
    }
}
