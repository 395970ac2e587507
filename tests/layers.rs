//! Dependencies run one way: a module uses only what stands below it.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first; modules of one layer may use each other only where noted.
const LAYERS: [&[&str]; 6] = [
    &["units", "name", "order", "queue", "digest", "error", "dev"],
    &["lvm2", "ext4", "xfs", "signature", "tree", "pack", "archive", "squashfs"],
    &["dm", "image", "layout", "root", "first", "boot"],
    &["machine", "report", "diff", "etc"],
    &["ops"],
    &["host", "dry", "cli", "main"],
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the source folder can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

#[test]
fn nothing_uses_what_stands_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut uses = 0;
    for file in files {
        let inside = file.strip_prefix(&root).expect("it was found there");
        let first = inside.components().next().expect("it has a name");
        let module = first.as_os_str().to_string_lossy().replace(".rs", "");
        if module == "lib" {
            continue;
        }
        let own = layer_of(&module).unwrap_or_else(|| panic!("{module} stands in no layer"));
        let text = fs::read_to_string(&file).expect("the source can be read");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let text: String = code.collect::<Vec<_>>().join("\n");
        for target in text.split("crate::").skip(1) {
            let end = target.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(0);
            let Some(other) = layer_of(&target[..end]) else { continue };
            uses += 1;
            assert!(other <= own, "{} uses {}", inside.display(), &target[..end]);
        }
    }
    assert!(uses > 100, "the search found only {uses} uses: it is broken");
}
