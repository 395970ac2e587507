//! Bindings to lvm2's command library, for the feature `liblvm`; nothing without it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "liblvm")]
    liblvm::bind();
}

#[cfg(feature = "liblvm")]
mod liblvm {
    use std::path::PathBuf;

    const HEADERS: &str = "#include <lvm2cmd.h>\n#include <libdevmapper.h>\n";

    /// Writes `liblvm.rs` and names the libraries.
    pub(crate) fn bind() {
        let out = std::env::var_os("OUT_DIR").expect("cargo gives build scripts a folder");
        bindgen::Builder::default()
            .header_contents("liblvm.h", HEADERS)
            .allowlist_function("lvm2_(init|exit|run|log_fn|disable_dmeventd_monitoring)")
            .allowlist_function("dm_get_library_version")
            .allowlist_var("LVM2_.*")
            .generate()
            .expect("lvm2cmd.h and libdevmapper.h: install liblvm2-dev and libdevmapper-dev")
            .write_to_file(PathBuf::from(out).join("liblvm.rs"))
            .expect("the bindings are written");
        for library in ["lvm2cmd", "devmapper"] {
            println!("cargo::rustc-link-lib={library}");
        }
    }
}
