//! What of an image is meant.

use std::path::PathBuf;

use clap::Args;
use imgbase::digest::Digest;

/// Beside the image itself.
#[derive(Args, Debug)]
pub(crate) struct ImageArgs {
    /// The partition that is meant, by its number or name (default: the only one for a root)
    #[arg(long, value_name = "PARTITION")]
    pub(crate) partition: Option<String>,

    /// The image of an OCI layout that is meant, by its name there (default: the only one)
    #[arg(long, value_name = "NAME")]
    pub(crate) image_ref: Option<String>,

    /// The SHA-256 that the image must have, as published: sha256:DIGITS
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<Digest>,

    /// The image's signature, as minisign makes it (default: IMAGE.minisig, where keys are in
    /// /etc/imgbase/keys)
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: Option<PathBuf>,
}
