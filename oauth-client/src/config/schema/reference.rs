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

/// How the keys are written in the environment, as the last section about them: with an example of variables, and the
/// type that reads them.
#[must_use]
pub fn environment(prefix: &str, example: &str, reader: &str) -> String {
    format!(
        "
## From the environment

`{reader}::from_env(\"{prefix}\")` reads the same keys from variables. The prefix is the program's choice:

```sh
{example}
```

| in a file | in the environment |
|---|---|
| a key | in capitals behind the prefix |
| a key of a table | the names joined by `_` |
| a table with nothing in it | the table's own variable, empty; or with the table as JSON |
| a list of tables | numbered from 0, without gaps: `_0_`, `_1_` |
| a list of strings | separated by blanks; as a list in JSON where an item has a blank or a comma |
| a table of names with strings | `a=1&b=2`, or as JSON |
| what has a form of its own, such as requirements | as JSON, `{{\"scope\":\"read\"}}` |
| a secret | as it is; with `_FILE` behind the name, the path of its file |
| a header, `x-api-key` | one variable for each: `{prefix}HEADERS_X_API_KEY`, or `{prefix}HEADERS_X_API_KEY_FILE` |

Any other variable with the prefix is an error, so a program chooses a prefix that is used for nothing else. Names of
variables have neither small letters nor hyphens: a header whose name has an underscore, or ends in `-file`, can only stand
in a file. All problems are reported together, by variable.

A file and the environment are laid over each other by a library for that, since `{reader}` implements `Deserialize`. With
[`figment`](https://docs.rs/figment), the environment wins for each key that it has; its variables then have `__` between
the names of tables and keys (`{prefix}STORE__KIND`), and its own syntax for lists:

```text
let config: {reader} = Figment::new()
    .merge(Toml::file(\"service.toml\"))
    .merge(Env::prefixed(\"{prefix}\").split(\"__\"))
    .extract()?;
```

## Paths

A relative path is resolved from the working directory of the process, not from the place of the file that it stands in. If
a file cannot be read, the message has its absolute path and the system's reason.
"
    )
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
