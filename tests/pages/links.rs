//! Links lead somewhere: inside the repository, and where a page is read without it.

use std::path::Path;

use crate::{Page, markdown, pages, root};

/// Folders of packages, and what they contain is what is published.
const PACKAGES: [&str; 5] =
    ["oauth-client/redis", "oauth-guard/redis", "oauth-client", "oauth-guard", "tests/mock"];

/// The folder of the package that publishes a page.
fn package(page: &Page) -> Option<&'static str> {
    PACKAGES
        .into_iter()
        .find(|folder| page.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// An item, where a page is part of a crate's documentation: rustdoc checks those.
fn is_item(target: &str) -> bool {
    target.starts_with("crate::") || target.starts_with("Self::") || target.starts_with("self::")
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in pages(".md") {
        for link in markdown::links(&page.text) {
            if is_elsewhere(&link.text) || is_item(&link.text) {
                continue;
            }
            checked += 1;
            let (file, anchor) =
                link.text.split_once('#').map_or((&*link.text, None), |(file, anchor)| (file, Some(anchor)));
            let folder = root().join(&page.path);
            let target = match file {
                "" => folder,
                file => folder.parent().unwrap().join(file),
            };
            let mut problem = (!target.exists()).then(|| "no such file".to_owned());
            if let (None, Some(anchor)) = (&problem, anchor)
                && target.extension().is_some_and(|ending| ending == "md")
            {
                let anchors = markdown::anchors(&std::fs::read_to_string(&target).unwrap());
                problem =
                    (!anchors.iter().any(|found| found == anchor)).then(|| "no such heading".to_owned());
            }
            if let Some(problem) = problem {
                wrong.push(format!("{}:{}: {}: {problem}", page.path, link.line, link.text));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(checked > 60, "only {checked} links were found");
}

/// crates.io shows the README of a package alone; other pages of it are read in the package's folder.
#[test]
fn links_of_packaged_pages_work_without_the_repository() {
    let mut wrong = Vec::new();
    for page in pages(".md") {
        let Some(package) = package(&page) else { continue };
        let is_readme = page.path == format!("{package}/README.md");
        for link in markdown::links(&page.text) {
            let target = &link.text;
            if is_elsewhere(target) || is_item(target) || target.starts_with('#') {
                continue;
            }
            let file = target.split('#').next().unwrap();
            let folder = Path::new(&page.path).parent().unwrap();
            let leaves = folder.join(file).components().fold(0_i32, |depth, part| match part {
                std::path::Component::ParentDir => depth - 1,
                _ => depth + 1,
            }) <= i32::try_from(Path::new(package).components().count()).unwrap();
            if is_readme {
                wrong.push(format!(
                    "{}:{}: {target}: crates.io knows no files; name a URL",
                    page.path, link.line
                ));
            } else if leaves {
                wrong.push(format!("{}:{}: {target} is not in the package", page.path, link.line));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Links to the documentation name packages of this workspace by the names they are published under.
#[test]
fn links_to_docs_rs_name_packages_that_exist() {
    let packages = crate::commands::Workspace::read(root()).packages;
    let mut ours = 0;
    for page in pages(".md") {
        for link in markdown::links(&page.text) {
            let Some(rest) = link.text.strip_prefix("https://docs.rs/") else { continue };
            let name = rest.trim_start_matches("crate/").split(['/', '#']).next().unwrap();
            if name.contains("oauth-") {
                ours += 1;
                assert!(packages.contains_key(name), "{}:{}: {}", page.path, link.line, link.text);
            }
        }
    }
    assert!(ours > 4, "{ours}");
}
