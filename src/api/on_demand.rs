//! Descriptions of what is watched on demand and of uploads: `src/vod` serves them, in the words of HLS and of tus.
//!
//! Nothing of this runs.

#![expect(dead_code, reason = "only the descriptions are used")]

/// The multivariant playlist of an asset. `?t=` takes a playback token, which is copied to every URI in it.
#[utoipa::path(get, path = "/vod/{asset}/index.m3u8", tag = "watching on demand", operation_id = "readAssetPlaylist",
    params(("asset" = String, Path, description = "The asset's name."),
        ("t" = Option<String>, Query, description = "A playback token, for assets that are not open.")),
    responses((status = 200, description = "HLS.", body = String, content_type = "application/vnd.apple.mpegurl")))]
pub(super) fn read_playlist() {}

/// The playlist of one rendition: `EVENT` while it is being made, `VOD` once it is whole.
#[utoipa::path(get, path = "/vod/{asset}/{rendition}/index.m3u8", tag = "watching on demand",
    operation_id = "readAssetMediaPlaylist",
    params(("asset" = String, Path, description = "The asset's name."),
        ("rendition" = String, Path, description = "The rendition's name, such as `v720`."),
        ("t" = Option<String>, Query, description = "A playback token, for assets that are not open.")),
    responses((status = 200, description = "HLS.", body = String, content_type = "application/vnd.apple.mpegurl")))]
pub(super) fn read_media_playlist() {}

/// The I-frame playlist of a rendition, for seeking with pictures.
#[utoipa::path(get, path = "/vod/{asset}/{rendition}/iframes.m3u8", tag = "watching on demand",
    operation_id = "readAssetIFramePlaylist",
    params(("asset" = String, Path, description = "The asset's name."),
        ("rendition" = String, Path, description = "The rendition's name, such as `v720`."),
        ("t" = Option<String>, Query, description = "A playback token, for assets that are not open.")),
    responses((status = 200, description = "HLS.", body = String, content_type = "application/vnd.apple.mpegurl")))]
pub(super) fn read_pictures() {}

/// An initialisation section or a segment.
#[utoipa::path(get, path = "/vod/{asset}/{rendition}/{file}", tag = "watching on demand",
    operation_id = "readAssetMedia",
    params(("asset" = String, Path, description = "The asset's name."),
        ("rendition" = String, Path, description = "The rendition's name, such as `v720`."),
        ("file" = String, Path, description = "`init.mp4`, `N.m4s` or `N.vtt`, as the playlists name them."),
        ("t" = Option<String>, Query, description = "A playback token, for assets that are not open.")),
    responses((status = 200, description = "CMAF or WebVTT.", body = Vec<u8>, content_type = "video/mp4"),
        (status = 206, description = "The range that was asked for.", body = Vec<u8>, content_type = "video/mp4")))]
pub(super) fn read_media() {}

/// The key of an asset whose segments are encrypted (AES-128), where that is configured.
#[utoipa::path(get, path = "/vod/{asset}/key", tag = "watching on demand", operation_id = "readAssetKey",
    params(("asset" = String, Path, description = "The asset's name."),
        ("t" = Option<String>, Query, description = "A playback token, for assets that are not open.")),
    responses((status = 200, description = "Sixteen bytes.", body = Vec<u8>,
            content_type = "application/octet-stream")))]
pub(super) fn read_key() {}

/// A still picture of an asset.
#[utoipa::path(get, path = "/vod/{asset}/poster.jpg", tag = "watching on demand", operation_id = "readPoster",
    params(("asset" = String, Path, description = "The asset's name."),
        ("t" = Option<String>, Query, description = "A playback token, for assets that are not open.")),
    responses((status = 200, description = "JPEG.", body = Vec<u8>, content_type = "image/jpeg")))]
pub(super) fn read_poster() {}

/// What is to be seen when, as small pictures.
#[utoipa::path(get, path = "/vod/{asset}/storyboard.vtt", tag = "watching on demand", operation_id = "readStoryboard",
    params(("asset" = String, Path, description = "The asset's name."),
        ("t" = Option<String>, Query, description = "A playback token, for assets that are not open.")),
    responses((status = 200,
            description = "WebVTT whose cues are parts of sheets: `storyboard/0.jpg#xywh=0,0,160,90`.", body = String,
            content_type = "text/vtt")))]
pub(super) fn read_storyboard() {}

/// A sheet of small pictures.
#[utoipa::path(get, path = "/vod/{asset}/storyboard/{file}", tag = "watching on demand",
    operation_id = "readStoryboardSheet",
    params(("asset" = String, Path, description = "The asset's name."),
        ("file" = String, Path, description = "`N.jpg`, as the storyboard names it."),
        ("t" = Option<String>, Query, description = "A playback token, for assets that are not open.")),
    responses((status = 200, description = "JPEG.", body = Vec<u8>, content_type = "image/jpeg")))]
pub(super) fn read_sheet() {}

/// The file as it was uploaded, under the asset's title: for its owner, and for everybody while the asset is open.
#[utoipa::path(get, path = "/vod/{asset}/source", tag = "watching on demand", operation_id = "readSource",
    params(("asset" = String, Path, description = "The asset's name."),
        ("Range" = Option<String>, Header, description = "One range of bytes."),
        ("If-Range" = Option<String>, Header, description = "The `ETag` that the range belongs to.")),
    responses((status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range that was asked for.", body = Vec<u8>,
            content_type = "application/octet-stream"),
        (status = 416, description = "There is no such range.")))]
pub(super) fn read_source() {}

/// What the server can of tus 1.0.
#[utoipa::path(options, path = "/api/v1/uploads", tag = "uploads", operation_id = "readUploadCapabilities",
    responses((status = 204,
            description = "`Tus-Version`, `Tus-Extension`, `Tus-Max-Size` and `Tus-Checksum-Algorithm`.")))]
pub(super) fn read_capabilities() {}

/// Makes an upload (tus 1.0), which may carry its first bytes.
#[utoipa::path(post, path = "/api/v1/uploads", tag = "uploads", operation_id = "createUpload",
    params(("Tus-Resumable" = String, Header, description = "`1.0.0`."),
        ("Upload-Length" = Option<u64>, Header, description = "How many bytes there will be."),
        ("Upload-Defer-Length" = Option<u8>, Header, description = "`1`: that is told later."),
        ("Upload-Metadata" = Option<String>, Header,
            description = "Keys and values in base64. `title`, else `filename`, else `name` gives the title."),
        ("Upload-Concat" = Option<String>, Header, description = "`partial`, or `final;` and the parts."),
        ("Upload-Checksum" = Option<String>, Header, description = "An algorithm and the sum of this body in base64.")),
    request_body(content = Option<Vec<u8>>, content_type = "application/offset+octet-stream",
            description = "The first bytes."),
    responses((status = 201, description = "Made. `Telstar-Asset` names what it has become if it is whole.",
            headers(("location" = String), ("upload-offset" = u64),
            ("upload-expires" = String), ("telstar-asset" = String)))))]
pub(super) fn create_upload() {}

/// How far an upload is. Whoever writes into it gives way.
#[utoipa::path(head, path = "/api/v1/uploads/{upload}", tag = "uploads", operation_id = "readUpload",
    params(("upload" = String, Path, description = "The upload, as `Location` named it."),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`.")),
    responses((status = 200, description = "How much of it is on disk.", headers(("upload-offset" = u64),
            ("upload-length" = u64), ("upload-expires" = String),
            ("telstar-asset" = String)))))]
pub(super) fn read_upload() {}

/// Appends bytes. What came before a connection broke is kept.
#[utoipa::path(patch, path = "/api/v1/uploads/{upload}", tag = "uploads", operation_id = "appendToUpload",
    params(("upload" = String, Path, description = "The upload, as `Location` named it."),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`."),
        ("Upload-Offset" = u64, Header, description = "Where these bytes begin: where the upload is."),
        ("Upload-Length" = Option<u64>, Header, description = "How many bytes there will be, if that was deferred."),
        ("Upload-Checksum" = Option<String>, Header, description = "An algorithm and the sum of this body in base64.")),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream", description = "The next bytes."),
    responses((status = 204,
            description = "They are on disk. `Telstar-Asset` names what the upload has become if it is whole.",
            headers(("upload-offset" = u64),
            ("upload-expires" = String), ("telstar-asset" = String))),
        (status = 460, description = "The sum is another; nothing was kept.")))]
pub(super) fn append_to_upload() {}

/// Gives an upload up.
#[utoipa::path(delete, path = "/api/v1/uploads/{upload}", tag = "uploads", operation_id = "deleteUpload",
    params(("upload" = String, Path, description = "The upload, as `Location` named it."),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`.")),
    responses((status = 204, description = "Given up. An asset that it has become stays.")))]
pub(super) fn delete_upload() {}
