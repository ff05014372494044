//! Load by wrk (Debian's package `wrk`), as fast as it and the API go: bursts of requests with tokens that are new each time.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;
use tokio::time::sleep;

use crate::Failure;
use crate::actors::{Excuses, Scene};

const BURST: Duration = Duration::from_secs(5);
/// More than the API's threads hold for themselves, and less than its cache has room for.
const TOKENS: usize = 300;
/// How long tokens live: longer than a burst.
const LIFETIME: u64 = 60;

/// What wrk runs: each token in turn. At its end it prints how often each status came, 0 for no response.
const SCRIPT: &str = r#"
local next, threads = 0, {}
function setup(thread) table.insert(threads, thread) end
function init(args)
  counts, requests = {}, {}
  for _, token in ipairs(tokens) do
    table.insert(requests, wrk.format("GET", "/orders", { ["Authorization"] = "Bearer " .. token }))
  end
end
function request()
  next = next % #requests + 1
  return requests[next]
end
function response(status)
  counts[tostring(status)] = (counts[tostring(status)] or 0) + 1
end
function done(summary)
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("counts")) do print("status " .. status .. " " .. count) end
  end
  local errors = summary.errors
  print("status 0 " .. errors.connect + errors.read + errors.write + errors.timeout)
end
"#;

/// Fails where there is no wrk: it was asked for.
pub(crate) async fn check() -> Result<(), Failure> {
    let found = Command::new("wrk").arg("--version").output().await;
    found.map(drop).map_err(|error| format!("wrk does not run ({error}); apt-get install wrk").into())
}

impl Scene {
    pub(crate) async fn storm(mut self) -> Result<(), Failure> {
        let script = std::env::temp_dir().join(format!("soak-{}.lua", std::process::id()));
        let mut number = 0;
        while self.goes_on(self.pace).await {
            number += 1;
            let mut text = "tokens = {\n".to_owned();
            for token in 0..TOKENS {
                let subject = format!("storm-{number}-{token}");
                let claims = json!({ "subject": subject, "scope": "read", "expires_in": LIFETIME });
                writeln!(text, "{:?},", self.authority.mint(None, &claims).await?)?;
            }
            std::fs::write(&script, text + "}\n" + SCRIPT)?;
            let burst = self.burst(&script).await;
            std::fs::remove_file(&script)?;
            burst?;
        }
        Ok(())
    }

    async fn burst(&self, script: &std::path::Path) -> Result<(), Failure> {
        let seconds = format!("-d{}s", BURST.as_secs());
        let mut command = Command::new("wrk");
        command.args(["-t1", "-c4", &seconds, "-s"]).arg(script).arg(&self.api.url);
        let burst = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        // What explains a failure may begin and end within the burst.
        let mut excuses = Excuses::default();
        let watched = async {
            loop {
                excuses = excuses.or(Excuses::of(&self.authority));
                sleep(Duration::from_millis(50)).await;
            }
        };
        let output = tokio::select! {
            output = burst.wait_with_output() => output?,
            () = watched => unreachable!("it watches for ever"),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let counts = text.lines().filter_map(|line| {
            let (status, count) = line.strip_prefix("status ")?.split_once(' ')?;
            Some((status.parse::<u16>().ok()?, count.parse::<u64>().ok()?))
        });
        let counts: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
        if counts.is_empty() {
            return Err(format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
        }
        for (status, count) in counts {
            self.judge_many("wrk", status, count, excuses);
        }
        self.counts.event("bursts of wrk");
        Ok(())
    }
}
