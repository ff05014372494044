//! What implementations and macros add to types and traits that users see.

use syn::{ImplItem, Item, Visibility};

use crate::list::Lister;
use crate::resolve::Target;
use crate::write::{associated, has, parameters, signature};
use crate::{source, text};

/// What a path in an `impl` means to users.
enum Meaning {
    Public(String),
    Private,
    Foreign,
}

impl Lister<'_> {
    /// What implementations add to types and traits that users see.
    pub(crate) fn impls(&mut self, path: &str, module: &source::Module) {
        for item in &module.items {
            let Item::Impl(item) = item else { continue };
            let mut cfg = module.cfg.clone();
            cfg.extend(source::conditions(&item.attrs));
            if source::is_hidden(&item.attrs) {
                continue;
            }
            let Some(owner) = self.owner(path, item) else { continue };
            let (generics, clause) = parameters(&item.generics);
            let this = text::line(&item.self_ty);
            if let Some((of, _)) = &item.trait_ {
                let types: Vec<_> = item.items.iter().filter_map(associated).collect();
                let types =
                    if types.is_empty() { String::new() } else { format!(" {{ {} }}", types.join("; ")) };
                let head = format!("impl{generics} {} for {this}{clause}{types}", text::line(of));
                self.put(&owner, &head, &cfg);
                continue;
            }
            for inner in &item.items {
                let (text, vis, attributes) = match inner {
                    ImplItem::Fn(item) => (signature(&item.sig), &item.vis, &item.attrs),
                    ImplItem::Const(item) => {
                        (format!("const {}: {}", item.ident, text::line(&item.ty)), &item.vis, &item.attrs)
                    }
                    ImplItem::Macro(made) => {
                        let input = text::line(&without_docs(&made.mac.tokens));
                        let text = format!(
                            "impl{generics} {this}{clause}: {}! {{ {input} }}",
                            text::line(&made.mac.path)
                        );
                        self.put(&owner, &text, &cfg);
                        continue;
                    }
                    _ => continue,
                };
                if matches!(vis, Visibility::Public(_))
                    && !source::is_hidden(attributes)
                    && !source::is_absent(attributes)
                {
                    let cfg: Vec<_> = cfg.iter().cloned().chain(source::conditions(attributes)).collect();
                    self.put(&owner, &format!("impl{generics} {this}{clause}: pub {text}"), &cfg);
                }
            }
        }
    }

    /// Whose item an implementation is, if users can see it: the type's, else the trait's, else that of a type in the trait's
    /// parameters.
    fn owner(&self, module: &str, item: &syn::ItemImpl) -> Option<String> {
        let mut paths = Vec::new();
        type_paths(&item.self_ty, &mut paths);
        let this = paths.first().map_or(Meaning::Foreign, |path| self.meaning(module, path));
        let Some((of, _)) = &item.trait_ else {
            return if let Meaning::Public(path) = this { Some(path) } else { None };
        };
        let mut arguments = Vec::new();
        arguments_of(of, &mut arguments);
        let of = self.meaning(module, of);
        let around: Vec<_> =
            paths.iter().skip(1).chain(&arguments).map(|path| self.meaning(module, path)).collect();
        let is_private = |meaning: &Meaning| matches!(meaning, Meaning::Private);
        if is_private(&this) || is_private(&of) || around.iter().any(is_private) {
            return None;
        }
        [this, of].into_iter().chain(around).find_map(|meaning| match meaning {
            Meaning::Public(path) => Some(path),
            _ => None,
        })
    }

    fn meaning(&self, module: &str, path: &syn::Path) -> Meaning {
        let start = path.leading_colon.map(|_| String::new());
        let parts: Vec<_> =
            start.into_iter().chain(path.segments.iter().map(|part| part.ident.to_string())).collect();
        match self.krate.resolve(module, &parts) {
            Some(Target::Item(definition)) => match self.canonical(&definition) {
                Some(path) => Meaning::Public(path.to_owned()),
                None => Meaning::Private,
            },
            _ => Meaning::Foreign,
        }
    }

    /// What macros of this crate make is not known here, so the text that goes in stands for it, and the macro's own.
    pub(crate) fn macros(&mut self, path: &str, module: &source::Module) {
        for item in &module.items {
            let Item::Macro(item) = item else { continue };
            match &item.ident {
                Some(name) if has(&item.attrs, "macro_export") && !source::is_hidden(&item.attrs) => {
                    let path = format!("{}::{name}!", self.krate.name);
                    self.put(&path, &text::line(&item.mac.tokens), &module.cfg);
                }
                Some(_) => {}
                None => {
                    let name = item.mac.path.segments.last().unwrap().ident.to_string();
                    let Some((at, rules)) = self.rules(&name) else { continue };
                    if text::line(rules).split(' ').any(|word| word == "pub") {
                        let (rules, input) =
                            (text::line(&without_docs(rules)), text::line(&without_docs(&item.mac.tokens)));
                        self.put(path, &format!("{name}! {{ {input} }}"), &module.cfg);
                        self.put(&at, &format!("macro_rules! {name} {{ {rules} }}"), &[]);
                    }
                }
            }
        }
    }

    fn rules(&self, name: &str) -> Option<(String, &proc_macro2::TokenStream)> {
        self.krate.modules.iter().find_map(|(path, module)| {
            let rules = module.items.iter().find_map(|item| match item {
                Item::Macro(item) if item.ident.as_ref().is_some_and(|ident| ident == name) => {
                    Some(&item.mac.tokens)
                }
                _ => None,
            });
            Some((path.clone(), rules?))
        })
    }
}

/// Documentation says nothing about the interface.
fn without_docs(tokens: &proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    use proc_macro2::{Group, TokenTree};
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in tokens.clone() {
        if let TokenTree::Group(group) = &token {
            let is_doc = group.stream().into_iter().next().is_some_and(|first| first.to_string() == "doc");
            if is_doc && matches!(kept.last(), Some(TokenTree::Punct(sign)) if sign.as_char() == '#') {
                kept.pop();
                continue;
            }
            kept.push(Group::new(group.delimiter(), without_docs(&group.stream())).into());
        } else {
            kept.push(token);
        }
    }
    kept.into_iter().collect()
}

/// The paths of a type, the outermost first.
fn type_paths(of: &syn::Type, found: &mut Vec<syn::Path>) {
    match of {
        syn::Type::Path(path) => {
            found.push(path.path.clone());
            arguments_of(&path.path, found);
        }
        syn::Type::Reference(inner) => type_paths(&inner.elem, found),
        syn::Type::Paren(inner) => type_paths(&inner.elem, found),
        syn::Type::Slice(inner) => type_paths(&inner.elem, found),
        syn::Type::Array(inner) => type_paths(&inner.elem, found),
        syn::Type::Tuple(tuple) => tuple.elems.iter().for_each(|inner| type_paths(inner, found)),
        _ => {}
    }
}

fn arguments_of(path: &syn::Path, found: &mut Vec<syn::Path>) {
    for part in &path.segments {
        if let syn::PathArguments::AngleBracketed(arguments) = &part.arguments {
            for argument in &arguments.args {
                if let syn::GenericArgument::Type(inner) = argument {
                    type_paths(inner, found);
                }
            }
        }
    }
}
