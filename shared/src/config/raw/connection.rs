//! How connections to an upstream are made.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::MapAccess;

use super::reference::ApiKey;
use super::spelled::{Spelled, spelled};

/// `env`, `none`, an address, or where an address is found.
#[derive(Clone, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Proxy {
    /// `env`: what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say. `none`: no proxy. Otherwise its address,
    /// such as `http://proxy.example:3128`, which has no password in it.
    Text(String),
    /// The variable or the file that holds its address, with user and password: `http://user:password@host:port`.
    Found(ApiKey),
}

impl<'de> Spelled<'de> for Proxy {
    const EXPECTED: &'static str =
        "\"env\", \"none\", an address such as \"http://proxy.example:3128\", or { env = \"NAME\" }";

    fn from_text(text: &str) -> Result<Self, &'static str> {
        Ok(Self::Text(text.to_owned()))
    }

    fn from_table<A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        ApiKey::from_table(table).map(Self::Found)
    }
}

spelled!(Proxy);

/// Certificates, as PEM files that are read again when they change.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tls {
    /// The file with the certificates of authorities that are trusted beside those that the machine trusts.
    pub(in crate::config) ca: Option<String>,
    /// The file with the certificate that is shown to an upstream which asks for one, and with those that lead to its
    /// authority. Needs `key`.
    pub(in crate::config) cert: Option<String>,
    /// The file with the key of `cert`, not encrypted.
    pub(in crate::config) key: Option<String>,
}
