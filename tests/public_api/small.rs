//! The list itself, on crates of a few lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::{difference, list, source};

/// The list of a crate with these files.
fn api(files: &[(&str, &str)]) -> BTreeSet<String> {
    let files: BTreeMap<_, _> = files.iter().copied().collect();
    let read = |path: &Path| files.get(path.to_str().unwrap()).map(|text| (*text).to_owned());
    list::list(&source::load("it", Path::new("lib.rs"), &read))
}

fn lines(text: &str) -> Vec<String> {
    api(&[("lib.rs", text)]).into_iter().collect()
}

/// What a change of the only file changes in the list.
fn change(before: &str, after: &str) -> String {
    difference("it", &api(&[("lib.rs", before)]), &api(&[("lib.rs", after)]))
}

#[test]
fn what_is_private_or_hidden_is_not_listed() {
    let listed = lines(
        "fn a() {} pub(crate) struct B; mod c { pub fn d() {} } #[doc(hidden)] pub mod e { pub fn f() {} }
         #[doc(hidden)] pub fn g() {} #[cfg(test)] pub fn h() {} pub struct I { j: u8 } impl I { fn k(&self) {} }
         impl Clone for B { } impl Private for I { } trait Private { }",
    );
    assert_eq!(listed, ["it::I: pub struct I { .. }"]);
}

#[test]
fn an_item_is_listed_where_users_find_it() {
    let listed = api(&[
        (
            "lib.rs",
            "mod deep; pub mod shown; pub use self::deep::One as First; pub use deep::{er::Two, Three};",
        ),
        ("deep.rs", "pub(crate) mod er; pub struct One; pub struct Three; pub struct Unreached;"),
        (
            "deep/er.rs",
            "use super::One; pub struct Two; impl From<One> for Two {} impl Two { pub fn new() -> Self {} }",
        ),
        ("shown/mod.rs", "pub use crate::deep::er::*; pub use elsewhere::Thing;"),
    ]);
    assert_eq!(
        listed.into_iter().collect::<Vec<_>>(),
        [
            "it::First: pub struct One",
            "it::Three: pub struct Three",
            "it::Two: impl From<One> for Two",
            "it::Two: impl Two: pub fn new() -> Self",
            "it::Two: pub struct Two",
            "it::shown: pub mod",
            "it::shown::Thing: pub use elsewhere::Thing",
            "it::shown::Two: pub use it::Two",
        ]
    );
}

#[test]
fn a_removed_or_renamed_item_is_a_difference_and_so_is_a_removed_re_export() {
    let removed = change("pub fn a() {} pub fn b() {}", "pub fn a() {}");
    assert_eq!(removed, "it\n- it::b: pub fn b()\n\n");
    let renamed = change("pub struct A;", "pub struct B;");
    assert_eq!(renamed, "it\n- it::A: pub struct A\n+ it::B: pub struct B\n\n");
    let unexported = change("mod a { pub fn b() {} } pub use self::a::b;", "mod a { pub fn b() {} }");
    assert_eq!(unexported, "it\n- it::b: pub fn b()\n\n");
    let named = change("mod a { pub fn b() {} } pub use a::b;", "mod a { pub fn b() {} } pub use a::b as c;");
    assert_eq!(named, "it\n- it::b: pub fn b()\n+ it::c: pub fn b()\n\n");
}

#[test]
fn a_changed_signature_bound_field_or_constant_is_a_difference() {
    for (before, after) in [
        ("pub fn a(b: u8) {}", "pub fn a(b: u16) {}"),
        ("pub fn a() {}", "pub async fn a() {}"),
        ("pub fn a() {}", "pub fn a() -> u8 {}"),
        ("pub fn a<T>(t: T) {}", "pub fn a<T: Clone>(t: T) {}"),
        ("pub fn a<T>(t: T) {}", "pub fn a<T>(t: T) where T: Clone {}"),
        ("pub struct A<T>(T);", "pub struct A<T = u8>(T);"),
        ("pub struct A { pub b: u8 }", "pub struct A { pub b: u16 }"),
        ("pub struct A { pub b: u8 }", "pub struct A { pub b: u8, c: u8 }"),
        ("pub struct A(pub u8);", "pub struct A(u8);"),
        ("pub struct A;", "#[non_exhaustive] pub struct A;"),
        ("pub const A: u8 = 1;", "pub const A: u16 = 1;"),
        ("pub type A = u8;", "pub type A = u16;"),
        ("pub struct A; impl A { pub fn b(&self) {} }", "pub struct A; impl A { pub fn b(&mut self) {} }"),
        (
            "pub struct A<T>(T); impl<T> A<T> { pub fn b() {} }",
            "pub struct A<T>(T); impl<T: Send> A<T> { pub fn b() {} }",
        ),
        ("pub trait A { fn b(); }", "pub trait A { fn b() {} }"),
        ("pub trait A { }", "pub trait A: Send { }"),
        ("pub trait A { fn b() {} }", "pub trait A { }"),
        ("pub fn a() {}", "#[cfg(feature = \"a\")] pub fn a() {}"),
    ] {
        assert_ne!(change(before, after), "", "{before} became {after}");
    }
}

#[test]
fn a_removed_variant_or_implementation_is_a_difference() {
    for (before, after) in [
        ("pub enum A { B, C(u8) }", "pub enum A { B }"),
        ("pub enum A { B(u8) }", "pub enum A { B(u16) }"),
        ("pub enum A { B }", "#[non_exhaustive] pub enum A { B }"),
        ("#[derive(Clone, Debug)] pub struct A;", "#[derive(Debug)] pub struct A;"),
        ("#[derive(serde::Serialize)] pub struct A;", "pub struct A;"),
        ("#[cfg_attr(feature = \"x\", derive(Clone))] pub struct A;", "pub struct A;"),
        ("pub struct A; impl Clone for A {}", "pub struct A;"),
        ("pub struct A; impl From<A> for String {}", "pub struct A;"),
        ("pub struct A; impl From<A> for Vec<u8> {}", "pub struct A; impl From<&A> for Vec<u8> {}"),
        ("pub trait A {} impl<F: Fn()> A for F {}", "pub trait A {}"),
        (
            "pub struct A; impl Iterator for A { type Item = u8; }",
            "pub struct A; impl Iterator for A { type Item = u16; }",
        ),
        ("pub struct A; impl Clone for A {}", "pub struct A; #[cfg(feature = \"x\")] impl Clone for A {}"),
    ] {
        assert_ne!(change(before, after), "", "{before} became {after}");
    }
}

#[test]
fn what_users_cannot_see_is_no_difference() {
    for (before, after) in [
        ("pub fn a(b: u8) {}", "pub fn a(mut b: u8) { b += 1; }"),
        ("/// Says so.\npub fn a() {}", "#[must_use] pub fn a() {}"),
        ("pub struct A { b: u8 }", "pub struct A { b: u16, c: u8 }"),
        ("mod a { pub fn b() {} } pub use a::b;", "mod c { pub fn b() {} } pub use c::b;"),
        ("pub struct A; fn b() {}", "struct B; impl Clone for B {} pub struct A; impl From<B> for A {}"),
    ] {
        assert_eq!(change(before, after), "", "{before} became {after}");
    }
}

#[test]
fn what_a_macro_makes_is_its_input() {
    let text = "macro_rules! named { ($name:ident) => { pub struct $name; } } named!(A);";
    let other = text.replace("named!(A)", "named!(A); named!(B)");
    assert_eq!(change(text, &other), "it\n+ it: named! { B }\n\n");
    let public = "macro_rules! named { ($name:ident) => { pub(crate) struct $name; } } named!(A);";
    assert_ne!(change(text, public), "");
    let pinned = "pin_project! { pub struct A { #[pin] b: u8 } }";
    assert_eq!(lines(pinned), ["it::A: pub struct A { .. }"]);
    let mut reached = lines("mod a { made! { B = 1 } } pub use a::B;");
    reached.retain(|line| line.starts_with("it::B"));
    assert_eq!(reached, ["it::B: made by a macro in it::a"]);
}
