//! The Python test of the documentation, run as it stands.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

/// Stands in for pytest where that is not installed: as much of it as the documented test uses.
const PYTEST: &str = r#"
import re, sys, types
class raises:
    def __init__(self, kind, match): self.kind, self.match = kind, match
    def __enter__(self): return self
    def __exit__(self, kind, error, _): return kind is not None and issubclass(kind, self.kind) and bool(re.search(self.match, str(error)))
pytest = types.ModuleType("pytest")
pytest.raises, pytest.fixture = raises, lambda **_: lambda function: function
sys.modules["pytest"] = pytest
import test_oauth
fixture = test_oauth.mock()
value = next(fixture)
tests = [name for name in dir(test_oauth) if name.startswith("test_")]
for name in tests: getattr(test_oauth, name)(value)
next(fixture, None)
print(len(tests), "passed")
"#;

#[tokio::test]
async fn the_documented_python_test_passes() {
    let readme = include_str!("../../README.md");
    let test = readme.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = std::env::temp_dir().join(format!("oauth-mock-python-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("test_oauth.py"), test).unwrap();

    let with_pytest =
        python(&folder, &["-c", "import pytest"]).await.is_some_and(|output| output.status.success());
    let arguments: &[&str] =
        if with_pytest { &["-m", "pytest", "-q", "-p", "no:cacheprovider"] } else { &["-c", PYTEST] };
    let output = python(&folder, arguments).await;
    let _ = std::fs::remove_dir_all(&folder);
    let Some(output) = output else {
        assert!(std::env::var_os("CI").is_none(), "this test needs python3");
        // Straight to the terminal: the harness keeps what a test prints that succeeds.
        let _ = writeln!(std::io::stderr(), "skipped: install python3 to run the documented Python test");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{errors}");
}

/// Runs Python where `oauth-mock` is on the path; `None` if there is no Python.
async fn python(folder: &Path, arguments: &[&str]) -> Option<Output> {
    let program = Path::new(env!("CARGO_BIN_EXE_oauth-mock")).parent().unwrap();
    let before = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths([program.to_owned()].into_iter().chain(std::env::split_paths(&before))).unwrap();
    let mut command = Command::new("python3");
    command.args(arguments).current_dir(folder).env("PATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdin(Stdio::null()).kill_on_drop(true).output().await.ok()
}
