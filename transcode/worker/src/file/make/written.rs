//! One output under way: samples go in, and the server is told of each segment.

use std::io::BufWriter;

use telstar_fmp4::init_segment;
use telstar_media::{CodecConfig, MediaKind};
use telstar_transcode::file::{FileNews, Index, Rendition, RenditionKind, Segment};
use telstar_transcode::map::SegmentMap;
use telstar_units::Timescale;

use crate::failure::Failure;
use crate::file::Stop;
use crate::file::blob::Blob;
use crate::file::cutter::{Cutter, Sample};
use crate::file::teller::Teller;

/// See the module.
pub struct Written<'task> {
    output: u8,
    map: &'task SegmentMap,
    /// What was told, as whoever is told of it sees it.
    index: Index,
    cutter: Cutter<BufWriter<Blob>>,
    /// What is told before the first segment.
    begun: Option<(Rendition, Vec<u8>)>,
    has_begun: bool,
}

impl<'task> Written<'task> {
    /// Into the output of this number.
    pub fn new(
        output: u8,
        kind: MediaKind,
        timescale: Timescale,
        map: &'task SegmentMap,
        blob: BufWriter<Blob>,
    ) -> Written<'task> {
        let cutter = Cutter::new(kind, timescale, map, blob);
        Written { output, map, index: Index::default(), cutter, begun: None, has_begun: false }
    }

    /// Whether it is known what it is.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// It is of this codec.
    pub fn begin(&mut self, config: &CodecConfig, kind: RenditionKind) -> Result<(), Failure> {
        let timescale = self.cutter.timescale();
        let init = init_segment(config, timescale).map_err(|error| Failure::source(error.to_string()))?;
        let codecs = config.rfc6381().unwrap_or_default();
        self.begun = Some((Rendition { kind, codecs, timescale: timescale.hz() }, init.to_vec()));
        self.has_begun = true;
        Ok(())
    }

    /// Takes the next sample.
    pub fn push(&mut self, sample: Sample, teller: &mut Teller<'_>) -> Result<(), Stop> {
        match self.cutter.push(sample)? {
            Some(segment) => self.tell(segment, teller),
            None => Ok(()),
        }
    }

    /// There is no further sample.
    pub fn finish(&mut self, teller: &mut Teller<'_>) -> Result<(), Stop> {
        for segment in self.cutter.finish()? {
            self.tell(segment, teller)?;
        }
        if self.index.is_empty() {
            return Err(Failure::source("there is nothing in the file that could be shown").into());
        }
        let (told, wanted) = (self.index.segments().len(), self.map.count());
        if told < wanted {
            let text = format!("the file ends before it should: {told} of {wanted} segments are there");
            return Err(Failure::source(text).into());
        }
        Ok(())
    }

    fn tell(&mut self, segment: Segment, teller: &mut Teller<'_>) -> Result<(), Stop> {
        let output = self.output;
        if let Some((rendition, init)) = self.begun.take() {
            teller.say(FileNews::Begun { output, rendition, init })?;
        }
        // Times of a broken file may be such that nobody could find anything in what was made of it.
        let indexed = self.index.push(segment.clone(), self.cutter.timescale(), self.map);
        indexed.map_err(|error| Failure::source(format!("the file cannot be cut: {error}")))?;
        Ok(teller.say(FileNews::Segment { output, segment })?)
    }
}
