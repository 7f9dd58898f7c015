//! Says what to do when the pages, which are embedded in the executable, were not built.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=static/dist");
    if !Path::new("static/dist/index.html").exists() {
        println!(
            "cargo::error=static/dist is missing: the pages are embedded in the executable and must be built first. \
             Run `make run` or `make test`, or by hand: npm ci --prefix static && npm run build --prefix static"
        );
    }
}
