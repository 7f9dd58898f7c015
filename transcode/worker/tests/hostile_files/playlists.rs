//! Files that name others: nothing is connected to, and nothing else is read.

use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::attack::attack;
use super::support::boxes::{boxed, chunk, edited, list};
use super::support::files::Media;

/// A file that nobody may open and a port that nobody may reach, both watched.
struct Bait {
    folder: tempfile::TempDir,
    port: u16,
    inotify: rustix::fd::OwnedFd,
    connected: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Bait {
    fn new() -> Bait {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // What a demuxer would take for media.
        let bytes = Media::new("a.ts", "-f lavfi -i testsrc2=s=64x64:r=10:d=1 -c:v mpeg2video").bytes();
        std::fs::write(folder.path().join("canary.ts"), bytes).expect("a small file");
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("the system has it");
        let watched = WatchFlags::OPEN | WatchFlags::ACCESS;
        inotify::add_watch(&inotify, folder.path().join("canary.ts"), watched).expect("it is there");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("it is bound").port();
        let (connected, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, flag) = (Arc::clone(&connected), Arc::clone(&is_over));
        let accepting = std::thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                // Dropped at once: whoever asked gets no answer.
                match listener.accept() {
                    Ok(_) => drop(count.fetch_add(1, Ordering::Relaxed)),
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Bait { folder, port, inotify, connected, is_over, accepting: Some(accepting) }
    }

    fn canary(&self) -> PathBuf {
        self.folder.path().join("canary.ts")
    }

    /// How often the file was opened or read, and the port reached, since it was last asked.
    fn taken(&self) -> (usize, usize) {
        std::thread::sleep(Duration::from_millis(20));
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4_096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let opened = std::iter::from_fn(|| reader.next().ok().map(drop)).count();
        (opened, self.connected.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Bait {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

/// What the files name: the bait, or what somebody else watches while he sends them to a server.
fn named(bait: &Bait) -> (String, u16) {
    let port = std::env::var("TELSTAR_ATTACKS_PORT").ok().and_then(|port| port.parse().ok());
    let file = std::env::var("TELSTAR_ATTACKS_FILE").unwrap_or_else(|_| bait.canary().display().to_string());
    (file, port.unwrap_or(bait.port))
}

fn hls(uri: &str) -> Vec<u8> {
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\n{uri}\n#EXT-X-ENDLIST\n")
        .into_bytes()
}

/// An AVI whose second stream is a "subtitle file" inside a packet, which is a playlist (CVE-2016-1897 and what came after it).
fn avi_with_subtitle_file(playlist: &[u8]) -> Vec<u8> {
    let words = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let header = words(&[40_000, 100_000, 0, 0x10, 1, 0, 2, 1_024, 64, 64, 0, 0, 0, 0]);
    let stream = |kind: &[u8; 4], codec: &[u8; 4], format: Vec<u8>| {
        let times = words(&[0, 0, 0, 1, 25, 0, 1, 0, 0, 0, 0, 0]);
        let body = [&kind[..], codec, &times].concat();
        list(b"LIST", b"strl", &[chunk(b"strh", &body), chunk(b"strf", &format)])
    };
    let picture = [words(&[40, 64, 64]), vec![1, 0, 24, 0], b"MJPG".to_vec(), words(&[0; 5])].concat();
    let streams = [chunk(b"avih", &header), stream(b"vids", b"MJPG", picture), stream(b"txts", &[0; 4], Vec::new())];
    let name = [b'a', 0, 0, 0];
    let packet = [
        b"GAB2\0\x02\0".to_vec(),
        words(&[name.len() as u32]),
        name.to_vec(),
        vec![4, 0],
        words(&[playlist.len() as u32]),
        playlist.to_vec(),
    ];
    let media = [chunk(b"00dc", &[0xff, 0xd8, 0xff, 0xd9]), chunk(b"01tx", &packet.concat())];
    let parts = [list(b"LIST", b"hdrl", &streams), list(b"LIST", b"movi", &media)];
    list(b"RIFF", b"AVI ", &parts)
}

/// An MP4 whose samples are said to be in another file (ISO/IEC 14496-12 §8.7.2; `alis` is QuickTime's).
fn mp4_with_external_media(reference: &[u8; 4], path: &str) -> Vec<u8> {
    let arguments = "-f lavfi -i testsrc2=s=64x64:r=10:d=1 -c:v libx264 -pix_fmt yuv420p";
    let file = Media::new("a.mov", arguments).bytes();
    // Version, flags without "in this file", and where it is.
    let alias = || {
        let mut record = vec![0; 150];
        record[4..6].copy_from_slice(&[0, 150]);
        let path = path.as_bytes();
        // The type of what follows: 2 is a path, 18 a path of POSIX.
        let parts = [2_u16, 18].map(|kind| {
            let len = (path.len() as u16).to_be_bytes();
            let pad = if path.len() % 2 == 1 { &[0][..] } else { &[] };
            [&kind.to_be_bytes()[..], &len, path, pad].concat()
        });
        [record, parts.concat(), vec![0xff, 0xff, 0, 0]].concat()
    };
    let location = match reference {
        b"alis" => alias(),
        _ => [path.as_bytes(), b"\0"].concat(),
    };
    let entry = boxed(reference, &[&[0; 4][..], &location].concat());
    let table = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &entry].concat();
    edited(&file, &[b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"], &mut |_| table.clone())
}

#[test]
fn a_file_that_names_others_gets_none_of_them() {
    let bait = Bait::new();
    let (file, port) = named(&bait);
    let http = format!("http://127.0.0.1:{port}/a.ts");
    let manifest = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE MPD [<!ENTITY a SYSTEM \"file://{file}\">]><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         type=\"static\" mediaPresentationDuration=\"PT1S\"><Period><BaseURL>{http}</BaseURL><AdaptationSet><Representation id=\"1\">\
         <SegmentList><SegmentURL media=\"file://{file}\"/>&a;</SegmentList></Representation></AdaptationSet></Period></MPD>"
    );
    let sdp = format!(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    );
    let texts: [(&str, Vec<u8>); 15] = [
        ("HLS: a path", hls(&file)),
        ("HLS: file://", hls(&format!("file://{file}"))),
        ("HLS: http://", hls(&http)),
        ("HLS: concat:", hls(&format!("concat:{file}|{http}"))),
        ("HLS: subfile", hls(&format!("subfile,,start,0,end,100,,:{file}"))),
        ("HLS: crypto+http", hls(&format!("crypto+{http}"))),
        ("HLS: data:", hls("data:text/plain;base64,AAAA")),
        ("HLS: a key", hls(&format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{http}\"\n{file}"))),
        ("HLS: a map", hls(&format!("#EXT-X-MAP:URI=\"file://{file}\"\n{file}"))),
        ("ffconcat", format!("ffconcat version 1.0\nfile '{file}'\nfile '{http}'\n").into_bytes()),
        ("concat script without its first line", format!("file '{file}'\nduration 1\n").into_bytes()),
        ("DASH", manifest.into_bytes()),
        ("SDP", sdp.into_bytes()),
        ("RTSP redirect", format!("RTSPtextRTSP://127.0.0.1:{port}/a\n").into_bytes()),
        ("ASX", format!("<asx version=\"3.0\"><entry><ref href=\"{http}\"/></entry></asx>").into_bytes()),
    ];
    for (name, text) in &texts {
        assert!(attack(name, &Media::of_bytes(text)).refused().contains("neither"), "{name}");
        // The same, behind what makes it look like media.
        for (kind, head) in [
            ("MP4", &b"\0\0\0\x14ftypisom\0\0\0\0isom"[..]),
            ("Matroska", &[0x1a, 0x45, 0xdf, 0xa3]),
            ("FLV", b"FLV\x01\x05\0\0\0\x09\0\0\0\0"),
            ("MP3", b"ID3\x04\0\0\0\0\0\0"),
        ] {
            attack(&format!("{name}, as {kind}"), &Media::of_bytes(&[head, text].concat())).refused();
        }
    }
    for (name, playlist) in [("a path", hls(&file)), ("http://", hls(&http)), ("ffconcat", texts[9].1.clone())] {
        attack(&format!("subtitles of an AVI: {name}"), &Media::of_bytes(&avi_with_subtitle_file(&playlist)));
    }
    for reference in [b"url ", b"urn ", b"alis"] {
        let text = std::str::from_utf8(reference).expect("letters");
        attack(
            &format!("MP4 with its media elsewhere: {text}"),
            &Media::of_bytes(&mp4_with_external_media(reference, &file)),
        );
    }
    assert_eq!(bait.taken(), (0, 0), "something was opened or connected to");
}

/// What the test above would see of a program that does what it is told.
#[test]
fn the_ffmpeg_command_does_take_the_bait() {
    let bait = Bait::new();
    for uri in [bait.canary().display().to_string(), format!("http://127.0.0.1:{}/a.ts", bait.port)] {
        let playlist = Media::of_bytes(&hls(&uri));
        let mut child = Command::new("ffprobe")
            .args(["-v", "quiet", "-f", "hls", "-protocol_whitelist", "file,http,tcp", "-allowed_extensions", "ALL"])
            .arg(&playlist.path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/packages test installs ffmpeg");
        let mut told = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut told).expect("text");
        child.wait().expect("it is ours");
        let (opened, connected) = bait.taken();
        assert!(opened + connected > 0, "{uri}");
    }
}
