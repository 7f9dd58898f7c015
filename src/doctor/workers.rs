//! What conversions need: the worker beside the server, the codecs that it was built with, and a kernel that confines it.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::Finding;
use crate::config::{Config, Sandbox};
use crate::workers;

/// What `telstar-worker --check` says.
#[derive(Deserialize)]
struct Check {
    version: String,
    libavcodec: String,
    missing: Vec<String>,
    decoders: Vec<String>,
    targets: Vec<String>,
}

/// What an FFmpeg with the usual libraries can make.
const TARGETS: [&str; 4] = ["Opus", "AAC", "H.264", "VP8"];

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let (converts, makes) = (config.transcode.conversions_max > 0, config.vod.enabled);
    let off = Finding::note("conversions: off (transcode.conversions_max)");
    if !converts && !makes {
        return vec![off];
    }
    let without = match (converts, makes) {
        (true, false) => "streams are passed through, and what an output cannot carry is left out",
        (false, _) => "what is uploaded waits",
        (true, true) => {
            "streams are passed through, what an output cannot carry is left out, and what is uploaded waits"
        }
    };
    let executable = workers::executable(&config.transcode.worker);
    let mut findings = match check(&executable) {
        Ok(check) => judge(&check, config.transcode.sandbox),
        Err(problem) => vec![Finding::note(format!(
            "conversions: {problem}: {without}; install telstar-worker beside telstar, or set transcode.worker"
        ))],
    };
    if !converts {
        findings.insert(0, off);
    }
    findings
}

fn check(executable: &Path) -> Result<Check, String> {
    let shown = executable.display();
    let output =
        Command::new(executable).arg("--check").env_clear().output().map_err(|error| format!("{shown}: {error}"))?;
    serde_json::from_slice(&output.stdout).map_err(|_| format!("{shown} does not run ({})", output.status))
}

fn judge(check: &Check, sandbox: Sandbox) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lacking: Vec<&str> =
        TARGETS.into_iter().filter(|target| !check.targets.iter().any(|there| there == target)).collect();
    let can = format!(
        "conversions: {} to {} (FFmpeg's libavcodec {})",
        check.decoders.join(", "),
        check.targets.join(", "),
        check.libavcodec
    );
    findings.push(if check.version != env!("CARGO_PKG_VERSION") {
        let version = &check.version;
        Finding::bad(format!("telstar-worker is of version {version}: install both executables from one build"))
    } else if lacking.is_empty() {
        Finding::good(can)
    } else {
        Finding::note(format!("{can}; this FFmpeg lacks encoders for {}", lacking.join(", ")))
    });
    let missing = check.missing.join(", ");
    findings.push(match (check.missing.is_empty(), sandbox) {
        (true, _) => Finding::good("sandbox of conversions: limits, no_new_privs, landlock and seccomp are in force"),
        (false, Sandbox::Off) => Finding::note(format!("sandbox of conversions: without {missing} (transcode.sandbox)")),
        (false, Sandbox::On) => Finding::bad(format!(
            "sandbox of conversions: this kernel lacks {missing}, so that nothing is converted: use a kernel with landlock \
             and seccomp, or set transcode.sandbox = \"off\" and accept the risk"
        )),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    fn said(missing: &str, targets: &str) -> Check {
        let line = format!(
            r#"{{"version":"{}","libavcodec":"59.37.100","missing":{missing},"decoders":["AAC"],"targets":{targets}}}"#,
            env!("CARGO_PKG_VERSION")
        );
        serde_json::from_str(&line).expect("what the worker prints")
    }

    #[test]
    fn a_kernel_without_a_sandbox_is_bad_unless_it_was_decided() {
        const ALL: &str = r#"["Opus","AAC","H.264","VP8"]"#;
        let grades = |check: &Check, sandbox| judge(check, sandbox).iter().map(|f| f.grade).collect::<Vec<_>>();
        assert_eq!(grades(&said("[]", ALL), Sandbox::On), [Grade::Good, Grade::Good]);
        assert_eq!(grades(&said(r#"["landlock"]"#, ALL), Sandbox::On), [Grade::Good, Grade::Bad]);
        assert_eq!(grades(&said(r#"["landlock"]"#, ALL), Sandbox::Off), [Grade::Good, Grade::Note]);
        assert_eq!(grades(&said("[]", r#"["AAC"]"#), Sandbox::On), [Grade::Note, Grade::Good]);
    }

    #[test]
    fn a_missing_worker_is_a_note_with_a_remedy() {
        let mut config = Config::default();
        config.transcode.worker = "/nonexistent/telstar-worker".into();
        let findings = examine(&config);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].grade == Grade::Note && findings[0].text.contains("transcode.worker"));
        assert!(findings[0].text.contains("uploaded waits"));
        config.transcode.conversions_max = 0;
        assert_eq!(examine(&config).len(), 2, "uploads need it all the same");
        config.vod.enabled = false;
        assert_eq!(examine(&config).len(), 1);
    }
}
