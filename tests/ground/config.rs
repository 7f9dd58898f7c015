//! The configuration says what is wrong, where, and what would be right; its printed defaults are its defaults.

use std::ffi::OsString;

use telstar::config::{Config, Layers, LogFormat, check_file, commented_file};
use tempfile::NamedTempFile;

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("it is writable");
    file
}

/// The errors of a file, each without the file's own path.
fn errors(text: &str) -> Vec<String> {
    let file = file(text);
    let errors = check_file(file.path()).err().map(|errors| errors.0).unwrap_or_default();
    let path = file.path().display().to_string();
    errors.iter().map(|error| error.to_string().replace(&path, "FILE")).collect()
}

#[test]
fn the_printed_file_parses_to_the_defaults() {
    let file = file(&commented_file());
    assert_eq!(check_file(file.path()), Ok(Config::default()));
}

#[test]
fn the_printed_file_sets_and_explains_every_key() {
    let text = commented_file();
    for section in Config::describe() {
        for key in section.keys {
            assert!(
                text.contains(&format!("# Allowed: {}.\n{} = {}\n", key.allowed, key.name, key.default)),
                "{}",
                key.name
            );
            assert!(!key.docs.is_empty(), "{} has no documentation", key.name);
        }
    }
}

#[test]
fn every_mistake_is_named_with_its_line_and_what_is_allowed() {
    for (text, expect) in [
        ("\n[hls]\npart_ms = 5\n", "FILE:3: `hls.part_ms` is 5, but must be a whole number from 100 to 2000"),
        ("[log]\nformat = \"xml\"", "FILE:2: `log.format` is \"xml\", but must be \"text\" or \"json\""),
        ("[log]\nformat = 7", "FILE:2: `log.format` is 7, but must be \"text\" or \"json\""),
        ("htpp = \"off\"", "FILE:1: unknown key `htpp`; did you mean `http`?"),
        ("[hls]\npart_m = 300", "FILE:2: unknown key `hls.part_m`; did you mean `hls.part_ms`?"),
        ("[hsl]\npart_ms = 300", "FILE:1: unknown section `hsl`; did you mean `hls`?"),
        ("[hls]\nxyzzyxyzzy = 300", "FILE:2: unknown key `hls.xyzzyxyzzy`"),
        (
            "http = \"8080\"",
            "FILE:1: `http` is \"8080\", but must be \"off\", \"IP:PORT\", \"localhost:PORT\" or \":PORT\" for every interface",
        ),
        (
            "trusted_proxies = [\"10.0.0.0/40\"]",
            "FILE:1: `trusted_proxies` is [\"10.0.0.0/40\"], but must be a list of IP addresses or ranges such as \"10.0.0.0/8\"",
        ),
        (
            "[tls]\nmode = \"files\"\nkey = \"a\"",
            "default: `tls.cert` is empty, but must be the path of a PEM file, because `tls.mode` is \"files\"",
        ),
        (
            "[hls]\npart_ms = 1000\nsegment_min_ms = 2000",
            "FILE:3: `hls.segment_min_ms` is 2000, but must be at least 3000, which is 3 times `hls.part_ms` (1000)",
        ),
    ] {
        assert_eq!(errors(text), [expect], "{text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    assert_eq!(errors("http = 1\nhttps = 2\n[log]\nlevel = 3\n").len(), 3);
}

#[test]
fn what_is_no_toml_is_named_with_its_line() {
    let errors = errors("http = \"off\"\nhttps = = \"off\"\n");
    assert!(errors.first().is_some_and(|error| error.starts_with("FILE:2: not TOML: ")), "{errors:?}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = check_file(std::path::Path::new("/nowhere/telstar.toml")).expect_err("it is not there").to_string();
    assert!(error.starts_with("/nowhere/telstar.toml: "), "{error}");
}

#[test]
fn flags_go_over_the_environment_over_the_file_over_the_defaults() {
    let file = file("[hls]\npart_ms = 200\nsegment_min_ms = 4000\n[log]\nformat = \"json\"\n");
    let variable = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
    let mut layers = Layers { file: Some(file.path().to_owned()), variables: Vec::new(), flags: Vec::new() };
    assert_eq!(layers.load().expect("valid").hls.part_ms, 200);
    layers.variables = vec![variable("TELSTAR_HLS_PART_MS", "300"), variable("TELSTAR_HLS_SEGMENT_MIN_MS", "")];
    assert_eq!(layers.load().expect("valid").hls.part_ms, 300);
    layers.flags = vec![("hls".to_owned(), "part_ms".to_owned(), "400".to_owned())];
    let config = layers.load().expect("valid");
    assert_eq!((config.hls.part_ms, config.hls.segment_min_ms, config.log.format), (400, 4000, LogFormat::Json));
    assert_eq!(config.rtmp, Config::default().rtmp);
}

#[test]
fn a_bad_flag_or_variable_is_named() {
    let bad = |variables: &[(&str, &str)], flags: &[(&str, &str, &str)]| {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let own = |text: &str| text.to_owned();
        let flags = flags.iter().map(|(section, key, value)| (own(section), own(key), own(value))).collect();
        Layers { file: None, variables, flags }.load().expect_err("not allowed").to_string()
    };
    let allowed = "`hls.part_ms` is x, but must be a whole number from 100 to 2000";
    assert_eq!(
        bad(&[("TELSTAR_HLS_PART_MS", "x")], &[]),
        format!("environment variable TELSTAR_HLS_PART_MS: {allowed}")
    );
    assert_eq!(bad(&[], &[("hls", "part_ms", "x")]), format!("flag --hls-part-ms: {allowed}"));
}
