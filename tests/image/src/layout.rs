//! The directory: blobs under their digests, a manifest over them, an index over that.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr as _;
use std::{fmt, fs, io};

use oci_spec::OciSpecError;
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, ImageConfigurationBuilder, ImageIndexBuilder,
    ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, RootFsBuilder, Sha256Digest,
};
use sha2::{Digest as _, Sha256};

use crate::locked::lock;
use crate::manifest::Manifest;

/// Of Spin's `crates/oci/src/client.rs`; the shim tells layers apart by them.
const APPLICATION: &str = "application/vnd.fermyon.spin.application.v1+config";
const COMPONENT: &str = "application/vnd.wasm.content.layer.v1+wasm";

/// Where Spin's own images keep the digest of the application, so that no two of them have one configuration.
const LOCKED_LABEL: &str = "com.fermyon.spin.lockedAppDigest";

/// The annotation of an index by which tools find an image.
pub(crate) const REFERENCE: &str = "org.opencontainers.image.ref.name";

/// Why there is no layout.
#[derive(Debug)]
pub enum Failed {
    /// The manifest is none that an image can carry.
    Manifest(String),
    /// It cannot be said in the words of the specification.
    Spec(OciSpecError),
    /// What was found is no layout of one image, or not a whole one.
    Layout(String),
    Io(io::Error),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(why) => write!(f, "the manifest cannot be an image: {why}"),
            Self::Spec(error) => write!(f, "no image: {error}"),
            Self::Layout(why) => write!(f, "no layout: {why}"),
            Self::Io(error) => write!(f, "cannot read or write the image: {error}"),
        }
    }
}

impl From<OciSpecError> for Failed {
    fn from(error: OciSpecError) -> Self {
        Self::Spec(error)
    }
}

impl From<serde_json::Error> for Failed {
    fn from(error: serde_json::Error) -> Self {
        Self::Spec(error.into())
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// An image, whole and in memory.
#[derive(Debug)]
pub struct Layout {
    /// By digest, without its algorithm.
    blobs: Vec<(String, Vec<u8>)>,
    index: String,
    marker: String,
    digest: String,
}

impl Layout {
    /// The image of a Spin manifest's text and the component that it means; `tag` is what it is called in the
    /// index.
    pub fn of(manifest: &str, component: Vec<u8>, tag: &str) -> Result<Self, Failed> {
        let manifest = Manifest::read(manifest).map_err(Failed::Manifest)?;
        let mut blobs = Vec::new();
        let wasm = keep(&mut blobs, COMPONENT.into(), component)?;
        let locked = serde_json::to_vec(&lock(&manifest, wasm.digest().as_ref()))?;
        let application = keep(&mut blobs, APPLICATION.into(), locked)?;

        let labels = HashMap::from([(LOCKED_LABEL.to_owned(), application.digest().to_string())]);
        let configuration = ImageConfigurationBuilder::default()
            .architecture(Arch::Wasm)
            .os(Os::Other("Wasip1".to_owned()))
            .config(ConfigBuilder::default().labels(labels).build()?)
            .rootfs(RootFsBuilder::default().typ("layers").diff_ids(Vec::<String>::new()).build()?)
            .build()?;
        let configuration = configuration.to_string()?.into_bytes();
        let configuration = keep(&mut blobs, MediaType::ImageConfig, configuration)?;

        let image = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .config(configuration)
            .layers(vec![wasm, application])
            .build()?;
        let image = keep(&mut blobs, MediaType::ImageManifest, image.to_string()?.into_bytes())?;
        let digest = image.digest().to_string();
        let named = DescriptorBuilder::default()
            .media_type(image.media_type().clone())
            .size(image.size())
            .digest(image.digest().clone())
            .annotations(HashMap::from([(REFERENCE.to_owned(), tag.to_owned())]))
            .build()?;
        let index = ImageIndexBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageIndex)
            .manifests(vec![named])
            .build()?;
        let marker = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
        Ok(Self { blobs, index: index.to_string()?, marker: marker.to_string()?, digest })
    }

    /// Of the image: what a deployment pins, `sha256:…`.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Writes the layout into a directory that is not there yet, so that nothing of another image is left in
    /// it.
    pub fn write(&self, directory: &Path) -> Result<(), Failed> {
        fs::create_dir(directory)?;
        let blobs = directory.join("blobs").join("sha256");
        fs::create_dir_all(&blobs)?;
        for (digest, bytes) in &self.blobs {
            fs::write(blobs.join(digest), bytes)?;
        }
        fs::write(directory.join("oci-layout"), &self.marker)?;
        fs::write(directory.join("index.json"), &self.index)?;
        Ok(())
    }
}

/// Puts `bytes` among the blobs and describes them.
fn keep(
    blobs: &mut Vec<(String, Vec<u8>)>,
    media_type: MediaType,
    bytes: Vec<u8>,
) -> Result<Descriptor, OciSpecError> {
    let digest = format!("{:x}", Sha256::digest(&bytes));
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let descriptor = Descriptor::new(media_type, size, Sha256Digest::from_str(&digest)?);
    blobs.push((digest, bytes));
    Ok(descriptor)
}
