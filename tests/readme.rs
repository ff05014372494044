//! The README shows what the packages' own READMEs show, whose samples are compiled with their docs; and it names the
//! packages as they are published.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn rust_samples(text: &str) -> Vec<&str> {
    text.split("```rust,no_run\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn each_rust_sample_is_compiled_by_a_package() {
    let samples: Vec<_> = ["oauth-guard/README.md", "oauth-client/README.md"].map(read).into();
    let compiled: Vec<_> = samples.iter().flat_map(|text| rust_samples(text)).collect();
    let root = read("README.md");
    assert_eq!(rust_samples(&root), compiled);
}

#[test]
fn each_dependency_line_names_our_package_and_version() {
    for (readme, library) in [
        ("README.md", "oauth-client"),
        ("README.md", "oauth-guard"),
        ("oauth-client/README.md", "oauth-client"),
        ("oauth-guard/README.md", "oauth-guard"),
        ("tests/mock/README.md", "oauth-mock"),
    ] {
        let text = read(readme);
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with(&format!("{library} = "))).collect();
        assert!(!lines.is_empty(), "{readme} shows how to depend on {library}");
        for line in lines {
            assert!(line.contains(&format!("package = \"tower-{library}\"")), "{readme}: {line}");
            assert!(line.contains("version = \"0.1\"") || line.contains("path = "), "{readme}: {line}");
        }
    }
    assert!(env!("CARGO_PKG_VERSION").starts_with("0.1."), "the READMEs show version 0.1");
}

#[test]
fn each_program_to_move_from_is_compiled_as_the_page_shows_it() {
    let pages = ["oauth-client/MIGRATING.md", "oauth-guard/MIGRATING.md"].map(read).concat();
    let shown: Vec<_> =
        pages.split("```rust,ignore\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let library = read("tests/migration/src/lib.rs");
    let modules = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let mut compiled: Vec<_> = modules
        .map(|name| read(&format!("tests/migration/src/{name}.rs")).trim_end().to_owned() + "\n")
        .collect();
    assert_eq!(compiled.len(), shown.len());
    compiled.retain(|program| !shown.contains(&&**program));
    assert!(compiled.is_empty(), "no page shows {compiled:#?}");
}
