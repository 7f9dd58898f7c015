//! What was found.

use std::collections::BTreeSet;
use std::fmt;

/// A rule that was broken once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The line of the checklist, `L4`.
    pub rule: &'static str,
    /// What is wrong.
    pub what: String,
    /// Where: an address, lines of a playlist.
    pub evidence: String,
}

/// How many violations of one rule are kept: a broken rule is broken in every playlist.
const KEPT_PER_RULE_MAX: usize = 5;

/// Everything that was found, and how much was looked at.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub violations: Vec<Violation>,
    /// Violations that were not kept.
    pub more: usize,
    pub playlists: usize,
    pub media: usize,
    /// Rules that had something to judge.
    pub judged: BTreeSet<&'static str>,
    /// Distinct texts of all playlists, for other readers.
    pub texts: Vec<String>,
}

impl Report {
    pub fn push(&mut self, violation: Violation) {
        let same = self.violations.iter().filter(|known| known.rule == violation.rule).count();
        if same < KEPT_PER_RULE_MAX { self.violations.push(violation) } else { self.more += 1 }
    }

    /// The rules that were broken.
    pub fn broken(&self) -> BTreeSet<&'static str> {
        self.violations.iter().map(|violation| violation.rule).collect()
    }

    /// Leaves every playlist in the folder that `CONFORMANCE_PLAYLISTS` names, for readers in other languages.
    pub fn keep_playlists(&self, name: &str) {
        let Some(folder) = std::env::var_os("CONFORMANCE_PLAYLISTS") else { return };
        let folder = std::path::PathBuf::from(folder);
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        for (index, text) in self.texts.iter().enumerate() {
            let file = format!("{}-{index}.m3u8", name.replace(|letter: char| !letter.is_alphanumeric(), "-"));
            std::fs::write(folder.join(file), text).expect("a playlist can be written");
        }
    }

    /// Panics with everything that was found, if anything was.
    #[track_caller]
    pub fn assert_clean(&self, what: &str) {
        assert!(self.violations.is_empty(), "{what}:\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} playlists and {} media resources, {} rules judged",
            self.playlists,
            self.media,
            self.judged.len()
        )?;
        for Violation { rule, what, evidence } in &self.violations {
            writeln!(f, "{rule}: {what}\n    {}", evidence.replace('\n', "\n    "))?;
        }
        if self.more > 0 {
            writeln!(f, "and {} more of the same rules", self.more)?;
        }
        Ok(())
    }
}
