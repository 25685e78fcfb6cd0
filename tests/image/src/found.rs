//! A layout as whoever copies it finds it: by the specification's own types, blob by blob.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, OciLayout};
use sha2::{Digest as _, Sha256};

use crate::layout::{Failed, REFERENCE};

/// The one image of a layout that holds: every blob that is named lies under its digest, in its size, and no other
/// lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the index calls it.
    pub tag: String,
    /// Of its manifest, `sha256:…`.
    pub digest: String,
}

impl Found {
    /// Reads the layout in `directory`; in words what is wrong with it.
    pub fn read(directory: &Path) -> Result<Self, Failed> {
        let marker = OciLayout::from_file(directory.join("oci-layout"))?;
        if marker.image_layout_version() != "1.0.0" {
            return Err(wrong(format!("version {} of the layout", marker.image_layout_version())));
        }
        let index = ImageIndex::from_file(directory.join("index.json"))?;
        let [named] = index.manifests().as_slice() else {
            return Err(wrong(format!("{} images in the index", index.manifests().len())));
        };
        let annotations = named.annotations().as_ref();
        let Some(tag) = annotations.and_then(|it| it.get(REFERENCE)) else {
            return Err(wrong("the image has no name in the index".to_owned()));
        };
        let image = ImageManifest::from_reader(blob(directory, named)?.as_slice())?;
        let configuration = blob(directory, image.config())?;
        if *image.config().media_type() == MediaType::ImageConfig {
            ImageConfiguration::from_reader(configuration.as_slice())?;
        }
        for layer in image.layers() {
            blob(directory, layer)?;
        }
        let described = [named, image.config()].into_iter().chain(image.layers());
        let described: BTreeSet<&str> = described.map(|it| it.digest().digest()).collect();
        for entry in fs::read_dir(directory.join("blobs").join("sha256"))? {
            let name = entry?.file_name();
            if name.to_str().is_none_or(|name| !described.contains(name)) {
                return Err(wrong(format!("nothing names the blob {}", name.display())));
            }
        }
        Ok(Self { tag: tag.clone(), digest: named.digest().to_string() })
    }
}

/// What `descriptor` describes, if it is that.
fn blob(directory: &Path, descriptor: &Descriptor) -> Result<Vec<u8>, Failed> {
    let digest = descriptor.digest();
    let bytes = fs::read(directory.join("blobs").join(digest.algorithm().as_ref()).join(digest.digest()))?;
    if format!("sha256:{:x}", Sha256::digest(&bytes)) != digest.to_string() {
        return Err(wrong(format!("the blob {digest} holds something else")));
    }
    if u64::try_from(bytes.len()) != Ok(descriptor.size()) {
        return Err(wrong(format!("the blob {digest} has {} bytes", bytes.len())));
    }
    Ok(bytes)
}

fn wrong(why: String) -> Failed {
    Failed::Layout(why)
}
