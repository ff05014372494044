//! The keys of a configuration as a page of Markdown.

use super::{Key, Kind, join};

/// The keys as Markdown, for the docs: a whole file as an example, the keys of the top level, then each table in a
/// section of its own, headed as it stands in a file.
#[must_use]
pub fn reference(example: &str, keys: &[Key]) -> String {
    let mut out = format!(
        "## A whole file\n\n```toml\n{}\n```\n\n## At the top of the file\n\nThese stand above the first table.\n\n",
        example.trim_end()
    );
    section(keys, "", &mut out);
    out
}

/// Keys as a table of Markdown, without the keys of tables in it.
#[must_use]
pub fn table(keys: &[Key]) -> String {
    let mut out = String::from("| key, by example | takes | default | meaning |\n|---|---|---|---|\n");
    for key in keys {
        out.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            cell(&inline(key)),
            cell(&key.kind.expected()),
            cell(key.default),
            cell(key.help)
        ));
    }
    out
}

/// Keys of this table, then the tables in it.
fn section(keys: &[Key], path: &str, out: &mut String) {
    out.push_str(&table(keys));
    for key in keys {
        let name = join(path, key.name);
        let (heading, keys) = match key.kind {
            Kind::Table(keys) => (format!("[{name}]"), keys),
            Kind::Tables(keys) => (format!("[[{name}]]"), keys),
            _ => continue,
        };
        out.push_str(&format!("\n## `{heading}`\n\n{}\n\n", key.help));
        section(keys, &name, out);
    }
}

/// A key as it is written, in one line.
fn inline(key: &Key) -> String {
    match key.kind {
        Kind::Table(_) if key.example.starts_with('[') => format!("[{}]", key.name),
        Kind::Tables(_) if key.example.starts_with('[') => format!("[[{}]]", key.name),
        _ => key.example.replace('\n', " "),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
