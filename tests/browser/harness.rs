//! Runs a script of this directory in a browser and reads its result.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::installed::is_there;

/// Where the scripts are.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

/// Runs `script` with `input` and returns its result; `None` where there is no browser to run it in. The pictures it
/// takes are in `screenshots/` of the target directory.
///
/// A machine without Node.js, Chromium or the packages prints what to install; where `CI` is set, that is a failure.
pub(crate) async fn browse(script: &str, input: &Value) -> Option<Value> {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    let node =
        Command::new("node").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    let missing = if !node.is_ok_and(|status| status.success()) {
        Some("install Node.js 20 or later".to_owned())
    } else if !Path::new(&chromium).exists() {
        Some(format!("install Chromium as {chromium}, or set CHROMIUM"))
    } else if !scripts().join("node_modules/playwright-core").exists() {
        Some("run `npm ci` in tests/browser".to_owned())
    } else {
        None
    };
    if let Some(advice) = missing {
        is_there(false, &format!("the browser for {script}"), &advice);
        return None;
    }
    let output = Command::new("node")
        .arg(scripts().join(script))
        .arg(input.to_string())
        .env("CHROMIUM", chromium)
        .env("SCREENSHOTS", screenshots())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} failed\n{out}\n{err}");
    let result: Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!(result["errors"], serde_json::json!([]), "the pages of {script} had errors");
    Some(result)
}

fn screenshots() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // The test is in `deps` of a profile of the target directory.
    test.ancestors().nth(3).unwrap().join("screenshots")
}
