//! Pictures the way they are to be seen, before any rung scales them: whole and not in fields, the right way up, and no
//! brighter than ordinary displays.

use ffmpeg::format::Pixel;
use ffmpeg::{filter, frame};
use ffmpeg_next as ffmpeg;
use telstar_transcode::file::SourceVideo;

use crate::conversion::is_again;
use crate::failure::Failure;
use crate::file::clock::StreamClock;

/// From the light that a display makes to the values of ordinary video (ITU-R BT.709), by way of linear light. 100
/// cd/m² is what ordinary white is.
const TONE_MAP: &str = "zscale=pin=2020:min=2020_ncl:t=linear:npl=100,format=gbrpf32le,zscale=p=709,\
                        tonemap=tonemap=hable:desat=0,zscale=t=709:m=709:r=limited,format=yuv420p";

/// See the module.
pub struct Tidy {
    /// What is done, in FFmpeg's words; empty where nothing has to be.
    filters: String,
    graph: Option<(Shape, filter::Graph)>,
}

/// What a graph was made for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    format: Pixel,
    width: u32,
    height: u32,
}

impl Tidy {
    /// For the pictures of this source.
    pub fn new(video: &SourceVideo) -> Tidy {
        let mut filters = Vec::new();
        if video.interlaced {
            filters.push("bwdif=mode=send_frame:parity=auto:deint=interlaced");
        }
        // Without this filter the pictures are pale, but there.
        if video.hdr && filter::find("zscale").is_some() && filter::find("tonemap").is_some() {
            filters.push(TONE_MAP);
        }
        if video.mirrored {
            filters.push("hflip");
        }
        match video.rotation {
            90 => filters.push("transpose=clock"),
            180 => filters.push("hflip,vflip"),
            270 => filters.push("transpose=cclock"),
            _ => {}
        }
        Tidy { filters: filters.join(","), graph: None }
    }

    /// Takes the picture that is shown at `at`; appends what comes of it, each with its time.
    pub fn run(
        &mut self,
        at: i64,
        mut picture: frame::Video,
        out: &mut Vec<(i64, frame::Video)>,
    ) -> Result<(), Failure> {
        if self.filters.is_empty() {
            out.push((at, picture));
            return Ok(());
        }
        let shape = Shape { format: picture.format(), width: picture.width(), height: picture.height() };
        if self.graph.as_ref().is_none_or(|(made_for, _)| *made_for != shape) {
            self.flush(out)?;
            self.graph = Some((shape, graph(shape, &self.filters).map_err(failed)?));
        }
        let Some((_, graph)) = &mut self.graph else { return Ok(()) };
        picture.set_pts(Some(at));
        graph.get("in").ok_or(ffmpeg::Error::Bug).and_then(|mut input| input.source().add(&picture)).map_err(failed)?;
        drain(graph, out)
    }

    /// Lets out what is held back.
    pub fn flush(&mut self, out: &mut Vec<(i64, frame::Video)>) -> Result<(), Failure> {
        let Some((_, mut graph)) = self.graph.take() else { return Ok(()) };
        graph.get("in").ok_or(ffmpeg::Error::Bug).and_then(|mut input| input.source().flush()).map_err(failed)?;
        drain(&mut graph, out)
    }
}

fn failed(error: ffmpeg::Error) -> Failure {
    Failure::broken("filters", error)
}

fn graph(shape: Shape, filters: &str) -> Result<filter::Graph, ffmpeg::Error> {
    let missing = ffmpeg::Error::FilterNotFound;
    let mut graph = filter::Graph::new();
    let Shape { format, width, height } = shape;
    let format = format.descriptor().ok_or(ffmpeg::Error::InvalidData)?.name();
    let input = format!("video_size={width}x{height}:pix_fmt={format}:time_base=1/90000:pixel_aspect=1/1");
    graph.add(&filter::find("buffer").ok_or(missing)?, "in", &input)?;
    graph.add(&filter::find("buffersink").ok_or(missing)?, "out", "")?;
    graph.output("in", 0)?.input("out", 0)?.parse(filters)?;
    graph.validate()?;
    Ok(graph)
}

fn drain(graph: &mut filter::Graph, out: &mut Vec<(i64, frame::Video)>) -> Result<(), Failure> {
    let mut output = graph.get("out").ok_or_else(|| failed(ffmpeg::Error::Bug))?;
    let mut output = output.sink();
    // Filters of fields count in half ticks.
    let clock = StreamClock::new(output.time_base(), 0);
    loop {
        let mut picture = frame::Video::empty();
        match output.frame(&mut picture) {
            Ok(()) => out.extend(picture.pts().map(|at| (clock.asset(at), picture))),
            Err(error) if is_again(&error) => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(rotation: u16, interlaced: bool, hdr: bool) -> SourceVideo {
        let (stream, codec, fps_millis, bits, bps) = (0, "h264".to_owned(), 30_000, 8, 0);
        let (width, height, copy) = (64, 32, Ok(Vec::new()));
        let (mirrored, first) = (false, 0);
        SourceVideo {
            stream,
            codec,
            width,
            height,
            fps_millis,
            first,
            rotation,
            mirrored,
            interlaced,
            bits,
            hdr,
            bps,
            copy,
        }
    }

    fn sizes(video: &SourceVideo, format: Pixel) -> Vec<(i64, (u32, u32))> {
        let (mut tidy, mut out) = (Tidy::new(video), Vec::new());
        for number in 0..3 {
            let mut picture = frame::Video::new(format, 64, 32);
            (0..picture.planes()).for_each(|plane| picture.data_mut(plane).fill(128));
            tidy.run(number * 3_000, picture, &mut out).expect("it has the filters");
        }
        tidy.flush(&mut out).expect("it has the filters");
        out.iter().map(|(at, picture)| (*at, (picture.width(), picture.height()))).collect()
    }

    #[test]
    fn pictures_come_out_at_their_times_and_turned() {
        let at = |size| vec![(0, size), (3_000, size), (6_000, size)];
        assert_eq!(sizes(&video(0, false, false), Pixel::YUV420P), at((64, 32)));
        assert_eq!(sizes(&video(90, false, false), Pixel::YUV420P), at((32, 64)));
        assert_eq!(sizes(&video(180, true, false), Pixel::YUV420P), at((64, 32)));
        assert_eq!(sizes(&video(270, false, false), Pixel::YUV420P10LE), at((32, 64)));
    }
}
