//! What an uploaded file costs: `file_cost WORKER THREADS FILE [FOLDER]` has a worker look at a file, make what makes it playable,
//! everything else, and the images, and prints a line of JSON for each: its time, its processor time and its memory at most. What is
//! made is kept in the folder, if one is named. Beside it runs the ffmpeg command that does the same.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};
use support::figures::{Figures, Watched};
use support::files::{FileWorker, LIMITS, OPTIONS};
use telstar_transcode::file::{EncoderPreset, FileNews, FileTask, Images, Limits, Make, Storyboard};
use telstar_transcode::plan::{Planned, plan};

const ARGUMENTS: [&str; 6] = ["--memory-mib", "4096", "--file-bytes", "100000000000", "--cpu-secs", "100000"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (worker, threads, path, folder) = match &arguments[..] {
        [worker, threads, path] => (worker, threads, path, None),
        [worker, threads, path, folder] => (worker, threads, path, Some(Path::new(folder))),
        _ => panic!("usage: file_cost WORKER THREADS FILE [FOLDER]"),
    };
    let limits = Limits {
        threads: threads.parse().expect("a number of threads"),
        pixels_max: 35_651_584,
        fps_max: 240,
        duration_secs_max: 86_400,
        output_bytes_max: 100_000_000_000,
        ..LIMITS
    };
    let run = |task: FileTask, outputs: &[File]| {
        let source = File::open(path).expect("the file is there");
        let mut process = FileWorker::start_program(worker, &ARGUMENTS);
        let watched = Watched::new(process.child.id());
        let news = process.run(task, &source, outputs);
        (news, watched.finish())
    };
    let (news, figures) = run(FileTask::Probe(limits), &[]);
    let source = news.iter().find_map(|one| match one {
        FileNews::Source(source) => Some((**source).clone()),
        _ => None,
    });
    let Some(source) = source else {
        print("probe", &figures, json!({ "failed": format!("{:?}", news.last()) }));
        return;
    };
    let mut told = serde_json::to_value(&source).expect("plain");
    // The keyframes of hours.
    if let Some(Value::Array(keys)) = told.pointer("/video/copy/Ok").cloned() {
        told["video"]["copy"] = json!({ "Ok": keys.len() });
    }
    print("probe", &figures, json!({ "source": told }));
    let plan = plan(&source, &OPTIONS).expect("it can be played");
    for (name, planned) in [("first", &plan.first), ("more", &plan.more)] {
        if planned.is_empty() {
            continue;
        }
        let files = outputs(planned.iter().map(|one| one.name.as_str()), folder);
        let task = FileTask::Make(Make {
            source: source.clone(),
            map: plan.map.clone(),
            outputs: planned.iter().map(|one| one.output.clone()).collect(),
            limits,
            preset: EncoderPreset::Veryfast,
        });
        let (news, figures) = run(task, &files);
        let more = json!({ "renditions": renditions(planned, &files), "ended": ended(&news), "inits": keep(planned, &news, folder) });
        print(name, &figures, more);
    }
    if plan.has_images {
        let files = outputs(["poster", "storyboard"], folder);
        let storyboard =
            Storyboard { every: 180_000.max(source.duration / 199), width: 160, height: 90, columns: 5, rows: 5 };
        let (news, figures) = run(FileTask::Images(Images { source, limits, poster_side: 1_280, storyboard }), &files);
        print("images", &figures, json!({ "ended": ended(&news) }));
    }
}

fn print(task: &str, figures: &Figures, more: Value) {
    let round = |number: f64| (number * 1_000.0).round() / 1_000.0;
    let (wall_secs, cpu_secs, peak_mib) =
        (round(figures.wall.as_secs_f64()), figures.cpu_secs, round(figures.peak_mib));
    println!(
        "{}",
        json!({
            "task": task, "wall_secs": wall_secs, "cpu_secs": cpu_secs, "system_secs": figures.system_secs, "peak_mib": peak_mib, "more": more
        })
    );
}

fn outputs<'name>(names: impl IntoIterator<Item = &'name str>, folder: Option<&Path>) -> Vec<File> {
    let made = |name: &str| match folder {
        Some(folder) => File::create(folder.join(name)).expect("the folder is there"),
        None => tempfile::tempfile().expect("a temporary folder"),
    };
    names.into_iter().map(made).collect()
}

fn renditions(planned: &[Planned], files: &[File]) -> Vec<Value> {
    let bytes = |file: &File| file.metadata().expect("it is open").len();
    planned.iter().zip(files).map(|(one, file)| json!({ "name": one.name, "bytes": bytes(file) })).collect()
}

fn ended(news: &[FileNews]) -> String {
    match news.last() {
        Some(FileNews::Done) => "done".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Puts what players load first before what was made, so that anything plays it.
fn keep(planned: &[Planned], news: &[FileNews], folder: Option<&Path>) -> usize {
    let mut inits = 0;
    for one in news {
        let FileNews::Begun { output, init, .. } = one else { continue };
        inits += 1;
        if let Some(folder) = folder {
            let path = folder.join(&planned[usize::from(*output)].name);
            let media = fs::read(&path).expect("it was made");
            fs::write(path.with_extension("mp4"), [&init[..], &media].concat()).expect("the folder takes it");
        }
    }
    inits
}
