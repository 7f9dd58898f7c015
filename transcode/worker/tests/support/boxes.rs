//! Files taken apart and put together again: boxes of MP4, elements of Matroska, chunks of RIFF.

/// The boxes at this level, each with its kind and its body.
pub fn boxes(mut bytes: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
    let mut found = Vec::new();
    while let Some(header) = bytes.first_chunk::<8>() {
        let size = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        found.push(([header[4], header[5], header[6], header[7]], bytes[8..size].to_vec()));
        bytes = &bytes[size..];
    }
    found
}

/// One box.
pub fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

/// A file with what is at the end of `path` changed. Its index stands behind the media, so that no offset moves.
pub fn edited(file: &[u8], path: &[&[u8; 4]], edit: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (here, further) = path.split_first().expect("somewhere");
    let parts = boxes(file).into_iter().map(|(kind, body)| match (&kind == *here, further.is_empty()) {
        (true, true) => boxed(&kind, &edit(&body)),
        (true, false) => boxed(&kind, &edited(&body, further, edit)),
        (false, _) => boxed(&kind, &body),
    });
    parts.collect::<Vec<_>>().concat()
}

/// A file without the boxes of this kind at the end of `path`.
pub fn without(file: &[u8], path: &[&[u8; 4]], kind: &[u8; 4]) -> Vec<u8> {
    edited(file, path, &mut |body| {
        let others = boxes(body).into_iter().filter(|(found, _)| found != kind);
        others.flat_map(|(kind, body)| boxed(&kind, &body)).collect()
    })
}

/// The way to a sample table.
pub const SAMPLE_TABLE: [&[u8; 4]; 5] = [b"moov", b"trak", b"mdia", b"minf", b"stbl"];

/// The file with this table in the place of the one that is there.
pub fn with_table(file: &[u8], kind: &[u8; 4], numbers: &[u32]) -> Vec<u8> {
    let body: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    edited(&without(file, &SAMPLE_TABLE, kind), &SAMPLE_TABLE, &mut |others| [others, &boxed(kind, &body)].concat())
}

/// An element of Matroska, whose length is told in eight bytes.
pub fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    element_of(id, body.len() as u64, body)
}

/// One that says it has `len` bytes.
pub fn element_of(id: &[u8], len: u64, body: &[u8]) -> Vec<u8> {
    [id, &(len | 1 << 56).to_be_bytes(), body].concat()
}

/// The beginning of every Matroska file.
pub fn matroska(segment: &[u8]) -> Vec<u8> {
    let header = [element(&[0x42, 0x82], b"matroska"), element(&[0x42, 0x87], &[4]), element(&[0x42, 0x85], &[2])];
    [element(&[0x1a, 0x45, 0xdf, 0xa3], &header.concat()), element(&[0x18, 0x53, 0x80, 0x67], segment)].concat()
}

/// A chunk of RIFF.
pub fn chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let pad = if body.len() % 2 == 1 { &[0][..] } else { &[] };
    [&kind[..], &(body.len() as u32).to_le_bytes(), body, pad].concat()
}

/// A list of them.
pub fn list(kind: &[u8; 4], of: &[u8; 4], chunks: &[Vec<u8>]) -> Vec<u8> {
    chunk(kind, &[&of[..], &chunks.concat()].concat())
}
