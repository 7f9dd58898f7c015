//! What a file says in words reaches whoever reads it as words.

use super::attack::attack;
use super::support::files::{FileWorker, LIMITS, Media};
use telstar_transcode::file::{EncoderPreset, FileTask, Make};

const PICTURES: &str = "-f lavfi -i testsrc2=s=64x64:r=10:d=2 -c:v libx264 -preset ultrafast -pix_fmt yuv420p";

/// Matroska, because it keeps what it is given; each of these is a title.
#[test]
fn titles_arrive_as_plain_text() {
    let plain = Media::new(
        "a.mkv",
        &format!("-f lavfi -i sine=d=2 {PICTURES} -c:a aac -metadata:s:a:0 title={}", "T".repeat(60)),
    )
    .bytes();
    for title in [
        "a\r\nSet-Cookie: b=c\r\n\r\n<html>",
        "<script>alert(document.domain)</script>",
        "\"><img src=x onerror=alert(1)>",
        "a\n#EXT-X-ENDLIST\nhttp://evil/",
        "\u{1b}[2J\u{1b}]0;x\u{7}\0nul",
        "../../../../etc/passwd",
    ] {
        let padded = format!("{title:<60}");
        let mut bytes = plain.clone();
        let at = bytes.windows(60).position(|window| window == [b'T'; 60]).expect("it is in the file");
        bytes[at..at + 60].copy_from_slice(&padded.as_bytes()[..60]);
        let ending = attack(&format!("a title: {}", title.escape_debug()), &Media::of_bytes(&bytes));
        let told = &ending.asset().0.audio[0].title;
        assert!(!told.chars().any(char::is_control), "{told:?}");
        // What can be read is not changed: it is for who shows it to escape.
        let expect: String =
            title.split('\0').next().unwrap_or_default().chars().filter(|letter| !letter.is_control()).collect();
        assert_eq!(told.trim_end(), expect, "{title:?}");
    }
    let broken = {
        let mut bytes = plain;
        let at = bytes.windows(60).position(|window| window == [b'T'; 60]).expect("it is in the file");
        bytes[at..at + 4].copy_from_slice(b"\xff\xfe\xc3\x28");
        bytes
    };
    let ending = attack("a title that is no text", &Media::of_bytes(&broken));
    assert!(ending.asset().0.audio[0].title.ends_with('T'));
}

#[test]
fn subtitles_cannot_leave_their_cue() {
    let srt = "1\n00:00:00,000 --> 00:00:01,000\n<script>alert(1)</script>\nWEBVTT\n\n2\n00:00:01,000 --> 00:00:01,500\n\
               <img src=x onerror=alert(1)> & --> <b onclick=\"x\">bold</b>\n\n\
               3\n00:00:01,500 --> 00:00:02,000\n<!DOCTYPE tt [<!ENTITY a \"ha\">]>&a;&a;\nNOTE x\nSTYLE\n::cue{}\n";
    let text = Media::of_bytes(srt.as_bytes());
    let path = text.path.display();
    for (name, codec) in
        [("a.mkv", "srt"), ("a.mkv", "ass"), ("a.mkv", "webvtt"), ("a.mp4", "mov_text"), ("a.mp4", "ttml")]
    {
        let made = format!("{PICTURES} -map 0 -map 1 -c:s {codec} -strict unofficial");
        let media = Media::new(
            name,
            &format!(
                "-f lavfi -i testsrc2=s=64x64:r=10:d=2 -f srt -i {path} {}",
                &made[made.find("-c:v").expect("it has one")..]
            ),
        );
        let ending = attack(&format!("subtitles as {codec}"), &media);
        let (source, plan) = ending.asset();
        let Some(planned) = plan.first.iter().find(|one| one.name == "s1") else {
            assert_eq!(codec, "ttml", "{source:?}");
            continue;
        };
        let file = tempfile::NamedTempFile::new().expect("a temporary folder");
        let (outputs, preset) = (vec![planned.output.clone()], EncoderPreset::Veryfast);
        let task = Make { source: source.clone(), map: plan.map.clone(), outputs, limits: LIMITS, preset };
        FileWorker::start().run(FileTask::Make(task), &media.file(), &[file.reopen().expect("it is there")]);
        let told = std::fs::read_to_string(file.path()).expect("text");
        assert!(told.contains("bold"), "{codec}: {told}");
        let tags = told.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or_default());
        let allowed = ["b", "/b", "i", "/i", "u", "/u"];
        assert!(tags.clone().all(|tag| allowed.contains(&tag)), "{codec}: {:?}", tags.collect::<Vec<_>>());
        let headers = told.lines().filter(|line| *line == "STYLE" || line.starts_with("NOTE ")).count();
        // Inside a cue they are words; a block of their own would follow an empty line.
        assert!(headers == 0 || !told.contains("\n\nSTYLE") && !told.contains("\n\nNOTE"), "{codec}: {told}");
    }
}
