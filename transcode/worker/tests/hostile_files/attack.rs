//! One attack: a file goes through everything that is done with an upload, by workers with limits, and how it ends is written down.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use telstar_transcode::file::{
    EncoderPreset, FileNews, FileTask, Images, Index, Limits, Make, RenditionKind, Source, Storyboard,
};
use telstar_transcode::plan::{Plan, plan};
use telstar_units::Timescale;

use crate::support::figures::Watched;
use crate::support::files::{FileWorker, LIMITS, Media, OPTIONS};

/// Address space of a worker here: a quarter of what it has unless it is configured.
const MEMORY_MIB: u64 = 1_024;
/// Whatever takes longer hangs. A bomb is over in a second; this machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// All outputs of a task, unless the attack is on that.
const OUTPUT_BYTES_MAX: u64 = 64 * 1_024 * 1_024;

/// How an attack ended.
#[derive(Debug)]
pub enum Ending {
    /// There is something to watch.
    Asset {
        source: Box<Source>,
        plan: Box<Plan>,
        /// Bytes of all renditions.
        bytes: u64,
        /// The sizes of its pictures.
        sizes: Vec<(u32, u32)>,
    },
    /// It was refused for good, in these words.
    Refused(String),
    /// This attempt failed, in these words; it would be tried again.
    Failed(String),
    /// The process ended.
    Died,
}

impl Ending {
    /// The words of a refusal.
    #[track_caller]
    pub fn refused(&self) -> &str {
        match self {
            Ending::Refused(text) => text,
            other => panic!("{other:?} is no refusal"),
        }
    }

    /// What it became.
    #[track_caller]
    pub fn asset(&self) -> (&Source, &Plan) {
        match self {
            Ending::Asset { source, plan, .. } => (source, plan),
            other => panic!("{other:?} is no asset"),
        }
    }

    fn words(&self) -> String {
        match self {
            Ending::Asset { source, bytes, sizes, .. } => {
                let secs = source.duration as f64 / 90_000.0;
                format!("an asset of {secs:.2} s, {bytes} bytes, {sizes:?}")
            }
            Ending::Refused(text) => format!("refused: {text}"),
            Ending::Failed(text) => format!("an attempt failed: {text}"),
            Ending::Died => "the worker died".to_owned(),
        }
    }
}

/// The limits of an attack.
#[derive(Clone, Copy)]
pub struct Means {
    pub limits: Limits,
    pub memory_mib: u64,
    pub cpu_secs: u64,
    /// The attack is on what ends a process.
    pub may_die: bool,
}

pub const MEANS: Means = Means {
    limits: Limits { output_bytes_max: OUTPUT_BYTES_MAX, ..LIMITS },
    memory_mib: MEMORY_MIB,
    cpu_secs: 120,
    may_die: false,
};

/// Lets workers have it.
#[track_caller]
pub fn attack(name: &str, media: &Media) -> Ending {
    attack_with(name, media, MEANS)
}

/// Lets workers with these means have it. It must end, within them.
#[track_caller]
pub fn attack_with(name: &str, media: &Media, means: Means) -> Ending {
    let mut row = Row::default();
    let ending = everything(media, means, &mut row);
    write(name, &row, &ending);
    keep(name, media, means, &ending);
    assert!(row.wall < PATIENCE, "{name} took {:?}", row.wall);
    assert!(row.peak_mib < means.memory_mib as f64, "{name} took {} MiB", row.peak_mib);
    assert!(means.may_die || !matches!(ending, Ending::Died), "{name}: the worker died");
    if let Ending::Refused(text) | Ending::Failed(text) = &ending {
        let is_said = text.len() > 10 && !text.ends_with(": ") && !text.contains("panicked");
        assert!(is_said, "{name} says nothing: {text:?}");
    }
    ending
}

#[derive(Default)]
struct Row {
    wall: Duration,
    cpu_secs: f64,
    peak_mib: f64,
}

fn everything(media: &Media, means: Means, row: &mut Row) -> Ending {
    let news = match run(media, FileTask::Probe(means.limits), 0, means, row) {
        Ok(news) => news,
        Err(ending) => return ending,
    };
    let Some(source) = news.into_iter().find_map(|one| match one {
        FileNews::Source(source) => Some(*source),
        _ => None,
    }) else {
        return Ending::Failed("the worker did not say what the file is".to_owned());
    };
    let plan = match plan(&source, &OPTIONS) {
        Ok(plan) => plan,
        Err(error) => return Ending::Refused(error.to_string()),
    };
    let (mut bytes, mut sizes) = (0, Vec::new());
    for planned in [&plan.first, &plan.more] {
        let outputs: Vec<_> = planned.iter().map(|one| one.output.clone()).collect();
        if outputs.is_empty() {
            continue;
        }
        let count = outputs.len();
        let (map, limits, preset) = (plan.map.clone(), means.limits, EncoderPreset::Veryfast);
        let task = FileTask::Make(Make { source: source.clone(), map, outputs, limits, preset });
        let news = match run(media, task, count, means, row) {
            Ok(news) => news,
            Err(ending) => return ending,
        };
        // As the server does: whatever is told is checked.
        let mut made: Vec<(u32, Index)> = vec![(1, Index::default()); count];
        for one in news {
            match one {
                FileNews::Begun { output, rendition, .. } => {
                    made[usize::from(output)].0 = rendition.timescale;
                    if let RenditionKind::Video { width, height, .. } = rendition.kind {
                        sizes.push((width, height));
                    }
                }
                FileNews::Segment { output, segment } => {
                    let (timescale, index) = &mut made[usize::from(output)];
                    let timescale = Timescale::new(*timescale).expect("it has a clock");
                    index.push(segment, timescale, &plan.map).expect("what the worker tells is true");
                }
                _ => {}
            }
        }
        assert!(made.iter().all(|(_, index)| index.is_whole(&plan.map)), "done, and not whole");
        bytes += made.iter().map(|(_, index)| index.len()).sum::<u64>();
    }
    if plan.has_images {
        let storyboard =
            Storyboard { every: 180_000.max(source.duration / 199), width: 160, height: 90, columns: 5, rows: 5 };
        let (source, limits) = (source.clone(), means.limits);
        let task = FileTask::Images(Images { source, limits, poster_side: 640, storyboard });
        if let Err(ending) = run(media, task, 2, means, row) {
            return ending;
        }
    }
    Ending::Asset { source: Box::new(source), plan: Box::new(plan), bytes, sizes }
}

fn run(media: &Media, task: FileTask, outputs: usize, means: Means, row: &mut Row) -> Result<Vec<FileNews>, Ending> {
    let files: Vec<fs::File> = (0..outputs).map(|_| tempfile::tempfile().expect("a temporary folder")).collect();
    let (memory, bytes) = (means.memory_mib.to_string(), means.limits.output_bytes_max.to_string());
    let cpu = means.cpu_secs.to_string();
    let arguments = ["--memory-mib", &memory, "--file-bytes", &bytes, "--cpu-secs", &cpu];
    let mut worker = FileWorker::start_with(&arguments);
    let watched = Watched::new(worker.child.id());
    let news = worker.run(task, &media.file(), &files);
    let figures = watched.finish();
    row.wall += figures.wall;
    row.cpu_secs += figures.cpu_secs;
    row.peak_mib = row.peak_mib.max(figures.peak_mib);
    match news.last() {
        Some(FileNews::Done) => Ok(news),
        Some(FileNews::Failed { is_permanent: true, text }) => Err(Ending::Refused(text.clone())),
        Some(FileNews::Failed { is_permanent: false, text }) => Err(Ending::Failed(text.clone())),
        _ => Err(Ending::Died),
    }
}

/// The files themselves, for whoever sends them to a server (`tests/e2e/scripts/vod-hostile.mjs`): each beside what it is, and
/// how it ended here.
fn keep(name: &str, media: &Media, means: Means, ending: &Ending) {
    let Some(folder) = std::env::var_os("TELSTAR_ATTACKS").map(PathBuf::from) else { return };
    let number = KEPT.fetch_add(1, Ordering::Relaxed);
    fs::copy(&media.path, folder.join(format!("{number:03}"))).expect("the folder is there");
    let kind = match ending {
        Ending::Asset { .. } => "asset",
        Ending::Refused(_) => "refused",
        Ending::Failed(_) => "failed",
        Ending::Died => "died",
    };
    // Other limits, another end.
    let usual =
        means.limits == MEANS.limits && means.memory_mib == MEANS.memory_mib && means.cpu_secs == MEANS.cpu_secs;
    let told = json!({ "what": name, "kind": kind, "ended": ending.words(), "usual_limits": usual });
    fs::write(folder.join(format!("{number:03}.json")), told.to_string()).expect("the folder is there");
}

/// Files that were kept.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// What was written down, by name.
static ROWS: Mutex<BTreeMap<String, Value>> = Mutex::new(BTreeMap::new());

fn write(name: &str, row: &Row, ending: &Ending) {
    let (ms, words) = (row.wall.as_millis() as u64, ending.words());
    println!("{name:<60} {ms:>6} ms {:>7.2} s {:>6.0} MiB  {words}", row.cpu_secs, row.peak_mib);
    let Some(folder) = std::env::var_os("TELSTAR_RESULTS") else { return };
    let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    let peak_mib = row.peak_mib.round() as u64;
    let figures =
        json!({ "what": name, "ok": true, "ms": ms, "cpu_secs": row.cpu_secs, "peak_mib": peak_mib, "ended": words });
    rows.insert(name.to_owned(), figures);
    let claim = "A hostile file ends as an asset or in words, soon, and within the memory that a worker has.";
    let checks: Vec<&Value> = rows.values().collect();
    let command = "TELSTAR_RESULTS=$PWD/docs/results cargo test -p telstar-worker --test hostile_files";
    let whole = json!({ "name": "vod-hostile-files", "claim": claim, "command": command, "memory_max_mib": MEMORY_MIB, "checks": checks });
    let text = serde_json::to_string_pretty(&whole).expect("plain");
    fs::write(PathBuf::from(folder).join("vod-hostile-files.json"), text + "\n").expect("the folder is there");
}
