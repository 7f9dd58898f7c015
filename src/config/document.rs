//! The commented default file that `telstar config` prints.

use super::Config;

/// The default configuration as TOML, each key with its documentation and what is allowed.
pub fn commented_file() -> String {
    let mut file = String::new();
    for section in Config::describe() {
        if !section.name.is_empty() {
            file.push('\n');
        }
        comment(&mut file, section.docs);
        if !section.name.is_empty() {
            file.push_str(&format!("[{}]\n", section.name));
        }
        for key in section.keys {
            file.push('\n');
            comment(&mut file, key.docs);
            file.push_str(&format!("# Allowed: {}.\n{} = {}\n", key.allowed, key.name, key.default));
        }
    }
    file
}

fn comment(file: &mut String, docs: &[&str]) {
    for line in docs {
        file.push_str(&format!("#{line}\n"));
    }
}
