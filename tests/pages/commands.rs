//! What a `cargo` command of a page names has to exist: packages, targets, features, tests, files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

/// The packages of the workspace, by name.
pub(crate) struct Workspace {
    pub(crate) packages: BTreeMap<String, Package>,
    pub(crate) root: String,
}

#[derive(Default)]
pub(crate) struct Package {
    /// Names by kind: `example`, `bench`, `bin`, `test`, `lib`.
    pub(crate) targets: BTreeMap<String, BTreeSet<String>>,
    pub(crate) features: BTreeSet<String>,
    /// The text of its Rust files, for the names of tests.
    pub(crate) sources: Vec<String>,
}

impl Workspace {
    /// As `cargo metadata` describes it.
    pub(crate) fn read(folder: &Path) -> Self {
        let output = std::process::Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap().iter().map(|package| {
            let mut found = Package {
                features: package["features"].as_object().unwrap().keys().cloned().collect(),
                ..Package::default()
            };
            for target in package["targets"].as_array().unwrap() {
                let name = target["name"].as_str().unwrap().to_owned();
                for kind in target["kind"].as_array().unwrap() {
                    found.targets.entry(kind.as_str().unwrap().to_owned()).or_default().insert(name.clone());
                }
            }
            let home = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
            for part in ["src", "tests"] {
                let there = home.join(part);
                if there.is_dir() {
                    let files = super::markdown::files(&there, ".rs").into_iter();
                    found.sources.extend(files.map(|file| std::fs::read_to_string(file).unwrap()));
                }
            }
            (package["name"].as_str().unwrap().to_owned(), found)
        });
        Self { packages: packages.collect(), root: "oauth-workspace".to_owned() }
    }
}

/// A `cargo` command in parts.
#[derive(Debug, Default)]
pub(crate) struct Command {
    pub(crate) verb: String,
    pub(crate) packages: Vec<String>,
    /// Kind and name of targets.
    pub(crate) targets: Vec<(String, String)>,
    pub(crate) features: Vec<String>,
    pub(crate) is_workspace: bool,
    /// What tests are chosen by.
    pub(crate) filters: Vec<String>,
    manifest: Option<String>,
}

const WITHOUT_VALUE: [&str; 21] = [
    "--all",
    "--all-features",
    "--all-targets",
    "--allow-dirty",
    "--benches",
    "--bins",
    "--check",
    "--doc",
    "--examples",
    "--lib",
    "--locked",
    "--no-default-features",
    "--no-deps",
    "--no-run",
    "--offline",
    "--open",
    "--quiet",
    "-q",
    "--release",
    "--tests",
    "--workspace",
];
/// What is installed beside cargo, and what is about packages that are not of this workspace.
const TOOLS: [&str; 6] = ["audit", "deny", "fuzz", "install", "tree", "update"];
const VERBS: [&str; 11] =
    ["add", "bench", "build", "check", "clippy", "doc", "fmt", "metadata", "package", "run", "test"];

/// The command, if it is one of cargo's.
pub(crate) fn parse(text: &str) -> Option<Result<Command, String>> {
    let mut words = text.split_whitespace().skip_while(|word| word.contains('=') && !word.starts_with('-'));
    if words.next() != Some("cargo") {
        return None;
    }
    let mut words = words.skip_while(|word| word.starts_with('+')).peekable();
    let mut command = Command { verb: words.next()?.to_owned(), ..Command::default() };
    if TOOLS.contains(&command.verb.as_str()) {
        return Some(Ok(command));
    }
    if !VERBS.contains(&command.verb.as_str()) {
        return Some(Err(format!("`cargo {}` is no command that is known here", command.verb)));
    }
    while let Some(word) = words.next() {
        let (option, mut value) = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(value.to_owned())),
            _ => (word, None),
        };
        if option == "--" {
            break;
        }
        command.is_workspace |= matches!(option, "--workspace" | "--all");
        if WITHOUT_VALUE.contains(&option) {
            continue;
        }
        if !option.starts_with('-') {
            // "cargo test …" leaves a part out.
            if option != "…" {
                command.filters.push(option.to_owned());
            }
            continue;
        }
        value = value.or_else(|| words.next().map(str::to_owned));
        let Some(value) = value else { return Some(Err(format!("{option} has no value"))) };
        match option {
            "-p" | "--package" => command.packages.push(value),
            "--example" | "--bench" | "--bin" | "--test" => {
                command.targets.push((option.trim_start_matches('-').to_owned(), value));
            }
            "-F" | "--features" => command.features.extend(value.split(',').map(str::to_owned)),
            "--manifest-path" => command.manifest = Some(value),
            "--exclude" | "--target" | "--target-dir" | "--jobs" | "-j" => {}
            _ => return Some(Err(format!("{option} is no option that is known here"))),
        }
    }
    Some(Ok(command))
}

impl Command {
    /// What it names that does not exist.
    pub(crate) fn missing(&self, workspace: &Workspace, folder: &Path) -> Option<String> {
        if let Some(manifest) = &self.manifest {
            return (!folder.join(manifest).is_file()).then(|| format!("there is no {manifest}"));
        }
        if TOOLS.contains(&self.verb.as_str()) {
            return None;
        }
        let mut chosen: Vec<&Package> = Vec::new();
        for name in &self.packages {
            match workspace.packages.get(name) {
                Some(package) => chosen.push(package),
                None => return Some(format!("there is no package {name}")),
            }
        }
        if self.is_workspace {
            chosen.extend(workspace.packages.values());
        } else if chosen.is_empty() {
            chosen.push(&workspace.packages[&workspace.root]);
        }
        let has = |kind: &str, name: &str| {
            chosen.iter().any(|package| package.targets.get(kind).is_some_and(|names| names.contains(name)))
        };
        for (kind, name) in &self.targets {
            if !has(kind, name) {
                let elsewhere = workspace
                    .packages
                    .iter()
                    .find(|(_, package)| package.targets.get(kind).is_some_and(|names| names.contains(name)));
                let hint = elsewhere.map_or(String::new(), |(package, _)| {
                    format!("; {package} has one, so say -p {package}")
                });
                return Some(format!("there is no {kind} {name} in the chosen packages{hint}"));
            }
        }
        for feature in &self.features {
            if !chosen.iter().any(|package| package.features.contains(feature)) {
                return Some(format!("there is no feature {feature} in the chosen packages"));
            }
        }
        if self.verb == "run" && self.targets.is_empty() {
            let programs = chosen.iter().filter_map(|package| package.targets.get("bin")).flatten().count();
            if programs != 1 {
                return Some(format!("{programs} programs to run: say which one"));
            }
        }
        if matches!(self.verb.as_str(), "test" | "bench") {
            return self.filters.iter().find_map(|filter| {
                let part = filter.rsplit("::").next().unwrap_or(filter);
                let is_there = chosen.iter().flat_map(|package| &package.sources).any(|source| {
                    source.lines().any(|line| {
                        let line = line.trim_start().trim_start_matches("pub ");
                        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("async ");
                        let name = line.strip_prefix("fn ").or_else(|| line.strip_prefix("mod "));
                        name.and_then(|rest| rest.split(['(', '<', ';', ' ']).next())
                            .is_some_and(|name| name.contains(part))
                    })
                });
                (!is_there).then(|| format!("no test has {filter} in its name"))
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Workspace {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let root = Package {
            targets: [
                ("example".to_owned(), names(&["quickstart"])),
                ("test".to_owned(), names(&["readme"])),
            ]
            .into(),
            ..Package::default()
        };
        let guard = Package {
            targets: [("bench".to_owned(), names(&["speed"])), ("bin".to_owned(), names(&["serve"]))].into(),
            features: names(&["axum"]),
            sources: vec!["mod tests {\n    async fn a_table_is_printed() {}\n}".to_owned()],
        };
        Workspace {
            packages: [("oauth-workspace".to_owned(), root), ("guard".to_owned(), guard)].into(),
            root: "oauth-workspace".to_owned(),
        }
    }

    fn missing(text: &str) -> Option<String> {
        match parse(text).unwrap() {
            Ok(command) => command.missing(&workspace(), Path::new(env!("CARGO_MANIFEST_DIR"))),
            Err(wrong) => Some(wrong),
        }
    }

    #[test]
    fn what_exists_is_accepted() {
        for text in [
            "cargo run --example quickstart -- --anything 3",
            "cargo test --workspace",
            "A=1 cargo test -p guard --features axum the_table -- --nocapture",
            "cargo test -p guard a_table",
            "cargo bench -p guard --bench speed -- known",
            "cargo bench --workspace --bench=speed",
            "cargo run -p guard -- serve",
            "cargo check --manifest-path Cargo.toml",
            "cargo deny check",
        ] {
            let expected = text.contains("the_table").then(|| "no test has the_table in its name".to_owned());
            assert_eq!(missing(text), expected, "{text}");
        }
        assert!(parse("curl http://127.0.0.1").is_none());
    }

    #[test]
    fn what_does_not_exist_is_named() {
        for (text, named) in [
            ("cargo run --example quickstrat", "quickstrat"),
            ("cargo bench --bench speed", "-p guard"),
            ("cargo test -p gard", "gard"),
            ("cargo test -p guard --features axmu", "axmu"),
            ("cargo test --test readm", "readm"),
            ("cargo run", "0 programs"),
            ("cargo tset", "tset"),
            ("cargo test --workspce", "--workspce"),
            ("cargo check --manifest-path nowhere/Cargo.toml", "nowhere/Cargo.toml"),
        ] {
            let found = missing(text).unwrap_or_default();
            assert!(found.contains(named), "{text}: {found}");
        }
    }
}
