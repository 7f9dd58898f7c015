//! Writes the schema's types as TypeScript, for the browser library. `UPDATE_GOLDEN=1` rewrites the file.
//!
//! In: the schema of [`super::schema`]. Out: `static/client/wire.generated.ts`, one exported type for each definition.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::schema::schema;

const HEAD: &str = "/**
 * The messages of `/ws` (subprotocol `telstar.v1`), generated from the server's code: do not edit.
 * `UPDATE_GOLDEN=1 cargo test -p telstar-signaling` writes this file anew.
 */
";

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../static/client/wire.generated.ts")
}

/// The TypeScript of a schema: an intersection of everything that it says.
fn type_of(schema: &Value, indent: usize) -> String {
    let Value::Object(schema) = schema else { return "unknown".into() };
    let mut parts = Vec::new();
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        parts.push(name.rsplit('/').next().expect("rsplit gives one").to_owned());
    }
    if let Some(value) = schema.get("const") {
        parts.push(value.to_string());
    } else if let Some(Value::Array(values)) = schema.get("enum") {
        parts.push(values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | "));
    } else if let Some(kind) = schema.get("type") {
        parts.extend(kinds_of(kind, schema, indent));
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(Value::Array(any)) = schema.get(key) {
            let any: Vec<String> = any.iter().map(|one| type_of(one, indent)).collect();
            parts.push(if any.len() == 1 { any.concat() } else { format!("({})", any.join(" | ")) });
        }
    }
    if let Some(Value::Array(all)) = schema.get("allOf") {
        parts.extend(all.iter().map(|one| type_of(one, indent)));
    }
    if parts.is_empty() { "unknown".into() } else { parts.join(" & ") }
}

/// The TypeScript of `type`, which names one kind or several. An object without properties of its own adds nothing to others.
fn kinds_of(kind: &Value, schema: &Map<String, Value>, indent: usize) -> Option<String> {
    let names: Vec<&str> = match kind {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let combines = ["$ref", "oneOf", "anyOf", "allOf"].iter().any(|key| schema.contains_key(*key));
    if names == ["object"] && !schema.contains_key("properties") && combines {
        return None;
    }
    let one = |name: &&str| match *name {
        "integer" | "number" => "number".to_owned(),
        "array" => {
            let item = schema.get("items").map_or("unknown".into(), |items| type_of(items, indent));
            if item.contains([' ', '|', '&']) { format!("({item})[]") } else { format!("{item}[]") }
        }
        "object" => object(schema, indent),
        other => other.to_owned(),
    };
    Some(names.iter().map(one).collect::<Vec<_>>().join(" | "))
}

fn object(schema: &Map<String, Value>, indent: usize) -> String {
    let Some(Value::Object(properties)) = schema.get("properties") else { return "object".into() };
    let required = schema.get("required").and_then(Value::as_array);
    let mut text = String::from("{\n");
    for (name, property) in properties {
        let pad = "  ".repeat(indent + 1);
        text += &pad;
        if let Some(doc) = property.get("description").and_then(Value::as_str) {
            // In front, on the same line: a line of its own would make this file twice as long.
            write!(text, "/** {} */ ", doc.replace('\n', " ")).expect("a String takes everything");
        }
        let mark = if required.is_some_and(|all| all.iter().any(|one| one == name)) { "" } else { "?" };
        let kind = type_of(property, indent + 1);
        writeln!(text, "{name}{mark}: {kind};").expect("a String takes everything");
    }
    text + &"  ".repeat(indent) + "}"
}

fn typescript(schema: &Value) -> String {
    let mut text = HEAD.to_owned();
    for (name, definition) in schema["$defs"].as_object().expect("the schema has definitions") {
        text.push('\n');
        if let Some(doc) = definition.get("description").and_then(Value::as_str) {
            writeln!(text, "/** {} */", doc.replace('\n', " ")).expect("a String takes everything");
        }
        writeln!(text, "export type {name} = {};", type_of(definition, 0)).expect("a String takes everything");
    }
    text
}

#[test]
fn the_browser_librarys_types_are_the_schema() {
    let current = typescript(&schema());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(file(), &current).expect("static/client/ is writable");
    }
    let written = fs::read_to_string(file()).expect("static/client/wire.generated.ts is readable");
    assert!(written == current, "wire.generated.ts is old: UPDATE_GOLDEN=1 cargo test -p telstar-signaling");
}
