//! Parts of items, as text.

use syn::{Attribute, Fields, ImplItem, Meta};

use crate::text;

/// A signature without what its callers do not see.
pub(crate) fn signature(signature: &syn::Signature) -> String {
    let mut signature = signature.clone();
    for input in &mut signature.inputs {
        match input {
            syn::FnArg::Receiver(receiver) if !matches!(receiver.kind, syn::ReceiverKind::Reference(..)) => {
                receiver.mutability = None;
            }
            syn::FnArg::Typed(typed) => {
                if let syn::Pat::Ident(name) = &mut *typed.pat {
                    name.mutability = None;
                }
            }
            syn::FnArg::Receiver(_) => {}
        }
    }
    text::line(&signature)
}

pub(crate) fn generics(generics: &syn::Generics) -> String {
    let (parameters, clause) = parameters(generics);
    format!("{parameters}{clause}")
}

/// The parameters, and the where clause.
pub(crate) fn parameters(generics: &syn::Generics) -> (String, String) {
    let parameters = if generics.params.is_empty() {
        String::new()
    } else {
        format!("<{}>", text::line(&generics.params).trim_end_matches(','))
    };
    let clause = generics.where_clause.as_ref();
    (
        parameters,
        clause.map_or(String::new(), |clause| format!(" {}", text::line(clause).trim_end_matches(','))),
    )
}

pub(crate) fn fields(fields: &Fields) -> String {
    let each: Vec<_> = fields
        .iter()
        .map(|field| match &field.ident {
            Some(name) => format!("{name}: {}", text::line(&field.ty)),
            None => text::line(&field.ty),
        })
        .collect();
    match fields {
        Fields::Named(_) => format!(" {{ {} }}", each.join(", ")),
        Fields::Unnamed(_) => format!("({})", each.join(", ")),
        Fields::Unit => String::new(),
    }
}

pub(crate) fn associated(item: &ImplItem) -> Option<String> {
    match item {
        ImplItem::Type(item) => {
            Some(format!("type {}{} = {}", item.ident, generics(&item.generics), text::line(&item.ty)))
        }
        _ => None,
    }
}

pub(crate) fn has(attributes: &[Attribute], name: &str) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident(name))
}

/// What is derived, and under which condition.
pub(crate) fn derives(attributes: &[Attribute]) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for attribute in attributes {
        let Meta::List(list) = &attribute.meta else { continue };
        let inner = text::line(&list.tokens);
        if list.path.is_ident("derive") {
            found.extend(names(&inner).map(|name| (name, None)));
        } else if list.path.is_ident("cfg_attr")
            && let Some((condition, derived)) = inner.split_once(", derive(")
        {
            let derived = derived.trim_end_matches(')').to_owned();
            found.extend(names(&derived).map(|name| (name, Some(condition.to_owned()))));
        }
    }
    found
}

fn names(list: &str) -> impl Iterator<Item = String> {
    let names: Vec<_> = list
        .split(',')
        .map(|path| path.trim().rsplit("::").next().unwrap_or_default().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    names.into_iter()
}
