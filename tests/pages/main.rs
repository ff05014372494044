//! What the pages say holds: commands name what exists and run in CI, links lead somewhere, counts agree.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod ci;
mod commands;
mod counts;
mod links;
mod markdown;
mod names;

use std::path::Path;

use self::commands::Workspace;
use self::markdown::Piece;

/// A page of this repository: its path from the root, and its text.
struct Page {
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages(ending: &str) -> Vec<Page> {
    let files = markdown::files(root(), ending).into_iter();
    let page = |file: std::path::PathBuf| Page {
        path: file.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/"),
        text: std::fs::read_to_string(&file).unwrap(),
    };
    files.map(page).collect()
}

#[test]
fn every_command_names_what_exists() {
    let workspace = Workspace::read(root());
    let mut wrong = Vec::new();
    let mut checked = 0;
    let mut check = |page: &Page, pieces: Vec<Piece>| {
        for piece in pieces {
            // "cargo test …" and a name that stands for others are no commands to copy.
            let Some(command) = commands::parse(&piece.text) else { continue };
            checked += 1;
            let missing = command.map_or_else(Some, |command| command.missing(&workspace, root()));
            if let Some(missing) = missing {
                wrong.push(format!("{}:{}: `{}`: {missing}", page.path, piece.line, piece.text));
            }
        }
    };
    for page in pages(".md") {
        check(&page, markdown::commands(&page.text));
        check(&page, markdown::code(&page.text));
    }
    for mut file in pages(".rs") {
        file.text = markdown::docs(&file.text);
        check(&file, markdown::code(&file.text));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(checked > 60, "only {checked} commands were found");
}
