//! Pages in Markdown, as far as these tests read them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A piece of a page with the line it is at.
pub(crate) struct Piece {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// Blocks of shell commands, one logical line each: comments are gone, continued lines are joined.
pub(crate) fn commands(page: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut language: Option<String> = None;
    let mut continued = String::new();
    for (number, line) in page.lines().enumerate() {
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            language = if language.is_some() { None } else { Some(fence.trim().to_owned()) };
            continue;
        }
        if !matches!(language.as_deref(), Some("sh" | "bash" | "console" | "shell" | "text")) {
            continue;
        }
        let line = line.trim().trim_start_matches("$ ");
        let line =
            if line.starts_with('#') { "" } else { line.split(" #").next().unwrap_or_default().trim_end() };
        if let Some(start) = line.strip_suffix('\\') {
            continued.push_str(start);
            continue;
        }
        continued.push_str(line);
        for command in continued.split("&&").map(str::trim).filter(|command| !command.is_empty()) {
            found.push(Piece { line: number + 1, text: command.to_owned() });
        }
        continued.clear();
    }
    found
}

/// Code in the running text: what stands between single backticks, also over the end of a line.
pub(crate) fn code(page: &str) -> Vec<Piece> {
    let text = without_blocks(page);
    let mut found = Vec::new();
    // Code does not cross an empty line.
    let mut before = 0;
    for paragraph in text.split("\n\n") {
        for (position, inner) in paragraph.split('`').enumerate().filter(|(position, _)| position % 2 == 1) {
            let start: usize =
                paragraph.split('`').take(position).map(|part| part.matches('\n').count()).sum();
            let text = inner.split_whitespace().collect::<Vec<_>>().join(" ");
            found.push(Piece { line: before + start + 1, text });
        }
        before += paragraph.matches('\n').count() + 2;
    }
    found
}

/// The targets of links, without what stands in code.
pub(crate) fn links(page: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    for (number, prose) in without_code(&without_blocks(page)).lines().enumerate() {
        for rest in prose.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                let target = target.split(" \"").next().unwrap_or_default();
                found.push(Piece { line: number + 1, text: target.to_owned() });
            }
        }
        // [name]: target
        if let Some((name, target)) = prose.split_once("]: ")
            && name.trim_start().starts_with('[')
            && !name.contains("](")
        {
            found.push(Piece { line: number + 1, text: target.trim().to_owned() });
        }
    }
    found
}

/// The anchors of a page's headings, as forges and crates.io make them.
pub(crate) fn anchors(page: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for line in without_blocks(page).lines() {
        let depth = line.len() - line.trim_start_matches('#').len();
        let Some(heading) = line.get(depth..).and_then(|rest| rest.strip_prefix(' ')).filter(|_| depth > 0)
        else {
            continue;
        };
        let anchor: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                letter => letter.is_alphanumeric().then_some(letter),
            })
            .collect();
        let times = seen.entry(anchor.clone()).or_default();
        found.push(if *times == 0 { anchor } else { format!("{anchor}-{times}") });
        *times += 1;
    }
    found
}

/// The page with empty lines in place of code blocks, so that lines keep their numbers.
fn without_blocks(page: &str) -> String {
    let mut is_code = false;
    let mut text = String::new();
    for line in page.lines() {
        let fence = line.trim_start().starts_with("```");
        if !is_code && !fence {
            text.push_str(line);
        }
        text.push('\n');
        is_code ^= fence;
    }
    text
}

/// The text with nothing in place of code between backticks, which does not cross an empty line. Lines keep their numbers.
fn without_code(text: &str) -> String {
    let paragraph =
        |paragraph: &str| {
            let parts = paragraph.split('`').enumerate();
            let kept = parts.map(|(at, part)| {
                if at % 2 == 0 { part.to_owned() } else { "\n".repeat(part.matches('\n').count()) }
            });
            kept.collect::<String>()
        };
    text.split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n\n")
}

/// The docs of a Rust file, as a page.
pub(crate) fn docs(source: &str) -> String {
    let line = |line: &str| {
        let line = line.trim_start();
        let docs = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"));
        docs.map_or(String::new(), |docs| docs.strip_prefix(' ').unwrap_or(docs).to_owned())
    };
    source.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// All files below a folder with this ending, without what is built or installed, and without links.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind, name) = (entry.path(), entry.file_type().unwrap(), entry.file_name());
        let name = name.to_string_lossy();
        if kind.is_dir() {
            let is_foreign = name.starts_with('.') || matches!(&*name, "target" | "node_modules");
            if !is_foreign {
                found.extend(files(&path, ending));
            }
        } else if kind.is_file() && name.ends_with(ending) {
            found.push(path);
        }
    }
    found
}

#[test]
fn commands_are_whole_lines_without_comments() {
    let page =
        "Run:\n```sh\n# first\n$ cargo test   # all\nA=1 cargo run -- \\\n  --x && ls\n```\n`cargo no` ```\n";
    let found: Vec<_> = commands(page).into_iter().map(|piece| (piece.line, piece.text)).collect();
    let expected = [(4, "cargo test"), (6, "A=1 cargo run -- --x"), (6, "ls")];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
}

#[test]
fn code_links_and_anchors_are_found_outside_of_blocks() {
    let page = "# A heading, with `code` (2)\n\nSee `cargo\nrun` and [it](a.md#b \"title\").\n```sh\n[no](x)\n# no\n```\n[ref]: b.md\n## Twice\n## Twice\n`[no](y)`\n";
    let texts =
        |pieces: Vec<Piece>| pieces.into_iter().map(|piece| (piece.line, piece.text)).collect::<Vec<_>>();
    assert!(texts(code(page)).contains(&(3, "cargo run".to_owned())));
    assert_eq!(texts(links(page)), [(4, "a.md#b".to_owned()), (9, "b.md".to_owned())]);
    assert_eq!(anchors(page), ["a-heading-with-code-2", "twice", "twice-1"]);
}
